"""The metrics of runs: their numbers are in columns only, each row keeps which metrics it has.

A metric is a map such as ``{"last": 0.9, "step": 100}``. The row keeps the number of its keys in a table instead: most
metrics have the same keys. A metric with anything but numbers stays in the row, in a list.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy
from numpy.typing import NDArray

from assay.api.numbers import NOT_FINITE, to_json
from assay.api.objects import Raw
from assay.queries.runs.filters import floats
from assay.server.index.column import DOUBLE, EXACT, INT, MAP, MISSING, TAG, Kinds
from assay.server.index.columns import Columns, Node

#: How many rows are restored at once.
_BATCH: Final = 1000


class Summaries:
    """The metrics in the columns of a table."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._node = columns.root.child("metrics")
        self._numbers: dict[tuple[str, ...], int] = {}
        self._keys: list[tuple[str, ...]] = []

    def put(self, row: int, metrics: Raw) -> Raw:
        """Put the metrics of a row into columns, and return what to keep in the row."""
        self._node.column.put(row, MAP, 0.0)
        return {name: self._put(row, summary, self._node.child(name)) for name, summary in metrics.items()}

    def _put(self, row: int, summary: Any, node: Node) -> Any:
        values = _encoded(row << TAG, summary)
        if values is None:
            self._columns.put(row, floats(summary), node)
            return [summary]
        node.column.put(row, MAP, 0.0)
        children = node.children
        for key, (tag, number) in zip(summary, values, strict=True):
            (children.get(key) or node.child(key)).column.add(tag, number)
        return self._number(tuple(summary))

    def _number(self, keys: tuple[str, ...]) -> int:
        found = self._numbers.get(keys)
        if found is None:
            found = self._numbers[keys] = len(self._keys)
            self._keys.append(keys)
        return found

    def remove(self, row: int, kept: Raw) -> None:
        """Remove the metrics of a row from the columns. ``kept`` is what ``put`` returned."""
        self._node.column.put(row, MISSING, 0.0)
        for name, each in kept.items():
            node = self._node.child(name)
            summary = dict.fromkeys(self._keys[each]) if isinstance(each, int) else each[0]
            self._columns.remove(row, summary, node)

    def restore(self, rows: Sequence[int], kept: Sequence[Raw], parts: Collection[str] = ()) -> None:
        """Turn what rows keep back into their metrics, in place; with ``parts``, at least these values of each."""
        for start in range(0, len(rows), _BATCH):
            self._restore(rows[start : start + _BATCH], kept[start : start + _BATCH], parts)

    def _restore(self, rows: Sequence[int], kept: Sequence[Raw], parts: Collection[str]) -> None:
        # One look into a column gives the values of all rows.
        owners: dict[tuple[str, int], list[int]] = {}
        for at, metrics in enumerate(kept):
            for name, each in metrics.items():
                if isinstance(each, int):
                    owners.setdefault((name, each), []).append(at)
                else:
                    metrics[name] = each[0]
        numbers = numpy.asarray(rows, dtype=numpy.int32)  # the type of row numbers in columns
        for (name, shape), places in owners.items():
            node, known = self._node.child(name), dict[int, NDArray[numpy.int64]]()
            keys = tuple(key for key in self._keys[shape] if not parts or key in parts)
            some = numbers[places]
            values = [_values(*node.child(key).column.at(some, known)) for key in keys]
            for at, summary in zip(places, zip(*values, strict=True) if keys else [()] * len(places), strict=True):
                kept[at][name] = dict(zip(keys, summary, strict=True))


def _encoded(tag: int, summary: Any) -> list[tuple[int, float]] | None:
    """Return tag and number of each value of a metric, None if columns cannot hold them all."""
    if not isinstance(summary, dict):
        return None
    found: list[tuple[int, float]] = []
    for value in summary.values():
        kind = type(value)
        if kind is float and math.isfinite(value):
            found.append((tag | DOUBLE, value))
        elif kind is int and -EXACT <= value <= EXACT:
            found.append((tag | INT, value))
        elif kind is str and value in NOT_FINITE:
            found.append((tag | DOUBLE, NOT_FINITE[value]))
        else:
            return None
    return found


def _values(kind: Kinds | int, numbers: NDArray[numpy.generic]) -> list[Any]:
    """Return numbers as JSON has them: integers, and names for what is not finite."""
    found: list[Any] = numbers.tolist()
    if isinstance(kind, int):
        whole = numbers.dtype.kind in "iu"
        if kind == INT:
            return found if whole else [int(number) for number in found]
        if not whole and math.isfinite(sum(found)):
            return found
    kinds = [kind] * len(found) if isinstance(kind, int) else kind.tolist()
    return [
        int(number) if kind == INT else float(number) if math.isfinite(number) else to_json(number)
        for kind, number in zip(kinds, found, strict=True)
    ]
