"""The state of a pod's metrics as plain data that is saved to disk and loaded again. No I/O here.

The state is the commit point: data that it counts is in a part, and data that it does not count is read again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from assay.store.points.totals import Series, Totals

__all__ = ["Part", "Series", "State", "Totals"]


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
    #: The position of each collector, by the name of its source.
    positions: dict[str, dict[str, Any]] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    parts: list[Part] = field(default_factory=list)
    uploaded: int = 0
    evicted: int = 0  # parts that were deleted from the spool to free space

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "version": 1,
            "pod": self.pod,
            "started": self.started,
            "positions": self.positions,
            "totals": self.totals.to_dict(),
            "parts": [[part.size, part.sha256] for part in self.parts],
            "uploaded": self.uploaded,
            "evicted": self.evicted,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> State:
        """The inverse of `to_dict`. Raises KeyError or TypeError for anything else."""
        return cls(
            pod=data["pod"],
            started=data["started"],
            positions=data["positions"],
            totals=Totals.from_dict(data["totals"]),
            parts=[Part(size, sha256) for size, sha256 in data["parts"]],
            uploaded=data["uploaded"],
            evicted=data["evicted"],
        )
