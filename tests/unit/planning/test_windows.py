"""Freeze windows on the nights on which clocks are changed, against a slow model that looks at every minute."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.planning.promotion import windows
from assay.planning.promotion.policies import Weekly
from tests.unit.planning import verdict_model

pytestmark = pytest.mark.unit

MINUTE = timedelta(minutes=1)
SUNDAY = frozenset({6})
#: A zone and the days around which its clocks change: by an hour or half of one, at night, at midnight, by a whole day.
CHANGES = {
    "Europe/Berlin": [datetime(2027, 3, 28, 1), datetime(2027, 10, 31, 1)],
    "America/New_York": [datetime(2027, 3, 14, 7), datetime(2027, 11, 7, 6)],
    "Australia/Lord_Howe": [datetime(2027, 4, 3, 15), datetime(2027, 10, 2, 15, 30)],
    "America/Santiago": [datetime(2027, 4, 4, 3), datetime(2027, 9, 5, 4)],
    "Pacific/Apia": [datetime(2011, 12, 30, 10)],
    "Africa/Casablanca": [datetime(2027, 2, 7, 2), datetime(2027, 3, 14, 2)],
    "UTC": [datetime(2027, 3, 28, 1)],
}


def minutes(window: Weekly, start: datetime, count: int) -> list[datetime]:
    """Return the minutes at which the window is open."""
    moments = (start.replace(tzinfo=UTC) + minute * MINUTE for minute in range(count))
    return [moment for moment in moments if windows.state(window, moment).frozen]


@pytest.mark.parametrize(
    ("begin", "end", "first", "last"),
    [
        # 2027-03-28, 02:00 is 03:00: what is left of the window on the wall.
        (time(2, 30), time(3, 15), "01:00", "01:14"),
        (time(1, 30), time(2, 30), "00:30", "00:59"),
        (time(1, 30), time(3, 30), "00:30", "01:29"),
        # Nothing is left of it: in doubt it is shut.
        (time(2, 10), time(2, 50), "01:10", "01:49"),
        (time(2, 0), time(3, 0), "01:00", "01:59"),
    ],
)
def test_a_window_on_the_night_on_which_clocks_are_put_forward(begin: time, end: time, first: str, last: str) -> None:
    found = minutes(Weekly("w", SUNDAY, begin, end, "Europe/Berlin"), datetime(2027, 3, 28), 24 * 60)
    assert [f"{moment:%H:%M}" for moment in (found[0], found[-1])] == [first, last]
    assert found[-1] - found[0] == (len(found) - 1) * MINUTE


def test_a_window_in_the_hour_that_clocks_show_twice_is_open_twice() -> None:
    window = Weekly("w", SUNDAY, time(2, 30), time(2, 45), "Europe/Berlin")
    found = minutes(window, datetime(2027, 10, 31), 24 * 60)
    assert [f"{moment:%H:%M}" for moment in found] == [
        f"{hour:02}:{minute}" for hour in (0, 1) for minute in range(30, 45)
    ]
    between = windows.state(window, datetime(2027, 10, 31, 0, 50, tzinfo=UTC))
    assert between.next_change == datetime(2027, 10, 31, 1, 30, tzinfo=UTC)


@st.composite
def nights(draw: st.DrawFn) -> tuple[Weekly, datetime]:
    """Return a window and a minute near a change of the clocks."""
    zone = draw(st.sampled_from(sorted(CHANGES)))
    moment = draw(st.sampled_from(CHANGES[zone])) + draw(st.integers(-1800, 1800)) * MINUTE
    near = st.builds(time, st.integers(0, 4), st.sampled_from([0, 1, 15, 29, 30, 31, 45, 59]))
    begin = draw(near)
    end = draw(st.none() | near.filter(lambda found: found != begin))
    days = draw(st.frozensets(st.integers(0, 6), min_size=1))
    return Weekly("w", days, begin, end, zone), moment.replace(tzinfo=UTC)


@given(nights())
def test_a_window_is_open_when_local_time_is_in_it_or_skipped_it(found: tuple[Weekly, datetime]) -> None:
    window, moment = found
    expected = verdict_model.frozen(window, moment)
    # A whole day that a zone has skipped shows no minute of the window; the model looks at one day's windows only.
    if not expected and not exists_today(window, moment):
        return
    assert windows.state(window, moment).frozen == expected


@given(nights())
def test_the_reported_end_and_next_change_are_correct(found: tuple[Weekly, datetime]) -> None:
    window, moment = found
    state = windows.state(window, moment)
    if state.next_change is None:
        return
    assert windows.state(window, state.next_change - timedelta(seconds=1)).frozen == state.frozen
    assert state.frozen is False or state.until in (None, state.next_change)
    assert state.until is None or not windows.state(window, state.until).frozen


def exists_today(window: Weekly, moment: datetime) -> bool:
    zone = ZoneInfo(window.zone)
    day = moment.astimezone(zone).date()
    return all(
        verdict_model.exists(datetime.combine(day + timedelta(days=offset), time(12)), 0, zone)
        for offset in (-2, -1, 0, 1)
    )
