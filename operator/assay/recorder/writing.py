"""Writes files below a folder that the training can change: no link in it leads anywhere else."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def write_below(folder: Path, parts: list[str], data: bytes) -> None:
    """Write a file at `parts` below `folder`, and the folders on the way. Raises OSError if one of them is a link.

    The file is replaced as a whole. `parts` are names without slashes.
    """
    fd = os.open(folder, _FOLDER)
    try:
        for name in parts[:-1]:
            with suppress(FileExistsError):
                os.mkdir(name, 0o777, dir_fd=fd)
            below = os.open(name, _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = below
        _replace(fd, parts[-1], data)
    finally:
        os.close(fd)


def _replace(fd: int, name: str, data: bytes) -> None:
    draft = f".{name}.assay"
    with suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=fd)
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=fd)
    with open(file, "wb") as out:  # noqa: PTH123 (a descriptor has no path)
        out.write(data)
    os.replace(draft, name, src_dir_fd=fd, dst_dir_fd=fd)
