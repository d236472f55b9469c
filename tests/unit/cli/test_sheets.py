"""Formatting of ages, sizes and single lines."""

from datetime import datetime

import pytest

from assay.cli.output import sheets

pytestmark = pytest.mark.unit

NOW = datetime.fromisoformat("2026-03-10T12:00:00Z")


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("2026-03-10T12:00:05Z", "0s"),  # by a clock that is ahead of ours
        ("2026-03-10T11:58:01Z", "119s"),
        ("2026-03-10T11:58:00Z", "2m"),
        ("2026-03-10T10:00:01Z", "119m"),
        ("2026-03-10T10:00:00Z", "2h"),
        ("2026-03-08T12:00:00Z", "2d"),
        ("2024-03-10T12:00:00Z", "730d"),
        (None, ""),
    ],
)
def test_an_age_has_one_unit(since: str | None, expected: str) -> None:
    assert sheets.age(since, NOW) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(None, ""), (0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (12_345_678, "12.3 MB")]
)
def test_a_size_has_three_significant_digits(count: int | None, expected: str) -> None:
    assert sheets.size(count) == expected


def test_text_from_users_stays_on_one_line() -> None:
    assert sheets.line("latency\ndigits.champion: v2 is live\t\x1b[31m") == "latency digits.champion: v2 is live �[31m"
