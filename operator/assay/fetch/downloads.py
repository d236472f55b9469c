"""Downloads files in parallel: written, hashed and counted as they come. Memory is bounded by a few chunks a worker.

An interrupted file is continued where it stopped, if a digest will tell whether its two parts belong together.
Large ones of a store come in pieces.
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
    """One file. `size` is None, and `sha256` is "", where nobody knows it before.

    `key` is what it is read by, `shown` what people are told of it, `target` where it goes in the folder. `resumed`:
    may be continued after an interruption, since a digest will tell if it has changed in between. `split`: may come in
    pieces.
    """

    key: str
    target: str
    size: int | None
    sha256: str = ""
    shown: str = ""
    resumed: bool = True
    split: bool = True


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


def download_all(downloads: Sequence[Download[C]], connection: Connection[C], workers: int) -> None:
    """Do all of it, or stop at the first failure. Raises FetchError, StoreError, OSError."""
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
    """One file on its way."""

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
        """Path in the folder and sha256 (hex) of what has come."""
        return self._item.target, self._digest.hexdigest()

    def run(self, pieces: ThreadPoolExecutor, ahead: int) -> None:
        """Download and verify; large files in `pieces`, so many `ahead`. Raises FetchError, StoreError, OSError."""
        with os.fdopen(os.open(self._path, self._flags, 0o666), "r+b", buffering=0) as target:
            if self._shared:
                os.fchmod(target.fileno(), 0o444)  # whatever the umask is: it may be read by somebody else
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
        connection = cast("Connection[ObjectStore]", self._connection)  # what can be split lies in a store
        large = Pieces(file, fd, connection, pool, ahead)
        large.receive(lambda count: self._progress.add(0, count), self._digest, self.size)
        self.size = file.size

    def _receive(self, store: C, target: BinaryIO) -> None:
        """Read from where the last attempt stopped to the end."""
        if self.size and self.size == self._item.size:
            return
        if not self._item.resumed:
            self._start_again(target)
        for chunk in store.read_chunks(self._item.key, self.size):
            if self._connection.stopped.is_set():
                raise FetchError("stopped")
            if self._item.size is not None and self.size + len(chunk) > self._item.size:
                raise FetchError(f"{self._shown} was changed: it has more than the {self._item.size} bytes expected")
            left = memoryview(chunk)
            while left:
                left = left[target.write(left) :]
            self._digest.update(chunk)
            self.size += len(chunk)
            self._connection.alive()
            self._progress.add(0, len(chunk))

    def _start_again(self, target: BinaryIO) -> None:
        self._progress.add(0, -self.size)
        self._digest, self.size = hashlib.sha256(), 0
        target.seek(0)
        target.truncate()


class Continued(Download[C]):
    """One file on its way that an earlier process may have begun: what it has left is hashed, and the rest is fetched.

    What was left may be anything: a file that then has another digest is fetched once more from its beginning.
    """

    def __init__(self, item: Item, folder: Path, connection: Connection[C], progress: Progress) -> None:
        super().__init__(item, folder, connection, progress)
        self._flags, self._shared = _CONTINUE, False

    def _receive_all(self, target: BinaryIO, pieces: ThreadPoolExecutor, ahead: int) -> None:
        left = self._take_over(target)
        super()._receive_all(target, pieces, ahead)
        if left and self._digest.hexdigest() != self._item.sha256:
            self._start_again(target)
            super()._receive_all(target, pieces, ahead)

    def _take_over(self, target: BinaryIO) -> int:
        """Hash what is there, and give how many bytes that is; 0 where no digest could tell what they are worth."""
        found = os.fstat(target.fileno()).st_size
        if not self._item.sha256 or found > (self._item.size or 0):
            target.truncate(0)
            return 0
        while chunk := target.read(_CHUNK):
            self._digest.update(chunk)
            self.size += len(chunk)
        self._progress.add(0, self.size)
        return self.size
