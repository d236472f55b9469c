"""Sample the resource usage of containers in running pods, and write it to the store: one request per node and round.

It writes nothing to the API server. A Run's final status reports missing samples; they never make the run fail.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from assay.api.objects import Raw
from assay.controllers.runtime.tracking_cache import TrackingCache
from assay.controllers.tracking.kubelets import Kubelets, NoStats
from assay.planning.runs.checks import is_ours
from assay.planning.runs.usage import Point, Sample, points, samples
from assay.store import layout, system
from assay.store.aio import AsyncStore
from assay.store.errors import StoreError, StoreUnavailable

log = logging.getLogger(__name__)

#: Maximum number of concurrent node requests.
_NODES = 8
#: Maximum number of concurrent writes, one per pod.
_WRITES = 2
_FLUSH_SECONDS = 60.0
#: Maximum number of unwritten points per pod; while the store is unavailable, older points are dropped.
_MAX_PENDING = 3000
#: Maximum number of finished runs to remember; late samples of them are dropped.
_REMEMBERED = 20_000
OFF = "the sampling of CPU and memory is disabled"
TOO_SHORT = "the run ended before the first sample"


@dataclass
class _Pod:
    """The unwritten samples of one pod."""

    run: str
    prefix: str
    name: str
    began: float
    flushed: float
    last: dict[str, Sample] = field(default_factory=dict)
    pending: list[Point] = field(default_factory=list)
    part: system.Part | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def due(self, now: float) -> bool:
        """Whether to write now: soon at first, later every minute."""
        return bool(self.pending) and now - self.flushed >= min(_FLUSH_SECONDS, self.flushed - self.began)


class Usage:
    """The samples of all runs. ``seconds`` is the interval between samples of a node; 0 disables sampling."""

    def __init__(self, kubelets: Kubelets, store: AsyncStore, seconds: float) -> None:
        self._kubelets = kubelets
        self._store = store
        self._seconds = seconds
        self._slots = asyncio.Semaphore(_NODES)
        self._writes = asyncio.Semaphore(_WRITES)
        #: By UID.
        self._pods: dict[str, _Pod] = {}
        self._closed: dict[str, None] = {}
        self._problems: dict[str, str] = {}
        self._of_node: dict[str, str] = {}

    async def keep(self, tracking: TrackingCache) -> None:
        """Sample periodically, for ever."""
        while self._seconds:
            await asyncio.sleep(self._seconds)
            try:
                await self.sample(tracking)
            except Exception:  # an error in one round must not stop the sampling
                log.exception("sampling failed, retrying in the next round")

    async def sample(self, tracking: TrackingCache) -> None:
        """Sample every node with running pods of a run once, and write the samples that are due."""
        nodes: defaultdict[str, dict[str, _Pod]] = defaultdict(dict)
        for run in list(tracking.active_runs.values()):
            for pod in tracking.pods(run):
                if pod.node and pod.phase == "Running" and run["metadata"]["uid"] not in self._closed:
                    nodes[pod.node][pod.uid] = self._pod(run, pod.uid, pod.name)
        await asyncio.gather(*(self._sample_node(node, pods) for node, pods in nodes.items()))
        running = {uid for pods in nodes.values() for uid in pods}
        now = time.monotonic()
        await self._write(pod for uid, pod in self._pods.items() if pod.due(now) or uid not in running)
        self._pods = {uid: pod for uid, pod in self._pods.items() if uid in running or pod.pending}

    async def finish(self, run: Raw) -> None:
        """Write the remaining samples of a run and close it: later samples are dropped. Raises StoreUnavailable."""
        uid = run["metadata"]["uid"]
        self._closed[uid] = None
        for key, pod in [(key, pod) for key, pod in self._pods.items() if pod.run == uid]:
            try:
                await self._flush(pod)
            except StoreUnavailable:
                raise
            except (StoreError, ValueError) as error:
                self._problems[uid] = f"the samples could not be written: {error}"
            self._pods.pop(key, None)
        while len(self._closed) > _REMEMBERED:
            gone = next(iter(self._closed))
            del self._closed[gone]
            self._problems.pop(gone, None)

    async def flush(self) -> None:
        """Write the samples of all open runs."""
        await self._write(self._pods.values())

    def why_not(self, run: Raw) -> str:
        """Return why a run has no samples."""
        if not self._seconds:
            return OFF
        return self._problems.get(run["metadata"]["uid"], TOO_SHORT)

    def _pod(self, run: Raw, uid: str, name: str) -> _Pod:
        if uid not in self._pods:
            now = time.monotonic()
            self._pods[uid] = _Pod(run["metadata"]["uid"], layout.prefix_of(run), name, now, now)
        return self._pods[uid]

    async def _sample_node(self, node: str, pods: dict[str, _Pod]) -> None:
        async with self._slots:
            try:
                found = samples(await self._kubelets.summary(node), pods.keys())
            except NoStats as error:
                self._trouble(node, str(error), pods.values())
                return
        if self._of_node.pop(node, ""):
            log.info("node %s reports resource usage again", node)
        for uid, each in found.items():
            self._ingest(pods[uid], [sample for sample in each if not is_ours(sample.container)])

    def _trouble(self, node: str, problem: str, pods: Iterable[_Pod]) -> None:
        """Log a node's problem once, and remember it for the runs on that node."""
        if self._of_node.get(node) != problem:
            log.warning("cannot sample resource usage: %s", problem)
        self._of_node[node] = problem
        for pod in pods:
            self._problems[pod.run] = problem

    async def _write(self, pods: Iterable[_Pod]) -> None:
        """Write the samples of pods, except those of closed runs. Failed writes are retried in the next round."""
        await asyncio.gather(*(self._try(pod) for pod in pods if pod.run not in self._closed))

    async def _try(self, pod: _Pod) -> None:
        try:
            async with self._writes:
                await self._flush(pod)
        except (StoreError, ValueError) as error:
            log.warning("cannot write the samples of pod %s: %s", pod.name, error)

    def _ingest(self, pod: _Pod, found: list[Sample]) -> None:
        if pod.run in self._closed:
            return
        self._problems.pop(pod.run, None)
        for sample in found:
            pod.pending += points(sample, pod.last.get(sample.container))
            pod.last[sample.container] = sample
        del pod.pending[:-_MAX_PENDING]

    async def _flush(self, pod: _Pod) -> None:
        """Write the pending points of a pod. Raises StoreError."""
        async with pod.lock:
            pending, pod.pending = pod.pending, []
            if not pending:
                return
            rows = [point._asdict() for point in pending]
            try:
                pod.part = await self._store.run(
                    system.append, self._store.blocking, pod.prefix, pod.name, pod.part, rows
                )
            except BaseException:
                pod.pending = pending + pod.pending
                raise
            pod.flushed = time.monotonic()
