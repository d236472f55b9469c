"""Runs that have not ended: where they are, how far they are, and what they use of the machine."""

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


#: A store is asked twice for each run: of more of them it is not asked what they use.
_MOST = 500


class ActiveRun(TypedDict):
    """One item of `assay top -o json`. ``cpuCores`` and ``memoryBytes`` are of all containers, as of a minute ago."""

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
    """Return what is told of a run that goes on. ``used`` are its cores and bytes, None when nobody knows."""
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
    """Return cores and bytes of each run, None where nobody knows."""
    nobody: list[tuple[float, int] | None] = [None for _ in runs]
    if not runs:
        return nobody
    if len(runs) > _MOST:
        access.note(f"{len(runs)} runs go on: what they use is looked up for {_MOST} at most; name an experiment")
        return nobody
    try:
        return list(ordered(partial(_of_run, access.store), runs, _WORKERS))
    except (AssayError, StoreError) as error:
        access.note(f"nobody knows what they use: {error}")
        return nobody


def _of_run(store: ObjectStore, run: Raw) -> tuple[float, int] | None:
    attempts = (run.get("status") or {}).get("attempts") or []
    if not attempts:
        return None
    return now_used(system.last(store, layout.prefix_of(run), attempts[-1]["pod"]))


def now_used(points: Sequence[Raw]) -> tuple[float, int] | None:
    """Return cores and bytes of all containers together, by the last point of each; None without any."""
    last = {(point["container"], point["metric"]): point["value"] for point in points}
    cores = [value for (_, metric), value in last.items() if metric == CPU_CORES]
    memory = [value for (_, metric), value in last.items() if metric == MEMORY_BYTES]
    return (sum(cores), int(sum(memory))) if memory else None
