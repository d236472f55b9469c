"""The runs of several namespaces in one order: as on all their rows, and of no other namespace."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api.errors import AssayError
from assay.queries.runs import columns as run_columns
from assay.queries.runs.columns import Names
from assay.queries.runs.filters import Filter
from assay.queries.runs.rows import NamespacedRow, RunRow, in_namespace, timed
from assay.server.index import everywhere
from assay.server.index.everywhere import Searched
from assay.server.index.table import Table
from assay.server.runs import RunQuery
from tests.unit.server.test_index import SORTS, row, rows_of, table_of, unique

pytestmark = pytest.mark.unit

NAMESPACES = ("a", "b", "c")
FILTERS = ["", "params.a == 1", "phase == 'Running' || owner == 'nina'", "created > '2026-01-01T10:30:00Z'",
           "metrics.a.last > 0.5", "params.nothing == 1", "params.a + 1 > 1", "labels.exists(k, k == 'a')"]  # fmt: skip
teams = st.dictionaries(st.sampled_from(NAMESPACES), st.lists(rows_of, max_size=6).map(unique))


def asked(where: str = "", sort: str = "", *, reverse: bool = False, offset: int = 0, limit: int = 100) -> RunQuery:
    return {"experiment": "", "where": where, "sort": sort, "reverse": reverse, "offset": offset, "limit": limit,
            "archived": False, "fresh": "live", "names": True}  # fmt: skip


def page_of(rows: Sequence[RunRow], query: RunQuery) -> tuple[list[Any], int, str] | str:
    """Return a page, how many rows match, and their names as JSON, looking at one row after the other; or the error."""
    try:
        condition = Filter(query["where"]) if query["where"] else None
        found = [each for each in rows if condition is None or condition.matches(each)]
        if condition and rows:
            condition.check()
        names = Names(found)
        ordered = run_columns.sort(found, query["sort"] or "created", names, reverse=query["reverse"])
    except AssayError as error:
        return error.message
    page = ordered[query["offset"] : query["offset"] + query["limit"]]
    return [without_duration(each) for each in page], len(found), json.dumps(names.summary())


def by_row(team: dict[str, list[RunRow]], query: RunQuery) -> Any:
    """Return what `assay runs -A` finds row by row, or its error."""
    rows: list[NamespacedRow] = []
    for namespace, some in sorted(team.items()):
        rows += [in_namespace(each, namespace) for each in timed(sorted(some, key=lambda each: each["name"]))]
    page = page_of(rows, query)
    return page if isinstance(page, str) else (*page[:2], json.loads(page[2]))


def searched(tables: dict[str, Table]) -> list[Searched]:
    return [Searched(table, name) for name, table in tables.items()]


def by_tables(tables: dict[str, Table], query: RunQuery) -> Any:
    """Return what the index finds, or its error."""
    try:
        found = everywhere.search(searched(tables), query)
    except AssayError as error:
        return error.message
    return (
        [without_duration(each) for each in found.items], found.total, json.loads(json.dumps(found.names.summary()))
    )  # fmt: skip


def without_duration(row: RunRow) -> Any:
    """Leave out what depends on the time of the answer."""
    return {**row, "duration": None}


@settings(max_examples=100)
@given(
    teams,
    st.builds(
        asked,
        st.sampled_from(FILTERS),
        st.sampled_from([each for each in SORTS if each != "duration"]),
        reverse=st.booleans(),
        offset=st.integers(0, 3),
        limit=st.integers(0, 5),
    ),
)
def test_pages_are_those_of_all_rows_in_one_list(team: dict[str, list[RunRow]], query: RunQuery) -> None:
    tables = {namespace: table_of(rows) for namespace, rows in sorted(team.items())}
    assert by_tables(tables, query) == by_row(team, query)


def test_equal_names_and_values_are_sorted_by_namespace() -> None:
    tables = {namespace: table_of([row("r", depth=1), row("s", depth=1)]) for namespace in NAMESPACES}
    found = everywhere.search(searched(tables), asked(sort="params.depth", reverse=True, limit=4)).items
    assert [(each["name"], each["namespace"]) for each in found] == [("r", "a"), ("r", "b"), ("r", "c"), ("s", "a")]
    assert next(iter(found[0])) == "namespace"


def test_a_filter_may_read_what_one_namespace_has() -> None:
    tables = {"a": table_of([row("r", depth=1)]), "b": table_of([row("r", width=2)])}
    assert everywhere.search(searched(tables), asked("params.width == 2")).total == 1
    with pytest.raises(AssayError, match=r"no run has params\.heigth"):
        everywhere.search(searched(tables), asked("params.heigth == 2"))
    summary = everywhere.search(searched(tables), asked()).names.summary()
    assert summary["keys"]["parameters"] == summary["differing"] == ["depth", "width"]
