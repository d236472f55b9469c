"""Lines become points; invalid fields are counted, quoted and skipped, and the rest of the line is recorded."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.recorder.metrics import Parser
from assay.recorder.state import State, Totals
from assay.store.records import MetricSummary, Summary
from tests.unit.recorder.plain import Point, plain_parse

pytestmark = pytest.mark.unit

NOW = 1763700000.25


def parse(*lines: str | bytes) -> tuple[list[Point], Totals]:
    totals = Totals()
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    rows = [json.loads(row) for row in Parser(totals).parse(raw, NOW)]
    return [(row["metric"], row["step"], row["time"], row["value"]) for row in rows], totals


def test_a_line_as_documented() -> None:
    points, totals = parse('{"step": 3, "time": 1763700000.123, "loss": 0.4, "val_f1": 1}')
    assert points == [("loss", 3, 1763700000.123, 0.4), ("val_f1", 3, 1763700000.123, 1.0)]
    assert (totals.points, totals.accepted, totals.rejected, totals.warnings) == (2, 1, 0, [])


def test_step_is_the_ordinal_of_the_accepted_line_and_time_is_now() -> None:
    points, _ = parse('{"a": 1}', "", "nonsense", '{"b": "x"}', '{"a": 2}')
    assert points == [("a", 0, NOW, 1.0), ("a", 1, NOW, 2.0)]


def test_timestamp_is_an_alias_of_time() -> None:
    points, _ = parse('{"timestamp": 5, "a": 1}', '{"timestamp": 5, "time": 6, "a": 1}')
    assert [point[2] for point in points] == [5.0, 6.0]


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("hello", 'line 1: not JSON: "hello"'),
        ("{'loss': 1}", "line 1: not JSON: \"{'loss': 1}\""),
        ('{"a": 1} {"a": 2}', 'line 1: not JSON: "{\\"a\\": 1} {\\"a\\": 2}"'),
        (b"\xff\xfe", 'line 1: not JSON: "\\ufffd\\ufffd"'),
        ("[1, 2]", 'line 1: not a JSON object: "[1, 2]"'),
        ("3", 'line 1: not a JSON object: "3"'),
        ("[" * 100_000, 'line 1: not JSON: "' + "[" * 79 + '\\u2026"'),
        ("1" * 5000, 'line 1: not JSON: "' + "1" * 79 + '\\u2026"'),
    ],
)
def test_a_bad_line(line: str | bytes, warning: str) -> None:
    points, totals = parse(line, '{"a": 1}')
    assert [point[0] for point in points] == ["a"]
    assert (totals.rejected, totals.warnings) == (1, [warning])


@pytest.mark.parametrize(
    ("value", "warning"),
    [
        ("NaN", "line 1: bad: not finite: NaN"),
        ("-Infinity", "line 1: bad: not finite: -Infinity"),
        ("1e999", "line 1: bad: not finite: Infinity"),
        ("1" + "0" * 400, "line 1: bad: not finite: an integer of 1329 bits"),
        ('"0.5"', 'line 1: bad: not a number: "0.5"'),
        ("true", "line 1: bad: not a number: true"),
        ("null", "line 1: bad: not a number: null"),
        ('{"x": 1}', 'line 1: bad: not a number: {"x": 1}'),
        ("[1]", "line 1: bad: not a number: [1]"),
        ('"' + "é" * 900 + '"', 'line 1: bad: not a number: "' + "\\u00e9" * 13 + "…"),
    ],
)
def test_a_bad_value_leaves_the_rest_of_the_line(value: str, warning: str) -> None:
    points, totals = parse(f'{{"step": 7, "bad": {value}, "good": 2}}')
    assert points == [("good", 7, NOW, 2.0)]
    assert (totals.rejected, totals.warnings) == (1, [warning])


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ('"step": 1.5', "line 1: step: not an integer: 1.5"),
        ('"step": "1"', 'line 1: step: not an integer: "1"'),
        ('"step": true', "line 1: step: not an integer: true"),
        ('"step": null', "line 1: step: not an integer: null"),
        ('"step": NaN', "line 1: step: not an integer: NaN"),
        ('"step": 9223372036854775808', "line 1: step: not an integer: an integer of 64 bits"),
        ('"time": "now"', 'line 1: time: not unix seconds: "now"'),
        ('"timestamp": NaN', "line 1: time: not unix seconds: NaN"),
        ('"time": true', "line 1: time: not unix seconds: true"),
    ],
)
def test_an_invalid_step_or_time_is_replaced_by_the_default(fields: str, warning: str) -> None:
    points, totals = parse(f'{{{fields}, "a": 2}}')
    assert points == [("a", 0, NOW, 2.0)]
    assert (totals.rejected, totals.warnings) == (1, [warning])


def test_a_whole_float_is_a_step() -> None:
    assert parse('{"step": 3.0, "a": 1}')[0][0][1] == 3


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\ud800", "\x00"])
def test_a_bad_name_is_rejected(name: str) -> None:
    points, totals = parse(json.dumps({name: 1, "good": 2}))
    assert [point[0] for point in points] == ["good"]
    assert totals.rejected == 1
    assert "the name of a metric must have" in totals.warnings[0]
    totals.warnings[0].encode()


def test_metrics_above_the_limit_are_recorded_but_not_summarised() -> None:
    lines = [json.dumps({f"m{i}-{j}": i for i in range(600)}) for j in range(2)]
    points, totals = parse(*lines)
    assert (len(points), totals.points, len(totals.metrics)) == (1200, 1200, 1000)
    assert totals.events == ["more than 1000 metrics: further metrics are recorded but not summarised"]


def test_a_flood_of_bad_lines_is_counted_and_leaves_room_for_other_warnings() -> None:
    _, totals = parse(*["bad"] * 1000)
    assert totals.rejected == 1000
    assert len(totals.warnings) == 15
    for number in range(9):
        totals.event(f"event {number}")
    assert len(totals.warnings + totals.events) == 20


values = (
    st.floats(allow_nan=True, allow_infinity=True)
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**320)
    | st.booleans()
    | st.none()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
)
objects = st.dictionaries(st.sampled_from(["step", "time", "timestamp", "loss", "acc", "é", ""]), values, max_size=5)
lines = st.lists(
    objects.map(json.dumps) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=8),
    max_size=12,
)


@given(lines)
def test_points_and_summaries_are_those_of_a_plain_parse(texts: list[str]) -> None:
    points, totals = parse(*texts)
    expected = plain_parse("".join(text + "\n" for text in texts).encode(), NOW)
    assert points == expected
    assert totals.points == len(expected)
    for name in {point[0] for point in expected}:
        assert MetricSummary(**totals.metrics[name].to_dict()) == plain_summary(name, expected)


def plain_summary(name: str, points: list[Point]) -> MetricSummary:
    mine = [(value, step) for metric, step, _, value in points if metric == name]
    numbers = [value for value, _ in mine]
    low, high = min(numbers), max(numbers)
    return MetricSummary(
        last=numbers[-1],
        min=low,
        max=high,
        step=mine[-1][1],
        count=len(mine),
        min_step=next(step for value, step in mine if value == low),
        max_step=next(step for value, step in mine if value == high),
    )


@given(lines)
def test_state_survives_the_disk(texts: list[str]) -> None:
    state = State("pod", "2026-01-01T00:00:00Z")
    Parser(state.totals).parse([text.encode() for text in texts], NOW)
    again = State.from_dict(json.loads(json.dumps(state.to_dict())))
    assert again.to_dict() == state.to_dict()


@given(lines)
def test_every_summary_can_be_read_back(texts: list[str]) -> None:
    from assay.recorder.records import summary

    state = State("pod", "2026-01-01T00:00:00Z")
    Parser(state.totals).parse([text.encode() for text in texts], NOW)
    record: dict[str, Any] = summary(state, (1, 2), "e" * 1000)
    read = Summary.model_validate_json(json.dumps(record))
    assert read.points == state.totals.points
    assert all(math.isfinite(metric.last) for metric in read.metrics.values())
