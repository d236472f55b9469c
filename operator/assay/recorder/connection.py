"""The recorder's connection to the store. Retries failed requests, with the current credentials from a file.

It blocks only on the store, and only upload threads use it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from assay.recorder.log import Log
from assay.store.errors import NotFound, StoreDenied, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from assay.store.client import ObjectStore

T = TypeVar("T")

FIRST_DELAY, LONGEST_DELAY, LAST_DELAY = 0.5, 10.0, 2.0
_DENIALS = 5  # of one request while others succeed: the request is at fault, not the credentials
_REPORT_SECONDS = 60.0


class GaveUp(StoreError):
    """The deadline passed."""


class Connection:
    """Runs requests against the store. Thread-safe."""

    def __init__(self, credentials: Path, log: Log, ending: threading.Event) -> None:
        self.fault = ""  # the last failure that is not in a stored summary yet
        self._path = credentials
        self._log = log
        self._ending = ending
        self._lock = threading.Lock()
        self._store: ObjectStore | None = None
        self._text = b""
        self._deadline = float("inf")
        self._healthy = True
        self._failing_since = 0.0
        self._reported = 0.0
        self._successes = 0

    def end_at(self, deadline: float) -> None:
        """Set the time (of the monotonic clock) at which to give up."""
        self._deadline = deadline

    def reported(self, fault: str) -> None:
        """Record that a summary with this fault is in the store."""
        with self._lock:
            if self._healthy and self.fault == fault:
                self.fault = ""

    def attempt(self, request: Callable[[ObjectStore], T]) -> T:
        """Run a request, with retries, and return its result. Raises GaveUp, and StoreError if retries are useless."""
        delay, denials, successes = FIRST_DELAY, 0, 0
        while True:
            try:
                result = request(self._current())
            except (StoreUnavailable, StoreDenied, NotFound) as error:
                if isinstance(error, StoreDenied):
                    denials = denials + 1 if self._successes > successes else 0
                    successes = self._successes
                    if denials >= _DENIALS:
                        raise
                self._failed(str(error))
            else:
                self._succeeded()
                return result
            self._pause(delay)
            delay = min(LONGEST_DELAY, 2 * delay)

    def insist(self, request: Callable[[ObjectStore], T]) -> T:
        """Like `attempt`, but also retries requests that the store refuses. For data that every record needs."""
        while True:
            try:
                return self.attempt(request)
            except GaveUp:
                raise
            except StoreError as error:
                self._failed(str(error))
                self._pause(LONGEST_DELAY)

    def _current(self) -> ObjectStore:
        """A store client with the current credentials."""
        try:
            text = self._path.read_bytes()
        except OSError as error:
            raise StoreUnavailable(f"no store credentials at {self._path}: {error.strerror}") from None
        with self._lock:
            if self._store is None or text != self._text:
                self._store, self._text = self._connect(text), text
            return self._store

    def _connect(self, text: bytes) -> ObjectStore:
        # Imported here: loading the libraries takes a third of a second of CPU time, and reading metrics needs none.
        from assay.store.client import ObjectStore
        from assay.store.credentials import Credentials

        try:
            credentials = Credentials.from_json(text)
            store = ObjectStore(credentials.store_config())
        except ValueError as error:
            raise StoreUnavailable(f"cannot use the store credentials at {self._path}: {error}") from None
        expires = credentials.expires.isoformat() if credentials.expires else "never"
        self._log.info("using store credentials", endpoint=credentials.endpoint, expires=expires)
        return store

    def _failed(self, reason: str) -> None:
        now = time.monotonic()
        with self._lock:
            self.fault = reason
            if self._healthy:
                self._failing_since = now
            report = self._healthy or now - self._reported > _REPORT_SECONDS
            self._healthy = False
            if report:
                self._reported = now
        if report:
            self._log.warning("cannot upload to the store; data is buffered on disk", error=reason)

    def _succeeded(self) -> None:
        with self._lock:
            recovered, self._healthy = not self._healthy, True
            self._successes += 1
        if recovered:
            seconds = round(time.monotonic() - self._failing_since, 1)
            self._log.info("uploads to the store work again", after_seconds=seconds)

    def _pause(self, delay: float) -> None:
        """Wait before the next attempt; the end of the pod interrupts the wait once. Raises GaveUp."""
        delay *= random.uniform(0.5, 1.0)  # noqa: S311 (jitter, not a secret)
        if self._ending.is_set():
            delay = min(delay, LAST_DELAY)
            if time.monotonic() + delay > self._deadline:
                raise GaveUp(self.fault)
            time.sleep(delay)
        else:
            self._ending.wait(delay)
