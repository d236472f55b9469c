"""`assay pull`: downloads a registered model: all approved bytes, or no folder.

Until every byte is verified, the files are in `.<name>.partial` beside the folder, where an interrupted pull resumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from assay.api.objects import Raw
from assay.cli import completion
from assay.cli.artifacts import downloading
from assay.cli.errors import NO, NOT_FOUND, USAGE, CliError
from assay.cli.output import printing, sheets
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.fetch import fetching, manifest
from assay.fetch.downloads import Item
from assay.fetch.errors import FetchError
from assay.fetch.manifest import File
from assay.planning.conditions import counted
from assay.queries import references
from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.digests import bytes_digest
from assay.store.errors import NotFound
from assay.store.limits import MAX_MANIFEST_BYTES


@dataclass(frozen=True)
class Pulled:
    """What was pulled. `version` is the name of the version, `digest` its digest."""

    version: str
    digest: str
    files: int
    bytes: int
    directory: Path

    def document(self) -> Raw:
        """The answer as JSON: ``{"version", "digest", "files", "bytes", "directory"}``."""
        return {
            "version": self.version,
            "digest": self.digest,
            "files": self.files,
            "bytes": self.bytes,
            "directory": str(self.directory),
        }


def pull(session: Session, text: str, directory: Path, output: Document) -> None:
    """Download a version, or the live version of an alias, into a folder. Raises AssayError, StoreError."""
    body = references.version(session, text)
    found = _pull(session, body, directory.absolute())
    if output is not Document.TEXT:
        printing.document(found.document(), output.value)
        return
    printing.write(f"{found.version}  {found.digest}")
    printing.write(
        f"{counted(found.files, 'file')}, {sheets.size(found.bytes)}, every byte verified: {printing.clean(directory)}"
    )


def _pull(session: Session, body: Raw, directory: Path) -> Pulled:
    spec, name = body["spec"], body["metadata"]["name"]
    prefix = layout.model_prefix(session.namespace, spec["model"], spec["version"])
    digest = spec["artifact"]["digest"]
    files = _manifest(session.store, prefix, body)
    pulled = Pulled(name, digest, len(files), sum(file.size for file in files), directory)
    if _is_there(directory, digest):
        printing.note(f"{directory} already contains this model")
        return pulled
    partial = directory.with_name(f".{directory.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    targets = [file.target for file in files]
    downloading.sweep(partial, targets)
    items = [Item(f"{prefix}/{file.path}", file.target, file.size, file.sha256) for file in files]
    downloading.download(session.store, items, partial)
    try:
        partial.rename(directory)
    except OSError as error:
        raise CliError(f"cannot put the model at {directory}: {error.strerror}") from None
    return pulled


def _manifest(store: ObjectStore, prefix: str, body: Raw) -> list[File]:
    """Return the files of a version from its manifest, whose digest the version records."""
    where, copy = f"{prefix}/{layout.MANIFEST}", (body.get("status") or {}).get("artifact") or {}
    try:
        data = store.get_bytes(where, MAX_MANIFEST_BYTES)
    except NotFound:
        message = (body.get("status") or {}).get("message") or "its bytes have not been copied yet"
        raise CliError(f"{body['metadata']['name']} has no registered copy: {message}", code=NOT_FOUND) from None
    expected, found = copy.get("manifestDigest"), bytes_digest(data)
    if expected and expected != found:
        hint = f"`assay artifacts verify {body['metadata']['name']}` shows what differs"
        raise CliError(f"{where} was changed: expected the digest {expected}, found {found}", hint=hint, code=NO)
    try:
        return manifest.parse(data, where, body["spec"]["artifact"]["digest"])
    except FetchError as error:
        raise CliError(str(error), code=NO) from None


def _is_there(directory: Path, digest: str) -> bool:
    """Whether a folder already contains the model. Raises CliError if it contains anything else."""
    if not directory.is_dir() or directory.is_symlink():
        if directory.exists() or directory.is_symlink():
            raise CliError(f"{directory} exists and is not a folder", hint="name a new folder", code=USAGE)
        return False
    if not any(directory.iterdir()):
        return False
    if fetching.holds(directory, digest):
        return True
    raise CliError(f"{directory} contains other files", hint="name a new or an empty folder", code=USAGE)


def command(
    session: Session,
    version: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.versions_and_aliases,
            help="Version or alias: digits.v24, models:/digits/24, models:/digits@champion.",
        ),
    ],
    directory: Annotated[Path, typer.Argument(help="New or empty folder.")],
    output: Annotated[Document, typer.Option("--output", "-o", help="Output format.")] = Document.TEXT,
) -> None:
    """Download a version, or the live version of an alias: verified, all files or none."""
    pull(session, version, directory, output)
