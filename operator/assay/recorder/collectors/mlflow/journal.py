"""The journal of acknowledged requests: one JSON object per line, written before a request is answered.

Written means that the kernel has it, so it outlives the recorder, which may be killed at any moment. Requests do not
wait for the disk: the journal is in an emptyDir, which does not outlive its node. A line that a kill cut off was never
acknowledged, and is removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.recorder.collectors.mlflow.errors import exhausted, unavailable

Entry = dict[str, Any]
_dump = json.JSONEncoder(separators=(",", ":")).encode


class Journal:
    """Appends entries. Belongs to one thread, except `written`."""

    def __init__(self, path: Path, limit: int, read: int = 0) -> None:
        """Open the journal, of which `read` bytes are in the record. Raises OSError.

        A node that has crashed may have lost the end of the journal, but not the record: empty lines take its place.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._limit = limit
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.written = self._cut()
        self._waiting = b""
        if self.written < read:
            self._write(b"\n" * (read - self.written))

    def entries(self) -> Iterator[Entry]:
        """All entries, in order."""
        with self.path.open("rb") as file:
            for line in file:
                if line != b"\n":
                    yield json.loads(line)

    def ready(self) -> None:
        """Write the entry that found no room before, if there is one. Call it before you change the state.

        Raises MlflowError.
        """
        if self._waiting:
            self._write(self._waiting)
            self._waiting = b""

    def append(self, entry: Entry) -> None:
        """Write an entry that the state has already. Raises MlflowError if the disk is full.

        Its request is refused then, and the entry is written before any other one. If the client repeats the request,
        its points are known, so that none is doubled.
        """
        self.ready()
        self._waiting = (_dump(entry) + "\n").encode()
        self.ready()

    def check_room(self, size: int) -> None:
        """Raise MlflowError if the journal would exceed its limit."""
        if self.written + len(self._waiting) + size > self._limit:
            raise exhausted(
                f"the recorder keeps at most {self._limit} bytes of what MLflow logs in one pod: log less often"
            )

    def close(self) -> None:
        """Close the file."""
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

    def _write(self, data: bytes) -> None:
        """Write all of it or nothing."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            os.ftruncate(self._fd, self.written)
            raise unavailable(f"the recorder cannot write to its disk: {error.strerror}") from None
        self.written += len(data)
