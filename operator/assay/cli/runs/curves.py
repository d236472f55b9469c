"""`assay curves`: the curves of metrics of one or several runs, drawn or as points."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.api.errors import ObjectNotFound
from assay.cli.errors import USAGE, CliError
from assay.cli.options import Experiment, Top
from assay.cli.output import plots, printing
from assay.cli.output.plots import COLOURS, FILES, MARKS, Axes, Line, Plot
from assay.cli.output.printing import Column
from assay.cli.session import Session
from assay.queries.curves import usage
from assay.queries.curves.reading import STEP, TIME, Curve, points_of
from assay.queries.curves.shapes import smoothed
from assay.queries.references import near
from assay.queries.runs import attempts, selecting


class CurveFormat(StrEnum):
    """How curves are printed: drawn as text, or as points."""

    TEXT = "text"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


_NARROWEST, _LOWEST = 40, 8


@dataclass(frozen=True)
class Request:
    """Which curves, and how they are drawn. Without ``metrics``, the objective of each run.

    ``legend`` names the parameters of each curve's run that its label shows. ``system``: instead of metrics of the
    training code, the operator's samples of CPU and memory over time.
    """

    runs: Sequence[str]
    metrics: Sequence[str]
    x: str = STEP
    pod: str = ""
    smooth: float = 0.0
    log_x: bool = False
    log_y: bool = False
    legend: Sequence[str] = ()
    experiment: str = ""
    top: int | None = None
    system: bool = False


def show(session: Session, request: Request, save: Path | None, output: CurveFormat) -> None:
    """Draw curves in the terminal or into a file, or print their points. Raises AssayError, StoreError."""
    _check(request, save, output)
    curves = list(_read_usage(session, request) if request.system else _read(session, request))
    _check_legend(curves, request.legend)
    if output is not CurveFormat.TEXT:
        from assay.cli.output import curve_points

        curve_points.write(curves, request.smooth, output.value)
        return
    lines = _lines(curves, request)
    if save is None:
        _print(curves, lines, request)
        return
    try:
        drawn = [Plot(own, _axes(some, request)) for some, own in _by_metric(curves, lines)]
        plots.save(drawn, save, [_HEADS, *_rows(curves, lines)])
    except OSError as error:
        raise CliError(f"cannot write {save}: {error.strerror or error}") from None
    printing.note(f"wrote {len(curves)} curve{'' if len(curves) == 1 else 's'} to {save}")


def _check(request: Request, save: Path | None, output: CurveFormat) -> None:
    if not 0 <= request.smooth < 1:
        raise CliError(f"invalid --smooth {request.smooth:g}: it must be at least 0 and less than 1", code=USAGE)
    if save is not None and (save.suffix not in FILES or output is not CurveFormat.TEXT):
        hint = f"use a name that ends with {', '.join(FILES)}, without -o: points go to the standard output"
        raise CliError(f"cannot draw into {save}", hint=hint, code=USAGE)
    if request.system and request.x not in (STEP, TIME):
        raise CliError("samples of CPU and memory have no axis but time", hint="omit --x", code=USAGE)
    if request.system and (unknown := [name for name in request.metrics if name not in usage.METRICS]):
        hint = f"--system has {', '.join(usage.METRICS)}"
        raise CliError(f"invalid --metric {unknown[0]}", hint=hint, code=USAGE)
    if output is CurveFormat.PARQUET and sys.stdout.isatty():
        raise CliError(
            "cannot print Parquet to a terminal", hint="redirect it: -o parquet > points.parquet", code=USAGE
        )


def _read(session: Session, request: Request) -> Iterator[Curve]:
    """Yield the curves. A metric that one run lacks is omitted with a note; one that all lack is an error."""
    lacking: list[tuple[str, ObjectNotFound]] = []
    having: set[str] = set()
    for run in selecting.selected(session, request.runs, request.experiment, request.top):
        if not request.pod and (other := attempts.note_of(run)):
            printing.note(f"{other}; --pod selects a pod")
        objective = (run["spec"].get("objective") or {}).get("metric")
        with points_of(session.store, run, request.pod) as points:
            metrics = request.metrics or ([objective] if objective else [])
            if not metrics:
                known = ", ".join(points.metrics())
                hint = f"choose one with --metric: {known}" if known else "it has no points yet"
                raise CliError(f"the run {run['metadata']['name']} has no objective", hint=hint, code=USAGE)
            for metric in metrics:
                try:
                    yield points.curve(metric, request.x)
                    having.add(metric)
                except ObjectNotFound as error:
                    lacking.append((metric, error))
    for metric, lack in lacking:
        if metric not in having:
            raise lack
        printing.note(f"omitted: {lack.message}")


def _read_usage(session: Session, request: Request) -> Iterator[Curve]:
    """Yield the usage of each container. A run without samples is omitted with a note; if all lack them, it fails."""
    import numpy

    lacking: list[str] = []
    count, metrics = 0, tuple(dict.fromkeys(request.metrics)) or usage.DRAWN
    for run in selecting.selected(session, request.runs, request.experiment, request.top):
        name, found = run["metadata"]["name"], usage.usage_of(session.store, run, request.pod, metrics)
        for each in found:
            steps, parameters = numpy.arange(len(each.time), dtype=numpy.float64), run["spec"].get("parameters") or {}
            x = each.time - each.time[0]
            yield Curve(name, parameters, each.metric, each.pod, x, steps, each.time, each.value, each.container)
        count += len(found)
        lacking += [] if found else [f"{name}: {usage.why_none(run)}"]
    if not count:
        raise ObjectNotFound("no samples of CPU and memory", hint="; ".join(lacking[:3]))
    for each_lacking in lacking:
        printing.note(f"omitted {each_lacking}")


def _check_legend(curves: Sequence[Curve], legend: Sequence[str]) -> None:
    """Raise CliError for a parameter that no run has."""
    known = sorted({name for curve in curves for name in curve.parameters})
    for name in legend:
        if name not in known:
            hint = near(name, known) or (f"parameters: {', '.join(known)}" if known else "the runs have no parameters")
            raise CliError(f"invalid --legend: no run has a parameter {name}", hint=hint, code=USAGE)


# Drawing


def _lines(curves: Sequence[Curve], request: Request) -> list[Line]:
    """Return the lines to draw: smoothed, and without points that a logarithmic axis cannot show."""
    import numpy

    lines = []
    for curve in curves:
        label, x, y = _label(curve, curves, request.legend), curve.x, smoothed(curve.value, request.smooth)
        finite = numpy.isfinite(x) & numpy.isfinite(y)
        good = finite & ((x > 0) | (not request.log_x)) & ((y > 0) | (not request.log_y))
        if not finite.all():
            printing.note(f"{label}: {len(x) - finite.sum()} points are not drawn: they are not finite")
        if finite.any() and not good.any():
            hint = "a logarithm needs values greater than 0: omit --log-x or --log-y"
            raise CliError(f"{label} has no point for a logarithmic axis", hint=hint, code=USAGE)
        if not good[finite].all():
            printing.note(f"{label}: omitted {finite.sum() - good.sum()} points: 0 or less has no logarithm")
        lines.append(Line(label, x[good], y[good]))
    return lines


def _label(curve: Curve, curves: Sequence[Curve], legend: Sequence[str]) -> str:
    """Return what distinguishes a curve from the others: run, metric or both; then the requested parameters."""
    if len({each.metric for each in curves}) == 1:
        name = curve.run
    else:
        same_run = len({each.run for each in curves}) == 1
        name = curve.metric if same_run else f"{curve.run} {curve.metric}"
    if len([each for each in curves if (each.run, each.metric) == (curve.run, curve.metric)]) > 1:
        name += f" {curve.pod}/{curve.container}"
    parameters = ", ".join(f"{each} {_value(curve.parameters.get(each))}" for each in legend)
    return printing.clean(f"{name} ({parameters})" if parameters else name)


def _value(value: Any) -> str:
    return printing.cell(str(value).lower() if isinstance(value, bool) else value)


def _axes(curves: Sequence[Curve], request: Request) -> Axes:
    """Return the axes of curves of one metric."""
    axis = TIME if request.system else request.x
    x = {STEP: "step", TIME: "seconds since the first point"}.get(axis, axis)
    y = curves[0].metric
    smooth = f" (smoothed by {request.smooth:g})" if request.smooth else ""
    return Axes(printing.clean(x), printing.clean(y + smooth), request.log_x, request.log_y)


_HEADS = ("CURVE", "POINTS", "FIRST", "LAST", "MIN", "MAX")


def _rows(curves: Sequence[Curve], lines: Sequence[Line]) -> list[list[str]]:
    """Return a row for each curve, with the recorded values: not smoothed."""
    import numpy

    found = []
    for curve, line in zip(curves, lines, strict=True):
        finite = curve.value[numpy.isfinite(curve.value)]
        extremes = (finite.min(), finite.max()) if len(finite) else (numpy.nan, numpy.nan)
        values = (curve.value[0], curve.value[-1], *extremes)
        found.append([line.label, str(len(curve.value)), *(printing.number(float(value)) for value in values)])
    return found


def _by_metric(curves: Sequence[Curve], lines: Sequence[Line]) -> Iterator[tuple[list[Curve], list[Line]]]:
    """Yield the curves of each metric with their lines. They have axes of their own: metrics have different units."""
    for metric in dict.fromkeys(curve.metric for curve in curves):
        some = [(curve, line) for curve, line in zip(curves, lines, strict=True) if curve.metric == metric]
        yield [curve for curve, _ in some], [line for _, line in some]


def _print(curves: Sequence[Curve], lines: Sequence[Line], request: Request) -> None:
    """Print a drawing for each metric."""
    for number, (some, own) in enumerate(_by_metric(curves, lines)):
        if number:
            printing.write("")
        _print_one(some, own, _axes(some, request))


def _print_one(curves: Sequence[Curve], lines: Sequence[Line], axes: Axes) -> None:
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
    runs: Annotated[
        list[str] | None, typer.Argument(help="Runs: running, ended or archived; patterns such as 'digits-*'.")
    ] = None,
    experiment: Experiment = "",
    top: Top = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Metric; can be repeated. Default: the objective.")
    ] = None,
    x: Annotated[str, typer.Option("--x", help="The x axis: step, time, or another metric.")] = "step",
    smooth: Annotated[float, typer.Option("--smooth", help="Smooth as TensorBoard does: 0 to 0.999.")] = 0.0,
    log_x: Annotated[bool, typer.Option("--log-x", help="Logarithmic x axis.")] = False,
    log_y: Annotated[bool, typer.Option("--log-y", help="Logarithmic y axis.")] = False,
    pod: Annotated[str, typer.Option("--pod", help="Pod of the run. Default: the pod that counts.")] = "",
    legend: Annotated[
        str, typer.Option("--legend", help="Parameters to show for each curve, separated by commas.")
    ] = "",
    system: Annotated[
        bool, typer.Option("--system", help="CPU and memory over time, instead of what the training code logged.")
    ] = False,
    save: Annotated[Path | None, typer.Option("--save", help="Draw into this file: .png, .svg, .pdf or .html.")] = None,
    output: Annotated[CurveFormat, typer.Option("--output", "-o", help="Output format.")] = CurveFormat.TEXT,
) -> None:
    """Draw the curves of metrics."""
    names = list(filter(None, (name.strip() for name in legend.split(","))))
    request = Request(runs or [], metric or [], x, pod, smooth, log_x, log_y, names, experiment, top, system)
    show(session, request, save, output)
