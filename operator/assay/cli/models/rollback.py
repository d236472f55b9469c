"""`assay rollback`: roll an alias back to a version that was live before."""

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
    version: Annotated[str, typer.Argument(help="Version, such as 23. Default: the previous one.")] = "",
    message: Message = "",
    wait: Wait = True,
    timeout: Timeout = "10m",
    dry_run: DryRun = False,
    output: Text = Document.TEXT,
) -> None:
    """Roll an alias back to a version that was live before. This needs no approval."""
    mover = Mover(session, model, alias, timeout=timeout, wait=wait, dry_run=dry_run, output=output)
    raise typer.Exit(mover.roll_back(version, message))
