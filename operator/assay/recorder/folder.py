"""Lists and opens files in a folder that an untrusted container writes to, without ever leaving the folder.

Every step uses a descriptor of the parent folder and refuses symlinks, so that a file that is swapped during the scan
cannot lead out of the folder. Anything that is not a regular file is reported and never opened.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_DEPTH = 64
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
    """Regular files by path relative to the folder, and the refused entries with the reason."""

    files: dict[str, Signature] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def scan(root: str, limit: int) -> Listing:
    """List everything below `root`, at most `limit` entries. A folder that does not exist is empty."""
    listing = Listing()
    try:
        fd = os.open(root, _FOLDER)
    except FileNotFoundError:
        return listing
    except OSError as error:
        listing.refused[""] = _reason(error)
        return listing
    _scan(fd, "", listing, limit, 1)
    return listing


def _scan(folder: int, prefix: str, listing: Listing, limit: int, depth: int) -> None:
    """List one folder and close its descriptor."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if len(listing.files) + len(listing.refused) >= limit:
                    listing.refused[""] = f"has more than {limit} files"
                    return
                _look(folder, prefix + entry.name, entry, listing, limit, depth)
    except OSError as error:
        listing.refused[prefix.rstrip("/")] = _reason(error)
    finally:
        os.close(folder)


def _look(folder: int, path: str, entry: os.DirEntry[str], listing: Listing, limit: int, depth: int) -> None:
    try:
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            listing.files[path] = Signature.of(found)
        elif stat.S_ISDIR(found.st_mode) and depth >= MAX_DEPTH:
            listing.refused[path] = f"nested deeper than {MAX_DEPTH} folders"
        elif stat.S_ISDIR(found.st_mode):
            _scan(os.open(entry.name, _FOLDER, dir_fd=folder), path + "/", listing, limit, depth + 1)
        else:
            listing.refused[path] = kind(found.st_mode)
    except FileNotFoundError:
        pass  # deleted after it was listed
    except OSError as error:
        listing.refused[path] = _reason(error)


def open_file(root: str, path: str) -> int:
    """A descriptor of a regular file below `root`. Raises FileNotFoundError, or NotAFileError with the reason."""
    *folders, name = path.split("/")
    current = -1
    try:
        current = os.open(root, _FOLDER)
        for folder in folders:
            below = os.open(folder, _FOLDER, dir_fd=current)
            os.close(current)
            current = below
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
        return f"cannot be read by user {os.geteuid()}: {error.strerror}"
    return f"cannot be read: {error.strerror}"
