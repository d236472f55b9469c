"""The runs of one namespace: columns to search, and each row packed, to show it.

A table is not safe for threads: see ``feed``.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy
from numpy.typing import NDArray

from assay.planning.conditions import parse_time
from assay.queries.runs.filters import floats
from assay.queries.runs.rows import RunRow
from assay.server.index.columns import Columns

#: Not searched: unique for each run, and no variable of filters.
_LEFT_OUT: Final = ("uid", "duration")
#: Times as seconds, beside their texts, to sort by them and to compute durations.
TIMES: Final = ("created", "started", "completed")
_FIRST_ROOM: Final = 1024

Rows = NDArray[numpy.int64]
Mask = NDArray[numpy.bool_]


class Table:
    """Rows by name. ``changes`` grows with each change."""

    def __init__(self) -> None:
        self.columns = Columns()
        self.changes = 0
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._versions: list[int] = []
        self._packed: list[bytes] = []
        self._free: list[int] = []
        self._order: list[int] = []
        self._ordered: Rows = numpy.zeros(0, dtype=numpy.int64)
        self._unordered = False
        self._room = 0
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

    def put(self, rows: Sequence[tuple[int, RunRow]]) -> None:
        """Add or replace runs: each with its resource version. The durations of the rows are ignored."""
        self.changes += 1
        for version, row in {row["name"]: (version, row) for version, row in rows}.values():
            number = self._place(row["name"])
            self._versions[number] = version
            self._packed[number] = self._pack(row)
            for key, value in _searched(row):
                self.columns.put(number, value, self.columns.root.child(key))
        self.columns.flush(self._room)

    def remove(self, name: str) -> None:
        """Remove a run, if there is one."""
        number = self._numbers.pop(name, None)
        if number is None:
            return
        self.changes += 1
        self._clear(number)
        self._packed[number] = b""
        self._free.append(number)
        self._unordered = True

    def row(self, number: int) -> RunRow:
        """Return one row, without its duration."""
        found: RunRow = json.loads(self._unpack(self._packed[number]))
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
            if number >= self._room:
                self._room = max(_FIRST_ROOM, self._room + self._room // 2)
        self._numbers[name] = number
        self._order.append(number)
        self._unordered = True
        return number

    def _clear(self, number: int) -> None:
        """Remove all values of a row from the columns."""
        for key, value in _searched(self.row(number)):
            self.columns.remove(number, self.columns.paths(value, self.columns.root.child(key)))

    # Rows, packed

    def _pack(self, row: RunRow) -> bytes:
        data = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
        # Runs resemble each other, so the first one serves as dictionary for all.
        self._sample = self._sample or data
        packer = zlib.compressobj(level=1, wbits=-15, zdict=self._sample)
        return packer.compress(data) + packer.flush()

    def _unpack(self, packed: bytes) -> str:
        return zlib.decompressobj(wbits=-15, zdict=self._sample).decompress(packed).decode(errors="surrogatepass")


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
    """Yield the fields that have columns: those of the row, and its times in seconds."""
    for key, value in row.items():
        if key not in _LEFT_OUT:
            yield key, floats(value) if key == "metrics" else value
    for key in TIMES:
        moment = parse_time(row[key])  # type: ignore[literal-required]
        yield f"#{key}", moment.timestamp() if moment else None
