"""The Secret with a run's store credentials: written before the first pod, refreshed in time, gone after the run."""

import base64
from datetime import datetime, timedelta
from typing import Any

from assay.api.run import CredentialsStatus
from assay.controllers import recording
from assay.controllers.context import Context
from assay.controllers.kube import SECRETS
from assay.controllers.world import place
from assay.planning.job import CREDENTIALS_KEY, owner_reference, run_labels, secret_name
from assay.store.credentials import issue_run_credentials

Raw = dict[str, Any]


def stale(known: CredentialsStatus | None, lifetime: timedelta, at: datetime) -> bool:
    """Return whether credentials have to be issued: there are none, or more than half of their life is over."""
    if known is None:
        return True
    return known.expires is not None and known.expires - at < lifetime / 2


async def issue(context: Context, run: Raw) -> CredentialsStatus:
    """Issue credentials for a run's own prefix and put them into its Secret."""
    namespace, _ = place(run)
    store = context.settings.store
    issued = await context.store.run(issue_run_credentials, store, recording.prefix_of(run))
    data = {CREDENTIALS_KEY: base64.b64encode(issued.to_json().encode()).decode()}
    metadata = {"labels": run_labels(run), "ownerReferences": [owner_reference(run)]}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": secret_name(run), "namespace": namespace, **metadata},
        "data": data,
    }
    if await context.kube.create(SECRETS, namespace, secret) is None:
        # It is this run's, to be refreshed: its name has the run's UID.
        await context.kube.merge_patch(SECRETS, namespace, secret_name(run), {"metadata": metadata, "data": data})
    expires = issued.expires.replace(microsecond=0) if issued.expires else None
    return CredentialsStatus(secret=secret_name(run), expires=expires)


async def revoke(context: Context, run: Raw) -> None:
    """Delete a run's Secret. What it held expires by itself."""
    namespace, _ = place(run)
    await context.kube.delete(SECRETS, namespace, secret_name(run))
