"""Temporary store keys for the people of each namespace, in its Secret `assay-read`.

Kubernetes decides who reads the Secret; the chart's roles allow it to everyone who may read runs. The keys can read and
list the namespace's records, models and audit trail, and nothing else. The operator replaces them when half of their
lifetime is over. It never reads such a Secret. A namespace has one as long as it exists, from its first object of Assay
on: its records remain when its objects are deleted.
"""

import asyncio
import logging
from datetime import datetime

from assay.api import names
from assay.controllers.runtime import tenancy
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import ReadKeyParts
from assay.controllers.runtime.queue import Requeue
from assay.controllers.tracking.credentials import replace_secret
from assay.kube.errors import ApiError
from assay.store import tenancy as tenants
from assay.store.credentials import Credentials, issue_read_credentials
from assay.store.errors import StoreError

log = logging.getLogger(__name__)

#: Maximum number of namespaces whose keys are issued concurrently.
_CONCURRENCY = 4


class ReadKeys:
    """Keeps the Secrets current. One per operator. A new operator issues new keys for all namespaces."""

    def __init__(self, context: ReadKeyParts) -> None:
        self._context = context
        #: When to replace the keys of each namespace.
        self._due: dict[str, datetime] = {}
        #: The UID of the namespace that the keys are for: a name can be used again.
        self._uids: dict[str, str] = {}
        self._listed = False
        self._slots = asyncio.Semaphore(_CONCURRENCY)

    async def keep(self) -> None:
        """Check all namespaces periodically. Returns at once if the store has no STS."""
        while self._context.settings.store.sts:
            await self.look()
            await asyncio.sleep(self._context.settings.observe_seconds)

    async def look(self) -> None:
        """Issue the keys that are due, once."""
        if not self._listed:
            await self._list()
        at, known = now(), self._context.models.namespaces
        others = [name for name, uid in self._uids.items() if name in known and known[name].uid != uid]
        self._due = dict.fromkeys(self._namespaces(), at) | self._due | dict.fromkeys(others, at)
        await asyncio.gather(*(self._renew(namespace) for namespace, due in sorted(self._due.items()) if due <= at))

    async def _list(self) -> None:
        """Find the namespaces whose objects were all deleted."""
        store, served = self._context.store, self._context.settings.namespaces
        try:
            found = await store.run(tenants.noted_namespaces, store.blocking)
        except StoreError as error:
            log.warning("cannot list the namespaces that have records: %s", error)
            return
        self._listed = True
        self._due = {each: now() for each in found if not served or each in served} | self._due

    def _namespaces(self) -> set[str]:
        tracking, models = self._context.tracking, self._context.models
        found = {namespace for each in (tracking.experiments, tracking.active_runs) for namespace, _ in each}
        found |= {run.namespace for run in tracking.ended_runs.values()}
        return found | {namespace for namespace, _ in models.versions}

    async def _renew(self, namespace: str) -> None:
        context, lifetime = self._context, self._context.settings.store.sts_duration
        async with self._slots:
            # After a failure, the keys that are there are valid for some time.
            self._due[namespace] = now() + lifetime / 60
            try:
                metadata = await tenancy.existing(context, namespace)
                if metadata is None:
                    del self._due[namespace]
                    self._uids.pop(namespace, None)
                    return
                self._uids[namespace] = metadata["uid"]
                refused = await tenancy.refusal_of_all(context, metadata)
                texts = {"problem": refused} if refused else await self._issued(namespace)
                # The store may have been slow, and keys to the records of a namespace are not for its successor.
                current = await tenancy.existing(context, namespace) or {}
                if current.get("uid") != metadata["uid"]:
                    return
                if texts:
                    labels = {"app.kubernetes.io/managed-by": "assay"}
                    await replace_secret(context.kube, namespace, names.READ_SECRET, texts, {"labels": labels})
            except (ApiError, StoreError, Requeue, ValueError) as error:
                log.warning("cannot issue keys for readers of the namespace %s: %s", namespace, error)
                return
            if not refused:
                self._due[namespace] = now() + lifetime / 2

    async def _issued(self, namespace: str) -> dict[str, str]:
        settings, store = self._context.settings, self._context.store
        bucket = settings.audit.bucket
        issued = await store.run(issue_read_credentials, settings.store, namespace, bucket)
        return _texts(issued, bucket) if issued else {}


def _texts(issued: Credentials, audit_bucket: str) -> dict[str, str]:
    """Return the keys of the Secret, which are those of `assay-store` (docs/cli.md) and when they expire."""
    found = {
        "endpoint": issued.endpoint,
        "region": issued.region,
        "bucket": issued.bucket,
        "accessKey": issued.access_key,
        "secretKey": issued.secret_key,
        "sessionToken": issued.session_token,
        "expires": issued.expires.isoformat() if issued.expires else "",
        "ca": issued.ca,
        "auditBucket": audit_bucket,
    }
    return {name: text for name, text in found.items() if text}
