"""A work queue: each key is reconciled by one worker at a time, repeated wishes fall together, failures back off.

kopf calls an event handler once and forgets its failure; here a failed key comes again until it succeeds.
"""

import asyncio
import heapq
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from assay.controllers import metrics

log = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 0.5, 60.0


class Key(NamedTuple):
    """What is to be reconciled."""

    kind: str
    namespace: str
    name: str
    #: Only of things that are gone, and so have no other identity.
    uid: str = ""


class Again(Exception):
    """Raised by a reconciler that wants to be called again in ``delay`` seconds, and says why."""

    def __init__(self, delay: float, why: str) -> None:
        super().__init__(why)
        self.delay = delay


Reconcile = Callable[[Key], Awaitable[None]]


class WorkQueue:
    """Calls ``reconcile`` for every key that was added, at least once after the last addition."""

    def __init__(self, reconcile: Reconcile, workers: int) -> None:
        self._reconcile = reconcile
        self._workers = workers
        self._waiting: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._order = itertools.count()
        self._running: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._wake: asyncio.Task[None] | None = None

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Ask for a reconcile in ``delay`` seconds; an earlier wish for the same key wins."""
        due = time.monotonic() + delay
        known = self._waiting.get(key)
        if known is not None and known <= due:
            return
        self._waiting[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        metrics.QUEUE_DEPTH.set(len(self._waiting))
        if self._wake is None or self._wake.done():
            self._wake = asyncio.ensure_future(self._notify())

    def start(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(self._work(), name=f"worker-{n}") for n in range(self._workers)]

    async def stop(self) -> None:
        """Stop the workers. What they were doing is done again after the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify()

    async def _work(self) -> None:
        while True:
            key, due = await self._take()
            metrics.QUEUE_AGE.observe(max(0.0, time.monotonic() - due))
            try:
                await self._once(key)
            finally:
                self._running.discard(key)
                await self._notify()

    async def _take(self) -> tuple[Key, float]:
        async with self._changed:
            while True:
                found = self._pop()
                if found is not None:
                    if self._heap:
                        self._changed.notify()
                    return found
                timeout = max(0.001, self._heap[0][0] - time.monotonic()) if self._heap else None
                try:
                    await asyncio.wait_for(self._changed.wait(), timeout)
                except TimeoutError:
                    continue

    def _pop(self) -> tuple[Key, float] | None:
        """Return the next key that is due and not being worked on."""
        now, busy, found = time.monotonic(), [], None
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            due, _, key = entry
            if self._waiting.get(key) != due:
                continue  # an earlier wish has replaced this one
            if key in self._running:
                busy.append((now + 0.02, next(self._order), key))
                self._waiting[key] = busy[-1][0]
                continue
            del self._waiting[key]
            self._running.add(key)
            found = key, due
            break
        for item in busy:
            heapq.heappush(self._heap, item)
        metrics.QUEUE_DEPTH.set(len(self._waiting))
        return found

    async def _once(self, key: Key) -> None:
        try:
            with metrics.RECONCILE_SECONDS.labels(key.kind).time():
                await self._reconcile(key)
        except Again as wish:
            self._failures.pop(key, None)
            log.debug("again in %.1f s: %s", wish.delay, wish, extra=_fields(key))
            self.add(key, wish.delay)
        except Exception as error:  # the queue outlives every failure of one object
            metrics.RECONCILE_ERRORS.labels(key.kind).inc()
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(_LAST_RETRY, _FIRST_RETRY * 2 ** (failures - 1)) * random.uniform(0.8, 1.2)  # noqa: S311
            known = getattr(error, "status", None) is not None or type(error).__module__.startswith("assay.store")
            log.warning(
                "reconcile failed (%d in a row), again in %.1f s: %s",
                failures,
                delay,
                error,
                exc_info=None if known else error,
                extra=_fields(key),
            )
            self.add(key, delay)
        else:
            self._failures.pop(key, None)


def _fields(key: Key) -> dict[str, str]:
    return {"kind": key.kind, "namespace": key.namespace, "object": key.name}
