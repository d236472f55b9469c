"""The thread that uploads parts and summaries to the store, in order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from assay.recorder.connection import Connection
from assay.recorder.spool import Spool
from assay.recorder.state import State
from assay.store import layout


class Shipper:
    """Uploads what the recording thread offers. Only `run` and `put` call the store."""

    def __init__(self, prefix: str, spool: Spool, state: State, connection: Connection) -> None:
        self._prefix = prefix
        self._spool = spool
        self._state = state
        self._connection = connection
        self._enqueue = threading.Condition()
        self._offered: dict[str, Any] | None = None
        self._shipped: dict[str, Any] | None = None
        self._closing = False

    def offer(self, summary: dict[str, Any] | None) -> None:
        """Announce new parts, a new summary, or both. Only the newest summary is uploaded."""
        with self._enqueue:
            self._offered = summary or self._offered
            self._enqueue.notify()

    def close(self) -> None:
        """Let `run` upload what is left and then return."""
        with self._enqueue:
            self._closing = True
            self._enqueue.notify()

    def run(self) -> None:
        """Upload until `close` is called and nothing is left. Raises GaveUp."""
        while self._wait():
            self._ship_parts()
            self._ship_summary()

    def _wait(self) -> bool:
        """Wait for work. False if everything is uploaded and `close` was called."""
        with self._enqueue:
            while not self._has_work():
                if self._closing:
                    return False
                self._enqueue.wait()
            return True

    def _has_work(self) -> bool:
        return self._state.uploaded < len(self._state.parts) or self._offered is not None

    def _ship_parts(self) -> None:
        while self._state.uploaded < len(self._state.parts):
            number = self._state.uploaded + 1
            data = self._spool.part_file(number).read_bytes()
            self.put(layout.part_path(number), data, "application/gzip")
            self._state.uploaded = number

    def _ship_summary(self) -> None:
        if self._offered is None:
            return
        shipped: dict[str, Any] = {}

        def newest() -> bytes:
            with self._enqueue:
                shipped.update(self._offered or {})
            return dump(shipped)

        self.put(layout.SUMMARY, newest, "application/json")
        with self._enqueue:
            if self._offered == shipped:
                self._offered = None
        self._connection.reported(str(shipped.get("store_error", "")))

    def put(self, path: str, data: bytes | Callable[[], bytes], content_type: str) -> None:
        """Write one object below the pod's prefix. If `data` is a function, it is called for each attempt."""
        key = layout.key(self._prefix, path)
        self._connection.insist(
            lambda store: store.put_bytes(key, data if isinstance(data, bytes) else data(), content_type)
        )


def dump(record: dict[str, Any]) -> bytes:
    """A record in the format in which it is stored."""
    return json.dumps(record, indent=1).encode()
