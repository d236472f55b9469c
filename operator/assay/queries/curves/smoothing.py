"""Ways to smooth a curve. Each is computed on all points, before any of them is left out. Pure.

Values that are not finite stay as they are and do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from assay.queries.curves.shapes import fading, smoothed

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]

#: The width of a chart in the unit of time-weighted smoothing: W&B's viewport scale, so that weights mean the same.
_VIEWPORT: Final = 1000.0
#: Number of standard deviations after which a Gaussian is cut off.
_TAIL: Final = 4.0
#: Number of multiplications above which a convolution is computed in the frequency domain.
_MANY: Final = 20_000_000


def smooth(kind: str, x: Floats, y: Floats, amount: float) -> Floats:
    """Return smoothed values. ``amount`` is a weight from 0 to 1, or a number of points: see ``KINDS``."""
    import numpy

    good = numpy.isfinite(y) & numpy.isfinite(x)
    if amount <= 0 or not good.any():
        return y
    found = y.copy()
    found[good] = KINDS[kind](x[good], y[good], amount)
    return found


def _ema(_: Floats, y: Floats, weight: float) -> Floats:
    return smoothed(y, min(weight, 0.9999))


def _time_weighted(x: Floats, y: Floats, weight: float) -> Floats:
    """Return the time-weighted average of W&B: it fades with the distance on the axis, not with each point."""
    import numpy

    width = x[-1] - x[0]
    if width <= 0:
        return _ema(x, y, weight)
    steps = numpy.maximum(numpy.diff(x, prepend=x[0]), 0.0) / width * _VIEWPORT
    logs = steps * numpy.log(min(weight**0.5, 0.999))
    largest = float(numpy.abs(y).max()) or 1.0
    found: Floats = fading(logs, y / largest) / fading(logs, numpy.ones(len(y))) * largest
    return found


def _gaussian(_: Floats, y: Floats, deviation: float) -> Floats:
    import numpy

    reach = min(len(y) - 1, int(_TAIL * deviation) + 1)
    offsets = numpy.arange(-reach, reach + 1, dtype=numpy.float64)
    return _averaged(y, numpy.exp(-0.5 * (offsets / deviation) ** 2))


def _running(_: Floats, y: Floats, points: float) -> Floats:
    """Return the mean of ``points`` points around each, fewer at the ends."""
    import numpy

    half = max(0, int(points) // 2)
    sums = numpy.concatenate(([0.0], numpy.cumsum(y)))
    at = numpy.arange(len(y))
    low, high = numpy.maximum(at - half, 0), numpy.minimum(at + half + 1, len(y))
    found: Floats = (sums[high] - sums[low]) / (high - low)
    return found


def _averaged(y: Floats, kernel: Floats) -> Floats:
    """Return weighted averages. At the ends, the weights of the points that are there count."""
    import numpy

    ones, start = numpy.ones(len(y)), (len(kernel) - 1) // 2
    found: Floats
    if len(y) * len(kernel) < _MANY:
        above, below = (numpy.convolve(each, kernel)[start : start + len(y)] for each in (y, ones))
        found = above / below
        return found
    size = 1 << (len(y) + len(kernel) - 1).bit_length()
    factor = numpy.fft.rfft(kernel, size)
    above, below = (numpy.fft.irfft(numpy.fft.rfft(each, size) * factor, size) for each in (y, ones))
    found = above[start : start + len(y)] / below[start : start + len(y)]
    return found


KINDS: Final[dict[str, Callable[[Floats, Floats, float], Floats]]] = {
    "ema": _ema,
    "timeWeightedEma": _time_weighted,
    "gaussian": _gaussian,
    "runningMean": _running,
}
