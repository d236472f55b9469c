"""The files that clients upload, in the pod's folder of artifacts, from which the recorder uploads them to the store.

The training can write to this folder, too. Every step uses a descriptor of the parent folder and follows no symlink, so
that no path and no swapped folder leads out of it. An upload is written next to the folder and then renamed into it, so
that no incomplete file is recorded.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from assay.recorder.collectors.mlflow.errors import MlflowError, exhausted, invalid, missing
from assay.recorder.folder import MAX_DEPTH, NotAFileError, open_file
from assay.store import layout

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STAGING = ".mlflow-uploads"  # below /assay
_LIST_MOST = 10_000
_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Entry(NamedTuple):
    """One entry of a listing. `size` is None for a folder."""

    name: str
    size: int | None


class Upload(NamedTuple):
    """A file that is being written, and where it will be."""

    file: int
    staging: int
    name: str
    parts: tuple[str, ...]


def split(path: str) -> tuple[str, ...]:
    """The parts of a relative path; () for the root. Raises MlflowError for anything else."""
    if not path:
        return ()
    try:
        layout.check_path(path)
    except ValueError as error:
        raise invalid(f"Invalid path: {path[:300]}: {error}") from None
    parts = tuple(path.split("/"))
    if len(parts) > MAX_DEPTH or any(len(os.fsencode(part)) > 255 for part in parts):
        raise invalid(f"Invalid path: {path[:300]}: too long or nested deeper than {MAX_DEPTH} folders")
    return parts


class Files:
    """The files below one folder. All methods block."""

    def __init__(self, directory: Path) -> None:
        """`directory` is /assay."""
        self._directory = directory
        self._root = directory / layout.ARTIFACTS

    def begin(self, path: str) -> Upload:
        """Begin to write a file. Raises MlflowError."""
        parts = split(path)
        if not parts:
            raise invalid("Invalid path: a file needs a name")
        with _translated(path):
            staging = self._staging()
            name = secrets.token_hex(16)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return Upload(os.open(name, flags, 0o644, dir_fd=staging), staging, name, parts)

    def write(self, upload: Upload, data: bytes) -> None:
        """Append to the file. Raises MlflowError."""
        with _translated("/".join(upload.parts)):
            view = memoryview(data)
            while view:
                view = view[os.write(upload.file, view) :]

    def finish(self, upload: Upload) -> None:
        """Sync the file and move it to its place. Raises MlflowError."""
        with _translated("/".join(upload.parts)):
            os.fsync(upload.file)
            folder = self._open(upload.parts[:-1], create=True)
            try:
                os.rename(upload.name, upload.parts[-1], src_dir_fd=upload.staging, dst_dir_fd=folder)
            finally:
                os.close(folder)

    def end(self, upload: Upload) -> None:
        """Release everything, and remove the file if it is not in its place."""
        with suppress(OSError):
            os.unlink(upload.name, dir_fd=upload.staging)
        os.close(upload.file)
        os.close(upload.staging)

    def open(self, path: str) -> int:
        """A descriptor of a file. Raises MlflowError."""
        if not split(path):
            raise missing("No such artifact: ''")
        try:
            return open_file(str(self._root), path)
        except FileNotFoundError:
            raise missing(f"No such artifact: '{path}'") from None
        except NotAFileError as error:
            raise invalid(f"The artifact '{path}' {error}") from None

    def list(self, path: str) -> list[Entry]:
        """The entries of a folder by name; [] if there is no such folder. Raises MlflowError."""
        try:
            folder = self._open(split(path), create=False)
        except OSError:
            return []
        try:
            with os.scandir(folder) as found:
                entries = [entry for entry in map(_entry, found) if entry]
        finally:
            os.close(folder)
        if len(entries) > _LIST_MOST:
            raise exhausted(f"the folder '{path}' has more than {_LIST_MOST} entries, and cannot be listed in the pod")
        return sorted(entries)

    def remove(self, path: str) -> None:
        """Remove a file or a folder. What is in the store already stays there. Raises MlflowError."""
        *parents, name = split(path) or ("",)
        if not name:
            raise invalid("Invalid path: the artifacts of a run cannot be deleted as a whole")
        with _translated(path):
            folder = self._open(tuple(parents), create=False)
            try:
                if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    shutil.rmtree(name, dir_fd=folder)
                else:
                    os.unlink(name, dir_fd=folder)
            finally:
                os.close(folder)

    def _staging(self) -> int:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _below(directory, _STAGING, create=True)
        finally:
            os.close(directory)

    def _open(self, parts: tuple[str, ...], create: bool) -> int:
        current = os.open(self._root, _FOLDER)
        for part in parts:
            try:
                following = _below(current, part, create)
            finally:
                os.close(current)
            current = following
        return current


def _below(folder: int, name: str, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
            made = os.open(name, _FOLDER, dir_fd=folder)
            os.fchmod(made, 0o777)  # the training may run as another user
            return made
    return os.open(name, _FOLDER, dir_fd=folder)


def _entry(found: os.DirEntry[str]) -> Entry | None:
    try:
        status = found.stat(follow_symlinks=False)
    except OSError:
        return None
    if stat.S_ISDIR(status.st_mode):
        return Entry(found.name, None)
    return Entry(found.name, status.st_size) if stat.S_ISREG(status.st_mode) else None


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Raise errors of the system as MlflowError."""
    try:
        yield
    except FileNotFoundError:
        raise missing(f"No such artifact: '{path}'") from None
    except OSError as error:
        raise _complaint(path, error) from None


def _complaint(path: str, error: OSError) -> MlflowError:
    if error.errno in _SPACE:
        return exhausted(f"the artifact '{path}' does not fit on the pod's disk: {error.strerror}")
    return invalid(f"the artifact '{path}' cannot be written: {error.strerror}")
