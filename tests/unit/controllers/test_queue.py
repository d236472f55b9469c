import asyncio
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from assay.controllers.runtime import queue
from assay.controllers.runtime.queue import Key, Requeue, WorkQueue

pytestmark = pytest.mark.unit

A, B = Key("Run", "team", "a"), Key("Run", "team", "b")
SECONDS = 10.0


class Reconciler:
    """Counts calls; `act` is what it does at a call."""

    def __init__(self, act: Callable[[Key], Awaitable[None]] | None = None) -> None:
        self.calls: list[tuple[Key, float]] = []
        self.at_work: defaultdict[Key, int] = defaultdict(int)
        self.most: defaultdict[Key, int] = defaultdict(int)
        self.most_together = 0
        self.act = act
        self._changed = asyncio.Condition()

    async def __call__(self, key: Key) -> None:
        self.calls.append((key, time.monotonic()))
        self.at_work[key] += 1
        self.most[key] = max(self.most[key], self.at_work[key])
        self.most_together = max(self.most_together, sum(self.at_work.values()))
        async with self._changed:
            self._changed.notify_all()
        try:
            if self.act is not None:
                await self.act(key)
        finally:
            self.at_work[key] -= 1

    def count(self, key: Key) -> int:
        return sum(called == key for called, _ in self.calls)

    async def until(self, key: Key, calls: int) -> None:
        """Wait until the key was reconciled so many times."""
        try:
            async with asyncio.timeout(SECONDS), self._changed:
                await self._changed.wait_for(lambda: self.count(key) >= calls)
        except TimeoutError:
            pytest.fail(f"after {SECONDS} s {key.name} was reconciled {self.count(key)} times, not {calls}")


@asynccontextmanager
async def working(reconciler: Reconciler, workers: int = 4) -> AsyncIterator[WorkQueue]:
    found = WorkQueue(reconciler, workers)
    found.start()
    try:
        yield found
    finally:
        await found.stop()


async def settled() -> None:
    """Let everything run that can run now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_key_is_reconciled() -> None:
    reconciler = Reconciler()
    async with working(reconciler) as found:
        found.add(A)
        await reconciler.until(A, 1)
        await settled()
    assert reconciler.count(A) == 1


async def test_keys_added_before_the_start_are_processed_after_it() -> None:
    reconciler = Reconciler()
    found = WorkQueue(reconciler, 1)
    found.add(A)
    await settled()
    assert not reconciler.calls
    found.start()
    await reconciler.until(A, 1)
    await found.stop()


async def test_requests_for_the_same_key_are_coalesced() -> None:
    reconciler = Reconciler()
    found = WorkQueue(reconciler, 4)
    for _ in range(100):
        found.add(A)
        found.add(B)
    found.start()
    await reconciler.until(A, 1)
    await reconciler.until(B, 1)
    await settled()
    await found.stop()
    assert (reconciler.count(A), reconciler.count(B)) == (1, 1)


async def test_a_key_added_while_processing_is_requeued_once_and_never_concurrent() -> None:
    go = asyncio.Event()

    async def wait(_: Key) -> None:
        await go.wait()

    reconciler = Reconciler(wait)
    async with working(reconciler, workers=8) as found:
        found.add(A)
        await reconciler.until(A, 1)
        for _ in range(50):
            found.add(A)
        await settled()
        assert reconciler.count(A) == 1
        found.add(B)
        await reconciler.until(B, 1)  # the others do not wait for it
        go.set()
        await reconciler.until(A, 2)
        await settled()
    assert reconciler.count(A) == 2
    assert reconciler.most[A] == 1


async def test_concurrency_is_limited_to_the_number_of_workers() -> None:
    keys = [Key("Run", "team", str(n)) for n in range(30)]

    async def briefly(_: Key) -> None:
        await asyncio.sleep(0)

    reconciler = Reconciler(briefly)
    async with working(reconciler, workers=3) as found:
        for key in keys:
            found.add(key)
        for key in keys:
            await reconciler.until(key, 1)
    assert reconciler.most_together == 3


async def test_a_delayed_key_waits_and_the_earlier_time_wins() -> None:
    reconciler = Reconciler()
    async with working(reconciler) as found:
        found.add(A, delay=3600)
        found.add(B, delay=0.05)
        asked = time.monotonic()
        await reconciler.until(B, 1)
        assert reconciler.calls[0][1] - asked >= 0.04
        assert reconciler.count(A) == 0
        found.add(A)
        await reconciler.until(A, 1)
        found.add(B, delay=0.01)
        found.add(B, delay=3600)  # a later wish does not push an earlier one away
        await reconciler.until(B, 2)
        await settled()
    assert (reconciler.count(A), reconciler.count(B)) == (1, 2)


async def test_requeue_is_not_logged_as_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def twice_more(key: Key) -> None:
        if reconciler.count(key) < 3:
            raise Requeue(0.01, "not there yet")

    reconciler = Reconciler(twice_more)
    with caplog.at_level(logging.INFO):
        async with working(reconciler) as found:
            found.add(A)
            await reconciler.until(A, 3)
            await settled()
    assert reconciler.count(A) == 3
    assert not caplog.records


async def test_failures_back_off_and_success_forgets_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue, "_FIRST_RETRY", 0.02)
    monkeypatch.setattr(queue, "_LAST_RETRY", 0.08)
    failing = True

    async def fail(_: Key) -> None:
        if failing:
            raise ValueError("a bug")

    reconciler = Reconciler(fail)
    async with working(reconciler) as found:
        found.add(A)
        await reconciler.until(A, 5)
        times = [when for _, when in reconciler.calls]
        gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
        # 20, 40, 80, 80 ms, each 20 % more or less; a busy machine only makes them longer.
        assert all(gap >= least for gap, least in zip(gaps, [0.016, 0.032, 0.064, 0.064], strict=True)), gaps
        failing = False
        done = reconciler.count(A)
        await reconciler.until(A, done + 1)
        failing = True
        before = reconciler.count(A)
        found.add(A)
        await reconciler.until(A, before + 2)
    counted = [record.args[0] for record in caplog.records if isinstance(record.args, tuple)]
    assert counted[:5] == [1, 2, 3, 4, 5]
    assert counted[-1] == 1 or counted[-2:] == [1, 2], f"the failures before were not forgotten: {counted}"
    first = caplog.records[0]
    assert first.levelno == logging.WARNING
    assert "a bug" in first.getMessage()
    assert first.exc_info is not None, "a bug comes with its traceback"
    assert vars(first)["namespace"] == "team"


async def test_one_bad_object_does_not_stop_the_others() -> None:
    async def fail(key: Key) -> None:
        if key == A:
            raise RuntimeError("always")

    reconciler = Reconciler(fail)
    async with working(reconciler, workers=1) as found:
        for _ in range(3):
            before = reconciler.count(B)
            found.add(A)
            found.add(B)
            await reconciler.until(B, before + 1)
    assert reconciler.count(A) >= 3


async def test_an_event_does_not_wait_for_the_backoff() -> None:
    async def fail(_: Key) -> None:
        raise RuntimeError("always")

    reconciler = Reconciler(fail)
    async with working(reconciler) as found:
        for calls in range(1, 8):  # the seventh retry would come after half a minute
            found.add(A)
            await reconciler.until(A, calls)
            await settled()


async def test_stopping_cancels_running_reconciles() -> None:
    cancelled = asyncio.Event()

    async def wait(_: Key) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    reconciler = Reconciler(wait)
    async with working(reconciler) as found:
        found.add(A)
        await reconciler.until(A, 1)
        found.add(B, delay=0.01)
    assert cancelled.is_set()
    found.add(B)
    await settled()
    assert reconciler.count(B) == 0
