"""Runs and what they have recorded."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import command
from assay.cli.session import Session


class RunFormat(StrEnum):
    """How runs are printed. `wide` is a table with more columns, `parquet` a file."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    PARQUET = "parquet"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "runs")(_runs)


def _runs(
    session: Session,
    experiment: Annotated[str, typer.Option("--experiment", "-e", help="Only the runs of this experiment.")] = "",
    where: Annotated[
        str, typer.Option("--where", help="Only these, in CEL: metrics.val_f1.best > 0.9 && params.depth in [2, 3].")
    ] = "",
    sort: Annotated[
        str, typer.Option("--sort", help="By a metric, the best first; or name, created, params.depth, -duration.")
    ] = "",
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many.")] = None,
    columns: Annotated[
        str, typer.Option("--columns", help="These, with commas: owner,params.depth,metrics.val_f1.min.")
    ] = "",
    archived: Annotated[bool, typer.Option("--all", help="Those of the archive too.")] = False,
    output: Annotated[RunFormat, typer.Option("--output", "-o", help="How to print them.")] = RunFormat.TABLE,
    to: Annotated[Path | None, typer.Option("--to", help="The file for -o parquet.")] = None,
    cached: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep what was read; it is never stale.")] = True,
) -> None:
    """List runs with their parameters and metrics."""
    from assay.cli.runs import runs

    names = tuple(filter(None, columns.replace(" ", "").split(",")))
    request = runs.Request(experiment, where, sort, reverse, limit, names, output, to, archived=archived, cached=cached)
    runs.show(session, request)
