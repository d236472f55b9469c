"""Rows as columns: for each path of a row the kind of its value, and a number.

The number of a string is its code in a table of strings, which all columns share. Maps and lists have a kind and no
number; whoever needs them reads the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy
from numpy.typing import NDArray

from assay.planning.conditions import parse_time
from assay.planning.promotion.expression_tree import Path
from assay.server.index.column import (
    BIG,
    BOOL,
    DOUBLE,
    EXACT,
    INT,
    LIST,
    MAP,
    MISSING,
    NULL,
    STRING,
    TIME,
    Column,
    Mask,
    Vector,
)

#: Deeper values are read from the row.
_DEPTH: Final = 4
DEEPEST: Final = _DEPTH + 1


class Strings:
    """The table of strings. Code 0 is the empty string."""

    def __init__(self) -> None:
        self._texts: list[str] = [""]
        self._codes: dict[str, int] = {"": 0}

    def __len__(self) -> int:
        return len(self._texts)

    def code(self, text: str) -> int:
        """Return the code of a string, which is added if it is new."""
        found = self._codes.get(text)
        if found is None:
            found = self._codes[text] = len(self._texts)
            self._texts.append(text)
        return found

    def known(self, text: str) -> int:
        """Return the code of a string, -1 if there is none."""
        return self._codes.get(text, -1)

    def text(self, code: int) -> str:
        """Return the string of a code."""
        return self._texts[code]


class MoreStrings(Strings):
    """A table of strings and, for as long as a question takes, others: those of its expression, and times as texts."""

    def __init__(self, strings: Strings) -> None:
        self._strings, self._begin = strings, len(strings)
        self._texts, self._codes = [], {}

    def __len__(self) -> int:
        return self._begin + len(self._texts)

    def code(self, text: str) -> int:
        """Return the code of a string, which is added if it is new."""
        found = self.known(text)
        if found < 0:
            found = self._codes[text] = self._begin + len(self._texts)
            self._texts.append(text)
        return found

    def known(self, text: str) -> int:
        """Return the code of a string, -1 if there is none."""
        found = self._strings.known(text)
        return found if found >= 0 else self._codes.get(text, -1)

    def text(self, code: int) -> str:
        """Return the string of a code."""
        return self._strings.text(code) if code < self._begin else self._texts[code - self._begin]


def ranked(codes: NDArray[numpy.int64], text_of: Callable[[int], str]) -> NDArray[numpy.int64]:
    """Return the place of each code in the order of their strings."""
    unique, inverse = numpy.unique(codes, return_inverse=True)
    texts = [text_of(code) for code in unique.tolist()]
    places = numpy.empty(len(unique), dtype=numpy.int64)
    places[sorted(range(len(texts)), key=texts.__getitem__)] = numpy.arange(len(unique))
    found: NDArray[numpy.int64] = places[inverse]
    return found


class Node:
    """One path: its column, and the paths below it."""

    __slots__ = ("children", "column", "depth")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.children: dict[str, Node] = {}
        self.column = Column()

    def child(self, key: str) -> Node:
        """Return the node of a key."""
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = Node(self.depth + 1)
        return found


class Columns:
    """All columns, as a tree of their paths."""

    def __init__(self) -> None:
        self.strings = Strings()
        self.root = Node(0)

    def put(self, row: int, value: Any, node: Node) -> None:
        """Set a value of a row, and everything in it. The row must have no other there."""
        if isinstance(value, dict):
            if node.depth > _DEPTH:
                node.column.put(row, BIG, 0.0)
                return
            node.column.put(row, MAP, 0.0)
            for key, each in value.items():
                self.put(row, each, node.child(key))
        else:
            node.column.put(row, *self._encoded(value))

    def _encoded(self, value: Any) -> tuple[int, float]:
        """Return the kind and the number of a value that is no map."""
        if isinstance(value, str):
            return STRING, self.strings.code(value)
        if isinstance(value, float):
            return DOUBLE, value
        if value is None:
            return NULL, 0.0
        if isinstance(value, bool):
            return BOOL, float(value)
        if isinstance(value, int):
            return (INT, float(value)) if -EXACT <= value <= EXACT else (BIG, 0.0)
        return LIST, 0.0

    def put_time(self, row: int, text: str, node: Node) -> None:
        """Set a time of a row. Most are different texts, so a whole second is kept as a number."""
        moment = second_of(text)
        if moment is None:
            node.column.put(row, STRING, self.strings.code(text))
        else:
            node.column.put(row, TIME, moment)

    def remove(self, row: int, value: Any, node: Node) -> None:
        """Remove a value of a row, and everything in it."""
        node.column.put(row, MISSING, 0.0)
        if isinstance(value, dict) and node.depth <= _DEPTH:
            for key, each in value.items():
                self.remove(row, each, node.child(key))

    def settle(self) -> None:
        """Take as little memory as possible, after many rows were put."""
        for node in self._nodes():
            node.column.merge()

    def _nodes(self) -> Iterator[Node]:
        pending = [self.root]
        while pending:
            node = pending.pop()
            pending += node.children.values()
            yield node

    def column(self, path: Path) -> Column | None:
        """Return the column of a path, None if no row ever had it."""
        node = self.root
        for key in path:
            found = node.children.get(key)
            if found is None:
                return None
            node = found
        return node.column

    def vector(self, path: Path, size: int) -> Vector:
        """Return the values at a path; all MISSING if no row has it."""
        return (self.column(path) or Column()).vector(size)

    def any(self, path: Path, mask: Mask) -> bool:
        """Whether any of the rows that a mask selects has a value at a path."""
        column = self.column(path)
        return column is not None and column.any(mask)

    def below(self, path: Path) -> list[str]:
        """Return the keys that maps at a path ever had."""
        node = self.root
        for key in path:
            if key not in node.children:
                return []
            node = node.children[key]
        return list(node.children)


def second_of(text: str) -> float | None:
    """Return the second of a time as the API server writes it, None for every other text."""
    if len(text) != len("2026-01-01T00:00:00Z") or not text.endswith("Z"):
        return None
    try:
        moment = parse_time(text)
    except ValueError:
        return None
    found = moment.timestamp() if moment else 0.5
    return found if found % 1 == 0 and time_of(found) == text else None


def time_of(second: float) -> str:
    """Return the text of a second."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def times_of(seconds: Sequence[float]) -> list[str]:
    """Return the texts of many seconds."""
    found = numpy.asarray(seconds, dtype=numpy.int64).astype("datetime64[s]")
    return [f"{text}Z" for text in numpy.datetime_as_string(found).tolist()]
