"""Curves of a group, such as one configuration with several seeds, as one line with a band. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]

#: Quantiles of Student's t for a two-sided 95 % interval, by degrees of freedom; the last one serves for more.
_T: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042, 1.960,
)  # fmt: skip
LINES: Final = ("mean", "median")
BANDS: Final = ("minmax", "std", "stderr", "ci95", "none")


class Group(NamedTuple):
    """The line of a group, its band, and how many curves there are, at each x. Bands of one curve have no width."""

    x: Floats
    line: Floats
    low: Floats
    high: Floats
    n: NDArray[numpy.int64]


def grouped(curves: Sequence[tuple[Floats, Floats]], buckets: int, line: str = "mean", band: str = "minmax") -> Group:
    """Return one line for curves (x ascending, y), each interpolated where it has no point and used only where it is.

    Points that are not finite do not count.
    """
    import numpy

    good = [(x, y, numpy.isfinite(x) & numpy.isfinite(y)) for x, y in curves]
    known = [(x[finite], y[finite]) for x, y, finite in good if finite.any()]
    if not known:
        empty = numpy.zeros(0)
        return Group(empty, empty, empty, empty, numpy.zeros(0, dtype=numpy.int64))
    grid = numpy.unique(numpy.concatenate([x for x, _ in known]))
    if len(grid) > buckets:
        grid = numpy.linspace(grid[0], grid[-1], buckets)
    values = numpy.array([numpy.interp(grid, x, y, left=numpy.nan, right=numpy.nan) for x, y in known])
    count = numpy.isfinite(values).sum(axis=0)
    grid, values, count = grid[count > 0], values[:, count > 0], count[count > 0]
    middle = numpy.nanmedian(values, axis=0) if line == "median" else numpy.nanmean(values, axis=0)
    low, high = _band(values, count, middle, band)
    return Group(grid, middle, low, high, count)


def _band(values: Floats, count: NDArray[numpy.int64], middle: Floats, band: str) -> tuple[Floats, Floats]:
    import numpy

    if band == "minmax":
        return numpy.nanmin(values, axis=0), numpy.nanmax(values, axis=0)
    if band == "none":
        return middle, middle
    mean = numpy.nanmean(values, axis=0)
    squares = numpy.nansum((values - mean) ** 2, axis=0)
    deviation = numpy.sqrt(squares / numpy.maximum(count - 1, 1))
    if band in ("stderr", "ci95"):
        deviation = deviation / numpy.sqrt(count)
    if band == "ci95":
        deviation = deviation * numpy.array(_T)[numpy.clip(count - 2, 0, len(_T) - 1)]
    return middle - deviation, middle + deviation
