"""Rows with a few fields only, made from columns: to group 20,000 runs, unpacking each of them would take a second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy

from assay.api.numbers import to_json
from assay.planning.promotion.expression_tree import Path
from assay.queries.runs.rows import RunRow
from assay.server.index.column import BIG, BOOL, DOUBLE, INT, LIST, MAP, MISSING, STRING, Rows
from assay.server.index.searching import View

_ABSENT: Final = object()
#: Fields that depend on the time, or that columns do not have.
_OTHERS: Final = frozenset({"duration", "age", "uid"})
_EMPTY: Final[dict[str, Any]] = {
    **dict.fromkeys(("name", "uid", "experiment", "phase", "reason", "message", "note", "owner"), ""),
    **dict.fromkeys(("created", "started", "completed"), ""),
    **dict.fromkeys(("duration", "seed", "objective")),
    "archived": False,
}
_MAPS: Final = ("parameters", "metrics", "logged", "datasets", "source", "model", "labels")


def lean(view: View, rows: Rows, paths: Sequence[Path]) -> list[RunRow] | None:
    """Return rows that have only the fields at paths, each a single value; None if columns do not have all of them."""
    if any(path[0] in _OTHERS for path in paths):
        return None
    found = [{**_EMPTY, **{name: {} for name in _MAPS}} for _ in range(len(rows))]
    for path in paths:
        values = _values(view, path, rows)
        if values is None:
            return None
        *above, last = path
        for row, value in zip(found, values, strict=True):
            if value is not _ABSENT:
                place = row
                for key in above:
                    place = place.setdefault(key, {})
                place[last] = value
    return found  # type: ignore[return-value]


def _values(view: View, path: Path, rows: Rows) -> list[Any] | None:
    vector = view.read(path)
    kind, number = vector.kind[rows], vector.number[rows]
    if numpy.isin(kind, (MAP, LIST, BIG)).any():
        return None
    found = numpy.full(len(rows), None, dtype=object)
    found[kind == MISSING] = _ABSENT
    text = view.strings.text
    for one, convert in ((DOUBLE, _double), (INT, int), (BOOL, bool), (STRING, lambda code: text(int(code)))):
        mask = kind == one
        if mask.any():
            found[mask] = [convert(each) for each in number[mask].tolist()]
    values: list[Any] = found.tolist()
    return values


def _double(value: float) -> float | str:
    """Return a number as rows have it: those that JSON lacks are their names."""
    return value if math.isfinite(value) else to_json(value)
