"""Searches a table: filter, order and page, with the answers that `assay runs` gives on the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy
from numpy.typing import NDArray

from assay.planning.conditions import parse_time
from assay.planning.promotion.expression_tree import Path
from assay.queries.runs import columns as run_columns
from assay.queries.runs.columns import MAPS, Names, Summary
from assay.queries.runs.filters import ALIASES, Filter
from assay.queries.runs.rows import RunRow, timed
from assay.server.index.column import (
    BIG,
    BOOL,
    DOUBLE,
    INT,
    LIST,
    MAP,
    MISSING,
    NULL,
    STRING,
    TIME,
    UNKNOWN,
    Mask,
    Rows,
    Vector,
)
from assay.server.index.columns import DEEPEST, MoreStrings, ranked, time_of, times_of
from assay.server.index.evaluation import evaluate
from assay.server.index.table import TIMES, Table

#: What the library may take for the rows that columns do not decide.
SECONDS: Final = 10.0
#: Fields that are stored in a column of a different name.
_OTHERS: Final[dict[Path, Path]] = {("age",): ("created",)}


class Found(NamedTuple):
    """The numbers of the matching rows in their order, and what is known about the filter."""

    rows: Rows
    seen: int
    undecided: int
    why: str


class View:
    """A table at a moment: what expressions and orders read."""

    def __init__(self, table: Table, now: datetime | None = None) -> None:
        self.table, self.now = table, now or datetime.now(UTC)
        self.strings = MoreStrings(table.columns.strings)
        self._known: dict[Path, Vector] = {}

    @property
    def size(self) -> int:
        """The number of rows that vectors have."""
        return self.table.size

    def vector(self, path: Path) -> Vector:
        """Return the values of a field, which are kept for the next time."""
        path = _stored(path)
        found = self._known.get(path)
        if found is None:
            found = self._known[path] = self.read(path)
        return found

    def read(self, path: Path) -> Vector:
        """Return the values of a field that is read once: many of them, kept, would take the memory of the index."""
        path = _stored(path)
        if path in self._known:
            return self._known[path]
        if path == ("duration",):
            return self._durations()
        found = self.table.columns.vector(path, self.size)
        if path[0] == "metrics":
            # In filters, all numbers of metrics are doubles.
            return Vector(numpy.where(found.kind == INT, DOUBLE, found.kind).astype(numpy.uint8), found.number)
        return self._texts(found) if path[0] in TIMES else found

    def rows(self, numbers: Sequence[int], parts: Collection[str] = ()) -> list[RunRow]:
        """Return rows, with their durations. ``parts`` are the values of metrics that they need, all if empty."""
        return timed(self.table.rows(numbers, parts), self.now)

    def any(self, path: Path, mask: Mask) -> bool:
        """Whether any of the rows that a mask selects has a value at a path."""
        return self.table.columns.any(_stored(path), mask)

    def seconds(self, name: str) -> Vector:
        """Return a time in seconds, NULL for rows without it."""
        found = self.table.columns.vector((name,), self.size)
        kind, number = numpy.full(self.size, NULL, dtype=numpy.uint8), numpy.zeros(self.size)
        kind[found.kind == MISSING] = MISSING
        at = found.kind == TIME
        kind[at], number[at] = DOUBLE, found.number[at]
        for row in numpy.flatnonzero((found.kind == STRING) & (found.number != 0)).tolist():
            moment = parse_time(self.strings.text(int(found.number[row])))
            if moment:
                kind[row], number[row] = DOUBLE, moment.timestamp()
        return Vector(kind, number)

    def _texts(self, found: Vector) -> Vector:
        """Return times as the texts that they are for filters."""
        at = found.kind == TIME
        kind, number = found.kind.copy(), found.number.copy()
        unique, inverse = numpy.unique(number[at], return_inverse=True)
        codes = numpy.array([self.strings.code(text) for text in times_of(unique.tolist())], dtype=numpy.float64)
        kind[at], number[at] = STRING, codes[inverse] if len(codes) else 0.0
        return Vector(kind, number)

    def _durations(self) -> Vector:
        started, completed = self.seconds("started"), self.seconds("completed")
        running = self.is_text(("phase",), "Running")
        ended = completed.kind == DOUBLE
        known = (started.kind == DOUBLE) & (ended | running)
        end = numpy.where(ended, completed.number, self.now.timestamp())
        kind = numpy.where(self.vector(("name",)).kind == MISSING, MISSING, numpy.where(known, DOUBLE, NULL))
        return Vector(kind.astype(numpy.uint8), numpy.where(known, end - started.number, 0.0))

    def is_text(self, path: Path, text: str) -> Mask:
        """Return which rows have a string at a path."""
        return self.is_any(path, (text,))

    def is_any(self, path: Path, texts: Collection[str]) -> Mask:
        """Return which rows have one of some strings at a path."""
        found = self.vector(path)
        mask: Mask = (found.kind == STRING) & numpy.isin(found.number, [self.strings.known(text) for text in texts])
        return mask


def _stored(path: Path) -> Path:
    """Return the path of the column that has a field."""
    return _OTHERS.get(path, (ALIASES.get(path[0], path[0]), *path[1:]))


def search(view: View, experiment: str = "", where: str = "", experiments: Collection[str] = ()) -> Found:
    """Return the rows that match, sorted by name. Raises AssayError for what is wrong with the filter."""
    condition = Filter(where, SECONDS) if where else None
    among = view.is_any(("experiment",), experiments) if experiments else None
    rows, seen = matching(view, experiment, condition, among)
    if condition is None:
        return Found(rows, seen, 0, "")
    if seen:
        condition.check()
    return Found(rows, seen, condition.undecided, condition.why)


def matching(view: View, experiment: str, condition: Filter | None, among: Mask | None = None) -> tuple[Rows, int]:
    """Return the rows of one table that match, sorted by name, and how many there are without the filter.

    ``among`` selects the rows that count, all without it.

    The filter notes what it finds: check it when it has seen all tables.
    """
    rows = view.table.ordered()
    if among is not None:
        rows = rows[among[rows]]
    if experiment:
        rows = rows[view.is_text(("experiment",), experiment)[rows]]
    if condition is None or not len(rows):
        return rows, len(rows)
    outcome = evaluate(condition.expression.tree, view)
    kind = outcome.kind[rows]
    if any(len(path) > DEEPEST for path in condition.paths):
        kind = numpy.full(len(rows), UNKNOWN, dtype=numpy.uint8)  # no column is that deep: the library decides all rows
    else:
        _note_names(view, condition, rows)
    matched = (kind == BOOL) & (outcome.number[rows] > 0)
    lacking = _lacking(view, condition, rows)
    left = numpy.flatnonzero(kind == UNKNOWN)
    undecided = numpy.flatnonzero((kind != BOOL) & (kind != UNKNOWN) & ~lacking)
    # The library decides what columns cannot, and says why the first row cannot be decided.
    for at in sorted({*left.tolist(), *undecided[:1].tolist()}):
        matched[at] = condition.matches(view.rows([int(rows[at])])[0])
    condition.undecided += max(0, len(undecided) - 1)
    return rows[matched], len(rows)


def _lacking(view: View, condition: Filter, rows: Rows) -> Mask:
    """Return which rows lack a field that the expression reads: those do not match, whatever it says."""
    found = numpy.zeros(len(rows), dtype=bool)
    for path in condition.paths:
        found |= view.vector(path).kind[rows] == MISSING
    return found


def _note_names(view: View, condition: Filter, rows: Rows) -> None:
    """Tell the filter which of its fields some row has, and which keys there are instead."""
    for path in condition.paths:
        if (view.vector(path).kind[rows] != MISSING).any():
            condition.note(path)
            continue
        for end in range(len(path) - 1, 0, -1):
            is_map = view.vector(path[:end]).kind[rows] == MAP
            without = rows[is_map & (view.vector(path[: end + 1]).kind[rows] == MISSING)]
            if len(without):
                above, mask = (ALIASES.get(path[0], path[0]), *path[1:end]), masked(view, without)
                below = view.table.columns.below(above)
                condition.note(path[:end], [key for key in below if view.any((*above, key), mask)])
                break


def masked(view: View, rows: Rows) -> Mask:
    """Return which rows of a table are among some."""
    found = numpy.zeros(view.size, dtype=bool)
    found[rows] = True
    return found


class FoundNames(Names):
    """The names of all values of the rows that were found, read from columns when they are asked for."""

    def __init__(self, view: View, rows: Rows) -> None:
        self._view, self._found, self._summary = view, rows, None
        self.count = len(rows)
        self._mask = masked(view, rows)
        self._lists: dict[str, list[str]] = {}

    @cached_property
    def parameters(self) -> list[str]:  # type: ignore[override]
        """The parameters, sorted."""
        return self._keys("parameters")

    @cached_property
    def metrics(self) -> list[str]:  # type: ignore[override]
        """The metrics, sorted."""
        return self._keys("metrics")

    @cached_property
    def objectives(self) -> Counter[str]:  # type: ignore[override]
        """How many runs have which objective, in the order of the runs."""
        return Counter(dict(zip(*self._objectives[:2], strict=True)))

    @cached_property
    def _directions(self) -> dict[str, str]:  # type: ignore[override]
        return dict(zip(self._objectives[0], self._objectives[2], strict=True))

    @cached_property
    def _objectives(self) -> tuple[list[str], list[int], list[str]]:
        """Return the metrics of objectives in the order of their first runs, how many have each, the last direction."""
        metric, direction = (self._view.vector(("objective", name)) for name in ("metric", "direction"))
        rows = self._found[metric.kind[self._found] == STRING]
        codes, first, counts = numpy.unique(metric.number[rows], return_index=True, return_counts=True)
        order = numpy.argsort(first)
        text = self._view.strings.text
        last = _last(metric.number[rows], rows)
        metrics = [text(int(codes[at])) for at in order]
        directions = [text(int(direction.number[last[float(codes[at])]])) for at in order]
        return metrics, [int(counts[at]) for at in order], directions

    @property
    def directions(self) -> dict[str, str]:
        """The direction of each objective."""
        return self._directions

    def keys(self, name: str) -> list[str]:
        """The keys of a map of the rows, sorted."""
        return self._keys(name)

    def differing(self) -> list[str]:
        """The parameters in which the runs differ; for a single run, all of them."""
        if self.count < 2:
            return list(self.parameters)
        return [name for name in self.parameters if self.differs(("parameters", name))]

    def differs(self, path: Path) -> bool:
        """Whether a field, of a map such as the parameters, has several values. There must be a run."""
        found = self._view.read(path)
        kind, number = found.kind[self._found], found.number[self._found]
        kind = numpy.where(kind == MISSING, NULL, kind)
        if (kind[0] != kind).any():
            return True
        if kind[0] in (MAP, LIST, BIG):
            last = path[-1]
            return len({repr(row["parameters"].get(last)) for row in self._view.rows(self._found.tolist())}) > 1
        return bool((number[0] != number).any())

    def _keys(self, name: str) -> list[str]:
        if name not in self._lists:
            below = self._view.table.columns.below((name,))
            self._lists[name] = sorted(key for key in below if self._view.any((name, key), self._mask))
        return self._lists[name]

    def summary(self) -> Summary:
        """Return the names without the runs."""
        return {
            "runs": self.count,
            "keys": {name: self._keys(name) for name in MAPS},
            "differing": self.differing(),
            "objectives": dict(self.objectives),
            "directions": self._directions,
        }


def _last(codes: NDArray[numpy.float64], rows: Rows) -> dict[float, int]:
    backwards, at = numpy.unique(codes[::-1], return_index=True)
    return {float(code): int(rows[len(rows) - 1 - index]) for code, index in zip(backwards, at, strict=True)}


# Order


def ordered(view: View, rows: Rows, by: str, names: Names, *, reverse: bool = False) -> Rows | None:
    """Return rows, which are sorted by name, in another order; None if only Python can compare the values.

    Raises AssayError for a field that no row has.
    """
    field, descending = run_columns.order(by, names, reverse=reverse)
    if field.path == ("name",):
        return view.table.reversed(rows) if descending else rows
    if field.path == ("uid",):
        return None
    kind, number = _sortable(view, field.path, rows)
    finite = numpy.isfinite(number)
    if numpy.isin(kind, (MAP, LIST, BIG)).any() or (len(field.path) > 2 and not finite.all()):
        return None
    known = (kind != MISSING) & (kind != NULL) & ~((kind == STRING) & (number == 0)) & ~numpy.isnan(number)
    texts = known & (kind == STRING)
    number = number.copy()
    if texts.any():
        number[texts] = ranked(number[texts].astype(numpy.int64), view.strings.text)
    group = texts[known].astype(numpy.int8)
    keys = (-number[known], -group) if descending else (number[known], group)
    return numpy.concatenate((rows[known][numpy.lexsort(keys)], rows[~known]))


def sort_keys(view: View, path: Path, rows: Rows) -> list[tuple[int, Any] | None]:
    """Return what rows of several tables are compared by, None for rows that come last; see ``ordered``."""
    plain = _OTHERS.get(path, path)
    kind, number = _sortable(view, path, rows)
    if len(plain) == 1 and plain[0] in TIMES:
        # Texts are comparable with those of tables that have other times than whole seconds.
        times = view.table.columns.vector(plain, view.size)
        kind, number = times.kind[rows], times.number[rows]
    found: list[tuple[int, Any] | None] = []
    for one, value in zip(kind.tolist(), number.tolist(), strict=True):
        if one == TIME:
            found.append((1, time_of(value)))
        elif one == STRING:
            text = view.strings.text(int(value))
            found.append((1, text) if text else None)
        else:
            found.append(None if one in (MISSING, NULL) or value != value else (0, value))
    return found


def _sortable(view: View, path: Path, rows: Rows) -> tuple[NDArray[numpy.uint8], NDArray[numpy.float64]]:
    if path[0] == "metrics" and len(path) == 2:
        best, last = (view.vector((*path, name)) for name in ("best", "last"))
        use = (best.kind[rows] != MISSING) & (best.kind[rows] != NULL)
        return (
            numpy.where(use, best.kind[rows], last.kind[rows]),
            numpy.where(use, best.number[rows], last.number[rows]),
        )
    plain = _OTHERS.get(path, path)
    if len(plain) == 1 and plain[0] in TIMES:
        # Whole seconds in UTC, as the API server writes them, have the order of their texts.
        times = view.table.columns.vector(plain, view.size)
        if not ((times.kind[rows] == STRING) & (times.number[rows] != 0)).any():
            return numpy.where(times.kind[rows] == TIME, DOUBLE, MISSING).astype(numpy.uint8), times.number[rows]
    found = view.vector(plain)
    return found.kind[rows], found.number[rows]
