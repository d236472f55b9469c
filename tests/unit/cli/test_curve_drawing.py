"""Round numbers at the axes, and lines that are there in whatever scale."""

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.cli.output.plots import Axes, Line, as_text, ticks

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


def test_lines_without_colours_have_marks_of_their_own() -> None:
    x = numpy.arange(10.0)
    text = as_text([Line("one", x, x), Line("two", x, -x)], Axes("step", "loss"), 60, 16, coloured=False)
    assert "a" in text
    assert "b" in text
    assert "\x1b" not in text
    assert "\x1b" in as_text([Line("one", x, x)], Axes("step", "loss"), 60, 16, coloured=True)


def test_a_line_of_one_point_is_drawn() -> None:
    line = Line("one", numpy.array([5.0]), numpy.array([math.pi]))
    assert any("⠀" < sign <= "⣿" for sign in as_text([line], Axes("step", "loss"), 60, 16, coloured=False))
