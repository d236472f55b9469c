"""Prints log lines: byte for byte into a pipe or file, without control sequences on a terminal."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Iterable

from assay.cli.output.printing import clean
from assay.store.log_resumption import PIECE_BYTES
from assay.store.logs import Line

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_PLAIN = "\x1b[0m"


def harmless(text: str) -> str:
    """Return a line that is safe for a terminal: with its colours, and only the last state of a progress bar."""
    drawn = text.rstrip("\r").rpartition("\r")[2]
    parts = _COLOUR.split(drawn)
    shown = "".join(part if at % 2 else clean(part) for at, part in enumerate(parts))
    return shown + _PLAIN if len(parts) > 1 else shown


class Printer:
    """Prints lines, on request with their times. Output into a file or a pipe is byte for byte."""

    def __init__(self, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._terminal = sys.stdout.isatty()
        self._open = False  # whether the last line has no line end yet, because more of it may come

    def stored(self, lines: Iterable[Line], tail: int | None = None) -> None:
        """Print lines from the store; with ``tail``, only the last ones."""
        for line in lines if tail is None else deque(lines, maxlen=tail):
            self._write(line.time.encode(), line.text.encode())
            self._end()
        self.flush()

    def new(self, data: bytes) -> None:
        """Print the output of a LogResumption: lines of timestamp and text, and pieces of long lines."""
        for line in data.split(b"\n")[:-1]:
            head, _, text = line.partition(b" ")
            more = head.endswith(b"+")
            if self._open and not more:
                self._end()
            self._write(b"" if more and self._open else head.rstrip(b"+"), text)
            self._open = len(text) >= PIECE_BYTES
            if not self._open:
                self._end()
        self.flush()

    def flush(self) -> None:
        """Flush the output."""
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """End the last line."""
        if self._open:
            self._end()
        self.flush()

    def _write(self, stamp: bytes, text: bytes) -> None:
        if stamp and self._timestamps:
            sys.stdout.buffer.write(stamp + b" ")
        sys.stdout.buffer.write(harmless(text.decode(errors="replace")).encode() if self._terminal else text)

    def _end(self) -> None:
        sys.stdout.buffer.write(b"\n")
        self._open = False
