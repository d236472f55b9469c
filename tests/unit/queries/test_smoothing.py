"""Smoothing on all points, and groups of curves: compared with the definitions, point by point."""

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.queries.curves.grouping import grouped
from assay.queries.curves.smoothing import KINDS, smooth

pytestmark = pytest.mark.unit

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200)


def arrays(values: list[float]) -> tuple[numpy.ndarray, numpy.ndarray]:
    return numpy.arange(len(values), dtype=float), numpy.array(values, dtype=float)


@given(VALUES, st.sampled_from([3.0, 5.0, 11.0]))
def test_a_running_mean_is_the_mean_of_the_points_around(values: list[float], points: float) -> None:
    x, y = arrays(values)
    half = int(points) // 2
    wanted = [numpy.mean(y[max(0, at - half) : at + half + 1]) for at in range(len(y))]
    assert smooth("runningMean", x, y, points) == pytest.approx(wanted, abs=1e-6)


@given(VALUES, st.sampled_from([0.5, 2.0, 5.0]))
def test_a_gaussian_weights_by_distance(values: list[float], deviation: float) -> None:
    x, y = arrays(values)
    reach = min(len(y) - 1, int(4 * deviation) + 1)
    wanted = []
    for at in range(len(y)):
        near = range(max(0, at - reach), min(len(y), at + reach + 1))
        weights = [math.exp(-0.5 * ((other - at) / deviation) ** 2) for other in near]
        wanted.append(sum(w * y[other] for w, other in zip(weights, near, strict=True)) / sum(weights))
    assert smooth("gaussian", x, y, deviation) == pytest.approx(wanted, rel=1e-6, abs=1e-5)


def test_a_wide_gaussian_is_the_same_in_the_frequency_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = arrays(numpy.sin(numpy.arange(5000) / 50).tolist())
    directly = smooth("gaussian", x, y, 40.0)
    monkeypatch.setattr("assay.queries.curves.smoothing._MANY", 0)
    assert smooth("gaussian", x, y, 40.0) == pytest.approx(directly, abs=1e-9)


@given(VALUES, st.sampled_from([0.001, 0.5, 0.9, 0.9999]), st.sampled_from([1.0, 4.0, 0.1]))
def test_time_weights_are_those_of_the_definition(values: list[float], weight: float, power: float) -> None:
    x, y = numpy.linspace(0.0, 10.0, len(values)) ** power, numpy.array(values)
    if len(values) < 2:
        return
    wanted, above, below = [], 0.0, 0.0
    for at, value in enumerate(values):
        step = (x[at] - x[at - 1]) / (x[-1] - x[0]) * 1000 if at else 0.0
        fade = min(weight**0.5, 0.999) ** step
        above, below = above * fade + value, below * fade + 1
        wanted.append(above / below)
    size = max(1.0, max(abs(value) for value in values))
    assert smooth("timeWeightedEma", x, y, weight) == pytest.approx(wanted, rel=1e-9, abs=1e-9 * size)


def test_time_weights_do_not_depend_on_how_dense_the_points_are() -> None:
    """The same line with every point twice is smoothed to the same line; by number of points it would not be."""
    x = numpy.linspace(0, 100, 101)
    y = numpy.where(x < 50, 0.0, 1.0)
    dense, twice = numpy.repeat(x, 2), numpy.repeat(y, 2)
    once = smooth("timeWeightedEma", x, y, 0.9)
    assert smooth("timeWeightedEma", dense, twice, 0.9)[1::2] == pytest.approx(once, abs=1e-9)
    assert abs(smooth("ema", dense, twice, 0.9)[1::2] - smooth("ema", x, y, 0.9)).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_not_finite_stay_and_do_not_count(kind: str) -> None:
    amount = 0.6 if "ma" in kind.lower() and kind != "gaussian" else 3.0
    x, y = arrays([1.0, 1.0, math.nan, 1.0, math.inf, 1.0])
    found = smooth(kind, x, y, amount)
    assert math.isnan(found[2])
    assert math.isinf(found[4])
    assert found[[0, 1, 3, 5]] == pytest.approx([1.0] * 4)


@pytest.mark.parametrize(
    ("band", "low", "high"),
    [
        ("minmax", 1.0, 3.0),
        ("std", 2 - 1.0, 2 + 1.0),
        ("stderr", 2 - 1 / math.sqrt(3), 2 + 1 / math.sqrt(3)),
        ("ci95", 2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)),
        ("none", 2.0, 2.0),
    ],
)
def test_bands_of_three_seeds(band: str, low: float, high: float) -> None:
    x = numpy.array([0.0, 1.0])
    group = grouped([(x, numpy.full(2, value)) for value in (1.0, 2.0, 3.0)], 100, "mean", band)
    assert (group.line.tolist(), group.n.tolist()) == ([2.0, 2.0], [3, 3])
    assert (group.low[0], group.high[0]) == pytest.approx((low, high))


def test_a_curve_counts_only_where_it_has_points() -> None:
    long, short = numpy.arange(5.0), numpy.arange(3.0)
    group = grouped([(long, long), (short, short + 2), (long, numpy.full(5, math.nan))], 100, "median")
    assert group.n.tolist() == [2, 2, 2, 1, 1]
    assert group.line.tolist() == [1, 2, 3, 3, 4]
    assert grouped([], 10).x.tolist() == []


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("buckets", [3, 100])
def test_points_without_a_place_on_the_axis_do_not_count(x: float, buckets: int) -> None:
    """Over another metric, which may have been NaN once."""
    axis = numpy.arange(10.0)
    with_one = numpy.sort(numpy.append(axis, x)), numpy.full(11, 2.0)
    group = grouped([with_one, (axis, numpy.full(10, 4.0))], buckets)
    assert group.line.tolist() == [3.0] * min(10, buckets)
    assert group.n.tolist() == [2] * min(10, buckets)
