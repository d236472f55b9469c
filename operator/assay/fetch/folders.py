"""A folder that appears atomically after every byte in it has been verified.

Until then its content is in a sibling folder, `.<name>.partial`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def begin(directory: Path, targets: Iterable[str]) -> Path:
    """Create an empty folder that will become `directory`, with the subfolders that the files `targets` need."""
    partial = _partial(directory)
    withdraw(directory)
    partial.mkdir(parents=True)
    for folder in {(partial / target).parent for target in targets}:
        folder.mkdir(parents=True, exist_ok=True)
    return partial


def appear(directory: Path) -> None:
    """Move the partial folder to its final name. It is read-only for every user that the containers may run as."""
    partial = _partial(directory)
    for above, _, _ in os.walk(partial, topdown=False):
        Path(above).chmod(0o555)
    partial.rename(directory)


def withdraw(directory: Path) -> None:
    """Remove the folder and its partial folder."""
    for folder in (directory, _partial(directory)):
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
            continue
        for above, _, _ in os.walk(folder):
            with suppress(OSError):
                Path(above).chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)


def lines(directory: Path) -> list[tuple[str, str]] | None:
    """Path and sha256 (hex) of every file. Reads all files; None if something is neither a file nor a folder."""
    if directory.is_symlink() or not directory.is_dir():
        return None
    found: list[tuple[str, str]] = []
    for above, folders, names in os.walk(directory):
        for path in (Path(above) / name for name in names + folders):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                return None
        found += [
            ((Path(above) / name).relative_to(directory).as_posix(), _sha256(Path(above) / name)) for name in names
        ]
    return found


def _partial(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.partial")


def _sha256(path: Path) -> str:
    with path.open("rb", buffering=0) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
