"""Encoded rows that are kept: never older than the row, and never more than fit."""

from typing import Any

import pytest

from assay.queries.runs.rows import RunRow
from assay.server.index.encoded import Encoded
from assay.server.index.searching import View
from assay.server.index.table import Table
from tests.unit.server.test_index import row

pytestmark = pytest.mark.unit


class Asked:
    """What a table answers through the rows that are kept, and how many were made for it."""

    def __init__(self, table: Table, most: int = 1 << 20) -> None:
        self._table, self._encoded, self.made = table, Encoded(most), 0
        self.shown = self._shown

    def _shown(self, row: RunRow) -> bytes:
        self.made += 1
        return f"{row['name']}={row['parameters'].get('a')}".encode()

    def rows(self, *names: str) -> list[Any]:
        by_name = {self._table.name(number): number for number in self._table.ordered().tolist()}
        return self._encoded.rows(View(self._table), [by_name[name] for name in names], (), self.shown)


@pytest.fixture
def table() -> Table:
    found = Table()
    found.put([(version, row(f"r-{version}", a=version)) for version in range(1, 6)])
    return found


def test_a_row_is_made_once(table: Table) -> None:
    asked = Asked(table)
    assert asked.rows("r-2", "r-1") == [b"r-2=2", b"r-1=1"]
    assert asked.rows("r-1", "r-3", "r-2") == [b"r-1=1", b"r-3=3", b"r-2=2"]
    assert asked.made == 3


def test_a_change_a_deletion_and_a_new_run_in_the_same_place_are_seen(table: Table) -> None:
    asked = Asked(table)
    asked.rows("r-1", "r-2")
    table.put([(9, row("r-1", a="changed"))])
    table.remove("r-2")
    table.put([(10, row("r-9", a="new"))])
    assert asked.rows("r-1", "r-9") == [b"r-1=changed", b"r-9=new"]


def test_other_answers_have_their_own(table: Table) -> None:
    asked = Asked(table)
    asked.rows("r-1")
    asked.shown = lambda row: row["name"].encode()
    assert asked.rows("r-1") == [b"r-1"]


def test_tables_have_their_own(table: Table) -> None:
    asked, other = Asked(table), Table()
    other.put([(1, row("r-1", a="other"))])
    asked.rows("r-1")
    asked._table = other
    assert asked.rows("r-1") == [b"r-1=other"]


def test_the_oldest_make_place(table: Table) -> None:
    asked = Asked(table, most=15)  # three of them
    for names in (("r-1", "r-2", "r-3"), ("r-1",), ("r-4",)):
        asked.rows(*names)
    assert asked.made == 4
    asked.rows("r-1", "r-3", "r-4")
    assert asked.made == 4
    asked.rows("r-2")
    assert asked.made == 5
