"""A run as a row, to show, filter and cache it; from the cluster or from the archive."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import TypedDict

from assay.api import names
from assay.api.objects import Raw
from assay.planning.conditions import parse_time
from assay.planning.runs.recipe import datasets_of

if TYPE_CHECKING:
    from assay.store.archive import RecordedRun


class RunRow(TypedDict):
    """One run, as `assay runs -o json` prints it.

    Times are RFC 3339 strings, "" if unknown. ``duration`` is in seconds, until now for a running run. ``metrics`` and
    ``datasets`` are by name. ``logged`` are the parameters that the training code has logged. ``archived``
    runs no longer have an object in the cluster.
    """

    name: str
    uid: str
    experiment: str
    phase: str
    reason: str
    message: str
    note: str
    owner: str
    created: str
    started: str
    completed: str
    duration: float | None
    seed: int | None
    parameters: Raw
    metrics: Raw
    logged: Raw
    objective: Raw | None
    datasets: Raw
    source: Raw
    model: Raw
    labels: Raw
    archived: bool


class NamespacedRow(RunRow):
    """A run among those of all namespaces."""

    namespace: str


Row = TypeVar("Row", bound=RunRow)


def in_namespace(row: RunRow, namespace: str) -> NamespacedRow:
    """Return the row with its namespace, which comes first."""
    return {"namespace": namespace, **row}


def of_run(run: Raw, *, archived: bool = False) -> RunRow:
    """Return the row of a Run without its duration, which depends on the current time."""
    metadata, spec, status = run["metadata"], run.get("spec") or {}, run.get("status") or {}
    labels = metadata.get("labels") or {}
    return {
        "name": metadata["name"],
        "uid": metadata["uid"],
        "experiment": labels.get(names.LABEL_EXPERIMENT) or "",
        "phase": status.get("phase") or "Pending",
        "reason": status.get("reason") or "",
        "message": status.get("message") or "",
        "note": (metadata.get("annotations") or {}).get(names.ANNOTATION_NOTE) or "",
        "owner": spec.get("owner") or "",
        "created": metadata.get("creationTimestamp") or "",
        "started": status.get("startTime") or "",
        "completed": status.get("completionTime") or "",
        "duration": None,
        "seed": spec.get("seed"),
        "parameters": spec.get("parameters") or {},
        "metrics": status.get("metrics") or {},
        "logged": (status.get("logged") or {}).get("parameters") or {},
        "objective": spec.get("objective"),
        "datasets": {each["name"]: each for each in datasets_of(spec, status)},
        "source": spec.get("source") or {},
        "model": status.get("model") or {},
        "labels": labels,
        "archived": archived,
    }


def of_record(record: RecordedRun) -> RunRow:
    """Return the row of an archived run. The archive does not have all fields."""
    return {
        "name": record.name,
        "uid": record.uid,
        "experiment": record.experiment,
        "phase": record.outcome or "Unknown",
        "reason": record.problem or record.reason,
        "message": "",
        "note": "",
        "owner": record.owner,
        "created": record.created,
        "started": record.started,
        "completed": record.completed,
        "duration": None,
        "seed": None,
        "parameters": record.parameters or {},
        "metrics": record.metrics or {},
        "logged": record.logged or {},
        "objective": record.objective,
        "datasets": {},
        "source": {},
        "model": record.model or {},
        "labels": {},
        "archived": True,
    }


def timed(rows: Iterable[Row], now: datetime | None = None) -> list[Row]:
    """Fill in the durations."""
    now = now or datetime.now(UTC)
    found = list(rows)
    for row in found:
        started, completed = parse_time(row["started"]), parse_time(row["completed"])
        end = completed or (now if row["phase"] == "Running" else None)
        row["duration"] = (end - started).total_seconds() if started and end else None
    return found
