"""Prints all points of curves as CSV, JSON or Parquet, in the order in which they were recorded."""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired

from typing_extensions import TypedDict

from assay.api.numbers import to_json
from assay.api.objects import Raw
from assay.cli.output import printing
from assay.queries.curves.reading import Curve
from assay.queries.curves.shapes import smoothed

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]


class CurvePoints(TypedDict):
    """One item of `assay curves -o json`: arrays of the same length. ``time`` is in unix seconds.

    Numbers that are not finite are the strings "NaN", "Infinity" and "-Infinity".

    ``parameters`` are those of the run.
    """

    run: str
    parameters: Raw
    metric: str
    pod: str
    #: Only with --system.
    container: NotRequired[str]
    x: list[float | str]
    step: list[float]
    time: list[float]
    value: list[float | str]
    #: Only with --smooth.
    smoothed: NotRequired[list[float | str]]


def write(curves: Sequence[Curve], smooth: float, kind: str) -> None:
    """Print the points of curves as "csv", "json" or "parquet", with smoothed values in an additional column."""
    if kind == "json":
        printing.document({"items": [document(curve, smooth) for curve in curves]}, kind)
    elif kind == "csv":
        head = [*_COLUMNS, *(["smoothed"] if smooth else []), *(["container"] if _of_containers(curves) else [])]
        printing.rows_as_csv(head, _rows(curves, smooth))
    else:
        _parquet(curves, smooth)


def document(curve: Curve, smooth: float = 0.0) -> CurvePoints:
    """Return a curve as JSON."""
    found = CurvePoints(
        run=curve.run,
        parameters=curve.parameters,
        metric=curve.metric,
        pod=curve.pod,
        x=_plain(curve.x),
        step=curve.step.tolist() if _fractional(curve) else list(map(int, curve.step.tolist())),
        time=curve.time.tolist(),
        value=_plain(curve.value),
    )
    if curve.container:
        found["container"] = curve.container
    if smooth:
        found["smoothed"] = _plain(smoothed(curve.value, smooth))
    return found


def _plain(values: Floats) -> list[float | str]:
    """Return the values for JSON, which has no NaN."""
    return [value if math.isfinite(value) else to_json(value) for value in values.tolist()]


def _fractional(curve: Curve) -> bool:
    return any(not float(step).is_integer() for step in curve.step.tolist())


_COLUMNS = ("run", "metric", "pod", "x", "step", "time", "value")


def _rows(curves: Sequence[Curve], smooth: float) -> Iterator[tuple[object, ...]]:
    for curve in curves:
        found = document(curve, smooth)
        columns: list[Sequence[object]] = [found["x"], found["step"], found["time"], found["value"]]
        columns += [found["smoothed"]] if smooth else []
        last = (curve.container,) if _of_containers(curves) else ()
        yield from ((curve.run, curve.metric, curve.pod, *row, *last) for row in zip(*columns, strict=True))


def _of_containers(curves: Sequence[Curve]) -> bool:
    return any(curve.container for curve in curves)


def _parquet(curves: Sequence[Curve], smooth: float) -> None:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="assay-") as folder, duckdb.connect(":memory:") as database:
        file = Path(folder) / "points.parquet"
        selects, parameters = [], []
        for at, curve in enumerate(curves):
            columns = {"x": curve.x, "step": curve.step, "time": curve.time, "value": curve.value}
            database.register(f"curve_{at}", columns | ({"smoothed": smoothed(curve.value, smooth)} if smooth else {}))
            last = ", ? AS container" if _of_containers(curves) else ""
            selects.append(f"SELECT ? AS run, ? AS metric, ? AS pod, *{last} FROM curve_{at}")  # noqa: S608 - a number
            parameters += [curve.run, curve.metric, curve.pod, *([curve.container] if last else [])]
        database.execute("CREATE TABLE points AS " + " UNION ALL ".join(selects), parameters)
        database.execute(f"COPY points TO '{file}' (FORMAT parquet, COMPRESSION zstd)")
        with file.open("rb") as made:
            shutil.copyfileobj(made, sys.stdout.buffer)
