"""Prepares curves for drawing: smoothing, and thinning without a visible change. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

#: After such a change of its logarithm, what is left of a value is computed anew.
_FADED: Final = 200.0

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
    if weight <= 0 or not len(values):
        return values
    largest = float(numpy.abs(values).max()) or 1.0
    sums = _decaying(values / largest, weight)
    weights = -numpy.expm1(numpy.log(weight) * numpy.arange(1, len(values) + 1, dtype=numpy.float64)) / (1 - weight)
    averages: Floats = sums / weights * largest
    return averages


def _decaying(values: Floats, weight: float) -> Floats:
    """Return s, where s[t] = weight * s[t - 1] + values[t], as ``fading`` with blocks of one length: all at once."""
    import numpy

    length = min(max(1, int(_FADED / -numpy.log(weight))), len(values))
    rows = numpy.zeros((-(-len(values) // length), length))
    rows.reshape(-1)[: len(values)] = values
    left = weight ** numpy.arange(length, dtype=numpy.float64)
    rows = left * numpy.cumsum(rows / left, axis=1)
    carry, carries = 0.0, []
    for end in rows[:, -1].tolist():
        carries.append(carry)
        carry = end + weight**length * carry
    rows += numpy.outer(carries, left * weight)
    found: Floats = rows.reshape(-1)[: len(values)]
    return found


def fading(logs: Floats, values: Floats) -> Floats:
    """Return s, where s[t] = exp(logs[t]) * s[t - 1] + values[t]. The values are at most 1 in size.

    Within a block, s is a cumulative sum of values divided by how much of them is left at its end; a block ends before
    that is too small for a double.
    """
    import numpy

    total = numpy.cumsum(logs)
    block = numpy.floor(total / -_FADED)
    starts = numpy.flatnonzero(numpy.diff(block, prepend=block[0] - 1))
    found, carry = numpy.empty(len(values)), 0.0
    for start, end in zip(starts, [*starts[1:], len(values)], strict=True):
        left = numpy.exp(total[start:end] - total[start])
        found[start:end] = left * (carry * numpy.exp(logs[start]) + numpy.cumsum(values[start:end] / left))
        carry = float(found[end - 1])
    return found


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
