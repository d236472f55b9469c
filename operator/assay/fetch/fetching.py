"""Downloads a model into a folder that appears atomically after every byte has been verified."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from assay.fetch import folders, manifest
from assay.fetch.connection import Connection, CredentialsFile
from assay.fetch.downloads import Download, Item, Progress, Say, download_all
from assay.fetch.errors import FetchError
from assay.fetch.manifest import File
from assay.fetch.settings import Settings
from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.credentials import Credentials
from assay.store.digests import PREFIX, bytes_digest, folder_digest
from assay.store.errors import NotFound, StoreError
from assay.store.limits import MAX_MANIFEST_BYTES


def fetch(settings: Settings, say: Say) -> None:
    """Fetch the model to `settings.directory`. Raises FetchError, StoreSilent; the folder does not exist then."""
    started = time.monotonic()
    try:
        if holds(settings.directory, settings.digest):
            say(f"{settings.directory} already holds the verified model")
            return
        store = CredentialsFile(settings.credentials, lambda text: Credentials.from_json(text).store_config())
        connection = Connection(store, settings.retry_seconds, say)
        files = _manifest(settings, connection)
        size = sum(file.size for file in files)
        say(f"fetching {settings.prefix}: {len(files)} files, {size} bytes, {settings.digest}")
        _download(settings, connection, files, Progress(len(files), size, say))
    except FetchError:
        folders.withdraw(settings.directory)
        raise
    except StoreError as error:
        folders.withdraw(settings.directory)
        raise FetchError(str(error)) from None
    except OSError as error:
        folders.withdraw(settings.directory)
        raise FetchError(f"cannot write the model to {settings.directory}: {error.strerror or error}") from None
    say(f"{settings.directory} holds the model, verified, after {time.monotonic() - started:.1f} s")


def _manifest(settings: Settings, connection: Connection[ObjectStore]) -> list[File]:
    where = f"{settings.prefix}/{layout.MANIFEST}"
    try:
        data = connection.attempt(lambda store: store.get_bytes(where, MAX_MANIFEST_BYTES))
    except NotFound:
        raise FetchError(f"{where} is missing in the store") from None
    found = bytes_digest(data)
    if found != (settings.manifest_digest or found):
        raise FetchError(f"{where} was changed: expected the digest {settings.manifest_digest}, found {found}")
    return manifest.parse(data, where, settings.digest)


def _download(settings: Settings, connection: Connection[ObjectStore], files: list[File], progress: Progress) -> None:
    volume = settings.directory.parent
    volume.mkdir(parents=True, exist_ok=True)
    folders.withdraw(settings.directory)
    needed, free = sum(file.size for file in files), shutil.disk_usage(volume).free
    if needed > free:
        raise FetchError(f"no room for the model: it needs {needed} bytes, and {volume} has {free} free")
    partial = folders.begin(settings.directory, (file.target for file in files))
    items = [Item(f"{settings.prefix}/{file.path}", file.target, file.size, file.sha256) for file in files]
    downloads = [Download(item, partial, connection, progress) for item in items]
    download_all(downloads, connection, settings.workers)
    folders.appear(settings.directory)


def holds(directory: Path, digest: str) -> bool:
    """Whether a folder holds this model and nothing else. Reads every byte; does not use the store."""
    found = folders.lines(directory)
    if found is None:
        return False
    alone = len(found) == 1 and PREFIX + found[0][1] == digest
    return alone or folder_digest(found) == digest
