"""Single files and folders of a run or a version onto this machine. Each appears when it is whole and verified."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.artifacts import downloading
from assay.cli.errors import USAGE, CliError
from assay.cli.options import RunOrVersion
from assay.cli.output import printing
from assay.cli.session import Session
from assay.fetch.downloads import Item
from assay.queries.files import listing
from assay.queries.files.listing import File


def get(session: Session, text: str, paths: list[str], directory: Path, *, force: bool) -> None:
    """Bring files into a folder. Raises CliError, StoreError; then none of them has appeared."""
    stored = listing.find(session, text)
    chosen = listing.chosen(stored, paths)
    wanted = [(target, file) for target, file in chosen if not _has(directory / target, file, force=force)]
    items = [Item(f"{stored.prefix}/{file.path}", target, file.size, file.sha256) for target, file in wanted]
    if items:
        directory.mkdir(parents=True, exist_ok=True)
        # Beside where they go, so that a rename is enough.
        temporary = Path(tempfile.mkdtemp(prefix=".assay-", dir=directory))
        try:
            downloading.bring(session.store, items, temporary)
            for target, _ in wanted:
                (directory / target).parent.mkdir(parents=True, exist_ok=True)
                (temporary / target).replace(directory / target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    for target, _ in chosen:
        printing.write(printing.clean(directory / target))
    if any(not file.sha256 for _, file in wanted):
        printing.note("not verified: no manifest has these files' digests yet")


def _has(path: Path, file: File, *, force: bool) -> bool:
    """Whether a file is there already. Raises CliError for another one that may not be replaced."""
    if not path.exists() and not path.is_symlink():
        return False
    if path.is_file() and not path.is_symlink() and file.sha256:
        with path.open("rb") as source:
            if hashlib.file_digest(source, "sha256").hexdigest() == file.sha256:
                return True
    if force and path.is_file():
        return False
    raise CliError(f"{path} is there, and is something else", hint="--force replaces files", code=USAGE)


def command(
    session: Session,
    what: RunOrVersion,
    paths: Annotated[list[str] | None, typer.Argument(metavar="[PATH]…", help="Files or folders; all.")] = None,
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where they go.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Get files or whole folders; each is verified, and appears when it is whole."""
    get(session, what, paths or [], directory, force=force)
