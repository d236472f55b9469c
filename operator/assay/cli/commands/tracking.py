"""What runs have come to and what goes on: side by side, as curves, again, live."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.options import command
from assay.cli.printing import Format
from assay.cli.session import Session


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "compare")(_compare)


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
