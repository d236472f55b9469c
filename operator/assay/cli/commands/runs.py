"""Runs and what they have recorded."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.options import command
from assay.cli.printing import Format
from assay.cli.session import Session


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "runs")(_runs)


def _runs(
    session: Session,
    experiment: Annotated[str, typer.Option("--experiment", "-e", help="Only the runs of this experiment.")] = "",
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print it.")] = Format.TABLE,
) -> None:
    """List runs with their parameters and metrics."""
    from assay.cli import run_table

    run_table.show(session, experiment, output)
