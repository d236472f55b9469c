"""Lines become points; invalid fields are counted, quoted and skipped, and the rest of the line is recorded."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.recorder.collectors.json_lines import Parser
from assay.recorder.record import Record
from assay.recorder.state import State, Totals
from assay.store.points.values import Progress
from assay.store.records import MetricSummary, Summary
from tests.unit.recorder.plain import Point, plain_parse

pytestmark = pytest.mark.unit

NOW = 1763700000.25


def parse(*lines: str | bytes) -> tuple[list[Point], Totals]:
    record = Record(Totals())
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    Parser(record, Progress()).parse(raw, NOW)
    rows = [json.loads(row) for row in record.rows]
    return [(row["metric"], row["step"], row["time"], float(row["value"])) for row in rows], record.totals


def test_a_line_as_documented() -> None:
    points, totals = parse('{"step": 3, "time": 1763700000.123, "loss": 0.4, "val_f1": 1}')
    assert points == [("loss", 3, 1763700000.123, 0.4), ("val_f1", 3, 1763700000.123, 1.0)]
    assert (totals.points, totals.rejected, totals.warnings) == (2, 0, [])


def test_step_is_the_ordinal_of_the_accepted_line_and_time_is_now() -> None:
    points, _ = parse('{"a": 1}', "", "nonsense", '{"b": "x"}', '{"a": 2}')
    assert points == [("a", 0, NOW, 1.0), ("a", 1, NOW, 2.0)]


def test_timestamp_is_an_alias_of_time() -> None:
    points, totals = parse('{"timestamp": 1e9, "a": 1}', '{"timestamp": 1e9, "time": 1.2e9, "a": 1}')
    assert [point[2] for point in points] == [1e9, 1.2e9]
    assert totals.events == []


@pytest.mark.parametrize(
    ("fields", "time", "warning"),
    [
        (f'"time": {NOW * 1000:.0f}', NOW, "time: in milliseconds, not in seconds: 1763700000250"),
        ('"timestamp": 1763700000250000000', NOW, "timestamp: in nanoseconds, not in seconds: 1763700000250000000"),
        ('"time": -3', NOW, "time: negative, not unix seconds: -3"),
        ('"timestamp": -3.5', NOW, "timestamp: negative, not unix seconds: -3.5"),
        ('"time": 4000000000', NOW, "time: more than a day in the future: 4000000000"),
        ('"timestamp": 5', NOW, "timestamp: not unix seconds: 5"),
        ('"time": Infinity', NOW, "time: not unix seconds: Infinity"),
    ],
)
def test_an_unlikely_time_is_warned_about_once(fields: str, time: float, warning: str) -> None:
    points, totals = parse(*[f'{{"step": 0, {fields}, "a": 1}}'] * 3)
    assert points == [("a", 0, time, 1.0)] * 3
    assert (totals.rejected, totals.events) == (0, [f"line 1: {warning}"])


def test_a_metric_called_time_is_recorded() -> None:
    points, totals = parse('{"step": 1, "time": 12.5, "a": 1}')
    assert points == [("time", 1, NOW, 12.5), ("a", 1, NOW, 1.0)]
    assert totals.events == ["line 1: time: 12.5 is not unix seconds, so it is recorded as the metric time"]
    points, totals = parse('{"step": 1, "time": 12.5, "timestamp": 1763700000, "a": 1}')
    assert points == [("time", 1, 1763700000.0, 12.5), ("a", 1, 1763700000.0, 1.0)]
    assert totals.events == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", math.nan),
        ("null", math.nan),
        ('"NaN"', math.nan),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ('"-Infinity"', -math.inf),
        ("1e999", math.inf),
    ],
)
def test_a_non_finite_value_is_a_point_but_not_a_minimum_or_maximum(text: str, value: float) -> None:
    points, totals = parse('{"step": 0, "a": 0.5}', f'{{"step": 1, "a": {text}}}')
    assert repr(points) == repr([("a", 0, NOW, 0.5), ("a", 1, NOW, value)])
    summary = MetricSummary(**totals.metrics["a"].to_dict())
    assert (repr(summary.last), summary.min, summary.max, summary.step, summary.count) == (repr(value), 0.5, 0.5, 1, 2)
    assert (totals.rejected, totals.warnings, totals.events) == (0, [], [])


def test_without_finite_values_there_is_no_minimum_or_maximum() -> None:
    _, totals = parse('{"a": NaN}', '{"a": Infinity}')
    summary = MetricSummary(**totals.metrics["a"].to_dict())
    assert (summary.last, summary.min, summary.max, summary.min_step, summary.count) == (math.inf, None, None, None, 2)


def test_steps_may_be_fractional() -> None:
    points, totals = parse(*(f'{{"step": {step}, "a": 1}}' for step in ("0", "0.5", "1", "1.5")))
    assert [point[1] for point in points] == [0, 0.5, 1, 1.5]
    assert (totals.rejected, totals.metrics["a"].step) == (0, 1.5)


def test_a_line_without_a_step_has_the_last_one_and_no_line_number() -> None:
    points, totals = parse('{"step": 90.5, "a": 1}', '{"a": 2}', '{"step": "final", "a": 3}')
    assert [point[1] for point in points] == [90.5, 90.5, 90.5]
    assert totals.warnings == ['line 3: step: not a number: "final"']


def test_values_that_are_strings_are_remembered_by_metric() -> None:
    _, totals = parse('{"a": "0.5", "b": true}', '{"a": "0.6"}')
    assert totals.refused == {"a": 'not a number: "0.5"', "b": "not a number: true"}


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
        ("1" * 5000, 'line 1: not a JSON object: "' + "1" * 79 + '\\u2026"'),
    ],
)
def test_a_bad_line(line: str | bytes, warning: str) -> None:
    points, totals = parse(line, '{"a": 1}')
    assert [point[0] for point in points] == ["a"]
    assert (totals.rejected, totals.warnings) == (1, [warning])


@pytest.mark.parametrize(
    ("value", "warning"),
    [
        ("1" + "0" * 400, "line 1: bad: too large: an integer of 1329 bits"),
        ("-1" + "0" * 4999, 'line 1: bad: not a number: "an integer of 5000 digits"'),
        ('"0.5"', 'line 1: bad: not a number: "0.5"'),
        ("true", "line 1: bad: not a number: true"),
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
        ('"step": "1"', 'line 1: step: not a number: "1"'),
        ('"step": true', "line 1: step: not a number: true"),
        ('"step": null', "line 1: step: not a number: null"),
        ('"step": NaN', "line 1: step: not a number: NaN"),
        ('"step": 1' + "0" * 400, "line 1: step: not a number: an integer of 1329 bits"),
        ('"time": 1' + "0" * 4999, 'line 1: time: not unix seconds: "an integer of 5000 digits"'),
        ('"time": "now"', 'line 1: time: not unix seconds: "now"'),
        ('"timestamp": NaN', "line 1: timestamp: not unix seconds: NaN"),
        ('"time": true', "line 1: time: not unix seconds: true"),
        ('"time": null', "line 1: time: not unix seconds: null"),
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
    assert totals.events == [
        "more than 1000 metrics: further metrics are recorded but not summarised, the first of them is m400-1"
    ]


def test_a_wanted_metric_is_summarised_as_the_1001st() -> None:
    record = Record(Totals(), ["late"])
    record.points(((f"m{i}", 1.0) for i in range(1000)), 0, NOW, "line 1")
    record.points([("unwanted", 1.0), ("late", 2.0)], 1, NOW, "line 2")
    assert len(record.totals.metrics) == 1001
    assert record.totals.metrics["late"].last == 2.0
    assert "the first of them is unwanted" in record.totals.events[0]


def test_a_flood_of_bad_lines_is_counted_and_leaves_room_for_other_warnings() -> None:
    _, totals = parse(*["bad"] * 1000)
    assert totals.rejected == 1000
    assert len(totals.warnings) == 12
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
    assert repr(points) == repr(expected) or [(n, s, t, repr(v)) for n, s, t, v in points] == [
        (n, s, t, repr(v)) for n, s, t, v in expected
    ]
    assert totals.points == len(expected)
    for name in {point[0] for point in expected}:
        assert repr(MetricSummary(**totals.metrics[name].to_dict())) == repr(plain_summary(name, expected))


def plain_summary(name: str, points: list[Point]) -> MetricSummary:
    mine = [(value, step) for metric, step, _, value in points if metric == name]
    finite = [value for value, _ in mine if math.isfinite(value)]
    low, high = min(finite, default=None), max(finite, default=None)
    return MetricSummary(
        last=mine[-1][0],
        min=low,
        max=high,
        step=mine[-1][1],
        count=len(mine),
        min_step=next((step for value, step in mine if value == low), None),
        max_step=next((step for value, step in mine if value == high), None),
    )


@given(lines)
def test_state_survives_the_disk(texts: list[str]) -> None:
    state = State("pod", "2026-01-01T00:00:00Z")
    Parser(Record(state.totals), Progress()).parse([text.encode() for text in texts], NOW)
    again = State.from_dict(json.loads(json.dumps(state.to_dict())))
    assert again.to_dict() == state.to_dict()


@given(lines)
def test_every_summary_can_be_read_back(texts: list[str]) -> None:
    from assay.recorder.records import summary

    state = State("pod", "2026-01-01T00:00:00Z")
    Parser(Record(state.totals), Progress()).parse([text.encode() for text in texts], NOW)
    record: dict[str, Any] = summary(state, (1, 2), "e" * 1000)
    read = Summary.model_validate_json(json.dumps(record))
    assert read.points == state.totals.points
    assert {name: repr(metric.last) for name, metric in read.metrics.items()} == {
        name: repr(float(series.last)) for name, series in state.totals.metrics.items()
    }
