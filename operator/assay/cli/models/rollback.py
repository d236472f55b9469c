"""`assay rollback`: take an alias back to a version that it pointed to before."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.models.moving import Mover
from assay.cli.options import Alias, DryRun, Message, Model, Text, Timeout, Wait
from assay.cli.output.printing import Document
from assay.cli.session import Session


def command(
    session: Session,
    model: Model,
    alias: Alias,
    version: Annotated[str, typer.Argument(help="The version, like 23; the one before if left out.")] = "",
    message: Message = "",
    wait: Wait = True,
    timeout: Timeout = "10m",
    dry_run: DryRun = False,
    output: Text = Document.TEXT,
) -> None:
    """Take an alias back to a version that it has pointed to before; that needs no approval."""
    mover = Mover(session, model, alias, timeout=timeout, wait=wait, dry_run=dry_run, output=output)
    raise typer.Exit(mover.roll_back(version, message))
