"""Downloads a model into a folder that appears in one step, when every byte of it has been verified.

Until then everything lies in a folder beside it, `.<name>.partial`. Memory is bounded by a few chunks a worker,
whatever the size of the files. An interrupted file is continued where it stopped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

from assay.fetch import manifest
from assay.fetch.connection import Connection
from assay.fetch.errors import FetchError
from assay.fetch.manifest import File
from assay.fetch.settings import Settings
from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.digests import PREFIX, bytes_digest, folder_digest
from assay.store.errors import NotFound, StoreError
from assay.store.limits import MAX_MANIFEST_BYTES

Say = Callable[[str], None]

PROGRESS_SECONDS = 5.0
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def fetch(settings: Settings, say: Say) -> None:
    """Bring the model to `settings.directory`. Raises FetchError, StoreSilent; then nothing is there."""
    started = time.monotonic()
    try:
        if _is_there(settings.directory, settings.digest):
            say(f"{settings.directory} holds the model already, and every byte of it is right")
            return
        connection = Connection(settings.credentials, settings.retry_seconds, say)
        files = _manifest(settings, connection)
        size = sum(file.size for file in files)
        say(f"fetching {settings.prefix}: {len(files)} files, {size} bytes, {settings.digest}")
        _download_all(settings, connection, files, Progress(len(files), size, say))
    except FetchError:
        _withdraw(settings.directory)
        raise
    except StoreError as error:
        _withdraw(settings.directory)
        raise FetchError(str(error)) from None
    except OSError as error:
        _withdraw(settings.directory)
        raise FetchError(f"cannot write the model to {settings.directory}: {error.strerror or error}") from None
    say(f"{settings.directory} holds the model, verified, after {time.monotonic() - started:.1f} s")


def _manifest(settings: Settings, connection: Connection) -> list[File]:
    where = f"{settings.prefix}/{layout.MANIFEST}"
    try:
        data = connection.attempt(lambda store: store.get_bytes(where, MAX_MANIFEST_BYTES))
    except NotFound:
        raise FetchError(f"{where} is missing in the store") from None
    found = bytes_digest(data)
    if found != (settings.manifest_digest or found):
        raise FetchError(f"{where} was changed: expected the digest {settings.manifest_digest}, found {found}")
    return manifest.parse(data, where, settings.digest)


class Progress:
    """Says now and then how far it is. Threads share it."""

    def __init__(self, files: int, size: int, say: Say) -> None:
        self._files, self._size, self._say = files, size, say
        self._done_files = self._done_bytes = 0
        self._said = time.monotonic()
        self._lock = threading.Lock()

    def add(self, files: int, count: int) -> None:
        """So many files are complete, and so many bytes have come, since the last call."""
        with self._lock:
            self._done_files += files
            self._done_bytes += count
            if time.monotonic() - self._said < PROGRESS_SECONDS:
                return
            self._said = time.monotonic()
        self._say(f"{self._done_files} of {self._files} files, {self._done_bytes} of {self._size} bytes")


def _download_all(settings: Settings, connection: Connection, files: list[File], progress: Progress) -> None:
    partial = _partial(settings.directory)
    _withdraw(settings.directory)
    partial.mkdir(parents=True)
    needed, free = sum(file.size for file in files), shutil.disk_usage(partial).free
    if needed > free:
        raise FetchError(f"no room for the model: it has {needed} bytes, and {settings.directory.parent} has {free}")
    for folder in {(partial / file.target).parent for file in files}:
        folder.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="fetch")
    try:
        work = [pool.submit(Download(settings.prefix, file, partial, connection, progress).run) for file in files]
        done, _ = wait(work, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        connection.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)
    _seal(partial)
    partial.rename(settings.directory)


class Download:
    """One file on its way: written, hashed and counted as it comes."""

    def __init__(self, prefix: str, file: File, folder: Path, connection: Connection, progress: Progress) -> None:
        self._file = file
        self._key = f"{prefix}/{file.path}"
        self._target = folder / file.target
        self._connection = connection
        self._progress = progress
        self._digest = hashlib.sha256()
        self._size = 0

    def run(self) -> None:
        """Download and verify. Raises FetchError, StoreError, OSError."""
        with os.fdopen(os.open(self._target, _CREATE, 0o444), "wb", buffering=0) as target:
            os.fchmod(target.fileno(), 0o444)  # whatever the umask is: the server may run as somebody else
            try:
                self._connection.attempt(lambda store: self._receive(store, target.write))
            except NotFound:
                raise FetchError(f"{self._key} is missing in the store") from None
        if self._size != self._file.size:
            raise FetchError(f"{self._key} was changed: expected {self._file.size} bytes, found {self._size}")
        if self._digest.hexdigest() != self._file.sha256:
            raise FetchError(
                f"{self._key} was changed: expected the sha256 {self._file.sha256}, found {self._digest.hexdigest()}"
            )
        self._progress.add(1, 0)

    def _receive(self, store: ObjectStore, write: Callable[[memoryview], int]) -> None:
        """Read from where the last attempt stopped to the end."""
        if self._size and self._size == self._file.size:
            return
        for chunk in store.read_chunks(self._key, self._size):
            if self._connection.stopped.is_set():
                raise FetchError("stopped")
            if self._size + len(chunk) > self._file.size:
                raise FetchError(f"{self._key} was changed: it has more than the {self._file.size} bytes expected")
            left = memoryview(chunk)
            while left:
                left = left[write(left) :]
            self._digest.update(chunk)
            self._size += len(chunk)
            self._connection.alive()
            self._progress.add(0, len(chunk))


def _partial(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.partial")


def _seal(folder: Path) -> None:
    """Nobody is to write to it any more, whoever the server runs as."""
    for above, _, _ in os.walk(folder, topdown=False):
        Path(above).chmod(0o555)


def _withdraw(directory: Path) -> None:
    """Leave neither a model nor a part of one behind."""
    for folder in (directory, _partial(directory)):
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
            continue
        for above, _, _ in os.walk(folder):
            with suppress(OSError):
                Path(above).chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)


def _is_there(directory: Path, digest: str) -> bool:
    """Whether an earlier run of this container has brought the model. Reads every byte, and needs no store."""
    if directory.is_symlink() or not directory.is_dir():
        return False
    found: list[tuple[str, str]] = []
    for above, folders, names in os.walk(directory):
        for path in (Path(above) / name for name in names + folders):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                return False
        found += [
            ((Path(above) / name).relative_to(directory).as_posix(), _sha256(Path(above) / name)) for name in names
        ]
    alone = len(found) == 1 and PREFIX + found[0][1] == digest
    return alone or folder_digest(found) == digest


def _sha256(path: Path) -> str:
    with path.open("rb", buffering=0) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
