"""The values of one path in little memory: only rows that have one, each number in the smallest type that is exact.

Changes are appended to a log, which is merged when somebody reads the column or the log becomes long. Columns whose
values belong to the same rows share one array of row numbers. A number takes one to eight bytes, and a kind none where
all values have the same.
"""

from __future__ import annotations

import threading
from array import array
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

import numpy
from numpy.typing import NDArray

Kinds = NDArray[numpy.uint8]
Numbers = NDArray[numpy.float64]
Mask = NDArray[numpy.bool_]
Rows = NDArray[numpy.int64]

#: Kinds of values. A BIG value is one that a column cannot hold exactly. A TIME is a text with a whole second in UTC,
#: whose number is that second. The last two only occur in evaluations.
MISSING, NULL, BOOL, INT, DOUBLE, STRING, MAP, LIST, BIG, TIME, ERROR, UNKNOWN = range(12)
#: Bits of a kind.
TAG: Final = 4
#: Integers that a double holds exactly.
EXACT: Final = 1 << 53
#: The log is merged from this length on, and when it has half as many entries as the column has values.
_LONG: Final = 256
#: A column is dense if at least three in four rows up to its last have a value: row numbers would take more than gaps.
_DENSE: Final = 0.75
#: Types of numbers, smallest first.
_TYPES: Final = (numpy.uint8, numpy.int16, numpy.int32, numpy.uint32)


class Vector(NamedTuple):
    """The values of one path, or of an expression, for all rows."""

    kind: Kinds
    number: Numbers


class _Held(NamedTuple):
    """Values by row: ``rows`` is sorted, None if the values are those of row 0, 1, 2, ….

    ``kind`` is a single one if all values have it; ``number`` is None if all are 0.
    """

    rows: NDArray[numpy.int32] | None
    kind: Kinds | int
    number: NDArray[numpy.generic] | None
    length: int


_NOTHING: Final = _Held(numpy.zeros(0, dtype=numpy.int32), MISSING, None, 0)


class Column:
    """The values of one path."""

    __slots__ = ("_held", "_limit", "_numbers", "_tags")

    def __init__(self) -> None:
        self._held = _NOTHING
        self._tags, self._numbers, self._limit = array("q"), array("d"), _LONG

    def put(self, row: int, kind: int, number: float) -> None:
        """Set the value of a row; MISSING removes it."""
        self.add(row << TAG | kind, number)

    def add(self, tag: int, number: float) -> None:
        """Set the value of a row: ``tag`` is ``row << TAG | kind``."""
        self._tags.append(tag)
        self._numbers.append(number)
        if len(self._tags) > self._limit:
            self.merge()

    def vector(self, size: int) -> Vector:
        """Return the values of the first ``size`` rows. The arrays must not be changed."""
        self.merge()
        rows, kinds, numbers, count = self._held
        if rows is None and count >= size:
            kind = numpy.full(size, kinds, dtype=numpy.uint8) if isinstance(kinds, int) else kinds[:size]
            return Vector(
                kind, numpy.zeros(size) if numbers is None else numbers[:size].astype(numpy.float64, copy=False)
            )
        at: slice | NDArray[numpy.int32] = slice(0, count) if rows is None else rows
        kind, number = numpy.zeros(size, dtype=numpy.uint8), numpy.zeros(size)
        kind[at] = kinds
        if numbers is not None:
            number[at] = numbers
        return Vector(kind, number)

    def at(self, rows: NDArray[numpy.int32], places: dict[int, Rows]) -> tuple[Kinds | int, NDArray[numpy.generic]]:
        """Return kinds, or the kind of all, and numbers of some rows, which must all have a value.

        ``places`` keeps where the rows are in arrays of row numbers, for other columns.
        """
        self.merge()
        held, kinds, numbers, _ = self._held
        at: NDArray[numpy.int32] | Rows = rows
        if held is not None:
            known = places.get(id(held))
            at = places[id(held)] = numpy.searchsorted(held, rows) if known is None else known
        kind = kinds if isinstance(kinds, int) else kinds[at]
        return kind, numpy.zeros(len(rows)) if numbers is None else numbers[at]

    def any(self, mask: Mask) -> bool:
        """Whether any of the rows that a mask selects has a value."""
        self.merge()
        rows, kinds, _, count = self._held
        chosen = mask[:count] if rows is None else mask[rows]
        if isinstance(kinds, int):
            return kinds != MISSING and bool(chosen.any())
        return bool((chosen & (kinds[: len(chosen)] != MISSING)).any())

    def merge(self) -> None:
        """Bring what the log has into the arrays."""
        if not self._tags:
            return
        tags, numbers = numpy.array(self._tags), numpy.array(self._numbers)
        rows, kinds = (tags >> TAG).astype(numpy.int32), (tags & ((1 << TAG) - 1)).astype(numpy.uint8)
        self._tags, self._numbers = array("q"), array("d")
        held = self._held
        if held.length:
            known = numpy.arange(held.length, dtype=numpy.int32) if held.rows is None else held.rows
            before = numpy.zeros(held.length) if held.number is None else held.number
            kind = numpy.full(held.length, held.kind, dtype=numpy.uint8) if isinstance(held.kind, int) else held.kind
            rows, kinds = numpy.concatenate((known, rows)), numpy.concatenate((kind, kinds))
            numbers = numpy.concatenate((before, numbers))
        if len(rows) > 1 and not (rows[1:] > rows[:-1]).all():
            order = numpy.argsort(rows, kind="stable")
            rows = rows[order]
            # Of several entries of a row, the last one counts.
            last = numpy.append(rows[1:] != rows[:-1], True)
            rows, order = rows[last], order[last]
            kinds, numbers = kinds[order], numbers[order]
        alive = kinds != MISSING
        if not alive.all():
            rows, kinds, numbers = rows[alive], kinds[alive], numbers[alive]
        self._held = _held(rows, kinds, numbers)
        self._limit = max(_LONG, self._held.length // 2)


def _held(rows: NDArray[numpy.int32], kinds: Kinds, numbers: Numbers) -> _Held:
    """Return sorted values in as little memory as possible."""
    if not len(rows):
        return _NOTHING
    room = int(rows[-1]) + 1
    if len(rows) >= _DENSE * room:
        if len(rows) < room:
            wide, more = numpy.zeros(room, dtype=numpy.uint8), numpy.zeros(room)
            wide[rows], more[rows] = kinds, numbers
            kinds, numbers = wide, more
        return _Held(None, _uniform(kinds), _smallest(numbers), room)
    return _Held(_shared(rows), _uniform(kinds), _smallest(numbers), len(rows))


def _uniform(kinds: Kinds) -> Kinds | int:
    return int(kinds[0]) if (kinds == kinds[0]).all() else kinds


def _smallest(numbers: Numbers) -> NDArray[numpy.generic] | None:
    """Return numbers in the smallest type that holds all of them exactly, None if all are 0."""
    if numpy.signbit(numbers[numbers == 0]).any():
        return numbers
    if not numbers.any():
        return None
    low, high = numbers.min(), numbers.max()
    for kind in _TYPES:
        limits = numpy.iinfo(kind)
        if low >= limits.min and high <= limits.max:
            small = numbers.astype(kind)
            return small if (small == numbers).all() else numbers
    return numbers


#: Arrays of row numbers that some column has, by their contents; tables of several threads share them.
_LOCK: Final = threading.Lock()
_ROWS: Final[WeakValueDictionary[tuple[int, int], NDArray[numpy.int32]]] = WeakValueDictionary()


def _shared(rows: NDArray[numpy.int32]) -> NDArray[numpy.int32]:
    """Return the array with these row numbers that another column has, else this one."""
    key = len(rows), hash(rows.tobytes())
    with _LOCK:
        known = _ROWS.get(key)
        if known is None or not numpy.array_equal(known, rows):
            known = _ROWS[key] = rows
    return known
