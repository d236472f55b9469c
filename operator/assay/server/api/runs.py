"""Runs: searched, one by one, compared."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from assay.api.objects import Raw
from assay.queries.runs import comparison, differences, recorded, rows
from assay.queries.runs.comparison import Comparison
from assay.queries.runs.differences import Diff
from assay.queries.runs.rows import RunRow
from assay.server.api.operations import Call, Fresh, Nothing, Operation, Query
from assay.server.runs import RunQuery, RunsEverywhere, RunsFound

#: What one page can have.
MOST = 50_000


class _Asked(Fresh):
    """Which runs."""

    experiment: str = Field("", description="Only runs of this experiment.")
    where: str = Field("", description="Filter in CEL, as for `assay runs --where`.")
    sort: str = Field("", description="Metric, best first; or name, created, params.depth, -duration.")
    reverse: bool = Field(False, description="Reverse the order.")
    offset: int = Field(0, ge=0, description="Runs to skip.")
    limit: int = Field(100, ge=0, le=MOST, description="Runs in one answer.")
    names: bool = Field(True, description="Include what the matching runs have in common and where they differ.")


class RunsQuery(_Asked):
    """Which runs of a namespace."""

    archived: bool = Field(False, description="Include runs that only the store has.")


class RunsEverywhereQuery(_Asked):
    """Which runs of all namespaces: archived ones are in the store of their namespace."""


class OneRun(TypedDict):
    """One run: as a row, and as the object or its record."""

    row: RunRow
    object: Raw
    notes: list[str]


class ComparisonQuery(Query):
    """Which runs to compare."""

    run: Annotated[list[str], Field(min_length=1, max_length=100, description="Name of a run; repeated.")]
    metric: list[str] = Field([], description="Only these metrics; repeated.")


class DiffQuery(Query):
    """Which two runs."""

    a: str
    b: str
    kind: list[str] = Field([], description="Only differences of these kinds.")


def found(call: Call, query: RunsQuery) -> RunsFound:
    """Return a page of runs."""
    return call.state.runs.find(call.person, {**_asked(query), "archived": query.archived})


def found_everywhere(call: Call, query: RunsEverywhereQuery) -> RunsEverywhere:
    """Return a page of the runs of all namespaces."""
    return call.state.runs.find_all(call.person, _asked(query))


def _asked(query: _Asked) -> RunQuery:
    return {
        "experiment": query.experiment,
        "where": query.where,
        "sort": query.sort,
        "reverse": query.reverse,
        "offset": query.offset,
        "limit": query.limit,
        "archived": False,
        "fresh": query.fresh,
        "names": query.names,
    }


def one(call: Call, _: Nothing) -> OneRun:
    """Return one run, which may be archived."""
    found = recorded.locate(call.person, call.path["run"])
    (row,) = rows.timed([found.row])
    return {"row": row, "object": found.run, "notes": call.person.notes}


def compared(call: Call, query: ComparisonQuery) -> Comparison:
    """Return the fields of runs side by side."""
    return comparison.compared([recorded.find(call.person, name) for name in query.run], query.metric)


def differing(call: Call, query: DiffQuery) -> Diff:
    """Return the fields in which two runs differ."""
    return differences.differences(call.person, query.a, query.b, query.kind)


OPERATIONS = (
    Operation("runs", "/namespaces/{namespace}/runs", "Search runs.", found, RunsFound, RunsQuery),
    Operation(
        "allRuns",
        "/runs",
        "Search the runs of all namespaces in which you may list runs.",
        found_everywhere,
        RunsEverywhere,
        RunsEverywhereQuery,
    ),
    Operation("run", "/namespaces/{namespace}/runs/{run}", "Read one run.", one, OneRun),
    Operation("compare", "/namespaces/{namespace}/compare", "Compare runs.", compared, Comparison, ComparisonQuery),
    Operation("diff", "/namespaces/{namespace}/diff", "Show where two runs differ.", differing, Diff, DiffQuery),
)
