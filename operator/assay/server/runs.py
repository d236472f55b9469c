"""Where the runs of an answer come from: the API server, or the index where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NotRequired, Protocol, cast

from typing_extensions import TypedDict

from assay.api.errors import ObjectNotFound
from assay.api.resources import EXPERIMENTS, Resource
from assay.queries.references import near
from assay.queries.runs import columns as run_columns
from assay.queries.runs import reading
from assay.queries.runs.columns import Names, Summary
from assay.queries.runs.filters import Filter
from assay.queries.runs.rows import NamespacedRow, Row, RunRow
from assay.server.freshness import Freshness
from assay.server.person import Person

#: What the evaluation of one filter may take, run by run.
SECONDS = 10.0
#: Metrics of a table of groups.
GROUPED_METRICS = 12


class RunQuery(TypedDict):
    """Which runs, in which order. ``sort`` as for `assay runs`; ``fresh`` is "live", "now" or a resource version.

    ``experiments``: only runs of these, "" for runs without one; all of them if there are none.

    ``group`` is the field by which the caller groups: rows may have only that field, name, phase, and the best and last
    values of the first GROUPED_METRICS metrics. ``parts``: rows may have only these values of each metric.
    """

    experiment: str
    where: str
    sort: str
    reverse: bool
    offset: int
    limit: int
    archived: bool
    fresh: str
    names: bool
    experiments: NotRequired[frozenset[str]]
    group: NotRequired[str]
    parts: NotRequired[tuple[str, ...]]


class RunsFound(TypedDict):
    """One page of runs. ``total`` runs match; ``names`` has what they have in common and where they differ."""

    items: list[RunRow]
    total: int
    names: Summary | None
    undecided: int
    why: str
    freshness: Freshness
    notes: list[str]


class RunsEverywhere(RunsFound):
    """One page of the runs of all namespaces in which the user may list runs."""

    items: list[NamespacedRow]  # type: ignore[misc]  # more specific


#: What an answer has of a row, instead of the row. It depends on nothing else, and not on the duration.
Shown = Callable[[RunRow], Any]


class Runs(Protocol):
    """A source of runs."""

    def find_all(self, person: Person, query: RunQuery) -> RunsEverywhere:
        """Return a page of the runs of all namespaces in which the person may list runs. Raises AssayError."""

    def find(self, person: Person, query: RunQuery, shown: Shown | None = None) -> RunsFound:
        """Return a page of the runs of the person's namespace. Raises AssayError, StoreError.

        ``shown`` is applied to one row after the other: an answer can have more runs than fit into memory as rows.
        """

    def reach(self, resource: Resource, namespace: str, version: int) -> None:
        """Wait a moment until answers include a resource version, if the kind is that of runs."""


class RunsOfApiServer:
    """Reads all runs from the API server for each answer. Needs no index and no rights but the user's."""

    def find(self, person: Person, query: RunQuery, shown: Shown | None = None) -> RunsFound:
        """Return a page of the runs of the person's namespace. Raises AssayError, StoreError."""
        pages = reading.read(person, query["experiment"], archived=query["archived"], cached=False)
        rows = [row for page in pages for row in page]
        if not rows:
            check_experiment(person, query["experiment"])
        found = _answer(person, rows, query)
        return found if shown is None else {**found, "items": [shown(row) for row in found["items"]]}

    def find_all(self, person: Person, query: RunQuery) -> RunsEverywhere:
        """Return a page of the runs of all namespaces, for who may list them all. Raises AssayError."""
        rows = [row for page in reading.read_everywhere(person, query["experiment"]) for row in page]
        if not rows:
            person.note(without_runs(query["experiment"]))
        return cast(RunsEverywhere, _answer(person, rows, query))

    def reach(self, resource: Resource, namespace: str, version: int) -> None:
        """Do nothing: the API server lists what it has told."""


def _answer(person: Person, rows: Sequence[RunRow], query: RunQuery) -> RunsFound:
    """Return one page of the rows that match."""
    where = Filter(query["where"], SECONDS) if query["where"] else None
    if experiments := query.get("experiments"):
        rows = [row for row in rows if row["experiment"] in experiments]
    found = [row for row in rows if where is None or where.matches(row)]
    if where is not None and rows:
        where.check()
    names = Names(found)
    return {
        "items": chosen(found, names, query),
        "total": len(found),
        "names": names.summary() if query["names"] else None,
        "undecided": where.undecided if where else 0,
        "why": where.why if where else "",
        "freshness": {"source": "apiserver", "asOf": "", "age": 0.0},
        "notes": person.notes,
    }


def without_runs(experiment: str) -> str:
    """Return the note that no namespace has runs."""
    return "no namespace has runs" + (f" of experiment {experiment}" if experiment else "")


def chosen(rows: list[Row], names: Names, query: RunQuery) -> list[Row]:
    """Return one page of rows that are sorted by name."""
    ordered = run_columns.sort(rows, query["sort"] or "created", names, reverse=query["reverse"])
    return ordered[query["offset"] : query["offset"] + query["limit"]]


def check_experiment(person: Person, experiment: str) -> None:
    """Raise ObjectNotFound if the namespace has no such experiment; note that it has no runs otherwise."""
    if experiment:
        known = [each["metadata"]["name"] for each in person.kube.list(EXPERIMENTS, person.namespace)]
        if experiment not in known:
            hint = near(experiment, known) or "`assay experiments` lists them"
            raise ObjectNotFound(f"namespace {person.namespace} has no experiment {experiment}", hint=hint)
    person.note(f"namespace {person.namespace} has no runs" + (f" of experiment {experiment}" if experiment else ""))
