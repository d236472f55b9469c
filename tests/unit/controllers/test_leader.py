from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from assay.api.objects import Raw
from assay.controllers.runtime import leader
from assay.controllers.runtime.leader import LEASE_SECONDS, RENEW_SECONDS, Leadership
from assay.kube.errors import ApiError

pytestmark = pytest.mark.unit


class Clock:
    """A clock that only waiting advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        self.now += seconds

    async def wait_for(self, work: Awaitable[str], timeout: float) -> str:
        """Wait for work, as long as it may take."""
        latest = self.now + timeout
        try:
            return await work
        finally:
            if self.now > latest:
                self.now = latest
                raise TimeoutError


class Outage:
    """An API server that has the Lease once, and then fails after so many seconds each time."""

    def __init__(self, clock: Clock, *seconds: float) -> None:
        self._clock, self._seconds = clock, iter(seconds)

    async def get(self, *_: object) -> Raw | None:
        """Return no Lease at first, and an error later."""
        self.get = self._fail  # type: ignore[method-assign]
        return None

    async def create(self, *_: object) -> Raw:
        """Create the Lease."""
        return {}

    async def _fail(self, *_: object) -> Raw | None:
        self._clock.now += next(self._seconds, 0.0)
        raise ApiError(0, "Unreachable", "cannot reach the API server")


@pytest.mark.parametrize("seconds", [(), (30.0,), (0.0, 0.0, 30.0), (2.9, 30.0)], ids=str)
async def test_a_holder_that_cannot_renew_stops_before_its_lease_expires(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, ...]
) -> None:
    """A request that hangs must not take longer than the Lease that an earlier one has renewed."""
    clock, stopped = Clock(), list[float]()
    monkeypatch.setattr(leader, "time", clock)
    monkeypatch.setattr(leader, "asyncio", SimpleNamespace(sleep=clock.sleep, wait_for=clock.wait_for))
    leadership = Leadership(cast(Any, Outage(clock, *seconds)), "assay-system", "assay-operator", "a")
    await leadership.acquire()
    await leadership.hold(lambda: stopped.append(clock.now))
    (at,) = stopped
    assert RENEW_SECONDS < at - 100.0 <= LEASE_SECONDS - leader._MARGIN
