"""The way to the store: tries again while it is worth it, with the credentials that are in the file now."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from assay.fetch.errors import FetchError, StoreSilent
from assay.store.client import ObjectStore
from assay.store.credentials import Credentials
from assay.store.errors import StoreDenied, StoreError, StoreUnavailable

T = TypeVar("T")

FIRST_DELAY, LONGEST_DELAY = 0.25, 8.0
DENIED_SECONDS = 20.0  # new credentials may be on their way; after that it is a refusal


class Connection:
    """Runs requests against the store. Threads share it."""

    def __init__(self, credentials: Path, retry_seconds: float, say: Callable[[str], None]) -> None:
        self._path = credentials
        self._retry_seconds = retry_seconds
        self._say = say
        self._lock = threading.Lock()
        self._store: ObjectStore | None = None
        self._text = b""
        self._alive = time.monotonic()
        self.stopped = threading.Event()

    def alive(self) -> None:
        """The store has just sent something."""
        self._alive = time.monotonic()

    def attempt(self, request: Callable[[ObjectStore], T]) -> T:
        """The result of a request. Raises FetchError, StoreSilent, and NotFound."""
        delay = FIRST_DELAY
        while True:
            try:
                result = request(self._current())
            except (StoreUnavailable, StoreDenied) as error:
                self._pause(delay, error)
                delay = min(LONGEST_DELAY, 2 * delay)
            else:
                self.alive()
                return result

    def _current(self) -> ObjectStore:
        with self._lock:
            try:
                text = self._path.read_bytes()
                if self._store is None or text != self._text:
                    self._store, self._text = ObjectStore(Credentials.from_json(text).store_config()), text
            except OSError as error:
                raise StoreUnavailable(f"no store credentials at {self._path}: {error.strerror}") from None
            except ValueError as error:
                raise StoreUnavailable(f"cannot use the store credentials at {self._path}: {error}") from None
            return self._store

    def _pause(self, delay: float, error: StoreError) -> None:
        """Wait before the next attempt. Raises StoreSilent when it is too late for one."""
        delay *= random.uniform(0.5, 1.0)  # noqa: S311 (spreads retries, no secret)
        patience = self._retry_seconds
        if isinstance(error, StoreDenied):
            patience = min(patience, DENIED_SECONDS)
        if time.monotonic() + delay > self._alive + patience:
            raise StoreSilent(f"gave up after {patience:g} s: {error}") from None
        self._say(f"trying again in {delay:.1f} s: {error}")
        if self.stopped.wait(delay):
            raise FetchError("stopped")
