"""`assay artifacts get`: downloads files and folders of a run or a version, and verifies them."""

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
    """Download files into a folder: all or, if it raises AssayError or StoreError, none."""
    stored = listing.find(session, text)
    chosen = listing.chosen(stored, paths)
    missing = [(target, file) for target, file in chosen if not _has(directory / target, file, force=force)]
    items = [Item(f"{stored.prefix}/{file.path}", target, file.size, file.sha256) for target, file in missing]
    if items:
        directory.mkdir(parents=True, exist_ok=True)
        # On the file system of the target, so that a rename suffices.
        temporary = Path(tempfile.mkdtemp(prefix=".assay-", dir=directory))
        try:
            downloading.download(session.store, items, temporary)
            for target, _ in missing:
                (directory / target).parent.mkdir(parents=True, exist_ok=True)
                (temporary / target).replace(directory / target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    for target, _ in chosen:
        printing.write(printing.clean(directory / target))
    if any(not file.sha256 for _, file in missing):
        printing.note("not verified: no manifest lists the digests of these files yet")


def _has(path: Path, file: File, *, force: bool) -> bool:
    """Whether the file exists already. Raises CliError for a different file that may not be replaced."""
    if not path.exists() and not path.is_symlink():
        return False
    if path.is_file() and not path.is_symlink() and file.sha256:
        with path.open("rb") as source:
            if hashlib.file_digest(source, "sha256").hexdigest() == file.sha256:
                return True
    if force and path.is_file():
        return False
    raise CliError(f"{path} already exists with other content", hint="use --force to replace it", code=USAGE)


def command(
    session: Session,
    what: RunOrVersion,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]…", help="Files or folders. Default: all.")
    ] = None,
    directory: Annotated[
        Path, typer.Option("--directory", "-d", help="Folder to download to. Default: this one.")
    ] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Download files or folders of a run or a version, and verify them."""
    get(session, what, paths or [], directory, force=force)
