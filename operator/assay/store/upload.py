"""Streams a file of any size into one object. The file is read once and hashed; large files use parallel parts.

Memory is bounded by the parts in flight, whatever the file's size. Every request goes through the caller's `attempt`,
which may retry it or use a store with newer credentials.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, BinaryIO, Protocol, TypeVar

from assay.store.errors import SourceChanged, SourceError, StoreError

T = TypeVar("T")

PART_BYTES = 8 << 20
PARALLEL = 3
MAX_PARTS = 10_000


class Parts(Protocol):
    """The requests of an upload, which a store implements."""

    def put_bytes(self, key: str, data: bytes) -> object:
        """Write a whole object."""
        ...

    def begin_upload(self, key: str) -> str:
        """Start a multipart upload and return its id."""
        ...

    def upload_part(self, key: str, upload_id: str, number: int, data: bytes) -> str:
        """Upload a part and return its ETag."""
        ...

    def complete_upload(self, key: str, upload_id: str, etags: Sequence[str]) -> None:
        """Combine the parts into the object."""
        ...

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Discard the uploaded parts."""
        ...


class Attempt(Protocol):
    """Runs one request against a store, with retries and newer credentials if necessary."""

    def __call__(self, request: Callable[[Parts], T], /) -> T:
        """Return the request's result, or raise its last error."""
        ...


def upload(attempt: Attempt, key: str, source: BinaryIO, size: int) -> tuple[int, str]:
    """Upload the next `size` bytes of `source` to `key`. Returns (size, sha256 as hex).

    Raises SourceError if the source ends early or cannot be read, and what `attempt` raises.
    """
    reader = _Reader(source, size)
    if size <= PART_BYTES:
        data = reader.take(size)
        attempt(lambda store: store.put_bytes(key, data))
    else:
        _upload_parts(attempt, key, reader, part_size(size))
    return size, reader.digest.hexdigest()


def part_size(size: int) -> int:
    """The size of a part: 8 MiB, or more if an object would otherwise exceed the part limit of S3."""
    return max(PART_BYTES, -(-size // MAX_PARTS))


class _Reader:
    """Reads and hashes exactly `size` bytes."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        self.digest = hashlib.sha256()
        self.left = size
        self._source = source

    def take(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end of the `size` bytes."""
        remaining = min(count, self.left)
        pieces: list[bytes] = []
        while remaining:
            try:
                piece = self._source.read(remaining)
            except OSError as error:
                raise SourceError(f"cannot be read: {error.strerror or error}") from None
            if not piece:
                raise SourceChanged("became shorter while it was read")
            pieces.append(piece)
            remaining -= len(piece)
            self.left -= len(piece)
            self.digest.update(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _upload_parts(attempt: Attempt, key: str, reader: _Reader, size: int) -> None:
    upload_id = attempt(lambda store: store.begin_upload(key))
    # Parts that are larger than usual are sent one at a time, so that memory stays bounded.
    pool = ThreadPoolExecutor(PARALLEL if size == PART_BYTES else 1, thread_name_prefix="upload")
    try:
        etags = _send_all(pool, attempt, key, upload_id, reader, size)
        attempt(lambda store: store.complete_upload(key, upload_id, etags))
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        with suppress(StoreError):
            attempt(lambda store: store.abort_upload(key, upload_id))
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _send_all(
    pool: ThreadPoolExecutor, attempt: Attempt, key: str, upload_id: str, reader: _Reader, size: int
) -> list[str]:
    """Upload the parts and return their ETags in order. At most one part per thread is in memory."""
    parallel = pool._max_workers
    sent: list[Future[str]] = []
    under_way: set[Future[Any]] = set()
    while reader.left:
        if len(under_way) == parallel:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
        future = pool.submit(_send, attempt, key, upload_id, len(sent) + 1, reader.take(size))
        under_way.add(future)
        sent.append(future)
    return [future.result() for future in sent]


def _send(attempt: Attempt, key: str, upload_id: str, number: int, data: bytes) -> str:
    return attempt(lambda store: store.upload_part(key, upload_id, number, data))
