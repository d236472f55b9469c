"""The status of a Run: while it is running, the recorder's summary, and the final status."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from assay.api import names
from assay.api.run_status import (
    DatasetStatus,
    EnvironmentStatus,
    Image,
    MetricStatus,
    ModelStatus,
    RecorderStatus,
    RecordStatus,
    Requested,
    RunStatus,
    UsageStatus,
)
from assay.planning.conditions import Status, conditions, counted, flag, format_duration, format_value, parse_time
from assay.planning.runs.facts import JobFacts, PodFacts
from assay.planning.runs.logged import logged
from assay.planning.runs.phases import MAX_ATTEMPTS, Verdict, attempts

MAX_METRICS = 100
MAX_IMAGES = 32
#: Conditions that the recorder's live summary decides. They stay until the next summary.
_LIVE = (names.PARAMETERS_MATCH,)


class MetricLike(Protocol):
    """One metric of a recorder's summary."""

    @property
    def last(self) -> float: ...  # noqa: D102
    @property
    def min(self) -> float | None: ...  # noqa: D102
    @property
    def max(self) -> float | None: ...  # noqa: D102
    @property
    def step(self) -> float: ...  # noqa: D102
    @property
    def count(self) -> int: ...  # noqa: D102


class SummaryLike(Protocol):
    """A recorder's summary."""

    @property
    def points(self) -> int: ...  # noqa: D102
    @property
    def children(self) -> int: ...  # noqa: D102
    @property
    def requests(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def rejected(self) -> int: ...  # noqa: D102
    @property
    def warnings(self) -> list[str]: ...  # noqa: D102
    @property
    def store_error(self) -> str: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, MetricLike]: ...  # noqa: D102
    @property
    def refused(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def parameters(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def tags(self) -> Mapping[str, str]: ...  # noqa: D102


@dataclass(frozen=True)
class Record:
    """The record of a finished run in the store. ``problem`` is (reason, message) when the record is incomplete."""

    succeeded: bool
    problem: tuple[str, str] | None
    uri: str
    artifacts: str | None
    #: The pod whose artifacts and metrics count, None without one.
    pod: str | None
    manifest_digest: str
    files: int
    bytes: int
    model_path: str
    model_digest: str
    model_size: int
    datasets: tuple[DatasetStatus, ...] = ()
    #: What could not be captured, and why. Missing captures do not make a record incomplete.
    missing: tuple[str, ...] = ()
    #: Other pods that recorded points, and how many.
    elsewhere: tuple[tuple[str, int], ...] = ()
    environment: EnvironmentStatus | None = None
    usage: UsageStatus | None = None


def follow(
    old: RunStatus,
    verdict: Verdict,
    job: JobFacts | None,
    pods: Sequence[PodFacts],
    *,
    generation: int,
    now: datetime,
) -> RunStatus:
    """Return the status of a run in the phase of the verdict."""
    started = old.start_time or (parse_time(job.start_time) if job else None)
    flags: dict[str, tuple[Status, str, str]] = {
        names.SUSPENDED: (
            ("True", verdict.reason, verdict.message)
            if verdict.phase == "Suspended"
            else ("False", names.NOT_SUSPENDED, "")
        ),
        names.STARTED: flag(verdict.phase not in ("Pending", "Suspended"), verdict.reason, verdict.message),
        names.RECORDED: ("Unknown", names.NOT_YET, "the run has not finished"),
        names.COMPLETE: flag(False, verdict.reason, ""),
        names.FAILED: flag(False, verdict.reason, ""),
    }
    return old.model_copy(
        update={
            "observed_generation": generation,
            "phase": verdict.phase,
            "reason": verdict.reason,
            "message": verdict.message or None,
            "start_time": started,
            "job_uid": job.uid if job else old.job_uid,
            "attempts": attempts(old.attempts, pods),
            "images": images(old.images, pods),
            "conditions": [
                *conditions(old.conditions, flags, generation, now),
                *(each for each in old.conditions if each.type in _LIVE),
            ],
        }
    )


def images(known: Sequence[Image], pods: Sequence[PodFacts]) -> list[Image]:
    """Return the images of the newest pod that has started training; known digests are retained.

    Pods that are still starting are ignored: their digests appear one by one, and each would cause a status write.
    """
    begun = [pod for pod in pods if pod.running or pod.finished]
    if not begun:
        return list(known)
    newest = max(begun, key=lambda pod: (pod.created, pod.name))
    before = {(each.container, each.image): each.digest for each in known}
    return [
        Image(container=container, image=image, digest=digest or before.get((container, image)))
        for container, image, digest in newest.images[:MAX_IMAGES]
    ]


def with_summary(
    status: RunStatus, objective: Mapping[str, Any] | None, summary: SummaryLike, wanted: Collection[str] = ()
) -> RunStatus:
    """Return the status with the recorder's summary. ``objective`` is the raw field of the Run's spec.

    ``wanted`` are the metrics that come first, because somebody needs them.
    """
    metric = (objective or {}).get("metric", "")
    # Each name once: the objective is usually wanted as well.
    order = {name: at for at, name in enumerate(dict.fromkeys([metric, *wanted]))}
    selected = sorted(summary.metrics, key=lambda name: (order.get(name, len(order)), name))[:MAX_METRICS]
    metrics = {name: _metric(summary.metrics[name]) for name in selected}
    shown = None
    if metric in metrics:
        mine = metrics[metric]
        mine.best = _value(mine, objective or {})
        shown = format_value(mine.last if mine.best is None else mine.best)
    return status.model_copy(
        update={
            "metrics": metrics or None,
            "metrics_omitted": len(summary.metrics) - len(metrics) or None,
            "logged": logged(summary),
            "requested": [Requested(model=model, path=path) for model, path in sorted(summary.requests.items())]
            or None,
            "objective": shown,
            "recorder": RecorderStatus(
                points=summary.points,
                child_runs=summary.children or None,
                rejected=summary.rejected,
                warnings=[text[:600] for text in summary.warnings[:20]],
                store_error=summary.store_error[:1024] or None,
            ),
        }
    )


def _value(found: MetricStatus, objective: Mapping[str, Any]) -> float | None:
    """Return the value by which runs are compared; None if the run has diverged."""
    if not math.isfinite(found.last):
        return None
    if objective.get("value") == "last":
        return found.last
    return found.max if objective.get("direction") == "maximize" else found.min


def _metric(found: MetricLike) -> MetricStatus:
    return MetricStatus(last=found.last, min=found.min, max=found.max, step=found.step, count=found.count)


def with_condition(
    status: RunStatus, kind: str, found: tuple[Status, str, str], *, generation: int, now: datetime
) -> RunStatus:
    """Return the status with one condition added or replaced."""
    others = [condition for condition in status.conditions if condition.type != kind]
    new = conditions(status.conditions, {kind: found}, generation, now)
    return status.model_copy(update={"conditions": [*others, *new]})


def store_trouble(status: RunStatus, error: str, *, generation: int, now: datetime) -> RunStatus:
    """Return the status with the condition Recorded: Unknown, because the store is unreachable."""
    flags: dict[str, tuple[Status, str, str]] = {
        c.type: (c.status, c.reason, c.message) for c in status.conditions if c.type != names.RECORDED
    }
    flags[names.RECORDED] = ("Unknown", names.STORE_UNREACHABLE, error[:4000])
    return status.model_copy(update={"conditions": conditions(status.conditions, flags, generation, now)})


def end(status: RunStatus, record: Record | None, job: JobFacts | None, *, generation: int, now: datetime) -> RunStatus:
    """Return the final status. ``status`` is that of the verdict; ``record`` is None when no Job was ever created."""
    phase, reason, message = status.phase, status.reason or "", status.message or ""
    if record is not None and phase == "Succeeded" and not record.succeeded:
        phase, reason = "Failed", names.RECORD_INCOMPLETE
        message = record.problem[1] if record.problem else ""
    succeeded = phase == "Succeeded"
    completed = parse_time((job.completion_time or job.ended_at) if job else None) or now
    flags: dict[str, tuple[Status, str, str]] = {
        names.SUSPENDED: ("False", names.NOT_SUSPENDED, ""),
        names.STARTED: flag(status.start_time is not None, reason, ""),
        names.RECORDED: _recorded(record, _unseen(status, job)),
        names.COMPLETE: flag(succeeded, reason, message if succeeded else ""),
        names.FAILED: flag(not succeeded, reason, "" if succeeded else message),
    }
    return status.model_copy(
        update={
            "phase": phase,
            "reason": reason,
            "message": message or None,
            "completion_time": completed,
            "duration": format_duration(status.start_time, completed),
            "record": _record_status(record),
            "model": _model_status(record),
            "datasets": list(record.datasets) if record else [],
            "environment": record.environment if record else None,
            "usage": record.usage if record else None,
            "conditions": [
                *conditions(status.conditions, flags, generation, now),
                *(each for each in status.conditions if each.type in _LIVE),
            ],
        }
    )


def _unseen(status: RunStatus, job: JobFacts | None) -> int:
    """Return how many failed pods the Job counts that no operator has seen, because they were deleted meanwhile."""
    if job is None or len(status.attempts) >= MAX_ATTEMPTS:
        return 0
    known = len(status.attempts) - (job.outcome == "Complete")
    return max(0, job.failed - max(0, known))


def _recorded(record: Record | None, unseen: int) -> tuple[Status, str, str]:
    if record is None:
        return "False", names.MANIFEST_MISSING, "the run was never launched, so it has no record"
    if record.problem:
        return "False", record.problem[0], record.problem[1][:4000]
    message = f"{counted(record.files, 'file')}, {record.bytes} bytes"
    if record.missing:
        more = f", and {len(record.missing) - 1} more" if len(record.missing) > 1 else ""
        message += f"; not captured: {record.missing[0]}{more}"
    if record.elsewhere:
        pods = ", ".join(f"{pod} (points: {points})" for pod, points in record.elsewhere[:3])
        more = f" and {len(record.elsewhere) - 3} more" if len(record.elsewhere) > 3 else ""
        message += (
            f"; metrics and curves show pod {record.pod} only: other attempts or workers recorded points too: "
            f"{pods}{more}"
        )
    if unseen:
        message += (
            f"; attempts that were deleted while no operator was running: {unseen}: their logs are not recorded, and "
            "status.attempts does not list them"
        )
    return "True", names.VERIFIED, message[:4000]


def _record_status(record: Record | None) -> RecordStatus | None:
    if record is None:
        return None
    return RecordStatus(
        uri=record.uri,
        artifacts=record.artifacts,
        pod=record.pod,
        complete=record.problem is None,
        # Without a manifest these values are unknown.
        manifest_digest=record.manifest_digest or None,
        files=record.files if record.manifest_digest else None,
        bytes=record.bytes if record.manifest_digest else None,
    )


def _model_status(record: Record | None) -> ModelStatus | None:
    if record is None or not record.model_digest:
        return None
    return ModelStatus(path=record.model_path, digest=record.model_digest, size=record.model_size)
