"""The points of charts: read with the user's own keys, smoothed on all points, then thinned to the chart's width."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from assay.api.errors import AssayError, InvalidRequest, ObjectNotFound
from assay.queries.curves import reading, shapes
from assay.queries.curves.reading import Curve
from assay.queries.runs import recorded
from assay.server.answers import as_json
from assay.server.pages.site import Visit
from assay.store.errors import StoreError
from assay.store.parallel import ordered

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]

_RUNS, _WORKERS, _BUCKETS, _MARKS = 50, 4, 2000, 100


def points(visit: Visit) -> Response:
    """Return the curves of one metric of some runs."""
    query = visit.query
    runs = list(dict.fromkeys(query.getlist("run")))
    if not runs or len(runs) > _RUNS:
        raise InvalidRequest(f"a chart shows 1 to {_RUNS} runs, not {len(runs)}")
    asked = _Asked(
        metric=query.get("metric", ""),
        x=query.get("x") or reading.STEP,
        weight=_number(query.get("smooth", "0"), 0, 0.999),
        low=_number(query.get("from", "-inf"), -math.inf, math.inf),
        high=_number(query.get("to", "inf"), -math.inf, math.inf),
        buckets=int(_number(query.get("buckets", "500"), 10, _BUCKETS)),
    )
    found = list(ordered(partial(_line, visit, asked), runs, _WORKERS))
    lines = [each for each in found if "problem" not in each]
    return as_json({"lines": lines, "problems": [each for each in found if "problem" in each]})


class _Asked:
    """What a chart asks for: a metric over an axis, smoothed, between two values of the axis."""

    def __init__(self, metric: str, x: str, weight: float, low: float, high: float, buckets: int) -> None:
        self.metric, self.x, self.weight = metric, x, weight
        self.low, self.high, self.buckets = low, high, buckets


def _line(visit: Visit, asked: _Asked, name: str) -> dict[str, Any]:
    """Return one line, or why there is none: the other lines are shown all the same."""
    try:
        run = recorded.find(visit.person, name)
        curve = reading.read_curve(visit.person.store, run, asked.metric, asked.x)
    except ObjectNotFound as error:
        return {"run": name, "problem": error.message}
    except (AssayError, StoreError) as error:
        return {"run": name, "problem": str(error)}
    return _shaped(curve, asked)


def _shaped(curve: Curve, asked: _Asked) -> dict[str, Any]:
    import numpy

    order = numpy.argsort(curve.x, kind="stable")
    drawn = shapes.smoothed(curve.value, asked.weight)[order] if asked.weight else curve.value[order]
    x, raw = curve.x[order], curve.value[order]
    # One point beyond each end, so that the line goes on to the edge of the chart.
    first = max(0, int(numpy.searchsorted(x, asked.low)) - 1)
    last = min(len(x), int(numpy.searchsorted(x, asked.high, "right")) + 1)
    x, raw, drawn = x[first:last], raw[first:last], drawn[first:last]
    bad = x[~numpy.isfinite(raw)]
    return {
        "run": curve.run,
        "metric": curve.metric,
        "points": len(curve.x),
        **_thinned(x, drawn, asked.buckets),
        "raw": _thinned(x, raw, asked.buckets) if asked.weight else None,
        "notFinite": {"count": len(bad), "x": bad[:_MARKS].tolist()},
    }


def _thinned(x: Floats, y: Floats, buckets: int) -> dict[str, list[float]]:
    kept = shapes.thinned(x, y, buckets)
    return {"x": x[kept].tolist(), "y": y[kept].tolist()}


def _number(text: str, least: float, most: float) -> float:
    try:
        found = float(text)
    except ValueError:
        raise InvalidRequest(f"invalid number {text[:50]!r}") from None
    if math.isnan(found):
        raise InvalidRequest("invalid number NaN")
    return max(least, min(most, found))
