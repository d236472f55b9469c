"""Curves of runs that have ended, kept for the next request: who zooms or smooths asks for the same points again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from assay.queries.curves.reading import Curve

#: Bytes of all curves together: two of 1,000,000 points.
_MOST_BYTES: Final = 64 << 20


class CurveKey(NamedTuple):
    """Which points: ``identity`` is that of the object in the store, ``x`` the axis over which they were read."""

    endpoint: str
    bucket: str
    identity: str
    metric: str
    x: str


class KeptCurves:
    """Curves by what identifies their points; those that were asked for longest ago are dropped first.

    Whoever asks has read the identity from the store with their own keys.
    """

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._kept: OrderedDict[CurveKey, Curve] = OrderedDict()
        self._lock = threading.Lock()
        self._most, self._size = most, 0

    def get(self, key: CurveKey) -> Curve | None:
        """Return a curve, None if it is not kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: CurveKey, curve: Curve) -> None:
        """Keep a curve, which nobody may change; one that does not fit would only drop the others."""
        with self._lock:
            if key in self._kept or _bytes(curve) > self._most:
                return
            self._kept[key] = curve
            self._size += _bytes(curve)
            while self._size > self._most:
                self._size -= _bytes(self._kept.popitem(last=False)[1])


def _bytes(curve: Curve) -> int:
    arrays = {id(each): each.nbytes for each in (curve.x, curve.step, curve.time, curve.value)}
    return sum(arrays.values())
