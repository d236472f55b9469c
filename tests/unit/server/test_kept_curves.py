"""Curves that are kept for the next request: never others, and never more than fit."""

import numpy
import pytest

from assay.queries.curves.reading import Curve
from assay.server.kept_curves import CurveKey, KeptCurves

pytestmark = pytest.mark.unit


def key(identity: str, metric: str = "loss", x: str = "step", bucket: str = "assay") -> CurveKey:
    """Return what identifies a curve."""
    return CurveKey("http://store", bucket, identity, metric, x)


def curve(points: int) -> Curve:
    """Return a curve that takes 24 bytes for each point: x and the steps are the same array."""
    numbers = numpy.arange(points, dtype=numpy.float64)
    return Curve("run", {}, "loss", "pod", numbers, numbers, numbers + 1, numbers + 2)


def test_a_curve_is_found_by_everything_that_identifies_it() -> None:
    kept, one = KeptCurves(), curve(3)
    kept.put(key("a"), one)
    assert kept.get(key("a")) is one
    assert kept.get(key("b")) is None
    assert kept.get(key("a", metric="accuracy")) is None
    assert kept.get(key("a", x="time")) is None
    assert kept.get(key("a", bucket="other")) is None


def test_what_was_asked_for_longest_ago_is_dropped() -> None:
    kept = KeptCurves(most=24 * 10)
    for identity in ("a", "b"):
        kept.put(key(identity), curve(5))
    assert kept.get(key("a")) is not None
    kept.put(key("c"), curve(5))
    assert [kept.get(key(each)) is not None for each in "abc"] == [True, False, True]


def test_a_curve_that_does_not_fit_is_not_kept_and_room_is_given_back() -> None:
    kept = KeptCurves(most=24 * 10)
    kept.put(key("large"), curve(11))
    assert kept.get(key("large")) is None
    for identity in ("a", "b"):
        kept.put(key(identity), curve(5))
        kept.put(key(identity), curve(5))
    assert kept.get(key("a")) is not None
    assert kept.get(key("b")) is not None
