"""The rate and the end of an experiment, from the runs that have ended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.queries.runs.pace import rate, remaining

pytestmark = pytest.mark.unit

SECONDS = st.floats(1, 1e5)


def test_runs_per_minute_are_recent_ones() -> None:
    assert rate([], 0, 100) is None
    assert rate([60, 120], 0, 120) == 1
    assert rate([1], 0, 10_000) is None, "it was long ago"
    assert rate([10_000 - 300, 1, 2, 3], 0, 10_000) == pytest.approx(1 / 15)
    assert rate([5], 5, 5) is None


def test_the_time_left_is_that_of_the_busiest_slot() -> None:
    assert remaining([], [5], 10, 2) is None
    assert remaining([10], [], 0, 2) == 0
    assert remaining([10], [], 4, 2) == 20
    assert remaining([10, 30], [], 3, 1) == 60
    # Two go on: 4 s and 8 s are left of them. The next ones begin then.
    assert remaining([10], [6, 2], 0, 2) == 8
    assert remaining([10], [6, 2], 1, 2) == 14
    assert remaining([10], [6, 2], 2, 2) == 18
    # More run than may, after parallelism was lowered: nobody is stopped.
    assert remaining([10], [8, 2, 0], 1, 1) == 20


def test_a_long_run_is_expected_to_take_as_long_as_longer_ones() -> None:
    assert remaining([10, 20, 60], [15], 0, 1) == 25
    assert remaining([10, 20], [99], 0, 1) == 0
    assert remaining([10, 20], [99], 2, 1) == 30


@given(st.lists(SECONDS, min_size=1, max_size=20), st.lists(SECONDS, max_size=8), st.integers(0, 50), st.integers(1, 8))
def test_more_slots_are_never_slower_and_more_runs_never_faster(
    durations: list[float], running: list[float], waiting: int, parallelism: int
) -> None:
    found = remaining(durations, running, waiting, parallelism)
    assert found is not None
    assert found >= 0
    more_places = remaining(durations, running, waiting, parallelism + 1)
    more_runs = remaining(durations, running, waiting + 1, parallelism)
    assert more_places is not None
    assert more_runs is not None
    slack = 1e-9 * (1 + found)
    assert more_places <= found + slack
    assert more_runs >= found - slack
