"""Freeze windows: whether a window is active at a given time, until when, and when it starts next.

All arithmetic is in UTC. A weekly window is active whenever the local wall-clock time is in it. When clocks
change, an hour that the clock shows twice counts twice, and a window whose start or end is skipped keeps the rest. A
window that is skipped entirely is active when it would have been without the change: it fails closed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from assay.planning.promotion.policies import Once, Weekly

#: How far ahead weekly windows are computed. A freeze with no end in this time is reported as endless.
HORIZON = timedelta(days=15)
_HOURS = 6  # consecutive changes of the UTC offset are further apart

Stretch = tuple[datetime, datetime]


class UnknownZone(ValueError):
    """A time zone that is not in the time zone database."""


@dataclass(frozen=True)
class State:
    """Whether a window is active.

    ``until`` is the end of the active freeze (None: no freeze, or one without end); ``next_change`` is when this
    state may change.
    """

    frozen: bool
    until: datetime | None = None
    next_change: datetime | None = None


def check(window: Once | Weekly) -> None:
    """Raise UnknownZone if the window's time zone does not exist."""
    if isinstance(window, Weekly):
        _zone(window.zone)


def state(window: Once | Weekly, now: datetime) -> State:
    """Return whether the window is active at ``now``. Adjacent and overlapping intervals count as one."""
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


def _stretches(window: Once | Weekly, now: datetime) -> Iterator[Stretch]:
    """Yield the window's intervals in order, starting some days before ``now``."""
    if isinstance(window, Once):
        if window.start < window.end:
            yield window.start.astimezone(UTC), window.end.astimezone(UTC)
        return
    zone = _zone(window.zone)
    today = now.astimezone(zone).date()
    found: list[Stretch] = []
    for offset in range(-2, HORIZON.days):
        day = today + timedelta(days=offset)
        if day.weekday() not in window.days:
            continue
        same_day = window.end is not None and window.end > window.begin
        begin = datetime.combine(day, window.begin)
        end = datetime.combine(day if same_day else day + timedelta(days=1), window.end or time.min)
        found += _on_the_wall(begin, end, _offsets(window.zone, today)) or [_as_it_would_have_been(begin, end, zone)]
    yield from sorted(found)


def _on_the_wall(begin: datetime, end: datetime, offsets: tuple[tuple[Stretch, timedelta], ...]) -> list[Stretch]:
    """Return the intervals in which the local time is from ``begin`` to ``end`` (both naive): none, one or two."""
    found = []
    for (start, until), offset in offsets:
        first, last = max(start, (begin - offset).replace(tzinfo=UTC)), min(until, (end - offset).replace(tzinfo=UTC))
        if first < last:
            found.append((first, last))
    return found


def _as_it_would_have_been(begin: datetime, end: datetime, zone: ZoneInfo) -> Stretch:
    start = begin.replace(tzinfo=zone).astimezone(UTC)
    return start, start + (end - begin)


@lru_cache(maxsize=256)
def _offsets(zone_name: str, today: date) -> tuple[tuple[Stretch, timedelta], ...]:
    """Return, in order, the intervals around a day with a constant UTC offset, each with its offset."""
    zone = _zone(zone_name)
    start = datetime.combine(today, time.min, UTC) - timedelta(days=5)
    end = datetime.combine(today, time.min, UTC) + HORIZON + timedelta(days=5)
    found = []
    at, known = start, _offset(zone, start)
    while at < end:
        later = at + timedelta(hours=_HOURS)
        offset = _offset(zone, later)
        if offset != known:
            change = _change(zone, at, later)
            found.append(((start, change), known))
            start, known = change, offset
        at = later
    return (*found, ((start, at), known))


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the second at which the UTC offset changes."""
    known = _offset(zone, before)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
        before, after = (middle, after) if _offset(zone, middle) == known else (before, middle)
    return after


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise UnknownZone(f"unknown time zone {name}") from error
