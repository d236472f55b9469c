"""Structured logs: one JSON object a line on a stream. Never a credential."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TextIO

from assay.store.clock import now


class Log:
    """Writes lines with the same leading fields. Threads may share it; a broken stream is no reason to stop."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._fields: dict[str, object] = {}
        self._lock = threading.Lock()

    def bind(self, **fields: object) -> None:
        """Add fields to every further line."""
        self._fields |= fields

    def info(self, message: str, **fields: object) -> None:
        """Something that is worth a line in the log of a healthy pod."""
        self._write("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Something that a person may want to change, while recording goes on."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """The record is not complete because of this."""
        self._write("error", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        line = json.dumps({"time": now(), "level": level, "message": message} | self._fields | fields)
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()
