"""Curves: metrics of many runs at once, smoothed on all points, then thinned to the width of a chart."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from assay.api.errors import AssayError, InvalidRequest, ObjectNotFound
from assay.api.objects import Raw
from assay.queries.curves import grouping, shapes
from assay.queries.curves.reading import STEP, TIME, Curve, identity_of, points_of
from assay.queries.curves.smoothing import KINDS, smooth
from assay.queries.runs import attempts, recorded
from assay.server.api.operations import Call, Operation, Query
from assay.server.kept_curves import CurveKey
from assay.store.errors import StoreError
from assay.store.parallel import ordered

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]

_WORKERS, _RUNS, _METRICS, _MARKS = 8, 100, 20, 1000
_KIND = f"^({'|'.join(KINDS)})$"


class CurvesQuery(Query):
    """Which curves, over which axis, and how they are drawn."""

    run: Annotated[list[str], Field(min_length=1, max_length=_RUNS, description="Name of a run; repeated.")]
    metric: list[str] = Field([], max_length=_METRICS, description="Metrics; repeated. Default: each run's objective.")
    x: str = Field(STEP, description="step, time, relative (seconds since the first point), or another metric.")
    pod: str = Field("", description="Pod of the run. Default: the pod that counts.")
    smoothing: str = Field("ema", pattern=_KIND, description=f"One of {', '.join(KINDS)}.")
    smooth: float = Field(0.0, ge=0, le=100_000, description="Weight from 0 to 1, or a number of points; 0: none.")
    low: float | None = Field(None, description="Only points from this x on.")
    high: float | None = Field(None, description="Only points up to this x.")
    buckets: int = Field(500, ge=1, le=4000, description="Width in columns; each keeps first, last, lowest, highest.")
    group: str = Field("", description="Parameter by which runs are grouped; * groups all but the seed.")
    line: str = Field("mean", pattern=f"^({'|'.join(grouping.LINES)})$")
    band: str = Field("minmax", pattern=f"^({'|'.join(grouping.BANDS)})$")


class Line(TypedDict):
    """One curve. ``raw`` is the line before smoothing, null without; ``notFinite`` has the x of values without one."""

    run: str
    metric: str
    pod: str
    parameters: Raw
    points: int
    x: list[float]
    y: list[float | None]
    raw: dict[str, list[float | None]] | None
    notFinite: list[float]


class GroupLine(TypedDict):
    """One group: its value of the parameter, its runs, and at each x the line, the band and the number of curves."""

    group: Any
    metric: str
    runs: list[str]
    x: list[float]
    y: list[float | None]
    low: list[float]
    high: list[float]
    n: list[int]


class Problem(TypedDict):
    """Why a run has no curve: of one metric, or of any if ``metric`` is ""."""

    run: str
    metric: str
    message: str


class Curves(TypedDict):
    """Lines, or with ``group`` groups; runs whose curves could not be read are in ``problems``."""

    items: list[Line]
    groups: list[GroupLine]
    problems: list[Problem]
    notes: list[str]


def curves(call: Call, query: CurvesQuery) -> Curves:
    """Return curves of runs, read with the user's own keys."""
    if query.smoothing in ("ema", "timeWeightedEma") and query.smooth >= 1:
        raise InvalidRequest(f"a weight is less than 1, not {query.smooth:g}")
    person, names = call.person, list(dict.fromkeys(query.run))
    # Connected before the threads use it.
    store_of_person = person.store
    assert store_of_person is not None  # noqa: S101 - a property
    read = list(ordered(partial(_read, call, query), names, _WORKERS))
    found = [curve for each, _ in read for curve in each]
    problems = [problem for _, each in read for problem in each]
    if query.group:
        return {"items": [], "groups": _groups(found, query), "problems": problems, "notes": person.notes}
    items = [_line(curve, query) for curve in found]
    return {"items": items, "groups": [], "problems": problems, "notes": person.notes}


def _read(call: Call, query: CurvesQuery, name: str) -> tuple[list[Curve], list[Problem]]:
    """Return the curves of one run, and why some are missing: the others are drawn all the same."""
    problems: list[Problem] = []
    try:
        run = recorded.find(call.person, name)
        if not query.pod and (other := attempts.note_of(run)):
            call.person.note(other)
        objective = (run["spec"].get("objective") or {}).get("metric")
        metrics = query.metric or ([objective] if objective else [])
        if not metrics:
            raise InvalidRequest(f"the run {name} has no objective", hint="name a metric")
        return _of_run(call, query, run, metrics, problems), problems
    except AssayError as error:
        problems.append(Problem(run=name, metric="", message=error.message))
    except StoreError as error:
        problems.append(Problem(run=name, metric="", message=str(error)))
    return [], problems


def _of_run(call: Call, query: CurvesQuery, run: Raw, metrics: list[str], problems: list[Problem]) -> list[Curve]:
    store, kept, axis = call.person.store, call.state.curves, {"relative": TIME, TIME: STEP}.get(query.x, query.x)
    identity = identity_of(store, run, query.pod)
    keys = {name: CurveKey(store.config.endpoint, store.config.bucket, identity, name, axis) for name in metrics}
    found = {name: kept.get(key) if identity else None for name, key in keys.items()}
    if None in found.values():
        with points_of(store, run, query.pod) as points:
            for metric in (name for name, curve in found.items() if curve is None):
                try:
                    found[metric] = curve = points.curve(metric, axis)
                except ObjectNotFound as error:
                    problems.append(Problem(run=run["metadata"]["name"], metric=metric, message=error.message))
                    continue
                if identity:
                    kept.put(keys[metric], curve)
    return [curve for curve in found.values() if curve is not None]


def _axis(curve: Curve, query: CurvesQuery) -> tuple[Floats, Floats, Floats]:
    """Return x, the smoothed and the recorded values, ascending in x, within the range and one point beyond."""
    import numpy

    x = curve.time if query.x == TIME else curve.x
    order = numpy.argsort(x, kind="stable")
    x, raw = x[order], curve.value[order]
    drawn = smooth(query.smoothing, x, raw, query.smooth)
    low, high = (-math.inf if query.low is None else query.low), (math.inf if query.high is None else query.high)
    first = max(0, int(numpy.searchsorted(x, low)) - 1)
    last = min(len(x), int(numpy.searchsorted(x, high, "right")) + 1)
    return x[first:last], drawn[first:last], raw[first:last]


def _line(curve: Curve, query: CurvesQuery) -> Line:
    import numpy

    x, drawn, raw = _axis(curve, query)
    return {
        "run": curve.run,
        "metric": curve.metric,
        "pod": curve.pod,
        "parameters": curve.parameters,
        "points": len(curve.x),
        **_thinned(x, drawn, query.buckets),
        "raw": dict(_thinned(x, raw, query.buckets)) if query.smooth else None,  # type: ignore[arg-type]
        "notFinite": x[~numpy.isfinite(raw)][:_MARKS].tolist(),
    }


class _Points(TypedDict):
    x: list[float]
    y: list[float | None]


def _thinned(x: Floats, y: Floats, buckets: int) -> _Points:
    kept = shapes.thinned(x, y, buckets)
    return {"x": x[kept].tolist(), "y": y[kept].tolist()}


def _groups(found: list[Curve], query: CurvesQuery) -> list[GroupLine]:
    members: dict[tuple[str, str], list[Curve]] = {}
    for curve in found:
        members.setdefault((repr(_value(curve, query.group)), curve.metric), []).append(curve)
    groups: list[GroupLine] = []
    for (_, metric), each in members.items():
        lines = [_axis(curve, query)[:2] for curve in each]
        group = grouping.grouped(lines, query.buckets, query.line, query.band)
        groups.append(
            {
                "group": _value(each[0], query.group),
                "metric": metric,
                "runs": [curve.run for curve in each],
                "x": group.x.tolist(),
                "y": group.line.tolist(),
                "low": group.low.tolist(),
                "high": group.high.tolist(),
                "n": group.n.tolist(),
            }
        )
    return groups


def _value(curve: Curve, group: str) -> Any:
    if group == "*":
        return {name: value for name, value in sorted(curve.parameters.items()) if name != "seed"}
    return curve.parameters.get(group)


OPERATIONS = (
    Operation(
        "curves", "/namespaces/{namespace}/curves", "Read curves of runs.", curves, Curves, CurvesQuery
    ),
)  # fmt: skip
