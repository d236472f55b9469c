"""What runs have come to and what goes on: side by side, as curves, again, live."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import command
from assay.cli.printing import Format
from assay.cli.session import Session


class CurveFormat(StrEnum):
    """How curves are printed: drawn, or as the points that they are made of."""

    TEXT = "text"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "compare")(_compare)
    command(app, "curves")(_curves)


def _compare(
    session: Session,
    runs: Annotated[list[str], typer.Argument(help="The runs, also archived ones.")],
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Only this metric; can be repeated.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same in all of them.")] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print it.")] = Format.TABLE,
) -> None:
    """Show runs side by side: what differs of their parameters, metrics and the rest."""
    from assay.cli import compare

    compare.show(session, runs, metric or [], everything, output)


def _curves(
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
    from assay.cli import curves

    curves.show(session, curves.Wanted(runs, metric or [], x, pod, smooth, log_x, log_y), save, output)
