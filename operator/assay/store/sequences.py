"""Finds the end of a numbered series of keys with few requests, however long it is. Does no I/O itself."""

from __future__ import annotations

from collections.abc import Callable


def last(any_behind: Callable[[int], bool], after: int, limit: int) -> int:
    """The highest number of a series, at least `after`, even if the series has gaps. Numbers are below `limit`.

    Calls `any_behind(n)`, "is there any number above n?", first in growing steps and then in a binary search: about
    forty times for a million numbers, once if there is no number above `after`.
    """
    if not any_behind(after):
        return after
    low, step = after, 1
    while low + step < limit and any_behind(low + step):
        low, step = low + step, step * 2
    high = min(low + step, limit - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if any_behind(middle) else (low, middle)
    return high
