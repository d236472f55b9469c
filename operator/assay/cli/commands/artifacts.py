"""The files of runs and versions: listed, fetched and verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli import completion
from assay.cli.options import command
from assay.cli.output.printing import Document, Format
from assay.cli.session import Session

_What = Annotated[
    str,
    typer.Argument(
        metavar="RUN|VERSION",
        autocompletion=completion.runs_and_versions,
        help="A run, or a version or alias: digits-3, digits.v24, models:/digits@champion.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    artifacts = typer.Typer(help="Files of a run or a version: list, get, verify.", no_args_is_help=True)
    command(artifacts, "ls")(_ls)
    command(artifacts, "get")(_get)
    command(artifacts, "verify")(_verify)
    app.add_typer(artifacts, name="artifacts")
    command(app, "pull")(_pull)


def _ls(
    session: Session,
    what: _What,
    everything: Annotated[bool, typer.Option("--all", "-a", help="The whole record of a run, with logs.")] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print it.")] = Format.TABLE,
) -> None:
    """List the files."""
    from assay.cli.artifacts import ls

    ls.show(session, what, everything=everything, output=output)


def _get(
    session: Session,
    what: _What,
    paths: Annotated[list[str] | None, typer.Argument(metavar="[PATH]…", help="Files or folders; all.")] = None,
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where they go.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Get files or whole folders; each is verified, and appears when it is whole."""
    from assay.cli.artifacts import get

    get.get(session, what, paths or [], directory, force=force)


def _verify(
    session: Session,
    what: _What,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes, and read no bytes.")] = False,
    key: Annotated[
        Path | None,
        typer.Option("--key", envvar="ASSAY_SIGNING_PUBLIC_KEYS_FILE", help="Public keys, to check the signature."),
    ] = None,
    output: Annotated[Document, typer.Option("--output", "-o", help="How to print it.")] = Document.TEXT,
) -> None:
    """Compare every byte in the store with what was recorded. Exit code 6: it differs."""
    from assay.cli.artifacts import verify

    verify.verify(session, what, key, output, quick=quick)


def _pull(
    session: Session,
    version: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.versions_and_aliases,
            help="A version or an alias: digits.v24, models:/digits/24, models:/digits@champion.",
        ),
    ],
    directory: Annotated[Path, typer.Argument(help="A new folder, or an empty one.")],
    output: Annotated[Document, typer.Option("--output", "-o", help="How to print it.")] = Document.TEXT,
) -> None:
    """Pull the files of a version, or of the one that is live under an alias: verified, all or nothing."""
    from assay.cli.artifacts import pull

    pull.pull(session, version, directory, output)
