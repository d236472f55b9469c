"""Downloads files in parallel. Data is written, hashed and counted as it arrives; each worker buffers a few chunks.

An interrupted download resumes where it stopped if a digest can verify the complete file.
Large files of a store are downloaded in pieces.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import BinaryIO, Generic, NamedTuple, cast

from assay.fetch.connection import C, Connection
from assay.fetch.errors import FetchError
from assay.fetch.pieces import LARGE_BYTES, Large, Pieces
from assay.store.client import ObjectStore
from assay.store.errors import NotFound

Say = Callable[[str], None]

PROGRESS_SECONDS = 5.0
_CONTINUE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = _CONTINUE | os.O_EXCL
_CHUNK = 1 << 20


class Item(NamedTuple):
    """One file. `size` is None, and `sha256` is "", if not known in advance.

    `key` identifies the file at its source, `shown` is its name in messages, `target` its path in the folder.
    `resumed`: the download may be resumed, because a digest detects a change in between. `split`: the file may be
    downloaded in pieces.
    """

    key: str
    target: str
    size: int | None
    sha256: str = ""
    shown: str = ""
    resumed: bool = True
    split: bool = True


class Progress:
    """Reports progress every few seconds. Thread-safe."""

    def __init__(self, files: int, size: int, say: Say) -> None:
        self._files, self._size, self._say = files, size, say
        self._done_files = self._done_bytes = 0
        self._reported = time.monotonic()
        self._lock = threading.Lock()

    def add(self, files: int, count: int) -> None:
        """Count `files` completed files and `count` received bytes."""
        with self._lock:
            self._done_files += files
            self._done_bytes += count
            if time.monotonic() - self._reported < PROGRESS_SECONDS:
                return
            self._reported = time.monotonic()
        self._say(f"{self._done_files} of {self._files} files, {self._done_bytes} of {self._size} bytes")


def download_all(downloads: Sequence[Download[C]], connection: Connection[C], workers: int) -> None:
    """Run all downloads; stop at the first failure. Raises FetchError, StoreError, OSError."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fetch")
    pieces = ThreadPoolExecutor(workers, thread_name_prefix="piece")
    try:
        work = [pool.submit(download.run, pieces, workers) for download in downloads]
        done, _ = wait(work, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        connection.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)
        pieces.shutdown(wait=True, cancel_futures=True)


class Download(Generic[C]):
    """The download of one file."""

    def __init__(self, item: Item, folder: Path, connection: Connection[C], progress: Progress) -> None:
        self._item = item
        self._shown = item.shown or item.key
        self._path = folder / item.target
        self._connection = connection
        self._progress = progress
        self._digest = hashlib.sha256()
        self.size = 0
        self._flags, self._shared = _CREATE, True

    @property
    def line(self) -> tuple[str, str]:
        """Path in the folder and sha256 (hex) of the received bytes."""
        return self._item.target, self._digest.hexdigest()

    def run(self, pieces: ThreadPoolExecutor, ahead: int) -> None:
        """Download and verify. Large files use the pool `pieces`, at most `ahead` pieces at a time.

        Raises FetchError, StoreError, OSError.
        """
        with os.fdopen(os.open(self._path, self._flags, 0o666), "r+b", buffering=0) as target:
            if self._shared:
                os.fchmod(target.fileno(), 0o444)  # regardless of the umask: another user may read it
            self._receive_all(target, pieces, ahead)
        item = self._item
        if item.size not in (None, self.size):
            raise FetchError(f"{self._shown} was changed: expected {item.size} bytes, found {self.size}")
        if item.sha256 not in ("", self._digest.hexdigest()):
            raise FetchError(
                f"{self._shown} was changed: expected the sha256 {item.sha256}, found {self._digest.hexdigest()}"
            )
        self._progress.add(1, 0)

    def _receive_all(self, target: BinaryIO, pieces: ThreadPoolExecutor, ahead: int) -> None:
        try:
            if self._item.split and (self._item.size or 0) >= LARGE_BYTES:
                self._receive_pieces(target.fileno(), pieces, ahead)
            else:
                self._connection.attempt(lambda store: self._receive(store, target))
        except NotFound:
            raise FetchError(f"{self._shown} is missing in the store") from None

    def _receive_pieces(self, fd: int, pool: ThreadPoolExecutor, ahead: int) -> None:
        item = self._item
        file = Large(item.key, item.size or 0, self._shown, pinned=not item.resumed)
        connection = cast("Connection[ObjectStore]", self._connection)  # only files of a store are split
        large = Pieces(file, fd, connection, pool, ahead)
        large.receive(lambda count: self._progress.add(0, count), self._digest, self.size)
        self.size = file.size

    def _receive(self, store: C, target: BinaryIO) -> None:
        """Read from the position where the last attempt stopped to the end."""
        if self.size and self.size == self._item.size:
            return
        if not self._item.resumed:
            self._restart(target)
        for chunk in store.read_chunks(self._item.key, self.size):
            if self._connection.stopped.is_set():
                raise FetchError("stopped")
            if self._item.size is not None and self.size + len(chunk) > self._item.size:
                raise FetchError(f"{self._shown} was changed: it is larger than the expected {self._item.size} bytes")
            left = memoryview(chunk)
            while left:
                left = left[target.write(left) :]
            self._digest.update(chunk)
            self.size += len(chunk)
            self._connection.alive()
            self._progress.add(0, len(chunk))

    def _restart(self, target: BinaryIO) -> None:
        self._progress.add(0, -self.size)
        self._digest, self.size = hashlib.sha256(), 0
        target.seek(0)
        target.truncate()


class Continued(Download[C]):
    """The download of a file that an earlier process may have begun. It hashes the existing part and fetches the rest.

    The existing part is not trusted: if the digest of the complete file is wrong, the file is fetched again from the
    beginning.
    """

    def __init__(self, item: Item, folder: Path, connection: Connection[C], progress: Progress) -> None:
        super().__init__(item, folder, connection, progress)
        self._flags, self._shared = _CONTINUE, False

    def _receive_all(self, target: BinaryIO, pieces: ThreadPoolExecutor, ahead: int) -> None:
        left = self._take_over(target)
        super()._receive_all(target, pieces, ahead)
        if left and self._digest.hexdigest() != self._item.sha256:
            self._restart(target)
            super()._receive_all(target, pieces, ahead)

    def _take_over(self, target: BinaryIO) -> int:
        """Hash the existing part and return its size in bytes; 0 if there is no digest to verify it with."""
        found = os.fstat(target.fileno()).st_size
        if not self._item.sha256 or found > (self._item.size or 0):
            target.truncate(0)
            return 0
        while chunk := target.read(_CHUNK):
            self._digest.update(chunk)
            self.size += len(chunk)
        self._progress.add(0, self.size)
        return self.size
