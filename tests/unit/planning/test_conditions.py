from datetime import timedelta
from typing import Any

import pytest

from assay.api.common import Condition
from assay.planning import conditions
from tests.unit.planning.objects import NOW

pytestmark = pytest.mark.unit


def condition(kind: str, status: Any, seconds: int, reason: str = "Because") -> Condition:
    return Condition(type=kind, status=status, reason=reason, last_transition_time=NOW + timedelta(seconds=seconds))


def test_only_a_new_status_has_a_new_time() -> None:
    old = [condition("A", "True", 0), condition("B", "False", 0), condition("Gone", "True", 0)]
    new = [condition("A", "True", 9, "Other"), condition("B", "True", 9), condition("C", "Unknown", 9)]
    found = conditions.merge_conditions(old, new)
    times = {c.type: (c.last_transition_time - NOW).seconds for c in found}
    assert times == {"A": 0, "B": 9, "C": 9}
    assert [c.reason for c in found] == ["Other", "Because", "Because"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (59, "59s"),
        (60, "1m0s"),
        (3599, "59m59s"),
        (3600, "1h0m0s"),
        (90061, "25h1m1s"),
        (-5, "0s"),
    ],
)
def test_a_duration_as_people_write_it(seconds: float, text: str) -> None:
    assert conditions.format_duration(NOW, NOW + timedelta(seconds=seconds)) == text


def test_an_open_end_has_no_duration() -> None:
    assert conditions.format_duration(NOW, None) is None
    assert conditions.format_duration(None, NOW) is None


def test_times_are_read_as_kubernetes_writes_them() -> None:
    assert conditions.parse_time("2026-03-01T12:00:00Z") == NOW
    assert conditions.parse_time("2026-03-01T12:00:00.000000Z") == NOW
    assert conditions.parse_time("") is conditions.parse_time(None) is None


@pytest.mark.parametrize(
    ("value", "text"), [(0.9123456789, "0.912346"), (3.0, "3"), (1e-7, "1e-07"), (123456789.0, "1.23457e+08")]
)
def test_a_value_for_a_table(value: float, text: str) -> None:
    assert conditions.format_value(value) == text
