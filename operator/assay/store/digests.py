"""The digest of a model, which approvals, bindings and served bytes are compared by. Only light imports."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

PREFIX = "sha256:"


def folder_digest(files: Iterable[tuple[str, str]]) -> str:
    """The digest of a folder, "sha256:<hex>", from (path relative to the folder, sha256 as hex) of each file.

    It is the sha256 over the sorted lines that `sha256sum` prints: "<sha256>  <path>" and a newline.
    """
    lines = sorted(f"{sha256}  {path}\n" for path, sha256 in files)
    return PREFIX + hashlib.sha256("".join(lines).encode()).hexdigest()


def bytes_digest(data: bytes) -> str:
    """The digest of one file's content, "sha256:<hex>"."""
    return PREFIX + hashlib.sha256(data).hexdigest()
