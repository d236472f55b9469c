"""Running totals of a pod's points: the summary of each metric, warnings, logged parameters. Plain data, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Any

from assay.store.limits import MAX_METRIC_NAME_CHARS, MAX_METRICS, MAX_REFUSED, MAX_TEXT_CHARS, MAX_WARNINGS

#: JSON has no literals for these. DuckDB and pydantic read the strings as doubles.
NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_RESERVED_FOR_EVENTS = 8  # warnings that a flood of invalid lines cannot displace


class Series:
    """The running summary of one metric. Points are added in order.

    `min` and `max` are those of the finite values. Without one they are inf and -inf, which `to_dict` leaves out.
    """

    __slots__ = ("count", "last", "max", "max_step", "min", "min_step", "step")

    def __init__(self, value: float, step: float) -> None:
        self.min, self.max = inf, -inf
        self.min_step = self.max_step = step
        self.count = 0
        self.add(value, step)

    def add(self, value: float, step: float) -> None:
        """Count one more point."""
        self.last = value
        self.step = step
        self.count += 1
        if -inf < value < self.min:
            self.min, self.min_step = value, step
        if self.max < value < inf:
            self.max, self.max_step = value, step

    def to_dict(self) -> dict[str, Any]:
        """The fields of a MetricSummary."""
        found = {name: getattr(self, name) for name in self.__slots__}
        if self.min > self.max:
            found |= dict.fromkeys(("min", "max", "min_step", "max_step"))
        if not isfinite(self.last):
            found["last"] = NOT_FINITE[repr(self.last)]
        return found

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Series:
        """The inverse of `to_dict`."""
        series = cls.__new__(cls)
        for name in cls.__slots__:
            setattr(series, name, values[name])
        series.last = float(series.last)
        if series.min is None:
            series.min, series.max = inf, -inf
            series.min_step = series.max_step = series.step
        return series


@dataclass
class Totals:
    """Totals of what was recorded so far, as in a Summary.

    `refused` has the first value of a metric that was not a number; `parameters` and `tags` are those that the training
    code logged. `requests` has the artifacts that the code wants to be registered, by the name of the registered model.
    `kinds` are the kinds of `events`.
    """

    points: int = 0
    children: int = 0
    rejected: int = 0
    warnings: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Series] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return vars(self) | {"metrics": {name: series.to_dict() for name, series in self.metrics.items()}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Totals:
        """The inverse of `to_dict`. Raises KeyError or TypeError for anything else."""
        metrics = {name: Series.from_dict(values) for name, values in data["metrics"].items()}
        return cls(**{**data, "metrics": metrics})

    def reject(self, warning: str) -> None:
        """Count an invalid line or value. The first warnings are recorded."""
        self.rejected += 1
        if len(self.warnings) < MAX_WARNINGS - _RESERVED_FOR_EVENTS:
            self.warnings.append(warning[:MAX_TEXT_CHARS])

    def event(self, warning: str, kind: str = "") -> None:
        """Record a warning that does not concern a single line. Of each kind, only the first one is recorded."""
        warning = warning[:MAX_TEXT_CHARS]
        if (kind or warning) not in self.kinds and len(self.events) < _RESERVED_FOR_EVENTS:
            self.kinds.append(kind or warning)
            self.events.append(warning)

    def refuse(self, name: str, complaint: str) -> None:
        """Remember why the first value of a metric was refused."""
        if 0 < len(name) <= MAX_METRIC_NAME_CHARS and name.isprintable() and len(self.refused) < MAX_REFUSED:
            self.refused.setdefault(name, complaint[:MAX_TEXT_CHARS])

    @property
    def full(self) -> bool:
        """Whether the maximum number of metrics is reached. Further metrics get no summary."""
        return len(self.metrics) >= MAX_METRICS
