"""Resource usage of containers: convert kubelet summaries to points, and points to totals.

A kubelet reports a CPU time counter and the memory working set of each container, each with its sample time. Pure;
times are unix seconds.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from assay.api.objects import Raw

CPU_CORES, CPU_SECONDS, MEMORY_BYTES = "system.cpu_cores", "system.cpu_seconds", "system.memory_bytes"
_NANO = 1e-9
#: Maximum containers per pod, far above normal use, so that a faulty node cannot exhaust the operator's memory.
_MAX_CONTAINERS = 100


class Sample(NamedTuple):
    """One sample of one container. ``cpu_seconds`` counts from ``started``; ``cores`` is the kubelet's own rate."""

    container: str
    time: float
    started: float
    cpu_seconds: float
    memory_bytes: float
    cores: float


class Point(NamedTuple):
    """One value of one metric of one container."""

    container: str
    metric: str
    time: float
    value: float


def samples(summary: Raw, uids: Collection[str]) -> dict[str, list[Sample]]:
    """Return the samples of the pods with these UIDs, by UID, from a kubelet's raw summary.

    Containers with missing or invalid values are skipped.
    """
    found: dict[str, list[Sample]] = {}
    for pod in _list(summary.get("pods")):
        uid = _dict(pod.get("podRef")).get("uid")
        if isinstance(uid, str) and uid in uids:
            each = (_sample(container) for container in _list(pod.get("containers"))[:_MAX_CONTAINERS])
            found[uid] = [sample for sample in each if sample is not None]
    return found


def points(sample: Sample, before: Sample | None) -> list[Point]:
    """Return the points of a sample; [] when it is not newer than the previous one.

    Cores are the mean since the previous sample, if the container was not restarted in between.
    """
    if before is not None and sample.time <= before.time:
        return []
    cores = sample.cores
    if before is not None and before.started == sample.started and sample.cpu_seconds >= before.cpu_seconds:
        cores = (sample.cpu_seconds - before.cpu_seconds) / (sample.time - before.time)
    values = ((CPU_CORES, cores), (CPU_SECONDS, sample.cpu_seconds), (MEMORY_BYTES, sample.memory_bytes))
    return [Point(sample.container, metric, sample.time, value) for metric, value in values]


@dataclass
class Totals:
    """The total usage of one or more containers. Points of a container must be added in order of time."""

    samples: int = 0
    max_memory_bytes: int = 0
    _ended: float = 0.0
    _counters: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def cpu_seconds(self) -> float:
        """Total CPU time of all containers, up to the last sample of each."""
        return self._ended + sum(self._counters.values())

    def add(self, pod: str, found: Iterable[Point]) -> None:
        """Add points of a pod. Invalid values are ignored."""
        for point in found:
            if not math.isfinite(point.value) or point.value < 0:
                continue
            if point.metric == MEMORY_BYTES:
                self.max_memory_bytes = max(self.max_memory_bytes, int(point.value))
            elif point.metric == CPU_SECONDS:
                self.samples += 1
                self._count((pod, point.container), point.value)

    def _count(self, key: tuple[str, str], value: float) -> None:
        before = self._counters.get(key, 0.0)
        if value < before:  # the container was restarted, which resets its counter
            self._ended += before
        self._counters[key] = value


def _sample(container: Raw) -> Sample | None:
    cpu, memory = _dict(container.get("cpu")), _dict(container.get("memory"))
    name, time = container.get("name"), _time(cpu.get("time"))
    used, memory_bytes = _number(cpu.get("usageCoreNanoSeconds")), _number(memory.get("workingSetBytes"))
    if not isinstance(name, str) or time is None or used is None or memory_bytes is None:
        return None
    started = _time(container.get("startTime")) or 0.0
    return Sample(name, time, started, used * _NANO, memory_bytes, (_number(cpu.get("usageNanoCores")) or 0.0) * _NANO)


def _time(value: Any) -> float | None:
    try:
        found = datetime.fromisoformat(value)
        return found.timestamp() if found.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    found = float(value) if abs(value) < 2**63 else math.inf
    return found if math.isfinite(found) and found >= 0 else None


def _dict(value: Any) -> Raw:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Raw]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
