"""The archive: all runs with a closed record, including those whose objects were removed from the cluster.

    runs/<…>/<uid>/archived.json        Archived: the complete Run at the time when its object was removed

It is read in pages, so that memory use does not depend on the number of runs. Files that training pods could have
written are not read. These functions block.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from assay.api.objects import Raw
from assay.store import clock, layout
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, RecordError, TooLarge
from assay.store.parallel import ordered
from assay.store.recorded import read_run

_WORKERS = 8
#: More than the API server's limit for an object.
_MAX_RUN_BYTES = 4 << 20
_OWN = "_"


@dataclass(frozen=True)
class RecordedRun:
    """One run of the archive. Times are RFC 3339 texts, "" if unknown.

    `experiment` is "" for a run without one; `metrics` has the summaries by name and `logged` the parameters
    that the code logged; `archived` is the time when its object was removed; `expired` is true if its artifacts are
    deleted. If the record cannot be read, `problem` is the reason and the other fields are empty.
    """

    namespace: str
    experiment: str
    name: str
    uid: str
    prefix: str
    owner: str = ""
    parameters: Raw | None = None
    metrics: Raw | None = None
    logged: Raw | None = None
    objective: Raw | None = None
    outcome: str = ""
    reason: str = ""
    created: str = ""
    started: str = ""
    completed: str = ""
    model: Raw | None = None
    archived: str = ""
    expired: bool = False
    problem: str = ""


class Page(NamedTuple):
    """Some runs, and the cursor of the next page; "" if there are no more."""

    runs: list[RecordedRun]
    cursor: str


def page(
    store: ObjectStore,
    namespace: str,
    experiment: str | None = None,
    cursor: str = "",
    limit: int = 100,
    known: Collection[str] = (),
) -> Page:
    """The next ended runs of a namespace, or of one experiment in it ("": runs without an experiment).

    They are sorted by experiment and run name. `limit` counts run names: a page has all runs of a name that was used
    more than once, but for UIDs that are `known`. Raises StoreError, and ValueError for an invalid name or cursor.
    """
    names: list[tuple[str, str]] = []
    for name in names_of(store, namespace, experiment, cursor):
        if len(names) == limit:
            return Page(_read(store, namespace, names, known), "/".join(names[-1]))
        names.append(name)
    return Page(_read(store, namespace, names, known), "")


def runs(
    store: ObjectStore, namespace: str, experiment: str | None = None, known: Collection[str] = ()
) -> Iterator[RecordedRun]:
    """Iterate over all runs, page by page, but for those with UIDs that are known."""
    cursor = ""
    while True:
        found = page(store, namespace, experiment, cursor, known=known)
        yield from found.runs
        cursor = found.cursor
        if not cursor:
            return


def names_of(
    store: ObjectStore, namespace: str, experiment: str | None = None, cursor: str = ""
) -> Iterator[tuple[str, str]]:
    """The names (experiment or "_", run) after a cursor. Raises StoreError, and ValueError for an invalid name."""
    layout.run_prefix(namespace, experiment or None, "r", "u")  # validates the names
    after_folder, _, after = cursor.partition("/")
    if experiment is not None:
        folders = iter([experiment or _OWN])
    else:
        folders = _folders(store, f"runs/{namespace}/", after_folder)
    for folder in folders:
        for name in store.folders(f"runs/{namespace}/{folder}/", after if folder == after_folder else ""):
            yield folder, name


def _folders(store: ObjectStore, prefix: str, first: str) -> Iterator[str]:
    """The folders, beginning with the one that the cursor names."""
    if first:
        yield first
    yield from store.folders(prefix, first)


def closed(store: ObjectStore, namespace: str, experiment: str, name: str) -> list[Raw]:
    """The Runs with this name and a readable, closed record. Raises StoreError, and ValueError for an invalid name."""
    layout.run_prefix(namespace, experiment, name, "u")  # validates the names
    prefix = f"runs/{namespace}/{experiment}/{name}/"
    found = []
    for uid in store.folders(prefix):
        key = layout.parse_run_prefix(prefix + uid)
        files = {info.key.removeprefix(f"{prefix}{uid}/") for info in store.files(f"{prefix}{uid}/")}
        if layout.MANIFEST in files:
            with contextlib.suppress(RecordError, NotFound):
                found.append(_run(store, key, prefix + uid, files)[1])
    return found


def _read(
    store: ObjectStore, namespace: str, names: list[tuple[str, str]], known: Collection[str]
) -> list[RecordedRun]:
    found = ordered(partial(_of_name, store, namespace, known), names, _WORKERS)
    return [run for some in found for run in some]


def _of_name(store: ObjectStore, namespace: str, known: Collection[str], name: tuple[str, str]) -> list[RecordedRun]:
    """The runs with this name, sorted by UID."""
    folder, run = name
    prefix = f"runs/{namespace}/{folder}/{run}/"
    found = (ended(store, prefix + uid) for uid in store.folders(prefix) if uid not in known)
    return [each for each in found if each is not None]


def ended(store: ObjectStore, prefix: str) -> RecordedRun | None:
    """The ended run with this prefix; None if its record is not closed. Raises StoreError."""
    try:
        key = layout.parse_run_prefix(prefix)
    except ValueError:
        return None
    here = RecordedRun(key.namespace, key.experiment or "", key.run, key.uid, prefix)
    files = {info.key.removeprefix(prefix + "/") for info in store.files(prefix + "/")}
    if layout.MANIFEST not in files:
        return None
    try:
        archived, run = _run(store, key, prefix, files)
    except (RecordError, NotFound) as error:
        return _with(here, problem=str(error))
    return _filled(here, run, archived, expired=layout.EXPIRED in files)


def _run(store: ObjectStore, key: layout.RunKey, prefix: str, files: set[str]) -> tuple[str, Raw]:
    if layout.ARCHIVED in files:
        return _archived(store, prefix)
    return "", read_run(store, *key)


def _filled(here: RecordedRun, run: Raw, archived: str, *, expired: bool) -> RecordedRun:
    spec, status = run.get("spec") or {}, run.get("status") or {}
    return _with(
        here,
        owner=spec.get("owner") or "",
        parameters=spec.get("parameters") or {},
        metrics=status.get("metrics") or {},
        logged=(status.get("logged") or {}).get("parameters") or {},
        objective=spec.get("objective"),
        outcome=status.get("phase") or "",
        reason=status.get("reason") or "",
        created=(run.get("metadata") or {}).get("creationTimestamp") or "",
        started=status.get("startTime") or "",
        completed=status.get("completionTime") or "",
        model=status.get("model"),
        archived=archived,
        expired=expired,
    )


def _with(here: RecordedRun, **fields: Any) -> RecordedRun:
    return RecordedRun(here.namespace, here.experiment, here.name, here.uid, here.prefix, **fields)


# One run


def write_archived(store: ObjectStore, run_prefix: str, run: Raw) -> None:
    """Store the complete Run before its object is removed. Safe to repeat. Raises StoreError."""
    metadata = {key: value for key, value in run["metadata"].items() if key != "managedFields"}
    record = {"version": 1, "archived": clock.now(), "run": {**run, "metadata": metadata}}
    data = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False).encode()
    store.put_bytes(f"{run_prefix}/{layout.ARCHIVED}", data, "application/json")


def read_archived(store: ObjectStore, namespace: str, experiment: str | None, name: str, uid: str) -> Raw | None:
    """The Run at the time when its object was removed; None if it was not archived.

    Raises RecordError if it cannot be read, StoreError, and ValueError for an invalid name.
    """
    try:
        return _archived(store, layout.run_prefix(namespace, experiment, name, uid))[1]
    except NotFound:
        return None


def _archived(store: ObjectStore, prefix: str) -> tuple[str, Raw]:
    key = f"{prefix}/{layout.ARCHIVED}"
    try:
        found = json.loads(store.get_bytes(key, _MAX_RUN_BYTES))
        run, when = found["run"], str(found["archived"])
        if run["metadata"]["uid"] != layout.parse_run_prefix(prefix).uid:
            raise RecordError(f"{key} belongs to another run")
    except (ValueError, TypeError, LookupError, RecursionError, TooLarge) as error:
        raise RecordError(f"{key} cannot be read: {error}") from None
    return when, run
