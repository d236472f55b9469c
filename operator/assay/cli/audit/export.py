"""`assay audit export`: the very bytes of the records, for auditors without access to the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.errors import USAGE, CliError
from assay.cli.options import Source
from assay.cli.output import printing
from assay.cli.session import Session
from assay.queries.audit import trail
from assay.store.audit.sources import export


def written(session: Session, target: Path, source: Path | None, head: Path | None) -> None:
    """Write the records' very bytes into a file, a line each, or into a folder that is there."""
    try:
        exported = export(trail.files(session, source), target)
        if head:
            head.write_text(f"{exported.head}\n", encoding="ascii")
    except OSError as error:
        raise CliError(f"{error.filename or target} cannot be written: {error.strerror}", code=USAGE) from None
    for name in exported.left_out:
        printing.note(f"left out: {name!r} is no record")
    printing.write(f"{exported.records} records, head {exported.head}")


def command(
    session: Session,
    target: Annotated[Path, typer.Option("--to", help="A file, or a folder that is there.")],
    source: Source = None,
    head: Annotated[
        Path | None, typer.Option("--head", help="Write the head into this file.", show_default=False)
    ] = None,
) -> None:
    """Write the trail's very bytes to a file, for auditors without access to the store."""
    written(session, target, source, head)
