"""A journal in the spool that remembers across restarts which artifacts are in the store.

A line before an upload records that the object will change; a line after it records the new content. If an upload was
begun but not ended, the artifact is uncertain: the object in the store may be neither the old file nor the new one.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from assay.recorder.folder import Signature


class Recorded(NamedTuple):
    """An artifact in the store."""

    signature: Signature
    sha256: str


class Ledger:
    """The recorded artifacts by path. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self.recorded: dict[str, Recorded] = {}
        self.uncertain: set[str] = set()
        self._path = path
        self._load()

    def begin(self, path: str) -> None:
        """Record that the object of this path is about to be written."""
        self._append({"begin": path})
        self._begun(path)

    def end(self, path: str, signature: Signature, sha256: str) -> None:
        """Record that the object of this path is in the store."""
        self._append({"end": path, "signature": signature, "sha256": sha256})
        self._ended(path, Recorded(signature, sha256))

    def _begun(self, path: str) -> None:
        self.recorded.pop(path, None)
        self.uncertain.add(path)

    def _ended(self, path: str, recorded: Recorded) -> None:
        self.recorded[path] = recorded
        self.uncertain.discard(path)

    def _append(self, entry: dict[str, object]) -> None:
        # If the disk is full, the line is lost. The only cost is a second upload after a restart.
        with suppress(OSError), self._path.open("ab") as journal:
            journal.write(json.dumps(entry).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())

    def _load(self) -> None:
        with suppress(FileNotFoundError):
            content = self._path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):  # the last line is incomplete
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
