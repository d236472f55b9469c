"""Records events in the audit trails. Each namespace has one trail, appended in the order of the calls.

The recorder also keeps the end of every trail (the head) in a ConfigMap that only the operator writes. If somebody
truncates a trail in the store, the next append detects it. The ConfigMap is a witness, never a gate: a record is
written even if the API server is unreachable. ``audit.events`` builds the events.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import CONFIGMAPS
from assay.controllers import metrics
from assay.kube.aio import Kube
from assay.kube.errors import ApiError
from assay.signing.errors import KeyUnusable, NoKey, SigningError
from assay.signing.keys import Keys
from assay.store.aio import AsyncStore
from assay.store.audit import EMPTY, Appended, AuditEvent, AuditTrail, Head, signed
from assay.store.audit.signed import Signature
from assay.store.client import ObjectStore
from assay.store.errors import StoreDenied, StoreError

log = logging.getLogger(__name__)

CONFIG_MAP = names.AUDIT_HEADS
FLUSH_SECONDS = 1.0
_MAX_WAIT_SECONDS = 30.0


class Auditor:
    """Records events and keeps the heads. One instance per operator, for one event loop.

    ``store`` provides the threads; ``trail_store`` holds the trails. ``retention`` is how long a record is locked;
    None: no lock. ``namespace`` is the operator's own, which has the ConfigMap. ``keys`` sign the records.
    """

    def __init__(
        self,
        kube: Kube,
        store: AsyncStore,
        trail_store: ObjectStore,
        retention: timedelta | None,
        namespace: str,
        keys: Keys | None = None,
    ) -> None:
        self._kube = kube
        self._store = store
        self._trail_store = trail_store
        self._retention = retention
        self._namespace = namespace
        self._keys = keys or Keys()
        #: The heads in the ConfigMap; None until it is read.
        self._hints: dict[str, Head] | None = None
        self._asked = False
        self._trails: dict[str, AuditTrail] = {}
        #: Namespaces whose trail was opened without the ConfigMap and is not yet checked against it.
        self._unhinted: set[str] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._bucket_ready = False
        self._warned: set[tuple[str, str]] = set()
        #: Namespaces whose head may have changed since it was written to the ConfigMap.
        self._changed: set[str] = set()
        self._woken = asyncio.Event()
        self._writing = asyncio.Lock()
        self._kube_fails = False

    # Recording

    async def record(self, event: AuditEvent) -> Appended:
        """Record an event once. Events of one namespace are recorded in the order of the calls.

        Raises StoreUnavailable (record the event again), StoreDenied, StoreError; ValueError if the event is too large.
        """
        namespace = event.object.namespace
        async with self._locks[namespace]:
            try:
                await self._ensure_bucket()
                trail = await self._trail(namespace)
                appended = await self._append(namespace, trail, event)
            except StoreError as error:
                metrics.AUDIT_ERRORS.labels(type(error).__name__).inc()
                raise
            self._took(namespace, trail, appended)
            return appended

    async def _append(self, namespace: str, trail: AuditTrail, event: AuditEvent) -> Appended:
        try:
            return await self._store.run(trail.append, event)
        finally:  # also if the caller is cancelled: the thread still appends
            self._changed.add(namespace)
            self._woken.set()

    async def _ensure_bucket(self) -> None:
        """Create the trail's bucket. Only a new bucket can get an object lock, and only a dedicated one should."""
        if self._bucket_ready:
            return
        own = self._trail_store.config.bucket != self._store.blocking.config.bucket
        try:
            await self._store.run(self._trail_store.ensure_bucket, object_lock=own)
        except StoreDenied as error:  # the bucket may exist although we may not ask for it
            self._warn("", "bucket", f"the bucket of the audit trail cannot be ensured: {error}")
        self._bucket_ready = True

    async def _trail(self, namespace: str) -> AuditTrail:
        """Return the trail of a namespace. Once the ConfigMap is read, reopen a trail that was opened without it."""
        if not self._asked:
            await self.load()
        if self._hints is None:
            self._unhinted.add(namespace)
        elif namespace in self._unhinted:
            self._unhinted.discard(namespace)
            if namespace in self._hints:
                self._trails.pop(namespace, None)
        if namespace not in self._trails:
            hint = (self._hints or {}).get(namespace, EMPTY)
            self._trails[namespace] = AuditTrail(
                self._trail_store, namespace, hint, self._retention, sign=self._sign, check=self._check
            )
        return self._trails[namespace]

    def _sign(self, line: bytes) -> Signature | None:
        """Return the signature of a record; None if it cannot be signed. The record is written in either case."""
        try:
            keyring = self._keys.current()
            return Signature(keyring.signing_id, keyring.sign(line))
        except NoKey:
            return None
        except KeyUnusable as error:
            self._warn("", "key", f"audit records are not signed: {error}")
            return None

    def _check(self, data: bytes) -> str:
        """Return why a record is not from this operator; "" if it is, or if there is no key to verify it with."""
        try:
            keyring = self._keys.current()
        except KeyUnusable:
            return ""
        if keyring.private is None:
            return ""
        line, signature = signed.detach(data)
        if signature is None:
            return "it is not signed"
        try:
            keyring.verify(signature.key, signature.value, line)
        except SigningError as error:
            return str(error)
        return ""

    def _took(self, namespace: str, trail: AuditTrail, appended: Appended) -> None:
        if appended.written:
            metrics.AUDIT_RECORDS.labels(appended.record.action).inc()
        metrics.AUDIT_DOUBT.labels(namespace).set(bool(appended.doubt))
        if trail.exclusive is not None:
            metrics.AUDIT_EXCLUSIVE.labels(namespace).set(trail.exclusive)
        metrics.AUDIT_LOCKED.labels(namespace).set(trail.locked)
        if appended.doubt:
            self._warn(namespace, "doubt", f"the audit trail differs from what the operator wrote: {appended.doubt}")
        if trail.exclusive is False:
            self._warn(namespace, "fork", "the store ignores If-None-Match: exactly one operator may write the trail")
        if self._retention and not trail.locked:
            self._warn(namespace, "lock", "the audit trail's bucket has no object lock: records are not protected")

    def _warn(self, namespace: str, about: str, message: str) -> None:
        """Log a warning, once per namespace and subject."""
        if (namespace, about) not in self._warned:
            self._warned.add((namespace, about))
            log.warning("%s", message, extra={"namespace": namespace} if namespace else {})

    # The heads

    async def load(self) -> None:
        """Read the heads from the ConfigMap. If the API server is unreachable, ``keep`` retries."""
        self._asked = True
        try:
            found = await self._kube.get(CONFIGMAPS, self._namespace, CONFIG_MAP)
        except ApiError as error:
            self._failed("read", error)
            return
        self._hints = heads((found or {}).get("data"))
        self._unhinted &= self._hints.keys()

    async def keep(self) -> None:
        """Write changed heads, at most once a second. Runs until cancelled; call ``flush`` afterwards."""
        wait = FLUSH_SECONDS
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self.flush()
            wait = min(_MAX_WAIT_SECONDS, wait * 2) if self._changed and self._kube_fails else FLUSH_SECONDS
            await asyncio.sleep(wait)
            if self._changed:
                self._woken.set()

    async def flush(self) -> None:
        """Write the changed heads. Never raises ApiError: the next call retries a failed write."""
        async with self._writing:
            if self._hints is None:
                await self.load()
            if self._hints is not None and self._changed:
                await self._write(self._hints)
            metrics.AUDIT_HEADS_PENDING.set(len(self._changed))

    async def _write(self, hints: dict[str, Head]) -> None:
        # A trail that was opened without its hint is checked at its next record. Until then, keep the hint.
        known = {name: self._trails[name].head for name in self._changed - self._unhinted}
        self._changed -= {name for name, head in known.items() if head == hints.get(name, EMPTY)}
        moved = {name: head for name, head in known.items() if name in self._changed}
        try:
            written = not moved or await self._patch(moved) or await self._create(hints | moved)
        except ApiError as error:
            self._failed("written", error)
            return
        if written:  # else another process has just created the ConfigMap
            self._kube_fails = False
            hints |= moved
            self._changed -= {name for name, head in moved.items() if self._trails[name].head == head}

    async def _patch(self, moved: Mapping[str, Head]) -> bool:
        patch = {"data": _data(moved)}
        return await self._kube.merge_patch(CONFIGMAPS, self._namespace, CONFIG_MAP, patch) is not None

    async def _create(self, all_heads: Mapping[str, Head]) -> bool:
        metadata = {"name": CONFIG_MAP, "namespace": self._namespace}
        body: Raw = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": _data(all_heads)}
        return await self._kube.create(CONFIGMAPS, self._namespace, body) is not None

    def _failed(self, verb: str, error: ApiError) -> None:
        if not self._kube_fails:
            log.warning("ConfigMap %s/%s cannot be %s, retrying: %s", self._namespace, CONFIG_MAP, verb, error)
        self._kube_fails = True


def heads(data: object) -> dict[str, Head]:
    """Return the heads by namespace from a ConfigMap's data. Invalid heads are logged and skipped."""
    found: dict[str, Head] = {}
    for namespace, text in data.items() if isinstance(data, dict) else ():
        try:
            found[namespace] = Head.parse(text)
        except (ValueError, AttributeError) as error:
            log.warning("ConfigMap %s: the head of %s is ignored: %s", CONFIG_MAP, namespace, error)
    return found


def _data(found: Mapping[str, Head]) -> dict[str, str]:
    return {namespace: str(head) for namespace, head in sorted(found.items())}
