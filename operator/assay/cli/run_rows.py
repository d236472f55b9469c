"""Runs as rows: what the command line shows of a run, filters by, and keeps; from the cluster or the archive.

Pages are read ahead while the last one is worked on. Nothing is filtered or printed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from assay.api import names, resources
from assay.api.resources import RUNS
from assay.cli.errors import CliError
from assay.cli.session import Session
from assay.planning.conditions import parse_time
from assay.planning.recipe import datasets_of

if TYPE_CHECKING:
    from assay.store.archive import RecordedRun

Raw = dict[str, Any]

#: 1,000 or 2,000 are read no faster, and the first ones are there later.
PAGE = 500


class RunRow(TypedDict):
    """One run, as `assay runs -o json` prints it.

    Times are RFC 3339 texts, "" where they are not known; ``duration`` is in seconds, until now for a run that goes on;
    ``metrics`` and ``datasets`` are by name. ``archived`` runs have no object in the cluster any more.
    """

    name: str
    uid: str
    experiment: str
    phase: str
    reason: str
    owner: str
    created: str
    started: str
    completed: str
    duration: float | None
    seed: int | None
    parameters: Raw
    metrics: Raw
    objective: Raw | None
    datasets: Raw
    source: Raw
    model: Raw
    labels: Raw
    archived: bool


def of_run(run: Raw, *, archived: bool = False) -> RunRow:
    """Return the row of a Run, but for its duration, which depends on the time."""
    metadata, spec, status = run["metadata"], run.get("spec") or {}, run.get("status") or {}
    labels = metadata.get("labels") or {}
    return {
        "name": metadata["name"],
        "uid": metadata["uid"],
        "experiment": labels.get(names.LABEL_EXPERIMENT) or "",
        "phase": status.get("phase") or "Pending",
        "reason": status.get("reason") or "",
        "owner": spec.get("owner") or "",
        "created": metadata.get("creationTimestamp") or "",
        "started": status.get("startTime") or "",
        "completed": status.get("completionTime") or "",
        "duration": None,
        "seed": spec.get("seed"),
        "parameters": spec.get("parameters") or {},
        "metrics": status.get("metrics") or {},
        "objective": spec.get("objective"),
        "datasets": {each["name"]: each for each in datasets_of(spec, status)},
        "source": spec.get("source") or {},
        "model": status.get("model") or {},
        "labels": labels,
        "archived": archived,
    }


def of_record(record: RecordedRun) -> RunRow:
    """Return the row of a run of the archive, which knows less of it."""
    return {
        "name": record.name,
        "uid": record.uid,
        "experiment": record.experiment,
        "phase": record.outcome or "Unknown",
        "reason": record.problem or record.reason,
        "owner": record.owner,
        "created": record.created,
        "started": record.started,
        "completed": record.completed,
        "duration": None,
        "seed": None,
        "parameters": record.parameters or {},
        "metrics": record.metrics or {},
        "objective": record.objective,
        "datasets": {},
        "source": {},
        "model": record.model or {},
        "labels": {},
        "archived": True,
    }


def timed(rows: Iterable[RunRow], now: datetime | None = None) -> list[RunRow]:
    """Fill in how long each has taken."""
    now = now or datetime.now(UTC)
    found = list(rows)
    for row in found:
        started, completed = parse_time(row["started"]), parse_time(row["completed"])
        end = completed or (now if row["phase"] == "Running" else None)
        row["duration"] = (end - started).total_seconds() if started and end else None
    return found


def read(
    session: Session, experiment: str = "", *, archived: bool = False, cached: bool = True
) -> Iterator[list[RunRow]]:
    """Yield the runs of a namespace, or of one experiment, page by page; those of the archive after the others.

    Those in the cluster come in the order of their names, and are of one moment. Raises CliError, StoreError.
    """
    known: set[str] = set()
    for page in pages(session, experiment):
        rows = timed(of_run(run) for run in page)
        known.update(row["uid"] for row in rows)
        yield rows
    if archived:
        from assay.store import archive

        found = archive.runs(session.store, session.namespace, experiment or None)
        yield timed(of_record(each) for each in found if each.uid not in known)


def pages(session: Session, experiment: str = "") -> Iterator[list[Raw]]:
    """Yield the Runs of a namespace, or of one experiment, page by page, in the order of their names. Raises CliError.

    All pages are of one moment: the API server's snapshot of the first one.
    """
    labels = f"{names.LABEL_EXPERIMENT}={experiment}" if experiment else ""
    path = _path(session.namespace)

    def page(token: str) -> bytes:
        query = {"limit": str(PAGE), "labelSelector": labels, "continue": token}
        with session.kube.stream("GET", path, query=query) as answer:
            return bytes(answer.read())

    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(page, "")
        while True:
            text = coming.result()
            token = _token(text)
            if token:
                coming = ahead.submit(page, token)
            yield json.loads(text).get("items") or []
            if not token:
                return


def _token(page: bytes) -> str:
    """Return the token of the next page, which stands at the end of this one, without reading all of it."""
    start = page.rfind(b'"metadata":{')
    try:
        metadata = json.loads(b"{" + page[start:])["metadata"] if start >= 0 else {}
    except ValueError:
        metadata = json.loads(page).get("metadata") or {}
    return str(metadata.get("continue") or "")


def _path(namespace: str) -> str:
    try:
        return resources.path(RUNS, namespace)
    except ValueError as error:
        raise CliError(str(error)) from None
