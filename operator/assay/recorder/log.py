"""Structured logs: one JSON object per line on a stream. They contain no credentials."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import TextIO

from assay.store.clock import now


class Log:
    """Writes lines with common leading fields. Thread-safe; errors of the stream are ignored."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._fields: dict[str, object] = {}
        self._lock = threading.Lock()

    def bind(self, **fields: object) -> None:
        """Add fields to all following lines."""
        self._fields |= fields

    def info(self, message: str, **fields: object) -> None:
        """Log an event of a healthy pod."""
        self._write("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Log a problem that the user may want to fix. Recording continues."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Log a problem that makes the record incomplete."""
        self._write("error", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        line = json.dumps({"time": now(), "level": level, "message": message} | self._fields | fields)
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()
