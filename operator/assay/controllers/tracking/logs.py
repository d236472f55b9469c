"""Schedule the reading of pod logs: periodically while containers run, and once more after they end.

Logs have their own queue and workers, so that they never delay reconciles or API requests. Nothing is written to the
API server, and training never waits. A run ends after its logs are read, or after a timeout when they cannot be read.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from assay.api import names
from assay.api.objects import Raw
from assay.api.run_status import TERMINAL
from assay.controllers import metrics
from assay.controllers.runtime.queue import Key, Requeue, WorkQueue
from assay.controllers.runtime.tracking_cache import TrackingCache, place
from assay.controllers.tracking import printed
from assay.controllers.tracking.log_stream import CHATTY_BYTES, LogStream, Sources
from assay.controllers.tracking.printed import PrintedPoints
from assay.kube.aio import Kube
from assay.kube.errors import ApiError
from assay.planning.runs import wanted
from assay.planning.runs.facts import PodFacts
from assay.planning.runs.starts import Start
from assay.store import layout
from assay.store.aio import AsyncStore
from assay.store.errors import StoreError, StoreUnavailable
from assay.store.layout import LogName

log = logging.getLogger(__name__)

_Run = tuple[str, str, str]

KIND = "Log"
#: Limits of concurrency: pods that are processed, responses that are read, and logs that are followed.
_WORKERS, _READS, _FOLLOWS = 100, 8, 40
#: After every _PARTS parts the interval grows, up to _LONGEST seconds, so that long runs have fewer, larger parts.
_PARTS, _LONGEST = 200, 300.0
#: Seconds until the first read, short enough to detect a container that prints a lot before its log is rotated.
_FIRST_SECONDS = 3.0
#: Seconds until the next read of a log that should be followed.
_SOON_SECONDS = 1.0
#: How long to retry the log of an ended container; _SHORT_PATIENCE when the node reports that it has no such log.
_PATIENCE, _SHORT_PATIENCE = 15.0, 4.0
#: Maximum seconds that a run waits for its logs while the store is available.
_LAST_PATIENCE = 120.0
_RETRY_SECONDS = 1.0
#: The interval for a log with points.
_LIVE_SECONDS = 3.0
_GONE = "the pod was deleted before its log was read to the end"
#: The kubelet's message for a container that its runtime has removed.
_UNKNOWN = "unable to retrieve container logs"
_LOST = "the node lost the container"


@dataclass
class _Stream:
    """A log and the time of its next read; times are of the monotonic clock."""

    log: LogStream
    due: float
    running: bool
    failing: float = 0.0
    #: The task that follows the log, if any.
    task: asyncio.Task[None] | None = None
    #: The points in the log, if the run collects them.
    points: PrintedPoints | None = None


@dataclass
class _Pod:
    """The logs of one pod."""

    streams: dict[LogName, _Stream] = field(default_factory=dict)
    stopping: bool = False
    over: bool = False
    #: Whether the pod has ended and all its logs are done.
    complete: bool = False
    #: Why the store cannot be written.
    trouble: StoreUnavailable | None = None
    #: When the run began to wait for the pod's logs.
    waiting_since: float = 0.0


class LogReader:
    """Reads the logs of all pods of running runs. ``seconds`` is the interval."""

    def __init__(
        self, kube: Kube, store: AsyncStore, tracking: TrackingCache, seconds: float, wake_run: Callable[[Key], None]
    ) -> None:
        self._tracking, self._seconds, self._enqueue_run = tracking, seconds, wake_run
        self._sources = Sources(kube, store, asyncio.Semaphore(_READS))
        self._follows = asyncio.Semaphore(_FOLLOWS)
        self._queue = WorkQueue(self._attend, _WORKERS, metrics.LOG_PODS, metrics.LOG_AGE)
        #: By run and name of the pod.
        self._pods: dict[_Run, dict[str, _Pod]] = {}

    def _wanted(self, run: Raw) -> list[str]:
        """Return the metrics of a run that are summarised in any case."""
        return wanted.metrics(run, self._tracking.experiment_of(run), ())

    def start(self) -> None:
        """Start reading. Call it after the caches are filled."""
        for run in (*self._tracking.active_runs.values(), *self._tracking.deleted_runs.values()):
            self.wake_all(run)
        self._queue.start()

    async def stop(self) -> None:
        """Stop reading. Lines that were read but not stored are read again after the next start."""
        await self._queue.stop()
        tasks = [each.task for pods in self._pods.values() for pod in pods.values() for each in pod.streams.values()]
        for task in filter(None, tasks):
            task.cancel()
        self._sources.store.close()

    def wake(self, pod: Raw) -> None:
        """Enqueue a changed or deleted pod. Only logs that are due are read."""
        labels = pod["metadata"].get("labels") or {}
        run, uid = labels.get(names.LABEL_RUN), labels.get(names.LABEL_RUN_UID)
        if run and uid:
            self._queue.add(_key(pod["metadata"]["namespace"], run, uid, pod["metadata"]["name"]))

    def wake_all(self, run: Raw) -> None:
        """Enqueue all pods of a run."""
        for pod in self._tracking.pods(run):
            self._queue.add(_key(*place(run), run["metadata"]["uid"], pod.name))

    # For the reconciler of runs

    def finished(self, run: Raw, pods: Sequence[PodFacts]) -> bool:
        """Whether all available logs of these pods are stored; the run is enqueued as soon as they are.

        Raises StoreUnavailable when the store cannot be written.
        """
        known = self._pods.setdefault(_run_of(run), {})
        waiting = [pod.name for pod in pods if self._waits_for(known.setdefault(pod.name, _Pod()))]
        for name in waiting:
            self._queue.add(_key(*place(run), run["metadata"]["uid"], name))
        return not waiting

    def _waits_for(self, pod: _Pod) -> bool:
        if pod.complete:
            return False
        if pod.trouble is not None:
            raise pod.trouble
        pod.waiting_since = pod.waiting_since or time.monotonic()
        return time.monotonic() < pod.waiting_since + _LAST_PATIENCE

    def whole(self, run: Raw) -> frozenset[LogName]:
        """Return the logs that were read to the end without a known gap."""
        pods = (self._pods.get(_run_of(run)) or {}).values()
        return frozenset(name for pod in pods for name, each in pod.streams.items() if each.log.done and each.log.whole)

    def forget(self, run: Raw) -> None:
        """Drop the state of a run that has ended."""
        self._pods.pop(_run_of(run), None)

    # One pod

    async def _attend(self, key: Key) -> None:
        """Read the due logs of one pod."""
        run = self._run(key)
        of_run, _, name = key.name.partition("/")
        if run is None:
            self._pods.pop((key.namespace, of_run, key.uid), None)
            return
        mine = self._pods.setdefault(_run_of(run), {}).setdefault(name, _Pod())
        pod = self._tracking.pod(run, name)
        try:
            if pod is None:
                await self._forget(mine)
            else:
                await self._read(run, pod, mine)
            mine.trouble = None
        except StoreUnavailable as error:
            mine.trouble = error
            self._enqueue_run(Key(names.RUN, *place(run)))
            raise
        if mine.complete:
            self._enqueue_run(Key(names.RUN, *place(run)))
        elif pod is not None and mine.streams:
            raise Requeue(self._next(pod, mine), "logs are read periodically")

    def _run(self, key: Key) -> Raw | None:
        """Return the run of a key; None when it has ended."""
        run = self._tracking.active_runs.get((key.namespace, key.name.partition("/")[0]))
        if run is None or run["metadata"]["uid"] != key.uid:
            run = self._tracking.deleted_runs.get(key.uid)
            return run if run and place(run) == (key.namespace, key.name.partition("/")[0]) else None
        return None if (run.get("status") or {}).get("phase") in TERMINAL else run

    async def _read(self, run: Raw, pod: PodFacts, mine: _Pod) -> None:
        changed = (pod.deleting, pod.finished) != (mine.stopping, mine.over)
        mine.stopping, mine.over = pod.deleting, pod.finished
        visits = []
        for start in pod.starts:
            stream = self._stream(run, pod, mine, start)
            if changed or (stream.running and not start.running):
                stream.due = 0.0
            stream.running = start.running
            visits.append(self._visit(mine, stream, start, pod, _key(*_run_of(run), pod.name)))
        for result in await asyncio.gather(*visits, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        current = {LogName(pod.name, start.container, start.attempt) for start in pod.starts}
        for name in mine.streams.keys() - current:
            await self._end(mine, mine.streams[name], "the container was restarted before its log was read to the end")
        for each in mine.streams.values():
            if each.points:
                await each.points.advance(each.log.parts)
        mine.complete = pod.finished and all(each.log.done for each in mine.streams.values())

    def _stream(self, run: Raw, pod: PodFacts, mine: _Pod, start: Start) -> _Stream:
        name = LogName(pod.name, start.container, start.attempt)
        if name not in mine.streams:
            # Spread the first reads, because many pods of a sweep start at the same time.
            first = min(self._seconds, _FIRST_SECONDS) * random.uniform(0.5, 1.0) if start.running else 0.0  # noqa: S311
            stream = LogStream(self._sources, place(run)[0], layout.prefix_of(run), name)
            points = printed.points_of(self._sources.store, run, name, self._wanted(run))
            mine.streams[name] = _Stream(stream, time.monotonic() + first, start.running, points=points)
        return mine.streams[name]

    async def _visit(self, mine: _Pod, stream: _Stream, start: Start, pod: PodFacts, key: Key) -> None:
        if stream.log.done or stream.task or time.monotonic() < stream.due:
            return
        if not start.id and not start.running:
            await self._end(mine, stream, _LOST)
            return
        try:
            await stream.log.visit(start, over=pod.finished)
        except ApiError as error:
            await self._failed(mine, stream, start, error)
            return
        stream.failing = 0.0
        stream.due = time.monotonic() + self._pause(stream.log, start, pod, live=stream.points is not None)
        if start.running and (pod.deleting or stream.log.taken >= CHATTY_BYTES) and not self._follows.locked():
            stream.task = asyncio.create_task(self._follow(stream, start, key))

    def _pause(self, read: LogStream, start: Start, pod: PodFacts, *, live: bool) -> float:
        """Return the seconds until the next read of a log. ``live``: its points are to be in the status soon."""
        if read.waits:
            return read.waits
        if not start.running:
            return 0.0
        if pod.deleting or read.taken >= CHATTY_BYTES:
            return min(self._seconds, _SOON_SECONDS)
        seconds = min(self._seconds, _LIVE_SECONDS) if live else self._seconds
        return min(max(seconds, _LONGEST), seconds * (1 + read.parts // _PARTS))

    async def _follow(self, stream: _Stream, start: Start, key: Key) -> None:
        """Follow a log until it ends, fails or becomes quiet; then enqueue the pod again."""
        try:
            async with self._follows:
                await stream.log.follow(start, min(self._seconds, _LIVE_SECONDS) if stream.points else self._seconds)
        except (ApiError, StoreError) as error:
            log.debug("stopped following a log: %s", error)
        finally:
            stream.task = None
            self._queue.add(key, _SOON_SECONDS)

    async def _failed(self, mine: _Pod, stream: _Stream, start: Start, error: ApiError) -> None:
        """Schedule a retry; give up on the log of an ended container after its patience."""
        now = time.monotonic()
        if not stream.failing:
            stream.failing = now
            log.info("cannot read the log of %s: %s", "/".join(map(str, stream.log.name)), error)
        if start.running:
            stream.due = now + max(_RETRY_SECONDS, min(self._seconds, _PATIENCE))
            return
        stream.due = now + _RETRY_SECONDS
        certain = 400 <= error.status < 500 or _UNKNOWN in error.message
        if now - stream.failing >= (_SHORT_PATIENCE if certain else _PATIENCE):
            await self._end(mine, stream, f"the log cannot be read: {error}")

    async def _forget(self, mine: _Pod) -> None:
        """End all logs of a deleted pod."""
        for stream in mine.streams.values():
            await self._end(mine, stream, _GONE)
        mine.complete = True

    async def _end(self, mine: _Pod, stream: _Stream, reason: str) -> None:
        """End a log that can no longer be read, after a short wait for the task that follows it."""
        if stream.task:
            await asyncio.wait([stream.task], timeout=_SOON_SECONDS)
        if stream.task:
            stream.task.cancel()
        if not stream.log.done:
            others = {each.log.first for each in mine.streams.values() if each is not stream}
            await stream.log.give_up(reason, others)

    def _next(self, pod: PodFacts, mine: _Pod) -> float:
        """Return the seconds until a log of the pod is due."""
        due = [each.due for each in mine.streams.values() if not (each.log.done or each.task)]
        live = any(each.points and not each.log.done for each in mine.streams.values())
        seconds = min(self._seconds, _LIVE_SECONDS) if live else self._seconds
        return max(0.01, min(due, default=time.monotonic() + seconds) - time.monotonic())


def _run_of(run: Raw) -> _Run:
    return *place(run), run["metadata"]["uid"]


def _key(namespace: str, run: str, uid: str, pod: str) -> Key:
    return Key(KIND, namespace, f"{run}/{pod}", uid)
