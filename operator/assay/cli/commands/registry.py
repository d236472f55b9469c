"""Models, their versions and aliases, approvals, and what is live."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli import completion
from assay.cli.options import command
from assay.cli.output.printing import Document, Format
from assay.cli.session import Session

_Table = Annotated[Format, typer.Option("--output", "-o", help="How to print it.")]
_Text = Annotated[Document, typer.Option("--output", "-o", help="How to print it.")]
_Model = Annotated[str, typer.Argument(help="The model.", autocompletion=completion.models)]
_Alias = Annotated[str, typer.Argument(help="The alias, like champion.")]
_Approved = Annotated[
    str, typer.Argument(help="The version, like digits.v24.", metavar="VERSION", autocompletion=completion.versions)
]
_For = Annotated[str, typer.Option("--for", help="The alias that it is for, like champion.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Have the API server check it, and write nothing.")]
_Comment = Annotated[str, typer.Option("--message", "-m", help="Why; it is recorded.")]
_Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is live and served.")]
_Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait, like 90s or 1h; 0 for ever.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "models")(_models)
    command(app, "versions")(_versions)
    command(app, "why")(_why)
    command(app, "approve")(_approve)
    command(app, "revoke")(_revoke)
    command(app, "promote")(_promote)
    command(app, "rollback")(_rollback)


def _models(session: Session, output: _Table = Format.TABLE) -> None:
    """List models, with what their aliases point to."""
    from assay.cli.models import versions

    versions.show_models(session, output)


def _versions(
    session: Session,
    model: _Model,
    everything: Annotated[bool, typer.Option("--all", help="Archived ones, too.")] = False,
    output: _Table = Format.TABLE,
) -> None:
    """List the versions of a model, the newest first."""
    from assay.cli.models import versions

    versions.show(session, model, output, everything=everything)


def _why(
    session: Session,
    alias: Annotated[str, typer.Argument(help="The alias, like digits.champion.", autocompletion=completion.aliases)],
    version: Annotated[
        int, typer.Option("--version", min=0, help="Ask about this version; 0 for the one that is wanted.")
    ] = 0,
    output: _Text = Document.TEXT,
) -> None:
    """Say what an alias's version needs, met or not; exit code 6 when something is missing."""
    from assay.cli.models import why

    raise typer.Exit(why.show(session, alias, version or None, output))


def _approve(
    session: Session,
    version: _Approved,
    alias: _For,
    message: _Comment = "",
    identity: Annotated[str, typer.Option("--id", help="Id of the approval; your name if left out.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Give it anew, for example when it has expired.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: _DryRun = False,
    output: _Text = Document.TEXT,
) -> None:
    """Show a version beside the one that is live, ask, and approve it."""
    from assay.cli.models import approve

    given = approve.Wish(message, identity, again=again, yes=yes, dry_run=dry_run)
    approve.approve(session, version, alias, given, output)


def _revoke(
    session: Session,
    version: _Approved,
    alias: _For,
    identity: Annotated[str, typer.Option("--id", help="The approval with this id; your own if left out.")] = "",
    dry_run: _DryRun = False,
    output: _Text = Document.TEXT,
) -> None:
    """Take an approval away."""
    from assay.cli.models import approve

    approve.revoke(session, version, alias, identity=identity, dry_run=dry_run, output=output)


def _promote(
    session: Session,
    model: _Model,
    alias: _Alias,
    version: Annotated[str, typer.Argument(help="The version, like 24.")],
    message: _Comment = "",
    wait: _Wait = True,
    timeout: _Timeout = "10m",
    dry_run: _DryRun = False,
    output: _Text = Document.TEXT,
) -> None:
    """Point an alias to a version, and wait until that is live and served."""
    from assay.cli.models.promote import Mover

    mover = Mover(session, model, alias, timeout=timeout, wait=wait, dry_run=dry_run, output=output)
    raise typer.Exit(mover.promote(version, message))


def _rollback(
    session: Session,
    model: _Model,
    alias: _Alias,
    version: Annotated[str, typer.Argument(help="The version, like 23; the one before if left out.")] = "",
    message: _Comment = "",
    wait: _Wait = True,
    timeout: _Timeout = "10m",
    dry_run: _DryRun = False,
    output: _Text = Document.TEXT,
) -> None:
    """Take an alias back to a version that it has pointed to before; that needs no approval."""
    from assay.cli.models.promote import Mover

    mover = Mover(session, model, alias, timeout=timeout, wait=wait, dry_run=dry_run, output=output)
    raise typer.Exit(mover.roll_back(version, message))
