"""Runs of several tables in one order: each table gives its first ones, which are merged.

The tables are those of several namespaces, or of the cluster and the archive. What a filter, an order or a name says is
about the runs of these tables only. The answers are those of ``assay runs -A``, or of ``--all``, on the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from assay.queries.runs import columns as run_columns
from assay.queries.runs.columns import MAPS, Field, Names, Summary
from assay.queries.runs.filters import Filter
from assay.queries.runs.rows import RunRow, in_namespace
from assay.server.index.column import Mask, Rows
from assay.server.index.searching import SECONDS, FoundNames, View, matching, ordered, sort_keys
from assay.server.index.table import Table
from assay.server.runs import RunQuery


class Searched(NamedTuple):
    """One table to search. ``among`` selects the rows that count, all without it."""

    table: Table
    namespace: str = ""
    among: Mask | None = None


class Part(NamedTuple):
    """What was found in one table."""

    namespace: str
    view: View
    rows: Rows
    names: FoundNames


class FoundEverywhere(NamedTuple):
    """One page, and what is known about all that match. ``seen`` runs were there without the filter.

    Rows have their namespace where the table has one.
    """

    items: list[RunRow]
    names: Names
    total: int
    seen: int
    undecided: int
    why: str


def search(tables: Sequence[Searched], query: RunQuery) -> FoundEverywhere:
    """Search tables. Raises AssayError for what is wrong with the filter or the order."""
    condition = Filter(query["where"], SECONDS) if query["where"] else None
    parts, seen = [], 0
    for table, namespace, among in tables:
        view = View(table)
        rows, each = matching(view, query["experiment"], condition, among)
        seen += each
        if len(rows):
            parts.append(Part(namespace, view, rows, FoundNames(view, table.as_listed(rows))))
    if condition is not None and seen:
        condition.check()
    names = Names(summary=_summary(parts))
    total = sum(len(part.rows) for part in parts)
    undecided, why = (condition.undecided, condition.why) if condition else (0, "")
    return FoundEverywhere(_page(parts, names, query), names, total, seen, undecided, why)


def _page(parts: list[Part], names: Names, query: RunQuery) -> list[RunRow]:
    by, reverse, end = query["sort"] or "created", query["reverse"], query["offset"] + query["limit"]
    field, descending = run_columns.order(by, names, reverse=reverse)
    tops = [ordered(part.view, part.rows, by, names, reverse=reverse) for part in parts]
    if any(top is None for top in tops):
        found = [_placed(row, part) for part in parts for row in part.view.rows(part.rows.tolist())]
        return run_columns.sort(found, by, names, reverse=reverse)[query["offset"] : end]
    merged = _merged(parts, [top[:end] for top in tops if top is not None], field, descending)[query["offset"] : end]
    return _unpacked(parts, merged)


def _merged(parts: list[Part], tops: list[Rows], field: Field, descending: bool) -> list[tuple[int, int]]:
    """Return the place of the part and the number of each row in order: by value, name, and table."""
    known: list[tuple[Any, str, int, int]] = []
    others: list[tuple[str, int, int]] = []
    for at, (part, rows) in enumerate(zip(parts, tops, strict=True)):
        for key, number in zip(sort_keys(part.view, field.path, rows), rows.tolist(), strict=True):
            if key is None:
                others.append((part.view.table.name(number), at, number))
            else:
                known.append((key, part.view.table.name(number), at, number))
    known.sort(key=lambda each: each[1:3])
    known.sort(key=lambda each: each[0], reverse=descending)
    return [each[2:] for each in known] + [each[1:] for each in sorted(others, key=lambda each: each[:2])]


def _placed(row: RunRow, part: Part) -> RunRow:
    return in_namespace(row, part.namespace) if part.namespace else row


def _unpacked(parts: list[Part], places: list[tuple[int, int]]) -> list[RunRow]:
    """Return rows in this order; those of one table are unpacked together."""
    rows: dict[tuple[int, int], RunRow] = {}
    for at, part in enumerate(parts):
        numbers = [number for owner, number in places if owner == at]
        for number, row in zip(numbers, part.view.rows(numbers), strict=True):
            rows[at, number] = _placed(row, part)
    return [rows[place] for place in places]


def _summary(parts: list[Part]) -> Summary:
    """Return the names of all values, as ``Names`` has them on all rows."""
    keys = {name: sorted({key for part in parts for key in part.names.keys(name)}) for name in MAPS}
    objectives: Counter[str] = Counter()
    directions: dict[str, str] = {}
    for part in parts:
        objectives.update(part.names.objectives)
        directions |= part.names.directions
    return {
        "runs": sum(len(part.rows) for part in parts),
        "keys": keys,
        "differing": _differing(parts, keys["parameters"]),
        "objectives": dict(objectives),
        "directions": directions,
    }


def _differing(parts: list[Part], parameters: list[str]) -> list[str]:
    if sum(len(part.rows) for part in parts) < 2:
        return parameters
    firsts = [part.view.rows(part.rows[:1].tolist())[0]["parameters"] for part in parts]
    return [
        name
        for name in parameters
        if len({repr(first.get(name)) for first in firsts}) > 1
        or any(part.names.differs(("parameters", name)) for part in parts)
    ]
