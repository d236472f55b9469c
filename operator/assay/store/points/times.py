"""Decides whether a number is a time in unix seconds. Pure."""

from __future__ import annotations

#: 2000-01-01. An earlier time was not written by a clock that was set.
EARLIEST = 946_684_800.0
_DAY = 86_400.0
_UNITS = (("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))


def unix_seconds(value: object, now: float) -> tuple[float | None, str]:
    """Return the time, None if it is none, and what is wrong with the value, "" if nothing.

    A time in milliseconds, microseconds or nanoseconds is converted, with a complaint. `now` is in unix seconds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, "not unix seconds"
    try:
        seconds = float(value)
    except OverflowError:
        return None, "not unix seconds"
    latest = max(now, EARLIEST) + _DAY
    if EARLIEST <= seconds <= latest:
        return seconds, ""
    for name, factor in _UNITS:
        # The quotient of two integers is rounded once.
        if EARLIEST <= value / factor <= latest:
            return value / factor, f"in {name}, not in seconds"
    if seconds < 0:
        return None, "negative, not unix seconds"
    return None, "more than a day in the future" if latest < seconds < 1e11 else "not unix seconds"
