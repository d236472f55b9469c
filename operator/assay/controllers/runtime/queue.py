"""A work queue: one worker at a time reconciles a key, repeated requests are coalesced, failures back off.

kopf calls an event handler once and drops its failure; this queue retries a failed key until it succeeds.
"""

import asyncio
import functools
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from prometheus_client import Gauge, Histogram

from assay.controllers import metrics

log = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 0.5, 60.0


class Key(NamedTuple):
    """Identifies an object to reconcile."""

    kind: str
    namespace: str
    name: str
    #: Set only for deleted objects, whose name may be in use again.
    uid: str = ""


class Requeue(Exception):
    """Raised by a reconciler to be called again in ``delay`` seconds; ``why`` is the reason."""

    def __init__(self, delay: float, why: str) -> None:
        super().__init__(why)
        self.delay = delay


class BackOff(Requeue):
    """Raised by a reconciler to be called again after a delay that grows with each repetition. The status says why."""

    def __init__(self, why: str) -> None:
        super().__init__(0.0, why)


Reconcile = Callable[[Key], Awaitable[None]]


class WorkQueue:
    """Calls ``reconcile`` for every added key, at least once after it was last added."""

    def __init__(
        self,
        reconcile: Reconcile,
        workers: int,
        depth: Gauge = metrics.QUEUE_DEPTH,
        age: Histogram = metrics.QUEUE_AGE,
    ) -> None:
        self._reconcile = reconcile
        self._workers = workers
        self._depth, self._age = depth, age
        #: Delayed keys with their timers.
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        #: Keys that are due, in order, with the time at which they became due.
        self._ready: dict[Key, float] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._failures: dict[Key, int] = {}
        self._open = False

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Request a reconcile in ``delay`` seconds; an earlier request for the same key takes precedence."""
        if key in self._ready:
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + delay:
                return
            timer.cancel()
        if delay > 0:
            self._timers[key] = loop.call_later(delay, self._due, key)
        else:
            self._due(key)

    def start(self) -> None:
        """Start processing."""
        self._open = True
        self._fill()

    async def stop(self) -> None:
        """Stop processing. Cancelled reconciles are repeated after the next start."""
        self._open = False
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self._ready[key] = time.monotonic()
        self._fill()

    def _fill(self) -> None:
        """Assign due keys to free workers. A key that is being reconciled waits until that ends."""
        while self._open and len(self._running) < self._workers:
            key = next((key for key in self._ready if key not in self._running), None)
            if key is None:
                break
            self._age.observe(time.monotonic() - self._ready.pop(key))
            task = asyncio.get_running_loop().create_task(self._once(key))
            self._running[key] = task
            task.add_done_callback(functools.partial(self._done, key))
        self._depth.set(len(self._ready) + len(self._timers))

    def _done(self, key: Key, _: asyncio.Task[None]) -> None:
        del self._running[key]
        self._fill()

    async def _once(self, key: Key) -> None:
        try:
            with metrics.RECONCILE_SECONDS.labels(key.kind).time():
                await self._reconcile(key)
        except BackOff as wait:
            delay = self._back_off(key)
            log.debug("requeued in %.1f s: %s", delay, wait, extra=_fields(key))
            self.add(key, delay)
        except Requeue as requeue:
            self._failures.pop(key, None)
            log.debug("requeued in %.1f s: %s", requeue.delay, requeue, extra=_fields(key))
            self.add(key, requeue.delay)
        except Exception as error:  # one object's failure must not stop the queue
            metrics.RECONCILE_ERRORS.labels(key.kind).inc()
            delay = self._back_off(key)
            known = getattr(error, "status", None) is not None or type(error).__module__.startswith("assay.store")
            log.warning(
                "reconcile failed (%d in a row), retrying in %.1f s: %s",
                self._failures[key],
                delay,
                error,
                exc_info=None if known else error,
                extra=_fields(key),
            )
            self.add(key, delay)
        else:
            self._failures.pop(key, None)

    def _back_off(self, key: Key) -> float:
        """Count one more failure of a key, and return the seconds until it is retried."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay: float = min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(failures - 1, 10))
        return delay * random.uniform(0.8, 1.2)  # noqa: S311 (spreads retries, no secret)


def _fields(key: Key) -> dict[str, str]:
    return {"kind": key.kind, "namespace": key.namespace, "object": key.name}
