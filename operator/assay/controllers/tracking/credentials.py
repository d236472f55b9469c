"""Secrets with store credentials: for a run to write its record and read its data sets, and for a served version.

Each Secret is written before the first pod starts, refreshed in time, and deleted when no pod needs it. The operator
never reads a Secret.
"""

import base64
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import SECRETS
from assay.api.run_status import CredentialsStatus
from assay.controllers.runtime.parts import CredentialParts, ObjectApi
from assay.controllers.runtime.queue import Requeue
from assay.controllers.runtime.tracking_cache import place
from assay.controllers.tracking import datasets
from assay.planning.runs.job import CREDENTIALS_KEY, owner_reference, run_labels, secret_name
from assay.store import layout
from assay.store.credentials import Credentials, issue_model_credentials, issue_run_credentials


def stale(known: CredentialsStatus | None, lifetime: timedelta, at: datetime) -> bool:
    """Return whether to issue credentials: there are none, or less than half of their lifetime is left."""
    if known is None:
        return True
    return known.expires is not None and known.expires - at < lifetime / 2


async def issue(context: CredentialParts, run: Raw, exists: Callable[[], bool]) -> CredentialsStatus:
    """Issue credentials for a run's own prefix and its data sets, and write them to its Secret.

    ``exists`` returns whether the run still exists. Raises Requeue if it does not.
    """
    more = await datasets.secret_data(context, run)
    issued = await context.store.run(issue_run_credentials, context.settings.store, layout.prefix_of(run))
    _check(run, exists)
    return await _write(context.kube, run, secret_name(run), run_labels(run), issued, more)


async def issue_for_model(
    context: CredentialParts, version: Raw, prefix: str, exists: Callable[[], bool]
) -> CredentialsStatus:
    """Issue credentials that can read a version's files, and write them to its Secret; ``exists`` as in ``issue``."""
    issued = await context.store.run(issue_model_credentials, context.settings.store, prefix)
    _check(version, exists)
    labels = {names.LABEL_MODEL: version["spec"]["model"]}
    return await _write(context.kube, version, model_secret_name(version), labels, issued)


def model_secret_name(version: Raw) -> str:
    """Return the name of a version's Secret. It contains the UID, as with runs."""
    return f"assay-model-{version['metadata']['uid']}"


def _check(owner: Raw, exists: Callable[[], bool]) -> None:
    """Raise Requeue if the owner was deleted while the store was slow.

    Its namespace may have been replaced by a new one of the same name, whose people must not get these keys.
    """
    if not exists():
        raise Requeue(1.0, f"{owner['kind']} {owner['metadata']['name']} was deleted")


async def _write(
    kube: ObjectApi,
    owner: Raw,
    name: str,
    labels: dict[str, str],
    issued: Credentials,
    more: Mapping[str, str] | None = None,
) -> CredentialsStatus:
    namespace, _ = place(owner)
    texts = {CREDENTIALS_KEY: issued.to_json(), **(more or {})}
    metadata = {"labels": labels, "ownerReferences": [owner_reference(owner)]}
    await replace_secret(kube, namespace, name, texts, metadata)
    expires = issued.expires.replace(microsecond=0) if issued.expires else None
    return CredentialsStatus(secret=name, expires=expires)


async def replace_secret(kube: ObjectApi, namespace: str, name: str, texts: Mapping[str, str], metadata: Raw) -> None:
    """Write a Secret. Raises Requeue if an earlier one of the name is still being deleted."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()},
    }
    if await kube.create(SECRETS, namespace, secret) is None:
        # Replace instead of patch: the response to a patch contains the whole Secret, whoever wrote it. Pods that mount
        # the Secret keep their copy until the kubelet syncs the new one.
        await kube.delete(SECRETS, namespace, name)
        if await kube.create(SECRETS, namespace, secret) is None:
            raise Requeue(1.0, f"the Secret {name} is still being deleted: a finalizer keeps it")


async def revoke(kube: ObjectApi, run: Raw) -> None:
    """Delete a run's Secret. The credentials in it expire on their own."""
    namespace, _ = place(run)
    await kube.delete(SECRETS, namespace, secret_name(run))


async def revoke_for_model(kube: ObjectApi, version: Raw) -> None:
    """Delete a version's Secret: no pod needs it any more."""
    namespace, _ = place(version)
    await kube.delete(SECRETS, namespace, model_secret_name(version))
