"""How fast an experiment goes, and when it will be over, from what was seen of its runs. Pure; times in seconds."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

#: Only of so long ago counts how fast it goes.
WINDOW = 900.0


def rate(ends: Sequence[float], began: float, now: float) -> float | None:
    """Return how many runs have ended a minute, of late; None when none has, or it has only just begun."""
    since = max(began, now - WINDOW)
    recent = [end for end in ends if since < end <= now]
    return len(recent) * 60 / (now - since) if recent and now > since else None


def remaining(durations: Sequence[float], running: Sequence[float], waiting: int, parallelism: int) -> float | None:
    """Return the seconds until all runs have ended, if they take as long as those before them; None without any.

    ``durations`` are of the runs that have ended, ``running`` for how long the others have gone on, ``waiting`` counts
    those that have not begun. Each of these gets the place that is free first, of ``parallelism`` ones, and takes the
    mean duration. One that goes on is expected to end after the mean of the durations that were longer than it has
    taken by now; when none was, at any moment. It is an estimate, and no bound.
    """
    if not durations:
        return None
    mean = sum(durations) / len(durations)
    ends = [_rest(durations, elapsed) for elapsed in running]
    last = max(ends, default=0.0)
    # Where more go on than may, by now, the first ones to end leave no place.
    places = sorted([*ends, *[0.0] * (parallelism - len(ends))])[-parallelism:]
    for _ in range(waiting):
        end = places[0] + mean
        heapq.heapreplace(places, end)
        last = max(last, end)
    return last


def _rest(durations: Sequence[float], elapsed: float) -> float:
    longer = [each for each in durations if each > elapsed]
    return sum(longer) / len(longer) - elapsed if longer else 0.0
