"""The points of one metric of one run, as arrays: 24 bytes a point. Drops exact duplicates, as MLflow does.

A client that gets no answer sends a request again. Such a point has the same time, step and value, and counts once.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from typing import NamedTuple

_KEPT = 1000
_bits = struct.Struct("<d").pack


class Point(NamedTuple):
    """Value, time in milliseconds, and step."""

    value: float
    time: int
    step: int


class Points:
    """The points in the order in which they came. `latest` is the one that a run shows."""

    __slots__ = (
        "_greatest_step",
        "_greatest_time",
        "_seen",
        "_steps",
        "_times",
        "_unused",
        "_values",
        "count",
        "latest",
    )

    def __init__(self) -> None:
        self._values, self._times, self._steps = array("d"), array("q"), array("q")
        self._greatest_time = self._greatest_step = -(2**63)
        self._seen: set[int] | None = None
        self._unused = 0  # points since the set was needed
        self.count = 0
        self.latest: Point | None = None

    @property
    def whole(self) -> bool:
        """Whether all points are in memory."""
        return len(self._values) == self.count

    def add(self, point: Point, keep: bool) -> bool:
        """Add a point unless it is a duplicate. `keep`: in memory, too. Return whether it was added."""
        value, time, step = point
        # A point that is newer or further than all others needs no comparison, so the set exists only for odd series.
        if time <= self._greatest_time and step <= self._greatest_step:
            seen, self._unused = self._known(), 0
            mark = _mark(value, time, step)
            if mark in seen:
                return False
            seen.add(mark)
        elif self._seen is not None:
            self._unused += 1
            self._seen.add(_mark(value, time, step))
            if self._unused > _KEPT + self.count // 4:  # one repeated request should not cost memory for ever
                self._seen = None
        self._greatest_time, self._greatest_step = max(time, self._greatest_time), max(step, self._greatest_step)
        if keep and self.whole:
            self._values.append(value)
            self._times.append(time)
            self._steps.append(step)
        self.count += 1
        last = self.latest
        order = (0, 0) if last is None else (last.step, last.time)
        if last is None or (step, time) > order or ((step, time) == order and not value < last.value):
            self.latest = point
        return True

    def slice(self, start: int, end: int) -> Iterator[Point]:
        """The points from one index to another."""
        return map(Point, self._values[start:end], self._times[start:end], self._steps[start:end])

    def _known(self) -> set[int]:
        if self._seen is None:
            self._seen = set(map(_mark, self._values, self._times, self._steps))
        return self._seen


def _mark(value: float, time: int, step: int) -> int:
    """A hash of 64 bits that takes a quarter of a tuple's memory. NaN has the bits of NaN."""
    return hash((_bits(value), time, step))
