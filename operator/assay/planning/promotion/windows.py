"""Freeze windows: whether one is open at a moment, until when, and when the next one opens.

All arithmetic is done in UTC: a weekly window opens and closes when the clocks on its wall say so, also on the days
when they are put forward or back. An hour that the wall skips is taken where it would have been.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from assay.planning.promotion.policies import Once, Weekly

#: How far ahead weekly windows are looked for. A freeze that has no end within these days is reported as endless.
HORIZON = timedelta(days=15)


class UnknownZone(ValueError):
    """A time zone that the database does not have."""


@dataclass(frozen=True)
class State:
    """``until`` is the end of the freeze that holds now (None: no freeze); ``next_change`` when this may change."""

    frozen: bool
    until: datetime | None = None
    next_change: datetime | None = None


def check(window: Once | Weekly) -> None:
    """Raise UnknownZone when the window's time zone does not exist."""
    if isinstance(window, Weekly):
        _zone(window.zone)


def state(window: Once | Weekly, now: datetime) -> State:
    """Return whether the window is open at ``now``. Stretches that touch are one."""
    now = now.astimezone(UTC)
    until = None
    for start, end in _stretches(window, now):
        if start > (until or now):
            return State(until is not None, until, until or start)
        if end > (until or now):
            until = end
    if until is not None and isinstance(window, Weekly) and until > now + HORIZON - timedelta(days=4):
        return State(True, None, until)
    return State(until is not None, until, until)


def _stretches(window: Once | Weekly, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the window's stretches from some before ``now``, in order."""
    if isinstance(window, Once):
        if window.start < window.end:
            yield window.start.astimezone(UTC), window.end.astimezone(UTC)
        return
    zone = _zone(window.zone)
    today = now.astimezone(zone).date()
    for offset in range(-2, HORIZON.days):
        day = today + timedelta(days=offset)
        if day.weekday() not in window.days:
            continue
        same_day = window.end is not None and window.end > window.begin
        last = day if same_day else day + timedelta(days=1)
        start = datetime.combine(day, window.begin, zone).astimezone(UTC)
        end = datetime.combine(last, window.end or time.min, zone).astimezone(UTC)
        if start < end:
            yield start, end


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise UnknownZone(f"there is no time zone {name}") from error
