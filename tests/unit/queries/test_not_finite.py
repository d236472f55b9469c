"""NaN and infinities in tables, filters, comparisons, curves and what an approver sees."""

import json
import math
from typing import Any

import numpy
import pytest

from assay.cli.output import curve_points, plots, printing
from assay.cli.output.plots import Axes, Line
from assay.queries.curves.reading import Curve
from assay.queries.curves.shapes import smoothed, thinned
from assay.queries.promotion import candidates
from assay.queries.runs import columns, comparison
from assay.queries.runs.columns import Names
from assay.queries.runs.filters import Filter
from tests.unit.queries.runs import row

pytestmark = pytest.mark.unit

Raw = dict[str, Any]


def losses() -> list[Any]:
    objective = {"metric": "loss", "direction": "minimize"}
    summaries = {"diverged": {"last": "NaN", "min": 0.1}, "good": {"last": 0.3, "best": 0.2, "min": 0.2}}
    summaries["huge"] = {"last": "Infinity", "min": 0.1}
    return [row(name, metrics={"loss": found}, objective=objective) for name, found in summaries.items()]


@pytest.mark.parametrize("direction", ["loss", "-loss"])
def test_runs_without_a_number_are_sorted_last_and_shown(direction: str) -> None:
    rows = losses()
    found = columns.sort(rows, direction, Names(rows))
    assert found[-1]["name"] == "diverged"
    field = Names(rows).field("loss")
    assert [printing.cell(field.value(each)) for each in rows] == ["NaN", "0.2", "Infinity"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("metrics.loss.last < 0.5", ["good"]),
        ("metrics.loss.last != metrics.loss.last", ["diverged"]),
        ("metrics.loss.last > 1e300", ["huge"]),
    ],
)
def test_a_filter_compares_numbers(where: str, expected: list[str]) -> None:
    found = Filter(where)
    assert [each["name"] for each in losses() if found.matches(each)] == expected


def test_logged_parameters_are_filtered_compared_and_shown() -> None:
    rows = [row("a", logged={"lr": 0.1}), row("b", logged={"lr": 0.01}), row("c")]
    found = Filter("logged.lr > 0.05")
    assert [each["name"] for each in rows if found.matches(each)] == ["a"]
    assert Names(rows).field("logged.lr").value(rows[1]) == 0.01


def run(name: str, **status: Any) -> Raw:
    return {"metadata": {"name": name}, "spec": {"job": {"template": {"spec": {"containers": []}}}}, "status": status}


def test_compare_shows_both() -> None:
    a = run("a", metrics={"loss": {"last": "NaN"}}, logged={"parameters": {"lr": 0.1}, "tags": {"t": "x"}})
    b = run("b", metrics={"loss": {"last": 0.3}}, logged={"parameters": {"lr": 0.2}})
    found = {each["field"]: each["values"] for each in comparison.compared([a, b])["items"]}
    assert found["metrics.loss.last"] == ["NaN", 0.3]
    assert (found["logged.lr"], found["loggedTags.t"]) == ([0.1, 0.2], ["x", None])


def test_an_approver_sees_nan() -> None:
    body = {"spec": {}, "status": {"provenance": {"metrics": {"loss": {"last": "NaN", "min": 0.1}}}}}
    live = {"spec": {}, "status": {"provenance": {"metrics": {"loss": {"last": 0.2, "best": 0.1}}}}}
    (found,) = candidates.metrics(body, live, ("loss", "minimize"))
    assert found == {"name": "loss", "value": "last", "candidate": "NaN", "live": 0.2, "change": None, "better": None}


def curve(*values: float) -> Curve:
    steps = numpy.arange(len(values)) / 2
    return Curve("r", {}, "loss", "p", steps, steps, steps + 1e9, numpy.array(values))


def test_points_are_printed_with_fractional_steps_and_valid_json() -> None:
    found = curve_points.document(curve(0.5, math.nan, math.inf), 0.5)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["step"], found["value"]) == ([0.0, 0.5, 1.0], [0.5, "NaN", "Infinity"])
    assert found["smoothed"][1:] == ["NaN", "Infinity"]


def test_smoothing_continues_after_nan() -> None:
    found = smoothed(numpy.array([1.0, math.nan, 1.0, math.inf]), 0.9)
    assert found[[0, 2]].tolist() == pytest.approx([1.0, 1.0])
    assert math.isnan(found[1])


def test_thinning_keeps_the_extremes_beside_nan() -> None:
    y = numpy.sin(numpy.arange(1000.0))
    y[500:510] = math.nan
    y[502] = 99.0
    kept = thinned(numpy.arange(1000.0), y, 10)
    assert 502 in kept
    assert numpy.isnan(y[kept]).any()


def test_a_line_without_a_point_is_left_out() -> None:
    empty = Line("nan", numpy.array([]), numpy.array([]))
    full = Line("a", numpy.array([0.0, 1.0]), numpy.array([0.0, 1.0]))
    assert plots.as_text([empty], Axes("x", "y"), 60, 12, coloured=False) == ""
    assert plots.as_text([empty, full], Axes("x", "y"), 60, 12, coloured=False)
