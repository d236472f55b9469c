"""Runs that have not ended: their nodes, progress and resource usage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from typing_extensions import TypedDict

from assay.api import names
from assay.api.errors import AssayError
from assay.api.objects import Raw, experiment_of
from assay.api.resources import RUNS
from assay.api.run_status import TERMINAL
from assay.planning.runs.usage import CPU_CORES, MEMORY_BYTES
from assay.queries.access import Access
from assay.store import layout, system
from assay.store.client import ObjectStore
from assay.store.errors import StoreError
from assay.store.parallel import ordered

_WORKERS = 8


#: Reading the usage of a run takes two requests to the store, so it is not
#: read for more runs than this.
_MAX_RUNS = 500


class ActiveRun(TypedDict):
    """One item of `assay top -o json`. ``cpuCores`` and ``memoryBytes`` are totals of all containers, a minute old."""

    name: str
    namespace: str
    experiment: str
    owner: str
    phase: str
    reason: str
    node: str
    pod: str
    started: str
    created: str
    step: int | None
    metric: str
    last: float | None
    points: int
    cpuCores: float | None
    memoryBytes: int | None


def active_runs(access: Access, experiment: str = "", *, everywhere: bool = False) -> list[ActiveRun]:
    """Return the runs that have not ended, running ones first. Raises AssayError."""
    labels = f"{names.LABEL_EXPERIMENT}={experiment}" if experiment else ""
    found = access.kube.list(RUNS, "" if everywhere else access.namespace, labels=labels)
    runs = [run for run in found if (run.get("status") or {}).get("phase") not in TERMINAL]
    items = [active(run, used) for run, used in zip(runs, _used(access, runs), strict=True)]
    items.sort(key=lambda each: (each["namespace"], each["phase"] != "Running", each["started"] or each["created"]))
    return items


def active(run: Raw, used: tuple[float, int] | None) -> ActiveRun:
    """Return the answer about a run that has not ended. ``used`` is its cores and bytes, None if unknown."""
    metadata, spec, status = run["metadata"], run["spec"], run.get("status") or {}
    metric = (spec.get("objective") or {}).get("metric") or ""
    metrics = status.get("metrics") or {}
    attempt = (status.get("attempts") or [{}])[-1]
    steps = [each["step"] for each in metrics.values() if each.get("step") is not None]
    return ActiveRun(
        name=metadata["name"],
        namespace=metadata["namespace"],
        experiment=experiment_of(run),
        owner=spec.get("owner") or "",
        phase=status.get("phase") or "Pending",
        reason=status.get("reason") or "",
        node=attempt.get("node") or "",
        pod=attempt.get("pod") or "",
        started=status.get("startTime") or "",
        created=metadata.get("creationTimestamp") or "",
        step=max(steps, default=None),
        metric=metric,
        last=(metrics.get(metric) or {}).get("last"),
        points=(status.get("recorder") or {}).get("points") or 0,
        cpuCores=used[0] if used else None,
        memoryBytes=used[1] if used else None,
    )


def _used(access: Access, runs: Sequence[Raw]) -> list[tuple[float, int] | None]:
    """Return cores and bytes of each run, None if unknown."""
    unknown: list[tuple[float, int] | None] = [None for _ in runs]
    if not runs:
        return unknown
    if len(runs) > _MAX_RUNS:
        access.note(f"{len(runs)} runs: usage is shown for at most {_MAX_RUNS}; select an experiment")
        return unknown
    try:
        return list(ordered(partial(_usage_of, access.store), runs, _WORKERS))
    except (AssayError, StoreError) as error:
        access.note(f"the usage of CPU and memory is unknown: {error}")
        return unknown


def _usage_of(store: ObjectStore, run: Raw) -> tuple[float, int] | None:
    attempts = (run.get("status") or {}).get("attempts") or []
    if not attempts:
        return None
    return now_used(system.last(store, layout.prefix_of(run), attempts[-1]["pod"]))


def now_used(points: Sequence[Raw]) -> tuple[float, int] | None:
    """Return the total cores and bytes of all containers, from the last point of each; None without points."""
    last = {(point["container"], point["metric"]): point["value"] for point in points}
    cores = [value for (_, metric), value in last.items() if metric == CPU_CORES]
    memory = [value for (_, metric), value in last.items() if metric == MEMORY_BYTES]
    return (sum(cores), int(sum(memory))) if memory else None
