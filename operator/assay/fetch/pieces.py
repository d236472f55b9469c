"""Downloads one large file in parallel pieces, and hashes the pieces in order as they complete.

Memory stays bounded: data is written to its final offset as it arrives, and read back for the hash.
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
#: Files of at least this size are downloaded in pieces.
LARGE_BYTES = 2 * PIECE_BYTES
_CHUNK = 1 << 20


class Large(NamedTuple):
    """A file of a store. `pinned`: no digest can detect a replacement during the download, so the ETag must match."""

    key: str
    size: int
    shown: str
    pinned: bool


class Pieces:
    """The download of one file to the descriptor `fd`, which is open for reading and writing."""

    def __init__(
        self, file: Large, fd: int, connection: Connection[ObjectStore], pool: ThreadPoolExecutor, ahead: int
    ) -> None:
        self._file = file
        self._fd = fd
        self._connection = connection
        self._pool = pool
        self._ahead = ahead

    def receive(self, came: Callable[[int], None], digest: hashlib._Hash, begin: int = 0) -> None:
        """Download the file from the byte `begin` to the end, and update the digest, which covers the bytes before.

        Raises FetchError, StoreError, OSError; the file is then truncated at the first gap.
        """
        etag = self._connection.attempt(self._etag) if self._file.pinned else ""
        waiting = deque[tuple[_Piece, Future[None]]]()
        try:
            for start in range(begin, self._file.size, PIECE_BYTES):
                piece = _Piece(self, start, etag, came)
                waiting.append((piece, self._pool.submit(piece.run)))
                if len(waiting) >= self._ahead:
                    self._hash(waiting, digest)
            while waiting:
                self._hash(waiting, digest)
        except BaseException:
            # Wait for the writers: none may write to the descriptor after it is closed.
            self._connection.stopped.set()
            wait([future for _, future in waiting if not future.cancel()])
            os.ftruncate(self._fd, next((piece.at for piece, _ in waiting if piece.at < piece.end), self._file.size))
            raise

    def _etag(self, store: ObjectStore) -> str:
        size, etag = store.identity(self._file.key)
        if size != self._file.size:
            raise FetchError(f"{self._file.shown} was changed: expected {self._file.size} bytes, found {size}")
        return etag

    def _hash(self, waiting: deque[tuple[_Piece, Future[None]]], digest: hashlib._Hash) -> None:
        """Wait for the first piece and add it to the digest."""
        piece, future = waiting[0]
        future.result()
        start = piece.start
        while start < piece.end:
            chunk = os.pread(self._fd, min(_CHUNK, piece.end - start), start)
            if not chunk:
                raise OSError("written data cannot be read back")
            digest.update(chunk)
            start += len(chunk)
        waiting.popleft()


class _Piece:
    def __init__(self, pieces: Pieces, start: int, etag: str, came: Callable[[int], None]) -> None:
        self._pieces = pieces
        self.start = self.at = start
        self.end = min(pieces._file.size, start + PIECE_BYTES)
        self._etag = etag
        self._came = came

    def run(self) -> None:
        self._pieces._connection.attempt(self._receive)
        if self.at != self.end:
            raise FetchError(f"{self._pieces._file.shown} was changed: it ended before {self._pieces._file.size} bytes")

    def _receive(self, store: ObjectStore) -> None:
        """Read from the position where the last attempt stopped to the end of the piece."""
        if self.at == self.end:
            return
        file, connection = self._pieces._file, self._pieces._connection
        try:
            for chunk in store.read_chunks(file.key, self.at, self.end - self.at, self._etag):
                if connection.stopped.is_set():
                    raise FetchError("stopped")
                self._write(memoryview(chunk)[: self.end - self.at])
                connection.alive()
        except StoreError as error:
            if self._etag and "PreconditionFailed" in str(error):
                raise FetchError(f"{file.shown} was changed while it was read") from None
            raise

    def _write(self, left: memoryview) -> None:
        while left:
            written = os.pwrite(self._pieces._fd, left, self.at)
            left, self.at = left[written:], self.at + written
            self._came(written)
