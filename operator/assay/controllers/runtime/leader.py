"""Leader election by a Lease, as in Kubernetes' own controllers: only the holder works, the others wait.

A holder that cannot renew stops before another operator may take over. Clocks of other machines are not trusted: a
Lease has expired when it stayed unchanged for its duration as measured here.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from assay.api.objects import Raw
from assay.api.resources import LEASES
from assay.kube.aio import Kube
from assay.kube.errors import ApiError

log = logging.getLogger(__name__)

LEASE_SECONDS = 20
RENEW_SECONDS = 2.0
#: A holder stops this many seconds before its Lease expires.
_MARGIN = 3.0


class Leadership:
    """One candidate for one Lease."""

    def __init__(self, kube: Kube, namespace: str, name: str, identity: str) -> None:
        self._kube = kube
        self._namespace, self._name, self._identity = namespace, name, identity
        self._seen: tuple[str, float] = ("", 0.0)
        self._renewed = 0.0

    async def acquire(self) -> None:
        """Wait until this candidate holds the Lease."""
        reported = ""
        while True:
            began = time.monotonic()
            try:
                holder = await self._try()
            except ApiError as error:
                log.warning("cannot get the Lease %s, retrying in %.0f s: %s", self._name, RENEW_SECONDS, error)
                holder = reported
            if holder == self._identity:
                self._renewed = began
                log.info("leading with the Lease %s/%s", self._namespace, self._name)
                return
            if holder != reported:
                log.info("waiting for the Lease: %s leads", holder or "nobody")
                reported = holder
            await asyncio.sleep(RENEW_SECONDS)

    async def hold(self, forget: Callable[[], None]) -> None:
        """Renew the Lease until that fails or another holder takes it, then call ``forget``."""
        while self._left() > 0:
            await asyncio.sleep(min(RENEW_SECONDS, self._left()))
            began = time.monotonic()
            try:
                holder = await asyncio.wait_for(self._try(), self._left())
            except (ApiError, TimeoutError) as error:
                log.warning("cannot renew the Lease %s: %s", self._name, error or "no answer")
                continue
            if holder != self._identity:
                log.error("lost the Lease %s to %s", self._name, holder or "another operator")
                break
            self._renewed = began
        forget()

    def _left(self) -> float:
        """Return the seconds after which the holder must stop unless it renews."""
        return self._renewed + LEASE_SECONDS - _MARGIN - time.monotonic()

    async def release(self) -> None:
        """Release the Lease, so that the next holder need not wait until it expires."""
        try:
            lease = await self._kube.get(LEASES, self._namespace, self._name)
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                await self._write(lease, {"holderIdentity": "", "renewTime": None, "acquireTime": None})
        except ApiError as error:
            log.warning("cannot release the Lease %s: %s", self._name, error)

    async def _try(self) -> str:
        """Take or renew the Lease if possible. Return its current holder, "" when unknown."""
        lease = await self._kube.get(LEASES, self._namespace, self._name)
        if lease is None:
            return await self._create()
        spec = lease.get("spec") or {}
        holder, version = spec.get("holderIdentity") or "", lease["metadata"]["resourceVersion"]
        if holder not in ("", self._identity) and not self._has_expired(version):
            return str(holder)
        taken = {} if holder == self._identity else _taken(spec)
        return self._identity if await self._write(lease, {**self._spec(), **taken}) else ""

    def _has_expired(self, version: str) -> bool:
        """Whether the Lease stayed at this resourceVersion for longer than its duration."""
        if self._seen[0] != version:
            self._seen = (version, time.monotonic())
        return time.monotonic() - self._seen[1] > LEASE_SECONDS

    def _spec(self) -> Raw:
        return {"holderIdentity": self._identity, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": _now()}

    async def _create(self) -> str:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {**self._spec(), "acquireTime": _now(), "leaseTransitions": 0},
        }
        return self._identity if await self._kube.create(LEASES, self._namespace, body) is not None else ""

    async def _write(self, lease: Raw, spec: Raw) -> bool:
        """Update the Lease that was read. Return False on a conflict."""
        guard = {key: lease["metadata"][key] for key in ("resourceVersion", "uid")}
        patch = {"metadata": guard, "spec": spec}
        try:
            return await self._kube.merge_patch(LEASES, self._namespace, self._name, patch) is not None
        except ApiError as error:
            if error.status == 409:
                return False
            raise


def _taken(spec: Raw) -> Raw:
    return {"acquireTime": _now(), "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
