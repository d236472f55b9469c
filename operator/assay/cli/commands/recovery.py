"""After a disaster."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli import completion
from assay.cli.options import command
from assay.cli.output.printing import Document
from assay.cli.session import Session


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "restore")(_restore)


def _restore(
    session: Session,
    namespace: Annotated[
        str, typer.Argument(autocompletion=completion.namespaces, help="As --namespace says it, too.")
    ] = "",
    expect: Annotated[
        list[str] | None, typer.Option("--expect", help="A head kept elsewhere: 42:SHA256, @FILE.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Make it without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have the API server try it out, and make nothing.")
    ] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Go on although the trail is not intact.")] = False,
    output: Annotated[Document, typer.Option("--output", "-o", help="How to print it.")] = Document.TEXT,
) -> None:
    """Make policies, versions and aliases again from the store and the audit trail; shows and asks first."""
    from assay.cli.manifests import restore

    session.namespace_option = namespace or session.namespace_option
    wish = restore.Wish(yes=yes, dry_run=dry_run, damaged=damaged)
    restore.run(session, expect or [], wish, output)
