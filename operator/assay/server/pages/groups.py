"""Groups runs by a field: the mean and the spread of each metric, with the number of runs. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.api.numbers import of_json
from assay.queries.runs.columns import Names, metric
from assay.queries.runs.rows import RunRow
from assay.server.pages import shown

#: Metrics of a table of groups.
_METRICS = 12


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
    metrics = names.ordered_metrics()[:_METRICS]
    members: dict[str, list[RunRow]] = {}
    for row in rows:
        members.setdefault(shown.value(chosen.value(row)), []).append(row)
    items = [
        Group(value, [row["name"] for row in found], [_spread(found, name) for name in metrics])
        for value, found in members.items()
    ]
    return Groups(by, metrics, items)


def _spread(rows: Sequence[RunRow], name: str) -> Spread | None:
    value = metric(name).value
    found = [number for row in rows if (number := of_json(value(row))) is not None and math.isfinite(number)]
    if not found:
        return None
    return Spread(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None, len(found))
