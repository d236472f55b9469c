"""Where things come from, what was live when, and whether the trail that says so is whole."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import command
from assay.cli.output.printing import Document, Format
from assay.cli.session import Session


class Drawing(StrEnum):
    """How a graph is printed."""

    TEXT = "text"
    DOT = "dot"
    MERMAID = "mermaid"
    JSON = "json"
    YAML = "yaml"


_Source = Annotated[
    Path | None, typer.Option("--from", help="Read an exported file or folder, and no store.", show_default=False)
]
_Table = Annotated[Format, typer.Option("--output", "-o", help="How to print it.")]
_Text = Annotated[Document, typer.Option("--output", "-o", help="How to print it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "lineage")(_lineage)
    command(app, "history")(_history)
    audit = typer.Typer(help="The audit trail: verify, list, export.", no_args_is_help=True, rich_markup_mode=None)
    command(audit, "verify")(_verify)
    command(audit, "list")(_list)
    command(audit, "export")(_export)
    app.add_typer(audit, name="audit")
    command(app, "export")(_export_version)


def _lineage(
    session: Session,
    what: Annotated[str, typer.Argument(help="deployment/NAME, an alias, a version or a run.")],
    output: Annotated[Drawing, typer.Option("--output", "-o", help="How to print it.")] = Drawing.TEXT,
) -> None:
    """Show what something comes from, down to code, image and data."""
    from assay.cli.audit import lineage
    from assay.cli.output import printing

    graph = lineage.trace(session, what)
    if output in (Drawing.JSON, Drawing.YAML):
        printing.document(lineage.document(graph), output.value)
        return
    drawn = {Drawing.TEXT: lineage.text, Drawing.DOT: lineage.dot, Drawing.MERMAID: lineage.mermaid}[output](graph)
    printing.write("\n".join(printing.clean(line) for line in drawn.split("\n")))


def _history(
    session: Session,
    alias: Annotated[str, typer.Argument(help="The alias, like digits.champion.")],
    at: Annotated[str, typer.Option("--at", help="What was live then, like 2026-03-14T14:05Z.")] = "",
    source: _Source = None,
    output: _Table = Format.TABLE,
) -> None:
    """Show what an alias has pointed to, who moved it and who had approved, from the audit trail."""
    from assay.cli.audit import history

    history.show(session, alias, at, source, output)


def _verify(
    session: Session,
    expect: Annotated[
        list[str] | None, typer.Option("--expect", help="A head kept elsewhere: 42:SHA256 or @FILE.")
    ] = None,
    source: _Source = None,
    output: _Text = Document.TEXT,
) -> None:
    """Say whether any record of the trail is missing or altered; exit code 6 if so."""
    from assay.cli.audit import trail

    trail.check(session, expect or [], source, output)


def _list(
    session: Session,
    name: Annotated[str, typer.Option("--object", help="Only records of the object of this name.")] = "",
    last: Annotated[int, typer.Option("--last", min=0, help="Only the last ones; 0 for all.")] = 20,
    source: _Source = None,
    output: _Table = Format.TABLE,
) -> None:
    """List the records of the trail."""
    from assay.cli.audit import trail

    trail.listed(session, name, last, source, output)


def _export(
    session: Session,
    target: Annotated[Path, typer.Option("--to", help="A file, or a folder that is there.")],
    source: _Source = None,
) -> None:
    """Write the trail's very bytes to a file, for auditors without access to the store."""
    from assay.cli.audit import trail

    trail.written(session, target, source)


def _export_version(
    session: Session,
    version: Annotated[str, typer.Argument(help="The version, or an alias for the one that is live.")],
    number: Annotated[int, typer.Option("--number", min=0, help="Its number there; 0 for the same.")] = 0,
    output: Annotated[Document, typer.Option("--output", "-o", help="yaml or json.")] = Document.YAML,
) -> None:
    """Print a self-contained manifest of a version for another cluster's Git repository."""
    from assay.cli.manifests import export

    export.show(session, version, number, output)
