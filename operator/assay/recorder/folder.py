"""Lists and opens files in a folder that an untrusted container writes to, without ever leaving the folder.

Every step uses a descriptor of the parent folder and refuses symlinks, so that a file that is swapped during the scan
cannot lead out of the folder. A symlink is resolved by name, step by step, and counts as what it leads to if that is in
the folder. Anything else that is not a regular file is left out with a warning and never opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

MAX_DEPTH = 64
_MAX_LINKS = 40  # of one path, as in the kernel
_KINDS = {
    stat.S_IFLNK: "a symlink",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Signature(NamedTuple):
    """Attributes that reveal a change of a file. Its writer cannot set the ctime."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Signature:
        """The signature in a stat result."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


class NotAFileError(Exception):
    """The path is not a file that can be recorded. The message is the reason."""


@dataclass
class Listing:
    """What is in the folder, by path relative to it."""

    #: Regular files, also those behind symlinks.
    files: dict[str, Signature] = field(default_factory=dict)
    #: Entries that cannot be recorded although they should be, with the reason.
    refused: dict[str, str] = field(default_factory=dict)
    #: Entries that are no files and lead to none in the folder, with the reason.
    skipped: dict[str, str] = field(default_factory=dict)
    #: The path without symlinks of each file behind one.
    targets: dict[str, str] = field(default_factory=dict)

    def covers(self, path: str) -> bool:
        """Whether a file is in the folder, or may be because its folder cannot be read."""
        parents = path.split("/")
        above = ("/".join(parents[:count]) for count in range(len(parents) + 1))
        return path in self.files or any(each in self.refused for each in above)


def scan(root: str, limit: int) -> Listing:
    """List everything below `root`, at most `limit` entries. A folder that does not exist is empty."""
    root = root.rstrip("/") or "/"
    listing = Listing()
    try:
        fd = os.open(root, _FOLDER)
    except FileNotFoundError:
        return listing
    except OSError as error:
        listing.refused[""] = _reason(error)
        return listing
    _Scan(root, limit, listing).run(fd)
    return listing


class _Place:
    """A folder in a scan: its path as it is named, its path without symlinks, and the folders above it."""

    def __init__(self, fd: int, named: str, real: str, above: tuple[_Place, ...] = ()) -> None:
        self.fd, self.named, self.real, self.above = fd, named, real, above
        found = os.fstat(fd)
        self.identity = found.st_dev, found.st_ino

    def below(self, fd: int, name: str) -> _Place:
        return _Place(fd, f"{self.named}{name}/", f"{self.real}{name}/", (*self.above, self))

    @property
    def is_own_parent(self) -> bool:
        return any(place.identity == self.identity for place in self.above)


class _Scan:
    def __init__(self, root: str, limit: int, listing: Listing) -> None:
        self._root, self._limit, self._listing = root, limit, listing
        self._links: deque[tuple[str, str, tuple[_Place, ...]]] = deque()
        self._too_many = listing.refused

    def run(self, fd: int) -> None:
        """List the folder first, and then what symlinks to folders lead to: they must not take the files' room."""
        self._folder(_Place(fd, "", ""))
        self._too_many = self._listing.skipped
        while self._links and not self._full():
            named, real, above = self._links.popleft()
            try:
                place = _Place(open_folder(self._root, real), f"{named}/", f"{real}/".lstrip("/"), above)
            except OSError as error:
                self._listing.skipped[named] = _reason(error)
                continue
            if place.is_own_parent:
                os.close(place.fd)
                self._listing.skipped[named] = "is a symlink to a folder above it"
            else:
                self._folder(place)

    def _full(self) -> bool:
        listing = self._listing
        if len(listing.files) + len(listing.refused) + len(listing.skipped) < self._limit:
            return False
        self._too_many[""] = f"has more than {self._limit} files"
        return True

    def _folder(self, place: _Place) -> None:
        """List one folder and close its descriptor."""
        try:
            with os.scandir(place.fd) as entries:
                for entry in entries:
                    if self._full():
                        return
                    self._entry(place, entry)
        except OSError as error:
            self._listing.refused[place.named.rstrip("/")] = _reason(error)
        finally:
            os.close(place.fd)

    def _entry(self, place: _Place, entry: os.DirEntry[str]) -> None:
        named, listing = place.named + entry.name, self._listing
        try:
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                self._link(place, named, place.real + entry.name)
            elif stat.S_ISREG(found.st_mode):
                self._file(named, place.real + entry.name, found)
            elif stat.S_ISDIR(found.st_mode) and len(place.above) + 1 >= MAX_DEPTH:
                listing.refused[named] = f"nested deeper than {MAX_DEPTH} folders"
            elif stat.S_ISDIR(found.st_mode):
                self._folder(place.below(os.open(entry.name, _FOLDER, dir_fd=place.fd), entry.name))
            else:
                listing.skipped[named] = kind(found.st_mode)
        except FileNotFoundError:
            pass  # deleted after it was listed
        except OSError as error:
            listing.refused[named] = _reason(error)

    def _link(self, place: _Place, named: str, path: str) -> None:
        try:
            real, found = resolve(self._root, path)
        except NotAFileError as error:
            self._listing.skipped[named] = str(error)
            return
        if stat.S_ISREG(found.st_mode):
            self._file(named, real, found)
        elif stat.S_ISDIR(found.st_mode):
            self._links.append((named, real, (*place.above, place)))
        else:
            self._listing.skipped[named] = kind(found.st_mode)

    def _file(self, named: str, real: str, found: os.stat_result) -> None:
        self._listing.files[named] = Signature.of(found)
        if named != real:
            self._listing.targets[named] = real


def resolve(root: str, path: str) -> tuple[str, os.stat_result]:
    """The path below `root` without symlinks, and what is there. Raises NotAFileError if it leads out or to nothing."""
    done: list[str] = []
    todo = path.split("/")[::-1]
    links = 0
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not done:
                raise NotAFileError("is a symlink that leads out of the folder")
            done.pop()
            continue
        found = _stat(root, [*done, name])
        if not stat.S_ISLNK(found.st_mode):
            done.append(name)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise NotAFileError("is a symlink that leads to itself")
        target = _read_link(root, [*done, name])
        if target.startswith("/"):
            if target != root and not target.startswith(f"{root}/"):
                raise NotAFileError("is a symlink that leads out of the folder")
            done, target = [], target.removeprefix(root)
        todo += target.split("/")[::-1]
    return "/".join(done), _stat(root, done)


def _stat(root: str, path: list[str]) -> os.stat_result:
    """What is at a path. Raises NotAFileError, also if a part of the path has become a symlink."""
    if not path:
        return Path(root).lstat()
    try:
        fd = open_folder(root, "/".join(path[:-1]))
        try:
            return os.stat(path[-1], dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise NotAFileError("is a symlink to nothing") from None
    except OSError as error:
        raise NotAFileError(_reason(error)) from None


def _read_link(root: str, path: list[str]) -> str:
    try:
        fd = open_folder(root, "/".join(path[:-1]))
        try:
            return os.readlink(path[-1], dir_fd=fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise NotAFileError(_reason(error)) from None


def open_folder(root: str, path: str) -> int:
    """A descriptor of a folder below `root`. Raises OSError, also if a part of the path is a symlink."""
    current = os.open(root, _FOLDER)
    for name in filter(None, path.split("/")):
        try:
            below = os.open(name, _FOLDER, dir_fd=current)
        finally:
            os.close(current)
        current = below
    return current


def open_file(root: str, path: str) -> int:
    """A descriptor of a regular file below `root`. Raises FileNotFoundError, or NotAFileError with the reason."""
    folder, _, name = path.rpartition("/")
    current = -1
    try:
        current = open_folder(root, folder)
        fd = os.open(name, _FILE, dir_fd=current)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise NotAFileError(_reason(error)) from None
    finally:
        if current >= 0:
            os.close(current)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise NotAFileError(kind(mode))
    return fd


def kind(mode: int) -> str:
    """Describe an entry that is not a regular file."""
    return f"is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, not a regular file"


def _reason(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "is a symlink, not a regular file"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"cannot be read by user {os.geteuid()} ({error.strerror}): set securityContext.runAsUser in the template "
            "to the user of the training, as whom the recorder then runs"
        )
    return f"cannot be read: {error.strerror}"
