"""Groups runs by a field: the mean and the spread of each metric, with the number of runs. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.api.numbers import of_json
from assay.api.objects import Raw
from assay.queries.runs.columns import Names
from assay.queries.runs.rows import RunRow
from assay.server.pages import shown
from assay.server.runs import GROUPED_METRICS


@dataclass(frozen=True)
class Spread:
    """A metric of one group. ``deviation`` is the sample's standard deviation, None for fewer than two values."""

    mean: float
    deviation: float | None
    count: int


@dataclass
class Group:
    """The runs with one value of the field."""

    value: str
    runs: list[str] = field(default_factory=list)
    spreads: list[Spread | None] = field(default_factory=list)


@dataclass(frozen=True)
class Groups:
    """Groups in the order of their first run, which is the order of the table."""

    by: str
    metrics: list[str]
    items: list[Group]


def grouped(rows: Sequence[RunRow], names: Names, by: str) -> Groups:
    """Return the groups of runs. Raises AssayError if no run has the field."""
    chosen = names.field(by)
    metrics = names.ordered_metrics()[:GROUPED_METRICS]
    members: dict[str, list[RunRow]] = {}
    for row in rows:
        members.setdefault(shown.value(chosen.value(row)), []).append(row)
    items = [
        Group(value, [row["name"] for row in found], [_spread(found, name) for name in metrics])
        for value, found in members.items()
    ]
    return Groups(by, metrics, items)


def _spread(rows: Sequence[RunRow], name: str) -> Spread | None:
    found = [number for number in (_value(row["metrics"].get(name)) for row in rows) if math.isfinite(number)]
    if not found:
        return None
    try:
        mean = math.fsum(found) / len(found)
        squares = math.fsum([(number - mean) ** 2 for number in found])
    except OverflowError:
        return Spread(math.inf, math.inf, len(found))
    return Spread(mean, math.sqrt(squares / (len(found) - 1)) if len(found) > 1 else None, len(found))


def _value(summary: Raw | None) -> float:
    """Return the value of a metric as the table shows it: the best one, otherwise the last; NaN without one."""
    if not summary:
        return math.nan
    found = summary.get("best")
    found = summary.get("last") if found is None else found
    if type(found) is float:
        return found
    number = of_json(found)
    return math.nan if number is None else number
