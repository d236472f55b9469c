"""Remembers which artifacts are in the store, across restarts: a journal in the spool.

A line before an upload says that the object is about to change, a line after it says what it is now. A file
whose upload was begun and not ended is uncertain: whatever lies in the store may be neither the old nor the
new one.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from assay.recorder.folder import Signature


class Recorded(NamedTuple):
    """An artifact as it lies in the store."""

    signature: Signature
    sha256: str


class Ledger:
    """What is recorded, by path. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self.recorded: dict[str, Recorded] = {}
        self.uncertain: set[str] = set()
        self._path = path
        self._load()

    def begin(self, path: str) -> None:
        """The object of this path is about to be written."""
        self._append({"begin": path})
        self._begun(path)

    def end(self, path: str, signature: Signature, sha256: str) -> None:
        """The object of this path is in the store."""
        self._append({"end": path, "signature": signature, "sha256": sha256})
        self._ended(path, Recorded(signature, sha256))

    def _begun(self, path: str) -> None:
        self.recorded.pop(path, None)
        self.uncertain.add(path)

    def _ended(self, path: str, recorded: Recorded) -> None:
        self.recorded[path] = recorded
        self.uncertain.discard(path)

    def _append(self, entry: dict[str, object]) -> None:
        # A full disk costs a second upload after a restart, no more: the run goes on without the line.
        with suppress(OSError), self._path.open("ab") as journal:
            journal.write(json.dumps(entry).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())

    def _load(self) -> None:
        with suppress(FileNotFoundError):
            content = self._path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):  # the last line was cut off
                os.truncate(self._path, whole)
            for line in content[:whole].splitlines():
                self._replay(line)

    def _replay(self, line: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            if "begin" in entry:
                self._begun(entry["begin"])
            else:
                self._ended(entry["end"], Recorded(Signature(*entry["signature"]), entry["sha256"]))
