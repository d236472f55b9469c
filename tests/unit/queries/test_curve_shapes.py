"""Smoothing is that of TensorBoard, and thinning makes no visible change."""

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.queries.curves.shapes import smoothed, thinned

pytestmark = pytest.mark.unit

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


def by_tensorboard(values: list[float], weight: float) -> list[float]:
    """TensorBoard's resmoothDataset, step by step."""
    last, found = 0.0, []
    for number, value in enumerate(values, 1):
        last = last * weight + (1 - weight) * value
        found.append(last / (1 - weight**number))
    return found


@given(VALUES, st.floats(0, 0.99))
def test_smoothing_is_that_of_tensorboard(values: list[float], weight: float) -> None:
    found = smoothed(numpy.array(values), weight)
    assert found == pytest.approx(by_tensorboard(values, weight), rel=1e-9, abs=1e-6)
    assert min(values) - 1e-6 <= min(found) <= max(found) <= max(values) + 1e-6


def test_smoothing_with_0_changes_nothing_and_the_first_value_has_no_bias() -> None:
    values = numpy.array([3.0, -1.0, 7.5])
    assert smoothed(values, 0).tolist() == [3.0, -1.0, 7.5]
    assert smoothed(values, 0.9)[0] == pytest.approx(3.0)
    assert smoothed(values, 0.5)[1] == pytest.approx((3 * 0.25 - 0.5) / 0.75)


@st.composite
def curves(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    y = draw(st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.5, 100.0]), min_size=1, max_size=400))
    steps = st.lists(st.integers(1, 10**6), min_size=len(y), max_size=len(y))
    x = draw(st.one_of(st.just([*range(1, len(y) + 1)]), steps.map(sorted), steps))
    return [float(each) for each in x], y


@given(curves(), st.integers(1, 20), st.booleans())
def test_ends_and_extremes_of_every_column_are_kept(
    curve: tuple[list[float], list[float]], buckets: int, log: bool
) -> None:
    x, y = (numpy.array(each) for each in curve)
    kept = thinned(x, y, buckets, log=log)
    assert (numpy.diff(kept) > 0).all()
    assert len(kept) <= 4 * buckets
    assert (kept[0], kept[-1]) == (0, len(x) - 1)
    assert (y[kept].min(), y[kept].max()) == (y.min(), y.max())
    if len(x) > 4 * buckets and (numpy.diff(x) >= 0).all() and x[-1] > x[0]:
        scale = numpy.log(x) if log else x
        column = numpy.minimum((scale - scale[0]) / (scale[-1] - scale[0]) * buckets, buckets - 1).astype(int)
        for number in set(column.tolist()):
            inside = column[kept] == number
            assert inside.any()
            for extreme in (numpy.min, numpy.max):
                assert extreme(y[kept][inside]) == extreme(y[column == number])


def test_one_spike_among_a_million_points_survives() -> None:
    x, y = numpy.arange(1_000_000.0), numpy.zeros(1_000_000)
    y[654_321] = 9.0
    kept = thinned(x, y, 500)
    assert len(kept) <= 2000
    assert 654_321 in kept


def test_a_logarithmic_axis_keeps_its_beginning() -> None:
    x = numpy.arange(1.0, 100_001.0)
    kept = thinned(x, numpy.sin(x), 100, log=True)
    assert math.isclose(numpy.count_nonzero(x[kept] < 300) / len(kept), 0.4, abs_tol=0.15)
