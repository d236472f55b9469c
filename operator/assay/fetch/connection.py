"""The connection to a store or web server. Retries failed requests, with the current credentials from a file."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from assay.fetch.errors import FetchError, StoreSilent
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from assay.store.errors import StoreDenied, StoreError, StoreUnavailable


class Readable(Protocol):
    """A source of files."""

    def read_chunks(self, key: str, start: int = 0) -> Iterator[bytes]:
        """Yield the content of a file in chunks, beginning at the byte `start`."""
        ...


T = TypeVar("T")
C = TypeVar("C", bound=Readable)

FIRST_DELAY, LONGEST_DELAY = 0.25, 8.0
DENIED_SECONDS = 20.0  # new credentials may arrive; after that the refusal is final


class CredentialsFile:
    """Creates a store client from the current content of a credentials file; `config` parses it. Thread-safe."""

    def __init__(self, path: Path, config: Callable[[bytes], StoreConfig]) -> None:
        self._path = path
        self._config = config
        self._lock = threading.Lock()
        self._store: ObjectStore | None = None
        self._text = b""

    def __call__(self) -> ObjectStore:
        """The store client. Raises StoreUnavailable while there are no usable credentials."""
        with self._lock:
            try:
                text = self._path.read_bytes()
                if self._store is None or text != self._text:
                    self._store, self._text = ObjectStore(self._config(text)), text
            except OSError as error:
                raise StoreUnavailable(f"no store credentials at {self._path}: {error.strerror}") from None
            except ValueError as error:
                raise StoreUnavailable(f"cannot use the store credentials at {self._path}: {error}") from None
            return self._store


class Connection(Generic[C]):
    """Runs requests with the client that `client` returns. Thread-safe."""

    def __init__(self, client: Callable[[], C], retry_seconds: float, say: Callable[[str], None]) -> None:
        self._client = client
        self._retry_seconds = retry_seconds
        self._say = say
        self._alive = time.monotonic()
        self.stopped = threading.Event()

    def alive(self) -> None:
        """Record that data has just arrived, which restarts the retry period."""
        self._alive = time.monotonic()

    def attempt(self, request: Callable[[C], T]) -> T:
        """Run a request, with retries, and return its result. Raises FetchError, StoreSilent, and NotFound."""
        delay, began = FIRST_DELAY, time.monotonic()
        while True:
            try:
                result = request(self._client())
            except (StoreUnavailable, StoreDenied) as error:
                self._pause(delay, began, error)
                delay = min(LONGEST_DELAY, 2 * delay)
            else:
                self.alive()
                return result

    def _pause(self, delay: float, began: float, error: StoreError) -> None:
        """Wait before the next attempt. Raises StoreSilent when the retry period is over.

        The period of a request starts at the last data, but not before the request `began`: the connection may have
        been idle for hours, while another data set was fetched or a file was hashed.
        """
        delay *= random.uniform(0.5, 1.0)  # noqa: S311 (jitter, not a secret)
        patience = self._retry_seconds
        if isinstance(error, StoreDenied):
            patience = min(patience, DENIED_SECONDS)
        if time.monotonic() + delay > max(self._alive, began) + patience:
            raise StoreSilent(f"gave up after {patience:g} s: {error}") from None
        self._say(f"trying again in {delay:.1f} s: {error}")
        if self.stopped.wait(delay):
            raise FetchError("stopped")
