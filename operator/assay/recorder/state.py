"""The state of a pod's metrics as plain data that is saved to disk and loaded again. No I/O here.

The state is the commit point: data that it counts is in a part, and data that it does not count is read again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from assay.store.limits import MAX_METRICS, MAX_TEXT_CHARS, MAX_WARNINGS

_RESERVED_FOR_EVENTS = 5  # warnings that a flood of invalid lines cannot displace


@dataclass
class Position:
    """The position up to which metrics.jsonl was consumed.

    A truncated or replaced file begins a new generation. `offset` (bytes) is always at the end of a line; `crc` is the
    CRC-32 of all bytes before it, which identifies unchanged content.
    """

    generation: int = 0
    inode: int = 0
    offset: int = 0
    crc: int = 0
    lines: int = 0


class Series:
    """The running summary of one metric. Points are added in order."""

    __slots__ = ("count", "last", "max", "max_step", "min", "min_step", "step")

    def __init__(self, value: float, step: int) -> None:
        self.last = self.min = self.max = value
        self.step = self.min_step = self.max_step = step
        self.count = 1

    def add(self, value: float, step: int) -> None:
        """Count one more point."""
        self.last = value
        self.step = step
        self.count += 1
        if value < self.min:
            self.min, self.min_step = value, step
        elif value > self.max:
            self.max, self.max_step = value, step

    def to_dict(self) -> dict[str, Any]:
        """The fields of a MetricSummary."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Series:
        """The inverse of `to_dict`."""
        series = cls.__new__(cls)
        for name in cls.__slots__:
            setattr(series, name, values[name])
        return series


@dataclass
class Totals:
    """Totals of the lines read so far. `accepted` counts lines with at least one point; the rest is as in a Summary."""

    accepted: int = 0
    points: int = 0
    rejected: int = 0
    warnings: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    metrics: dict[str, Series] = field(default_factory=dict)

    def reject(self, warning: str) -> None:
        """Count an invalid line or value. The first warnings are recorded."""
        self.rejected += 1
        if len(self.warnings) < MAX_WARNINGS - _RESERVED_FOR_EVENTS:
            self.warnings.append(warning[:MAX_TEXT_CHARS])

    def event(self, warning: str) -> None:
        """Record a warning that does not concern a single line. Duplicates are dropped."""
        warning = warning[:MAX_TEXT_CHARS]
        if warning not in self.events and len(self.events) < _RESERVED_FOR_EVENTS:
            self.events.append(warning)

    @property
    def full(self) -> bool:
        """Whether the maximum number of metrics is reached. Further metrics get no summary."""
        return len(self.metrics) >= MAX_METRICS


@dataclass(frozen=True)
class Part:
    """One part of the metrics, in the spool and in the store."""

    size: int
    sha256: str


@dataclass
class State:
    """Everything that must survive a kill. The first `uploaded` parts are in the store; later ones may be."""

    pod: str
    started: str
    position: Position = field(default_factory=Position)
    totals: Totals = field(default_factory=Totals)
    parts: list[Part] = field(default_factory=list)
    uploaded: int = 0
    evicted: int = 0  # parts that were deleted from the spool to free space

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        totals = vars(self.totals) | {"metrics": {k: v.to_dict() for k, v in self.totals.metrics.items()}}
        return {
            "version": 1,
            "pod": self.pod,
            "started": self.started,
            "position": asdict(self.position),
            "totals": totals,
            "parts": [[part.size, part.sha256] for part in self.parts],
            "uploaded": self.uploaded,
            "evicted": self.evicted,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> State:
        """The inverse of `to_dict`. Raises KeyError or TypeError for anything else."""
        totals = Totals(**data["totals"])
        totals.metrics = {name: Series.from_dict(values) for name, values in data["totals"]["metrics"].items()}
        return cls(
            pod=data["pod"],
            started=data["started"],
            position=Position(**data["position"]),
            totals=totals,
            parts=[Part(size, sha256) for size, sha256 in data["parts"]],
            uploaded=data["uploaded"],
            evicted=data["evicted"],
        )
