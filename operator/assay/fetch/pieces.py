"""Downloads one large file as pieces that come side by side, and hashes them in their order as soon as they are there.

Memory stays bounded: pieces are written where they belong as they come, and read back for the hash.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from assay.fetch.connection import Connection
from assay.fetch.errors import FetchError
from assay.store.client import ObjectStore
from assay.store.errors import StoreError

PIECE_BYTES = 32 << 20
#: From this size on it is worth it.
LARGE_BYTES = 2 * PIECE_BYTES
_CHUNK = 1 << 20


class Large(NamedTuple):
    """A file of a store. `pinned`: no digest will tell if it is replaced meanwhile, so the store has to."""

    key: str
    size: int
    shown: str
    pinned: bool


class Pieces:
    """One file on its way into the descriptor `fd`, which can be read, too."""

    def __init__(
        self, file: Large, fd: int, connection: Connection[ObjectStore], pool: ThreadPoolExecutor, ahead: int
    ) -> None:
        self._file = file
        self._fd = fd
        self._connection = connection
        self._pool = pool
        self._ahead = ahead

    def receive(self, came: Callable[[int], None]) -> hashlib._Hash:
        """Download all of it, and give its sha256. Raises FetchError, StoreError, OSError."""
        etag = self._connection.attempt(self._etag) if self._file.pinned else ""
        digest, waiting = hashlib.sha256(), deque[tuple[int, Future[None]]]()
        try:
            for start in range(0, self._file.size, PIECE_BYTES):
                waiting.append((start, self._pool.submit(_Piece(self, start, etag, came).run)))
                if len(waiting) >= self._ahead:
                    self._hash(*waiting.popleft(), digest)
            while waiting:
                self._hash(*waiting.popleft(), digest)
        except BaseException:
            # Nothing may write to the descriptor once it is closed.
            self._connection.stopped.set()
            wait([future for _, future in waiting if not future.cancel()])
            raise
        return digest

    def _etag(self, store: ObjectStore) -> str:
        size, etag = store.identity(self._file.key)
        if size != self._file.size:
            raise FetchError(f"{self._file.shown} was changed: expected {self._file.size} bytes, found {size}")
        return etag

    def _hash(self, start: int, piece: Future[None], digest: hashlib._Hash) -> None:
        piece.result()
        end = min(self._file.size, start + PIECE_BYTES)
        while start < end:
            chunk = os.pread(self._fd, min(_CHUNK, end - start), start)
            if not chunk:
                raise OSError("what was written cannot be read back")
            digest.update(chunk)
            start += len(chunk)


class _Piece:
    def __init__(self, pieces: Pieces, start: int, etag: str, came: Callable[[int], None]) -> None:
        self._pieces = pieces
        self._at = start
        self._end = min(pieces._file.size, start + PIECE_BYTES)
        self._etag = etag
        self._came = came

    def run(self) -> None:
        self._pieces._connection.attempt(self._receive)
        if self._at != self._end:
            raise FetchError(f"{self._pieces._file.shown} was changed: it ended before {self._pieces._file.size} bytes")

    def _receive(self, store: ObjectStore) -> None:
        """Read from where the last attempt stopped to the end of the piece."""
        if self._at == self._end:
            return
        file, connection = self._pieces._file, self._pieces._connection
        try:
            for chunk in store.read_chunks(file.key, self._at, self._end - self._at, self._etag):
                if connection.stopped.is_set():
                    raise FetchError("stopped")
                self._write(memoryview(chunk)[: self._end - self._at])
                connection.alive()
        except StoreError as error:
            if self._etag and "PreconditionFailed" in str(error):
                raise FetchError(f"{file.shown} was changed while it was read") from None
            raise

    def _write(self, left: memoryview) -> None:
        while left:
            written = os.pwrite(self._pieces._fd, left, self._at)
            left, self._at = left[written:], self._at + written
            self._came(written)
