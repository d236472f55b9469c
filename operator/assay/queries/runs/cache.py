"""Keeps the rows of a namespace's runs between two commands, each with the resource version that it was made from.

    <XDG_CACHE_HOME or ~/.cache>/assay/cli/<hash of server and namespace>/runs.json

Whether a row still counts is not for the cache to say. It may be deleted at any time, and is the user's alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from assay.queries.runs.rows import RunRow

#: By the run's name, its resource version and its row.
Kept: TypeAlias = dict[str, tuple[str, RunRow]]

#: Rows of another shape are not read.
_SHAPE = RunRow.__annotations__.keys()


class RunCache:
    """The file for one namespace of one API server."""

    def __init__(self, server: str, namespace: str) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        key = hashlib.sha256(f"{server}\n{namespace}".encode()).hexdigest()[:32]
        self._file = Path(base) / "assay" / "cli" / key / "runs.json"

    def there(self) -> bool:
        """Whether anything was kept."""
        return self._file.exists()

    def load(self) -> Kept:
        """Return what was kept; nothing when there is none, or it cannot be read."""
        try:
            found = json.loads(self._file.read_bytes())
            runs = {name: (str(version), row) for name, (version, row) in found.items()}
            return runs if all(row.keys() == _SHAPE for _, row in runs.values()) else {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return {}

    def save(self, runs: Kept) -> None:
        """Keep these, in place of what was kept. What cannot be written is not kept."""
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = json.dumps(runs, ensure_ascii=False, separators=(",", ":"))
            with tempfile.NamedTemporaryFile("w", dir=self._file.parent, delete=False) as file:
                written = Path(file.name)
                try:
                    file.write(text)
                    file.close()
                    written.replace(self._file)
                except OSError:
                    written.unlink()
                    raise
