"""Reads what the containers of a run used: the operator's samples of CPU and memory, while it runs and afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from assay.api.errors import ObjectNotFound
from assay.api.objects import Raw
from assay.planning.runs.recipe import containers_of
from assay.planning.runs.template import quantity
from assay.planning.runs.usage import CPU_CORES, CPU_SECONDS, MEMORY_BYTES
from assay.queries.references import near
from assay.store import layout, system
from assay.store.client import ObjectStore

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]

#: What is drawn unless something else is asked for, and everything there is.
DRAWN: Final = (CPU_CORES, MEMORY_BYTES)
METRICS: Final = (*DRAWN, CPU_SECONDS)
_RESOURCES: Final = {CPU_CORES: "cpu", MEMORY_BYTES: "memory"}


@dataclass(frozen=True)
class Usage:
    """One metric of one container, ascending in time: arrays of the same length. ``time`` is in unix seconds.

    ``limit`` is that of the container in the Run's spec, None without one.
    """

    pod: str
    container: str
    metric: str
    limit: float | None
    time: Floats
    value: Floats


def usage_of(store: ObjectStore, run: Raw, pod: str = "", metrics: tuple[str, ...] = DRAWN) -> list[Usage]:
    """Return the usage of a raw Run's containers, of all pods by default, metric by metric. Raises AssayError."""
    import numpy

    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    pods: set[str] = set()
    for name, row in system.read(store, layout.prefix_of(run)):
        pods.add(name)
        if row["metric"] in metrics and pod in ("", name):
            found.setdefault((row["metric"], name, row["container"]), []).append((row["time"], row["value"]))
    if pod and pods and pod not in pods:
        hint = near(pod, pods) or f"pods: {', '.join(sorted(pods)[:10])}"
        raise ObjectNotFound(f"run {run['metadata']['name']} has no samples of a pod {pod}", hint=hint)
    curves = []
    for metric, name, container in sorted(found, key=lambda key: (metrics.index(key[0]), *key[1:])):
        points = numpy.array(found[metric, name, container], dtype=numpy.float64)
        points = points[numpy.argsort(points[:, 0], kind="stable")]
        curves.append(Usage(name, container, metric, _limit(run, container, metric), points[:, 0], points[:, 1]))
    return curves


def why_none(run: Raw) -> str:
    """Return why a run has no samples of CPU and memory, as far as its status says."""
    usage = (run.get("status") or {}).get("usage") or {}
    return usage.get("message") or "there are no samples of CPU and memory yet"


def _limit(run: Raw, container: str, metric: str) -> float | None:
    """Return the container's limit of the resource that a metric measures, None without one."""
    resource = _RESOURCES.get(metric, "")
    for each in containers_of(run["spec"]):
        if each.get("name") == container:
            amount = quantity(_dict(_dict(each.get("resources")).get("limits")).get(resource))
            return None if amount is None else float(amount)
    return None


def _dict(value: Any) -> Raw:
    return value if isinstance(value, dict) else {}
