"""Caches the rows of a namespace's runs on disk, each with the resource version that it was made from.

    <XDG_CACHE_HOME or ~/.cache>/assay/cli/<hash of server and namespace>/runs.json

The cache does not decide whether a row is current: see ``reading``. It may be deleted at any time, and only the user
can read it.
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

#: Resource version and row, by the name of the run.
CachedRuns: TypeAlias = dict[str, tuple[str, RunRow]]

#: Rows with other keys, from another version of assay, are ignored.
_SHAPE = RunRow.__annotations__.keys()


class RunCache:
    """The file for one namespace of one API server."""

    def __init__(self, server: str, namespace: str) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        key = hashlib.sha256(f"{server}\n{namespace}".encode()).hexdigest()[:32]
        self._file = Path(base) / "assay" / "cli" / key / "runs.json"

    def exists(self) -> bool:
        """Whether there is a cache."""
        return self._file.exists()

    def load(self) -> CachedRuns:
        """Return the cached runs; none if there is no cache or it cannot be read."""
        try:
            found = json.loads(self._file.read_bytes())
            runs = {name: (str(version), row) for name, (version, row) in found.items()}
            return runs if all(row.keys() == _SHAPE for _, row in runs.values()) else {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return {}

    def save(self, runs: CachedRuns) -> None:
        """Replace the cached runs. Errors are ignored."""
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
