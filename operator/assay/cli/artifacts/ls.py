"""`assay artifacts ls`: the files of a run or a version in the store, as its manifest lists them.

The name of a run selects its record, that of a version or an alias the registered copy.
"""

from __future__ import annotations

from typing import Annotated

import typer

from assay.api.objects import Raw
from assay.cli.options import RunOrVersion
from assay.cli.output import printing, sheets
from assay.cli.output.printing import Column, Format
from assay.cli.session import Session
from assay.queries.files import listing
from assay.queries.files.listing import File, Stored

_COLUMNS = (Column("PATH"), Column("SIZE", number=True), Column("SHA256", wide=True))


def show(session: Session, text: str, *, everything: bool, output: Format) -> None:
    """Print the files, by default only the artifacts. For JSON see `_item`. Raises AssayError, StoreError."""
    stored = listing.find(session, text)
    listed = sorted(stored.files if everything else stored.artifact_files)
    if output in (Format.JSON, Format.YAML):
        items = [_item(stored, file, everything=everything) for file in listed]
        printing.document({"name": stored.name, "kind": stored.kind, "items": items}, output.value)
        return
    rows = [_row(stored, file, everything=everything) for file in listed]
    if output is Format.CSV:
        printing.rows_as_csv([column.title for column in _COLUMNS], rows)
        return
    printing.table(_COLUMNS, [(path, sheets.size(size), sha256) for path, size, sha256 in rows], output)
    if not everything and len(listed) < len(stored.files) and stored.kind == "run":
        printing.note(f"{len(stored.files) - len(listed)} more files in the record; --all lists them")


def _row(stored: Stored, file: File, *, everything: bool) -> tuple[str, int, str]:
    path = file.path if everything else stored.shown(file.path)
    return path, file.size, "expired" if file.expired else file.sha256


def _item(stored: Stored, file: File, *, everything: bool) -> Raw:
    """One file as JSON: ``{"path", "size", "sha256": hex or null, "expired": bool, "key": in the bucket}``."""
    path, size, _ = _row(stored, file, everything=everything)
    key = f"{stored.prefix}/{file.path}"
    return {"path": path, "size": size, "sha256": file.sha256 or None, "expired": file.expired, "key": key}


def command(
    session: Session,
    what: RunOrVersion,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="List the whole record of a run, including logs.")
    ] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="Output format.")] = Format.TABLE,
) -> None:
    """List the files of a run or a version."""
    show(session, what, everything=everything, output=output)
