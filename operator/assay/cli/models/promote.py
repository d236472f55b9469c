"""`assay promote`: point an alias to a version."""

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
    version: Annotated[str, typer.Argument(help="Version, such as 24.")],
    message: Message = "",
    wait: Wait = True,
    timeout: Timeout = "10m",
    dry_run: DryRun = False,
    output: Text = Document.TEXT,
) -> None:
    """Point an alias to a version, and wait until it is live and served."""
    mover = Mover(session, model, alias, timeout=timeout, wait=wait, dry_run=dry_run, output=output)
    raise typer.Exit(mover.promote(version, message))
