"""Curves of metrics, of one run or several: drawn, or as the points that they are made of."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.errors import USAGE, CliError
from assay.cli.output import plots, printing
from assay.cli.output.plots import COLOURS, FILES, MARKS, Axes, Line
from assay.cli.output.printing import Column
from assay.cli.session import Session
from assay.queries.curves.reading import STEP, TIME, Curve, points_of
from assay.queries.curves.shapes import smoothed
from assay.queries.runs import recorded


class CurveFormat(StrEnum):
    """How curves are printed: drawn, or as the points that they are made of."""

    TEXT = "text"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


_NARROWEST, _LOWEST = 40, 8


@dataclass(frozen=True)
class Wanted:
    """Which curves, and how they are drawn. Without ``metrics`` it is the run's objective."""

    runs: Sequence[str]
    metrics: Sequence[str]
    x: str = STEP
    pod: str = ""
    smooth: float = 0.0
    log_x: bool = False
    log_y: bool = False


def show(session: Session, wanted: Wanted, save: Path | None, output: CurveFormat) -> None:
    """Draw curves, in the terminal or into a file, or print their points. Raises CliError, StoreError."""
    _check(wanted, save, output)
    curves = list(_read(session, wanted))
    if output is not CurveFormat.TEXT:
        from assay.cli.output import curve_points

        curve_points.write(curves, wanted.smooth, output.value)
        return
    lines, axes = _lines(curves, wanted), _axes(curves, wanted)
    if save is None:
        _print(curves, lines, axes)
        return
    try:
        plots.save(lines, axes, save, [_HEADS, *_rows(curves, lines)])
    except OSError as error:
        raise CliError(f"{save} cannot be written: {error.strerror or error}") from None
    printing.note(f"{len(curves)} curve{'' if len(curves) == 1 else 's'} drawn into {save}")


def _check(wanted: Wanted, save: Path | None, output: CurveFormat) -> None:
    if not 0 <= wanted.smooth < 1:
        raise CliError(f"--smooth is {wanted.smooth:g}, and has to be at least 0 and less than 1", code=USAGE)
    if save is not None and (save.suffix not in FILES or output is not CurveFormat.TEXT):
        hint = f"its name has to end with {', '.join(FILES)}; -o csv, json and parquet go to the standard output"
        raise CliError(f"nothing can be drawn into {save}", hint=hint, code=USAGE)
    if output is CurveFormat.PARQUET and sys.stdout.isatty():
        raise CliError("a terminal shows no Parquet", hint="write it into a file: … -o parquet > points", code=USAGE)


def _read(session: Session, wanted: Wanted) -> Iterator[Curve]:
    for name in wanted.runs:
        run = recorded.find(session, name)
        objective = (run["spec"].get("objective") or {}).get("metric")
        with points_of(session.store, run, wanted.pod) as points:
            metrics = wanted.metrics or ([objective] if objective else [])
            if not metrics:
                known = ", ".join(points.metrics()) or "it has recorded no points yet"
                hint = f"name one with --metric: {known}"
                raise CliError(f"the run {run['metadata']['name']} has no objective", hint=hint, code=USAGE)
            for metric in metrics:
                yield points.curve(metric, wanted.x)


# What is drawn


def _lines(curves: Sequence[Curve], wanted: Wanted) -> list[Line]:
    """Return the lines to draw, smoothed, and without what no logarithm takes."""
    lines = []
    for curve in curves:
        label, x, y = _label(curve, curves), curve.x, smoothed(curve.value, wanted.smooth)
        good = ((x > 0) | (not wanted.log_x)) & ((y > 0) | (not wanted.log_y))
        if not good.any():
            hint = "values have to be more than 0 for it: leave --log-x or --log-y out"
            raise CliError(f"{label} has nothing to show on a logarithmic axis", hint=hint, code=USAGE)
        if not good.all():
            printing.note(f"{label}: {len(x) - good.sum()} points are left out: 0 or less has no logarithm")
        lines.append(Line(label, x[good], y[good]))
    return lines


def _label(curve: Curve, curves: Sequence[Curve]) -> str:
    """Return what tells a curve from the others."""
    if len({each.metric for each in curves}) == 1:
        return printing.clean(curve.run)
    same_run = len({each.run for each in curves}) == 1
    return printing.clean(curve.metric if same_run else f"{curve.run} {curve.metric}")


def _axes(curves: Sequence[Curve], wanted: Wanted) -> Axes:
    x = {STEP: "step", TIME: "seconds since the first point"}.get(wanted.x, wanted.x)
    y = ", ".join(dict.fromkeys(curve.metric for curve in curves))
    smooth = f" (smoothed by {wanted.smooth:g})" if wanted.smooth else ""
    return Axes(printing.clean(x), printing.clean(y + smooth), wanted.log_x, wanted.log_y)


_HEADS = ("CURVE", "POINTS", "FIRST", "LAST", "MIN", "MAX")


def _rows(curves: Sequence[Curve], lines: Sequence[Line]) -> list[list[str]]:
    """Return a row for each curve: its values as they were recorded."""
    found = []
    for curve, line in zip(curves, lines, strict=True):
        values = (curve.value[0], curve.value[-1], curve.value.min(), curve.value.max())
        found.append([line.label, str(len(curve.value)), *(printing.number(float(value)) for value in values)])
    return found


def _print(curves: Sequence[Curve], lines: Sequence[Line], axes: Axes) -> None:
    size = shutil.get_terminal_size()
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    rows = [[MARKS[at % len(MARKS)], *row] for at, row in enumerate(_rows(curves, lines))]
    width, height = max(size.columns, _NARROWEST), max(size.lines - len(rows) - 4, _LOWEST)
    printing.write(plots.as_text(lines, axes, width, height, coloured=coloured))
    printing.write("")
    styles = {mark: COLOURS[at % len(COLOURS)] for at, mark in enumerate(MARKS)}
    columns = [Column("", styles=styles), Column(_HEADS[0]), *(Column(title, number=True) for title in _HEADS[1:])]
    printing.table(columns, rows)


def command(
    session: Session,
    runs: Annotated[list[str], typer.Argument(help="The runs, also archived ones and ones that go on.")],
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="The metric; can be repeated. The objective if left out.")
    ] = None,
    x: Annotated[str, typer.Option("--x", help="What to draw it over: step, time, or another metric.")] = "step",
    smooth: Annotated[float, typer.Option("--smooth", help="Smooth as TensorBoard does, 0 to 0.999.")] = 0.0,
    log_x: Annotated[bool, typer.Option("--log-x", help="A logarithmic x axis.")] = False,
    log_y: Annotated[bool, typer.Option("--log-y", help="A logarithmic y axis.")] = False,
    pod: Annotated[str, typer.Option("--pod", help="Another pod of the run than the one that counts.")] = "",
    save: Annotated[Path | None, typer.Option("--save", help="Draw into this file: .png, .svg, .pdf or .html.")] = None,
    output: Annotated[CurveFormat, typer.Option("--output", "-o", help="The curve, or its points.")] = CurveFormat.TEXT,
) -> None:
    """Draw the curves of metrics."""
    show(session, Wanted(runs, metric or [], x, pod, smooth, log_x, log_y), save, output)
