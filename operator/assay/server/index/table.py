"""The runs of one namespace: columns to search, and what columns do not have of each row packed, to show it.

Metrics are most of a run, and only in columns. A table is not safe for threads: see ``feed``.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import numpy
from pydantic_core import from_json

from assay.queries.runs.rows import RunRow
from assay.server.index.column import Rows
from assay.server.index.columns import Columns
from assay.server.index.summaries import Summaries

#: Not searched: unique for each run, and no variable of filters.
_LEFT_OUT: Final = ("uid", "duration")
#: Kept as seconds, to sort by them and to compute durations.
TIMES: Final = ("created", "started", "completed")
#: The names of removed rows that are kept.
_MOST_REMOVED: Final = 10_000


class Table:
    """Rows by name. ``changes`` grows with each change, ``removals`` with each row that is removed."""

    def __init__(self) -> None:
        self.columns = Columns()
        self.changes = self.removals = 0
        self._removed: deque[str] = deque(maxlen=_MOST_REMOVED)
        self._summaries = Summaries(self.columns)
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._versions = array("q")
        self._packed: list[bytes] = []
        self._free: list[int] = []
        self._order: list[int] = []
        self._ordered: Rows = numpy.zeros(0, dtype=numpy.int64)
        self._unordered = False
        self._sample = b""

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def size(self) -> int:
        """The number of rows that vectors have, including those of deleted runs."""
        return len(self._names)

    def versions(self) -> dict[str, int]:
        """Return the resource version of each run by name."""
        return {name: self._versions[number] for name, number in self._numbers.items()}

    def version(self, name: str) -> int | None:
        """Return the resource version of a run, None if there is none."""
        number = self._numbers.get(name)
        return None if number is None else self._versions[number]

    def version_at(self, number: int) -> int:
        """Return the resource version of the run with a number."""
        return self._versions[number]

    def key(self, row: RunRow) -> str:
        """Return what identifies a row, and sorts it."""
        return row["name"]

    def name(self, number: int) -> str:
        """Return the name of a run."""
        return self._names[number]

    def reversed(self, rows: Rows) -> Rows:
        """Return rows that are sorted by name in the reverse order of names."""
        return rows[::-1]

    def as_listed(self, rows: Rows) -> Rows:
        """Return rows that are sorted by name in the order in which their source lists them."""
        return rows

    def unpacked(self, name: str) -> RunRow:
        """Return what columns do not have of a run that is there: its UID, for example."""
        return self._left(self._numbers[name])

    def removed_since(self, removals: int) -> frozenset[str] | None:
        """Return the names that were removed since there were so many removals, None if that was too long ago."""
        new = self.removals - removals
        return frozenset(islice(reversed(self._removed), new)) if new <= len(self._removed) else None

    def put(self, rows: Sequence[tuple[int, RunRow]]) -> None:
        """Add or replace runs: each with its resource version. The durations of the rows are ignored."""
        self.changes += 1
        for key, (version, row) in {self.key(row): (version, row) for version, row in rows}.items():
            number = self._place(key)
            self._versions[number] = version
            self._packed[number] = self._pack(self._put(number, row))

    def _put(self, number: int, row: RunRow) -> RunRow:
        """Put a row into the columns, and return what they do not have of it."""
        root = self.columns.root
        for key, value in _searched(row):
            if key in TIMES:
                self.columns.put_time(number, value, root.child(key))
            else:
                self.columns.put(number, value, root.child(key))
        return {**row, "metrics": self._summaries.put(number, row["metrics"])}

    def settle(self) -> None:
        """Take as little memory as possible, after many runs were put."""
        self.columns.settle()

    def remove(self, name: str) -> None:
        """Remove a run, if there is one."""
        number = self._numbers.pop(name, None)
        if number is None:
            return
        self.changes += 1
        self.removals += 1
        self._removed.append(name)
        self._clear(number)
        self._packed[number] = b""
        self._free.append(number)
        self._unordered = True

    def row(self, number: int) -> RunRow:
        """Return one row, without its duration."""
        return self.rows([number])[0]

    def rows(self, numbers: Sequence[int], parts: Collection[str] = ()) -> list[RunRow]:
        """Return rows, without their durations. ``parts`` are the values of metrics that they need, all if empty."""
        found = [self._left(number) for number in numbers]
        self._summaries.restore(numbers, [row["metrics"] for row in found], parts)
        return found

    def _left(self, number: int) -> RunRow:
        data = zlib.decompressobj(wbits=-15, zdict=self._sample).decompress(self._packed[number])
        try:
            found: RunRow = from_json(data)  # takes less than half the time of json's
        except ValueError:  # a text that is no UTF-8
            found = json.loads(data.decode(errors="surrogatepass"))
        return found

    def ordered(self) -> Rows:
        """Return the numbers of all rows, sorted by name. The array must not be changed."""
        if self._unordered:
            alive = set(self._numbers.values())
            # A number may be that of a deleted run and of a new one.
            known = [number for number in dict.fromkeys(self._order) if number in alive]
            # Almost sorted already, which the sort makes use of.
            self._order = sorted(known, key=self._names.__getitem__)
            self._unordered = False
            self._ordered = numpy.asarray(self._order, dtype=numpy.int64)
        return self._ordered

    def _place(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is not None:
            self._clear(number)
            return number
        if self._free:
            number = self._free.pop()
            self._names[number] = name
        else:
            number = len(self._names)
            self._names.append(name)
            self._versions.append(0)
            self._packed.append(b"")
        self._numbers[name] = number
        self._order.append(number)
        self._unordered = True
        return number

    def _clear(self, number: int) -> None:
        """Remove all values of a row from the columns."""
        row = self._left(number)
        for key, value in _searched(row):
            self.columns.remove(number, value, self.columns.root.child(key))
        self._summaries.remove(number, row["metrics"])

    # Rows, packed

    def _pack(self, row: RunRow) -> bytes:
        data = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
        # Runs resemble each other, so the first one serves as dictionary for all.
        self._sample = self._sample or data
        packer = zlib.compressobj(level=1, wbits=-15, zdict=self._sample)
        return packer.compress(data) + packer.flush()


def packed(rows: Iterable[tuple[int, RunRow]], table: Table, batch: int = 500) -> None:
    """Put many rows into a table, in batches."""
    pending: list[tuple[int, RunRow]] = []
    for each in rows:
        pending.append(each)
        if len(pending) == batch:
            table.put(pending)
            pending = []
    table.put(pending)


def _searched(row: RunRow) -> Iterator[tuple[str, Any]]:
    """Yield the fields that have columns, except for metrics."""
    for key, value in row.items():
        if key not in _LEFT_OUT and key != "metrics":
            yield key, value
