"""The progress of an experiment: running runs, the best result, the estimated end. Pure; times in unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.api.objects import Raw
from assay.api.run_status import TERMINAL
from assay.planning.conditions import parse_time
from assay.queries.runs.pace import rate, remaining


@dataclass(frozen=True)
class RunProgress:
    """A run that has not ended. ``value`` is the last one of the objective, ``seconds`` the time since its start."""

    name: str
    phase: str
    reason: str
    seconds: float | None
    step: int | None
    value: float | None


@dataclass(frozen=True)
class View:
    """The state of an experiment. ``rate`` is in runs per minute, ``left`` in seconds; None if unknown."""

    name: str
    phase: str
    message: str
    metric: str
    total: int
    counts: dict[str, int]
    #: Run, value and parameters of the best result; empty if there is none.
    best: Raw
    active: list[RunProgress] = field(default_factory=list)
    rate: float | None = None
    left: float | None = None

    @property
    def finished(self) -> int:
        """The number of runs that have ended."""
        return self.counts.get("succeeded", 0) + self.counts.get("failed", 0)


def view(experiment: Raw, runs: Mapping[Any, Raw], now: float) -> View:
    """Return the state of an experiment and its runs at a time in unix seconds."""
    spec, status = experiment["spec"], experiment.get("status") or {}
    metric = (spec.get("objective") or {}).get("metric") or ""
    counts = {key: count for key, count in (status.get("runs") or {}).items() if key != "total"}
    total = (status.get("runs") or {}).get("total") or 0
    active = [_progress(run, metric, now) for run in runs.values() if _phase(run) not in TERMINAL]
    spans = [_span(run) for run in runs.values() if _phase(run) in TERMINAL]
    ended = [(start, end) for start, end in spans if start is not None and end is not None]
    began = _seconds(status.get("startTime")) or now
    waiting = total - counts.get("succeeded", 0) - counts.get("failed", 0) - counts.get("running", 0)
    left = None
    if not spec.get("suspend"):
        running = [each.seconds or 0.0 for each in active if each.phase == "Running"]
        durations = [end - start for start, end in ended]
        left = remaining(durations, running, max(0, waiting), spec.get("parallelism") or 1)
    return View(
        name=experiment["metadata"]["name"],
        phase=status.get("phase") or "Pending",
        message=status.get("message") or "",
        metric=metric,
        total=total,
        counts=counts,
        best=status.get("best") or {},
        active=sorted(active, key=lambda each: (each.phase != "Running", each.name)),
        rate=rate([end for _, end in ended], began, now),
        left=left,
    )


def _phase(run: Raw) -> str:
    return (run.get("status") or {}).get("phase") or "Pending"


def _seconds(text: str | None) -> float | None:
    moment = parse_time(text)
    return moment.timestamp() if moment else None


def _span(run: Raw) -> tuple[float | None, float | None]:
    status = run.get("status") or {}
    return _seconds(status.get("startTime")), _seconds(status.get("completionTime"))


def _progress(run: Raw, metric: str, now: float) -> RunProgress:
    status = run.get("status") or {}
    found = (status.get("metrics") or {}).get(metric) or {}
    start, _ = _span(run)
    seconds = None if start is None else max(0.0, now - start)
    return RunProgress(
        run["metadata"]["name"], _phase(run), status.get("reason") or "", seconds, found.get("step"), found.get("last")
    )
