"""Prepares curves for drawing: smoothing, and thinning without a visible change. Pure."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

_BLOCK = 64

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]
    Indexes = NDArray[numpy.int64]


def smoothed(values: Floats, weight: float) -> Floats:
    """Return the exponential moving average of TensorBoard (``resmoothDataset``), without its initial bias.

    Each value counts ``weight`` (at least 0, less than 1) times as much as the one after it; 0 changes nothing.
    Values that are not finite stay as they are and do not count.
    """
    import numpy

    good = numpy.isfinite(values)
    if not good.all():
        found: Floats = values.copy()
        found[good] = smoothed(values[good], weight)
        return found
    averages = _averages(values, weight)
    weights: Floats = 1 - numpy.power(weight, numpy.arange(1, len(values) + 1, dtype=numpy.float64))
    return averages / weights


def _averages(values: Floats, weight: float) -> Floats:
    """Return the biased average, block by block: within a block it is a product with a matrix of weights."""
    import numpy

    count = -(-len(values) // _BLOCK)
    blocks = numpy.zeros(count * _BLOCK)
    blocks[: len(values)] = values
    at = numpy.arange(_BLOCK)
    distance = at[None, :] - at[:, None]
    matrix = numpy.where(distance >= 0, (1 - weight) * numpy.power(weight, numpy.maximum(distance, 0)), 0.0)
    found: Floats = blocks.reshape(count, _BLOCK) @ matrix
    fades = numpy.power(weight, at + 1.0)
    ends, carry = accumulate(found[:, -1].tolist(), lambda before, last: before * fades[-1] + last), 0.0
    carries = numpy.fromiter(ends, dtype=numpy.float64, count=count)
    found += numpy.concatenate(([carry], carries[:-1]))[:, None] * fades
    return found.reshape(-1)[: len(values)]


def thinned(x: Floats, y: Floats, buckets: int, *, log: bool = False) -> Indexes:
    """Return the ascending indexes of points that draw the same line at a width of ``buckets`` columns.

    Each column keeps its first, last, lowest and highest point (M4: Jugel et al., VLDB 2014), so no spike is lost, and
    its first point that is not finite.
    Columns are equally wide on the axis, which is logarithmic with ``log``; if ``x`` is not ascending, they have equal
    numbers of points.
    """
    import numpy

    if len(x) <= 4 * buckets:
        return numpy.arange(len(x))
    column = _columns(numpy.log(x) if log else x, buckets)
    starts = numpy.flatnonzero(numpy.diff(column, prepend=column[0] - 1))
    lengths = numpy.diff(starts, append=len(x))
    indexes = [starts, starts + lengths - 1]
    finite = numpy.isfinite(y)
    for extreme, limit in ((numpy.minimum, numpy.inf), (numpy.maximum, -numpy.inf)):
        known = numpy.where(finite, y, limit)
        hits = numpy.flatnonzero(finite & (known == numpy.repeat(extreme.reduceat(known, starts), lengths)))
        indexes.append(_firsts(column, hits))
    indexes.append(_firsts(column, numpy.flatnonzero(~finite)))
    return numpy.unique(numpy.concatenate(indexes))


def _firsts(column: Indexes, hits: Indexes) -> Indexes:
    """Return the first hit in each column."""
    import numpy

    first: Indexes = hits[numpy.unique(column[hits], return_index=True)[1]]
    return first


def _columns(x: Floats, buckets: int) -> Indexes:
    """Return the column of each point, in ascending order."""
    import numpy

    width = x[-1] - x[0]
    if width > 0 and numpy.isfinite(width) and bool(numpy.all(numpy.diff(x) >= 0)):
        columns = (x - x[0]) / width * buckets
    else:
        columns = numpy.arange(len(x)) * (buckets / len(x))
    numbers: Indexes = numpy.minimum(columns, buckets - 1).astype(numpy.int64)
    return numbers
