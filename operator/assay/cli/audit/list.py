"""`assay audit list`: the records of the trail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import Source, Table
from assay.cli.output import printing
from assay.cli.output.printing import Column, Format
from assay.cli.session import Session
from assay.queries.audit import trail

_COLUMNS = (
    Column("RECORD", number=True),
    Column("TIME"),
    Column("ACTION"),
    Column("KIND"),
    Column("NAME"),
    Column("BY"),
    Column("REASON"),
)


def listed(session: Session, name: str, last: int, source: Path | None, output: Format) -> None:
    """Print the records, or those of one object. Raises AssayError.

    As JSON ``{"items": [record]}``, see docs/audit.md.
    """
    found = [each for each in trail.records(session, source) if name in ("", each.object.name)]
    found = found[-last:] if last else found
    if output in (Format.JSON, Format.YAML):
        printing.document({"items": [each.model_dump(mode="json") for each in found]}, output.value)
        return
    rows = [
        (each.sequence, each.time, each.action, each.object.kind, each.object.name, each.actor, each.reason)
        for each in found
    ]
    if output is Format.CSV:
        printing.rows_as_csv([column.title for column in _COLUMNS], rows)
    else:
        printing.table(_COLUMNS, rows, output)


def command(
    session: Session,
    name: Annotated[str, typer.Option("--object", help="Show only records of the object with this name.")] = "",
    last: Annotated[int, typer.Option("--last", min=0, help="Show only the last N records; 0 for all.")] = 20,
    source: Source = None,
    output: Table = Format.TABLE,
) -> None:
    """List the records of the audit trail."""
    listed(session, name, last, source, output)
