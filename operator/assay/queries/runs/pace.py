"""Estimates the pace of an experiment and its remaining time from its runs. Pure; times in seconds."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

#: The pace is that of this last period.
WINDOW = 900.0


def rate(ends: Sequence[float], began: float, now: float) -> float | None:
    """Return how many runs ended per minute recently; None if none did, or the experiment has just begun."""
    since = max(began, now - WINDOW)
    recent = [end for end in ends if since < end <= now]
    return len(recent) * 60 / (now - since) if recent and now > since else None


def remaining(durations: Sequence[float], running: Sequence[float], waiting: int, parallelism: int) -> float | None:
    """Estimate the seconds until all runs have ended from the durations of previous runs; None without any.

    ``durations`` are those of ended runs, ``running`` the elapsed times of running ones, ``waiting`` the number of runs
    that have not started. A waiting run takes the mean duration, in the first of ``parallelism`` slots that becomes
    free. A running run is expected to take the mean of the durations longer than its elapsed time; if there is none, to
    end immediately.
    """
    if not durations:
        return None
    mean = sum(durations) / len(durations)
    ends = [_rest(durations, elapsed) for elapsed in running]
    last = max(ends, default=0.0)
    # If more runs are active than ``parallelism`` allows now, the first ones to end free no slot.
    slots = sorted([*ends, *[0.0] * (parallelism - len(ends))])[-parallelism:]
    for _ in range(waiting):
        end = slots[0] + mean
        heapq.heapreplace(slots, end)
        last = max(last, end)
    return last


def _rest(durations: Sequence[float], elapsed: float) -> float:
    longer = [each for each in durations if each > elapsed]
    return sum(longer) / len(longer) - elapsed if longer else 0.0
