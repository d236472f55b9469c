"""Drawing curves: ticks, labels and lines, on linear and logarithmic axes."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.cli.errors import CliError
from assay.cli.output.curve_points import document
from assay.cli.output.plots import Axes, Line, Plot, as_text, save, ticks
from assay.cli.runs import curves
from assay.cli.session import Session
from assay.queries.curves.reading import Curve

pytestmark = pytest.mark.unit


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_and_inside(low: float, width: float) -> None:
    places = ticks(low, low + width, log=False)
    assert len(places) <= 7
    assert places == sorted(places)
    slack = width * 1e-6 + 1e-9 * abs(low)
    assert all(low - slack <= place <= low + width + slack for place in places)


def test_ticks_are_round() -> None:
    assert ticks(0, 100, log=False) == [0, 20, 40, 60, 80, 100]
    assert ticks(0.013, 0.97, log=False) == [0.2, 0.4, 0.6, 0.8]
    assert ticks(0.003, 20, log=True) == [0.01, 0.1, 1, 10]
    assert ticks(0.03, 0.97, log=True) == [0.05, 0.1, 0.2, 0.5]
    assert ticks(0.3, 0.9, log=True) == [0.3, 0.9]
    assert ticks(1, 1, log=False) == []
    assert ticks(-1.7e308, 1.7e308, log=False) == []


@pytest.mark.parametrize("log", [False, True])
def test_a_falling_line_falls_from_the_left_to_the_right(log: bool) -> None:
    x = numpy.arange(1.0, 1001.0)
    axes = Axes("step", "loss", log_y=log)
    drawn = as_text([Line("a", x, numpy.exp(-x / 200))], axes, 60, 16, coloured=False).splitlines()
    rows = [line for line in drawn if any("⠀" < sign <= "⣿" for sign in line)]
    places = [next(at for at, sign in enumerate(line) if "⠀" < sign <= "⣿") for line in rows]
    assert len(rows) >= 10
    assert places == sorted(places)
    assert drawn[0].strip() == "loss"
    assert drawn[-1].strip() == "step"


def test_lines_without_colours_have_their_own_letters() -> None:
    x = numpy.arange(10.0)
    text = as_text([Line("one", x, x), Line("two", x, -x)], Axes("step", "loss"), 60, 16, coloured=False)
    assert "a" in text
    assert "b" in text
    assert "\x1b" not in text
    assert "\x1b" in as_text([Line("one", x, x)], Axes("step", "loss"), 60, 16, coloured=True)


def test_a_line_of_one_point_is_drawn() -> None:
    line = Line("one", numpy.array([5.0]), numpy.array([math.pi]))
    assert any("⠀" < sign <= "⣿" for sign in as_text([line], Axes("step", "loss"), 60, 16, coloured=False))


def curve(run: str = "r-1", metric: str = "loss", **parameters: Any) -> Curve:
    x = numpy.arange(1.0, 4.0)
    return Curve(run, parameters, metric, "p", x, x.astype(numpy.int64), x, x)


@pytest.mark.parametrize(
    ("shown", "legend", "labels"),
    [
        ([curve("a"), curve("b")], [], ["a", "b"]),
        ([curve("a", depth=2), curve("b")], ["depth"], ["a (depth 2)", "b (depth -)"]),
        ([curve("a", lr=0.1234567, on=True)], ["on", "lr"], ["a (on true, lr 0.123457)"]),
        ([curve("a", "loss", n=1), curve("a", "f1", n=1)], ["n"], ["loss (n 1)", "f1 (n 1)"]),
        ([curve("a", "loss"), curve("b", "f1")], [], ["a loss", "b f1"]),
        ([curve("a", x="\x1b[2J")], ["x"], ["a (x \ufffd[2J)"]),
    ],
)
def test_labels_show_the_parameters_of_the_legend(shown: list[Curve], legend: list[str], labels: list[str]) -> None:
    request = curves.Request([each.run for each in shown], [], legend=legend)
    assert [line.label for line in curves._lines(shown, request)] == labels


def test_an_unknown_parameter_in_the_legend_gets_suggestions() -> None:
    for shown, hint in (([curve(depth=1), curve(lr=2)], "did you mean depth?"), ([curve(lr=2)], "parameters: lr")):
        with pytest.raises(CliError, match="no run has a parameter deepth") as error:
            curves._check_legend(shown, ["deepth"])
        assert error.value.hint == hint
    with pytest.raises(CliError) as error:
        curves._check_legend([curve()], ["depth"])
    assert error.value.hint == "the runs have no parameters"


def test_a_curve_as_json_has_the_parameters_of_its_run() -> None:
    assert document(curve(depth=3, kind="a"))["parameters"] == {"depth": 3, "kind": "a"}


@pytest.mark.parametrize("kind", ["png", "html"])
def test_drawing_into_a_file_without_matplotlib_names_the_extra(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    line = Line("one", numpy.array([1.0]), numpy.array([2.0]))
    with pytest.raises(CliError, match="cannot draw into a file") as error:
        save([Plot([line], Axes("step", "loss"))], tmp_path / f"curve.{kind}", [])
    assert error.value.hint == "pip install 'assay[plot]'"
    assert list(tmp_path.iterdir()) == []


def test_each_metric_has_its_own_axes_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = cast(Session, None)  # the points are given
    loss, seconds = curve("a", "loss"), curve("a", "seconds")
    large = replace(seconds, value=seconds.value * 1e6)
    monkeypatch.setattr(curves, "_read", lambda *_: iter([loss, large, curve("b", "loss")]))
    for kind in ("svg", "html", "png", "pdf"):
        curves.show(
            session, curves.Request([], ["loss", "seconds"]), tmp_path / f"curves.{kind}", curves.CurveFormat.TEXT
        )
    page = (tmp_path / "curves.html").read_text()
    drawn = ElementTree.fromstring((tmp_path / "curves.svg").read_text())
    parts = [part for part in drawn.iter() if (part.get("id") or "").startswith("axes_")]
    texts = [[text.strip() for text in part.itertext() if text.strip()] for part in parts]
    assert len(texts) == 2
    assert {"a loss", "b loss", "loss", "step"} <= set(texts[0])
    assert {"a seconds", "seconds", "step", "1e6"} <= set(texts[1])
    assert "<h1>loss, seconds</h1>" in page
