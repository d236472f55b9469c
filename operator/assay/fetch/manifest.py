"""Parses the manifest of a registered model as untrusted input.

It does not use pydantic, because loading that library takes longer than the rest of the fetch's own work.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from assay.fetch.errors import FetchError
from assay.store import layout
from assay.store.digests import PREFIX, folder_digest
from assay.store.limits import MAX_FILES

_SHA256 = re.compile(r"[0-9a-f]{64}")
_INSIDE = layout.ARTIFACT + "/"


class File(NamedTuple):
    """One file. `path` is relative to the model's prefix and begins with "artifact/"; `size` in bytes."""

    path: str
    size: int
    sha256: str

    @property
    def target(self) -> str:
        """The destination, relative to the folder that the model is fetched to."""
        return self.path.removeprefix(_INSIDE)


def parse(data: bytes, where: str, expected: str) -> list[File]:
    """The files of a manifest whose model digest is `expected`. Raises FetchError, which names the problem.

    No path escapes the folder or conflicts with another, and the digest over all files is the expected one. Therefore
    a file that matches its sha256 is an approved file.
    """
    try:
        found = json.loads(data)
        listed, path = found["files"], found["path"]
        files = [_file(entry) for entry in listed[: MAX_FILES + 1]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FetchError(f"{where} is not the manifest of a model: {_short(error)}") from None
    if not 1 <= len(files) <= MAX_FILES or not isinstance(path, str):
        raise FetchError(f"{where} is not the manifest of a model: {len(files)} files")
    _check_paths(files, where)
    digest = _digest(files, path)
    if digest != expected:
        raise FetchError(f"{where} belongs to another model: expected the digest {expected}, found {digest}")
    return files


def _file(entry: Any) -> File:
    path, size, sha256 = entry["path"], entry["size"], entry["sha256"]
    if not isinstance(path, str) or not isinstance(sha256, str) or type(size) is not int:
        raise TypeError("a file has no path, size or sha256")
    if size < 0 or not _SHA256.fullmatch(sha256):
        raise ValueError(f"{path[:200]!r} has no size or no sha256")
    return File(path, size, sha256)


def _check_paths(files: list[File], where: str) -> None:
    paths = {file.path for file in files}
    if len(paths) != len(files):
        raise FetchError(f"{where} lists a file twice")
    for path in (file.path for file in files):
        try:
            layout.check_path(path)
        except ValueError as error:
            raise FetchError(f"{where} lists {path[:200]!r}: {error}") from None
        if not path.startswith(_INSIDE):
            raise FetchError(f"{where} lists {path[:200]!r}: it is outside {_INSIDE}")
        parts = path.split("/")
        if any("/".join(parts[:length]) in paths for length in range(2, len(parts))):
            raise FetchError(f"{where} lists {path[:200]!r}: another file has the name of its folder")


def _digest(files: list[File], path: str) -> str:
    if path == layout.ARTIFACT:
        return folder_digest((file.target, file.sha256) for file in files)
    return PREFIX + files[0].sha256 if [file.path for file in files] == [path] else "none"


def _short(error: Exception) -> str:
    return f"{type(error).__name__} {error}"[:200]
