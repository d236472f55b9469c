"""The journal of acknowledged requests: one JSON object per line, synced before a request is answered.

Requests that arrive while the disk syncs share the next sync. A line that a kill cut off was never acknowledged, and is
removed. If the disk is full, nothing of the failed write stays, and the state is rebuilt from the journal.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from assay.recorder.collectors.mlflow.errors import MlflowError, exhausted, unavailable

Entry = dict[str, Any]
_dump = json.JSONEncoder(separators=(",", ":")).encode


class Journal:
    """Appends entries. `append` belongs to one event loop; a thread writes and syncs."""

    def __init__(self, path: Path, limit: int, rebuild: Callable[[], None]) -> None:
        """`rebuild` is called in the event loop after a failed write. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._limit = limit
        self._rebuild = rebuild
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.durable = self._cut()
        self._size = self.durable
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Condition()
        self._lines: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._failed = self._closed = False
        self._thread = threading.Thread(target=self._write_all, name="mlflow-journal", daemon=True)
        self._thread.start()

    def entries(self) -> Iterator[Entry]:
        """All entries, in order."""
        with self.path.open("rb") as file:
            for line in file:
                yield json.loads(line)

    async def append(self, entry: Entry) -> None:
        """Return when the entry is on the disk. Raises MlflowError if it is not."""
        line = (_dump(entry) + "\n").encode()
        self._size += len(line)
        loop = self._loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        with self._ready:
            self._lines.append(line)
            self._waiting.append(written)
            self._ready.notify()
        await written

    def check_room(self, size: int) -> None:
        """Raise MlflowError if the journal would exceed its limit."""
        if self._size + size > self._limit:
            raise exhausted(
                f"the recorder keeps at most {self._limit} bytes of what MLflow logs in one pod: log less often"
            )

    def close(self) -> None:
        """Write what is waiting, and end."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._thread.join()
        os.close(self._fd)

    def _cut(self) -> int:
        """Remove an incomplete last line. Return the size."""
        size = os.fstat(self._fd).st_size
        end = size
        while end and (at := max(0, end - 65536)) >= 0:
            newline = os.pread(self._fd, end - at, at).rfind(b"\n")
            if newline >= 0:
                end = at + newline + 1
                break
            end = at
        if end < size:
            os.ftruncate(self._fd, end)
        return end

    def _write_all(self) -> None:
        while True:
            with self._ready:
                while not self._closed and (self._failed or not self._lines):
                    self._ready.wait()
                if self._failed or not self._lines:
                    return
                lines, self._lines = self._lines, []
                waiting, self._waiting = self._waiting, []
            self._write(b"".join(lines), waiting)

    def _write(self, data: bytes, waiting: list[asyncio.Future[None]]) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            os.fdatasync(self._fd)
        except OSError as error:
            self._failed = True
            os.ftruncate(self._fd, self.durable)
            self._tell(self._recover, waiting, f"the recorder cannot write to its disk: {error.strerror}")
        else:
            self.durable += len(data)
            self._tell(_resolve, waiting, None)

    def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *arguments)

    def _recover(self, waiting: list[asyncio.Future[None]], reason: str) -> None:
        """Fail everything that is not on the disk, and go back to the state that is."""
        with self._ready:
            waiting += self._waiting
            self._lines, self._waiting = [], []
            self._size = self.durable
        _resolve(waiting, unavailable(reason))
        self._rebuild()
        with self._ready:
            self._failed = False
            self._ready.notify()


def _resolve(waiting: list[asyncio.Future[None]], error: MlflowError | None) -> None:
    for written in waiting:
        if written.done():  # the client has gone
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(error)
