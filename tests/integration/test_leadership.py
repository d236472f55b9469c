"""Who holds the Lease works: candidates on a real API server, one of which is cut off."""

import asyncio
import time
from collections.abc import Callable

import pytest

from assay.api.resources import LEASES
from assay.controllers.runtime.leader import LEASE_SECONDS, Leadership
from assay.kube.aio import Kube
from tests.cluster.local import LocalCluster

pytestmark = pytest.mark.integration


class Candidate:
    """A candidate with a connection of its own."""

    def __init__(self, cluster: LocalCluster, namespace: str, identity: str) -> None:
        self.cluster, self.kube = cluster, Kube(4)
        self.leadership = Leadership(self.kube, namespace, "assay-operator", identity)
        self.lost = asyncio.Event()

    async def __aenter__(self) -> "Candidate":
        await self.kube.connect(str(self.cluster.kubeconfig))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kube.close()

    async def acquired(self, seconds: float) -> float:
        """Wait for the Lease, and return how long it took."""
        began = time.monotonic()
        await asyncio.wait_for(self.leadership.acquire(), seconds)
        return time.monotonic() - began


async def until(holds: Callable[[], bool], what: str, seconds: float = 10) -> None:
    """Wait for what other tasks of this loop bring about."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        await asyncio.sleep(0.02)


async def holder(kube: Kube, namespace: str) -> tuple[str, int]:
    lease = await kube.get(LEASES, namespace, "assay-operator")
    assert lease is not None
    return lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]


async def test_the_second_replica_starts_at_once_when_the_first_releases_the_lease(
    control_plane: LocalCluster, namespace: str
) -> None:
    async with Candidate(control_plane, namespace, "a") as a, Candidate(control_plane, namespace, "b") as b:
        await a.acquired(5)
        holding = asyncio.create_task(a.leadership.hold(a.lost.set))
        with pytest.raises(TimeoutError):
            # Longer than the Lease lasts: it is renewed.
            await b.acquired(LEASE_SECONDS + 2)
        assert await holder(b.kube, namespace) == ("a", 0)
        holding.cancel()
        await a.leadership.release()
        assert await b.acquired(10) < LEASE_SECONDS / 2
        assert await holder(a.kube, namespace) == ("b", 1)


async def test_a_disconnected_leader_stops_before_the_next_one_starts(
    control_plane: LocalCluster, namespace: str
) -> None:
    async with Candidate(control_plane, namespace, "a") as a, Candidate(control_plane, namespace, "b") as b:
        await a.acquired(5)
        holding = asyncio.create_task(a.leadership.hold(a.lost.set))
        waiting = asyncio.create_task(b.acquired(3 * LEASE_SECONDS))
        await until(lambda: b.leadership._seen[0] != "", "the second one to have seen who leads")
        a.kube._client.configuration.host = "https://127.0.0.1:1"  # nobody answers any more
        await asyncio.wait_for(a.lost.wait(), LEASE_SECONDS)
        assert not waiting.done(), "the next one has begun while the last one was at work"
        await asyncio.wait_for(waiting, 20)
        await holding


async def test_only_one_of_many_candidates_leads(control_plane: LocalCluster, namespace: str) -> None:
    candidates = [Candidate(control_plane, namespace, f"c{number}") for number in range(6)]
    for each in candidates:
        await each.__aenter__()
    try:
        tasks = [asyncio.create_task(each.leadership.acquire()) for each in candidates]

        def all_know() -> bool:
            return all(task.done() or each.leadership._seen[0] for task, each in zip(tasks, candidates, strict=True))

        await until(all_know, "each of them to lead, or to have seen who does")
        assert sum(task.done() for task in tasks) == 1
        for task in tasks:
            task.cancel()
    finally:
        for each in candidates:
            await each.__aexit__()
