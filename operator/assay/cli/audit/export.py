"""`assay audit export`: the records byte for byte, for auditors without access to the store."""

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
    """Write the records byte for byte into a file, one per line, or into an existing folder. Raises AssayError."""
    try:
        exported = export(trail.files(session, source), target)
        if head:
            head.write_text(f"{exported.head}\n", encoding="ascii")
    except OSError as error:
        raise CliError(f"cannot write {error.filename or target}: {error.strerror}", code=USAGE) from None
    for name in exported.left_out:
        printing.note(f"skipped {name!r}: it is not a record")
    printing.write(f"{exported.records} records, head {exported.head}")


def command(
    session: Session,
    target: Annotated[Path, typer.Option("--to", help="File, or existing folder.")],
    source: Source = None,
    head: Annotated[
        Path | None, typer.Option("--head", help="Also write the head into this file.", show_default=False)
    ] = None,
) -> None:
    """Export the audit trail byte for byte, for auditors without access to the store."""
    written(session, target, source, head)
