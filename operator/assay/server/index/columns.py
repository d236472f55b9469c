"""Rows as columns: for each path of a row the kind of its value, and a number.

The number of a string is its code in a table of strings, which all columns share. Maps and lists have a kind and no
number; whoever needs them reads the row. A path that few rows have is kept as a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy
from numpy.typing import NDArray

from assay.planning.promotion.expression_tree import Path

Kinds = NDArray[numpy.uint8]
Numbers = NDArray[numpy.float64]

#: Kinds of values. A BIG value is one that a column cannot hold exactly. The last two only occur in evaluations.
MISSING, NULL, BOOL, INT, DOUBLE, STRING, MAP, LIST, BIG, ERROR, UNKNOWN = range(11)
#: Integers that a double holds exactly.
_EXACT: Final = 1 << 53
#: Deeper values are read from the row.
_DEPTH: Final = 4
DEEPEST: Final = _DEPTH + 1
#: A path becomes a dense column when at least one row in this many has it.
_DENSE_SHARE, _DENSE_ROWS = 64, 32


class Vector(NamedTuple):
    """The values of one path, or of an expression, for all rows."""

    kind: Kinds
    number: Numbers


class Strings:
    """The table of strings. Code 0 is the empty string."""

    def __init__(self) -> None:
        self.texts: list[str] = [""]
        self._codes: dict[str, int] = {"": 0}

    def code(self, text: str) -> int:
        """Return the code of a string, which is added if it is new."""
        found = self._codes.get(text)
        if found is None:
            found = self._codes[text] = len(self.texts)
            self.texts.append(text)
        return found

    def known(self, text: str) -> int:
        """Return the code of a string, -1 if no row has it."""
        return self._codes.get(text, -1)


def ranked(codes: NDArray[numpy.int64], text_of: Callable[[int], str]) -> NDArray[numpy.int64]:
    """Return the place of each code in the order of their strings."""
    unique, inverse = numpy.unique(codes, return_inverse=True)
    texts = [text_of(code) for code in unique.tolist()]
    places = numpy.empty(len(unique), dtype=numpy.int64)
    places[sorted(range(len(texts)), key=texts.__getitem__)] = numpy.arange(len(unique))
    found: NDArray[numpy.int64] = places[inverse]
    return found


class Column:
    """The values of one path. ``present`` rows have one."""

    def __init__(self) -> None:
        self.present = 0
        self._few: dict[int, tuple[int, float]] | None = {}
        self._kind: Kinds = numpy.zeros(0, dtype=numpy.uint8)
        self._number: Numbers | None = None

    def put(self, rows: Sequence[int], kinds: Sequence[int], numbers: Sequence[float], size: int) -> None:
        """Set values. ``size`` is the number of rows that there is room for."""
        if self._few is not None:
            for row, kind, number in zip(rows, kinds, numbers, strict=True):
                self._few[row] = (kind, number)
            self.present = len(self._few)
            if self.present > max(_DENSE_ROWS, size // _DENSE_SHARE):
                self._thicken(size)
            return
        self._grow(size)
        at = numpy.asarray(rows)
        self.present += int(numpy.count_nonzero(self._kind[at] == MISSING))
        self._kind[at] = kinds
        if self._number is None and any(numbers):
            self._number = numpy.zeros(len(self._kind))
        if self._number is not None:
            self._number[at] = numbers

    def remove(self, row: int) -> None:
        """Remove the value of a row, if it has one."""
        if self._few is not None:
            self._few.pop(row, None)
            self.present = len(self._few)
        elif row < len(self._kind) and self._kind[row] != MISSING:
            self._kind[row] = MISSING
            self.present -= 1
            if self._number is not None:
                self._number[row] = 0.0

    def vector(self, size: int) -> Vector:
        """Return the values of the first ``size`` rows. The arrays must not be changed."""
        if self._few is None and len(self._kind) >= size:
            number = numpy.zeros(size) if self._number is None else self._number[:size]
            return Vector(self._kind[:size], number)
        kind, number = numpy.zeros(size, dtype=numpy.uint8), numpy.zeros(size)
        if self._few is not None:
            for row, (one, value) in self._few.items():
                kind[row], number[row] = one, value
        else:
            kind[: len(self._kind)] = self._kind
            if self._number is not None:
                number[: len(self._number)] = self._number
        return Vector(kind, number)

    def any(self, rows: NDArray[numpy.int64], mask: NDArray[numpy.bool_]) -> bool:
        """Whether any of the rows has a value. ``mask`` selects the same rows."""
        if self._few is not None:
            return any(mask[row] for row in self._few)
        inside = rows[rows < len(self._kind)] if len(rows) and rows.max() >= len(self._kind) else rows
        return bool(self._kind[inside].any())

    def _thicken(self, size: int) -> None:
        found = self.vector(size)
        self._kind, self._number, self._few = found.kind, found.number, None

    def _grow(self, size: int) -> None:
        if size > len(self._kind):
            more = size - len(self._kind)
            self._kind = numpy.concatenate((self._kind, numpy.zeros(more, dtype=numpy.uint8)))
            if self._number is not None:
                self._number = numpy.concatenate((self._number, numpy.zeros(more)))


class Node:
    """One path, with the values that are not yet in its column."""

    __slots__ = ("children", "kinds", "numbers", "path", "rows")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.children: dict[str, Node] = {}
        self.rows: list[int] = []
        self.kinds: list[int] = []
        self.numbers: list[float] = []

    def child(self, key: str) -> Node:
        """Return the node of a key."""
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = Node((*self.path, key))
        return found

    def add(self, row: int, kind: int, number: float) -> None:
        """Note the value of a row."""
        self.rows.append(row)
        self.kinds.append(kind)
        self.numbers.append(number)


class Columns:
    """All columns, by path, and the tree of their paths."""

    def __init__(self) -> None:
        self.strings = Strings()
        self.by_path: dict[Path, Column] = {}
        self.root = Node(())

    def put(self, row: int, value: Any, node: Node) -> None:
        """Note a value of a row, and everything in it, for the next ``flush``. The row must have none there."""
        if isinstance(value, str):
            node.add(row, STRING, self.strings.code(value))
        elif isinstance(value, float):
            node.add(row, DOUBLE, value)
        elif value is None:
            node.add(row, NULL, 0.0)
        elif isinstance(value, bool):
            node.add(row, BOOL, float(value))
        elif isinstance(value, int):
            node.add(
                row, INT if -_EXACT <= value <= _EXACT else BIG, float(value) if -_EXACT <= value <= _EXACT else 0.0
            )
        elif isinstance(value, dict):
            if len(node.path) > _DEPTH:
                node.add(row, BIG, 0.0)
                return
            node.add(row, MAP, 0.0)
            for key, each in value.items():
                self.put(row, each, node.child(key))
        else:
            node.add(row, LIST, 0.0)

    def flush(self, size: int) -> None:
        """Write what was noted into the columns. ``size`` is the number of rows that there is room for."""
        pending = [self.root]
        while pending:
            node = pending.pop()
            pending += node.children.values()
            if not node.rows:
                continue
            column = self.by_path.get(node.path)
            if column is None:
                column = self.by_path[node.path] = Column()
            column.put(node.rows, node.kinds, node.numbers, size)
            node.rows, node.kinds, node.numbers = [], [], []

    def paths(self, value: Any, node: Node) -> Iterator[Path]:
        """Yield the paths that a value has, which was put at a node."""
        yield node.path
        if isinstance(value, dict) and len(node.path) <= _DEPTH:
            for key, each in value.items():
                yield from self.paths(each, node.child(key))

    def remove(self, row: int, paths: Iterable[Path]) -> None:
        """Remove the values of a row at paths."""
        for path in paths:
            if (column := self.by_path.get(path)) is not None:
                column.remove(row)

    def vector(self, path: Path, size: int) -> Vector:
        """Return the values at a path; all MISSING if no row has it."""
        column = self.by_path.get(path)
        if column is None:
            return Vector(numpy.zeros(size, dtype=numpy.uint8), numpy.zeros(size))
        return column.vector(size)

    def below(self, path: Path) -> list[str]:
        """Return the keys that maps at a path ever had."""
        node = self.root
        for key in path:
            if key not in node.children:
                return []
            node = node.children[key]
        return list(node.children)
