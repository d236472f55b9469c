"""Models, their versions and aliases, approvals, and what is live."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.options import command
from assay.cli.printing import Format
from assay.cli.session import Session


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "versions")(_versions)


def _versions(
    session: Session,
    model: Annotated[str, typer.Argument(help="The model.")],
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print it.")] = Format.TABLE,
) -> None:
    """List the versions of a model."""
    from assay.cli import versions

    versions.show(session, model, output)
