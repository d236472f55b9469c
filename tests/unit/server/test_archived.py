"""Runs of the cluster and of the archive in one order: as on all their rows, one after the other."""

import json
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api.errors import AssayError
from assay.queries.runs.rows import RunRow, timed
from assay.server.index import everywhere
from assay.server.index.archived import ArchivedTable
from assay.server.index.everywhere import Searched
from tests.unit.server.test_everywhere import FILTERS, asked, page_of, without_duration
from tests.unit.server.test_index import SORTS, rows_of, table_of, unique

pytestmark = pytest.mark.unit

#: Names and folders in which one is the beginning of another, and names that are used again.
archived_rows = st.builds(
    lambda row, name, folder, uid: {**row, "name": name, "experiment": folder, "uid": uid, "archived": True},
    rows_of,
    st.sampled_from(["r-1", "r-1-0", "r-1.0", "r-2"]),
    st.sampled_from(["", "e", "e-1", "e.1"]),
    st.sampled_from(["u-1", "u-2"]),
)


def listed(row: RunRow) -> tuple[str, str, str]:
    """Return what the store sorts by: its folders end with a slash."""
    return f"{row['experiment'] or '_'}/", f"{row['name']}/", f"{row['uid']}/"


@settings(max_examples=100)
@given(
    st.lists(rows_of, max_size=6).map(unique),
    st.lists(archived_rows, max_size=8, unique_by=listed),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.sampled_from(FILTERS),
    st.sampled_from(SORTS),
    st.booleans(),
    st.integers(0, 3),
)
def test_the_archive_comes_after_the_cluster(
    live: list[RunRow], gone: list[RunRow], among: list[bool], where: str, sort: str, reverse: bool, offset: int
) -> None:
    query = asked(where, sort, reverse=reverse, offset=offset, limit=7)
    archive = ArchivedTable()
    archive.put([(0, row) for row in gone])
    counted = [row for row, counts in zip(gone, among, strict=False) if counts]
    mask = numpy.array(among[: len(gone)], dtype=bool)
    try:
        found = everywhere.search([Searched(table_of(live)), Searched(archive, among=mask)], query)
        answer: Any = (
            [without_duration(each) for each in found.items], found.total, json.dumps(found.names.summary())
        )  # fmt: skip
    except AssayError as error:
        answer = error.message
    rows = sorted(live, key=lambda row: row["name"]) + sorted(counted, key=listed)
    assert answer == page_of(timed(rows), query)
