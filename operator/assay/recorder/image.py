"""Reads the file system of an image that is mounted read-only, without running any of its code.

Images are untrusted: symlinks are resolved within the image only, only regular files are opened, and the amount of
work is bounded. This module does not interpret the files.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from assay.recorder.folder import NotAFileError, open_file, open_folder

MAX_ENTRIES = 50_000
MAX_READS = 6_000
MAX_DEPTH = 14
MAX_SECONDS = 20.0
_MAX_LINKS = 40  # the limit of Linux
_MAX_PATH_CHARS = 4096


class TooMuch(Exception):
    """The image exceeds a limit. The message names the limit."""


@dataclass
class Budget:
    """The remaining budget: folder entries, files to read, seconds."""

    entries: int = MAX_ENTRIES
    reads: int = MAX_READS
    seconds: float = MAX_SECONDS
    _began: float = field(default_factory=time.monotonic)

    def entry(self) -> None:
        """Count one folder entry. Raises TooMuch."""
        self.entries -= 1
        if self.entries < 0:
            raise TooMuch("it has too many files")
        self._check_time()

    def read(self) -> None:
        """Count one file read. Raises TooMuch."""
        self.reads -= 1
        if self.reads < 0:
            raise TooMuch("it has too many packages")
        self._check_time()

    def _check_time(self) -> None:
        if time.monotonic() - self._began > self.seconds:
            raise TooMuch(f"it could not be read within {self.seconds:g} s")


class Folder(NamedTuple):
    """One folder of an image: its path without leading or trailing slash, and the names in it."""

    path: str
    folders: list[str]
    others: list[str]


class Image:
    """The file system of an image. Paths are relative to its root, with or without a leading slash."""

    def __init__(self, root: str, budget: Budget) -> None:
        #: Folders that the recorder's user may not list.
        self.closed: list[str] = []
        self._root = root
        self._budget = budget

    @property
    def mounted(self) -> bool:
        """Whether an image is mounted."""
        with suppress(OSError), os.scandir(self._root) as entries:
            return any(True for _ in entries)
        return False

    def read(self, path: str, limit: int) -> bytes:
        """Read up to `limit` bytes of a file; b"" if it cannot be read. Raises TooMuch."""
        self._budget.read()
        found = self.resolve(path)
        if found is None:
            return b""
        try:
            fd = open_file(self._root, found)
        except (FileNotFoundError, NotAFileError, OSError, ValueError):
            return b""
        with open(fd, "rb", buffering=0) as file, suppress(OSError):  # noqa: PTH123 (a descriptor has no path)
            return _read_all(file.fileno(), limit)
        return b""

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; [] if there is no such folder. Raises TooMuch."""
        found = self.resolve(path)
        folder = None if found is None else self._list(found)
        return sorted([*folder.folders, *folder.others]) if folder else []

    def resolve(self, path: str) -> str | None:
        """Resolve symlinks as a process would whose root is the image; None for a symlink loop.

        The resulting path need not exist.
        """
        todo, done, links = path.split("/")[::-1], list[str](), 0
        while todo:
            name = todo.pop()
            if name in ("", ".", ".."):
                del done[len(done) - (name == "..") :]
                continue
            target = self._link("/".join([*done, name]))
            if target is None:
                done.append(name)
                continue
            links += 1
            if links > _MAX_LINKS or len(todo) > _MAX_PATH_CHARS:
                return None
            if target.startswith("/"):
                done = []
            todo += target.split("/")[::-1]
        found = "/".join(done)
        return found if len(found) <= _MAX_PATH_CHARS else None

    def walk(self, enter: Callable[[Folder, str], bool], start: str = "") -> Iterator[Folder]:
        """Yield `start` and the folders below it, breadth first, if `enter` allows them. Follows no symlinks.

        Raises TooMuch.
        """
        todo = deque([(start, 0)])
        while todo:
            path, depth = todo.popleft()
            folder = self._list(path)
            if folder is None:
                continue
            yield folder
            for name in folder.folders if depth < MAX_DEPTH else ():
                below = f"{path}/{name}".lstrip("/")
                if len(below) <= _MAX_PATH_CHARS and enter(folder, name):
                    todo.append((below, depth + 1))

    def _list(self, path: str) -> Folder | None:
        folders, others = list[str](), list[str]()
        try:
            fd = open_folder(self._root, path)
        except PermissionError:
            self.closed.append(f"/{path}")
            return None
        except (OSError, ValueError):
            return None
        try:
            with suppress(OSError), os.scandir(fd) as entries:
                for entry in entries:
                    self._budget.entry()
                    (folders if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
        finally:
            os.close(fd)
        return Folder(path, sorted(folders), sorted(others))

    def _link(self, path: str) -> str | None:
        """The target of a symlink; None if the path is not a symlink."""
        try:
            return os.readlink(f"{self._root}/{path}")  # noqa: PTH115 (a Path would cost more than the call)
        except (OSError, ValueError):
            return None


def _read_all(fd: int, limit: int) -> bytes:
    data = b""
    while len(data) < limit:
        more = os.read(fd, limit - len(data))
        if not more:
            break
        data += more
    return data
