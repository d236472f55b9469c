"""Reads a file line by line as it grows, in bounded memory, whatever the writer does to the file.

The file belongs to an untrusted container: symlinks, FIFOs and devices are refused. A truncated or replaced file begins
a new generation, unless it still begins with exactly the consumed bytes (some writers rewrite the whole file each
time). In that case reading continues at the same position.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

MAX_LINE_BYTES = 1 << 20
CHUNK_BYTES = 256 << 10
_HEAD_BYTES = 400  # of an oversized line
_MARK_BYTES = 64
_REWRITE_SECONDS = 2.0  # a file that became shorter may be in the middle of a rewrite


@dataclass
class Position:
    """The position up to which a file was consumed.

    A truncated or replaced file begins a new generation. `offset` (bytes) is always at the end of a line; `crc` is the
    CRC-32 of all bytes before it, which identifies unchanged content.
    """

    generation: int = 0
    inode: int = 0
    offset: int = 0
    crc: int = 0
    lines: int = 0


@dataclass
class Batch:
    """Complete lines without newlines, the number of the first, and number and head of each oversized line."""

    first_line: int
    lines: list[bytes] = field(default_factory=list)
    oversized: list[tuple[int, bytes]] = field(default_factory=list)


class Tail:
    """Follows one file. Call `refresh`, then `read` until it returns None.

    `read` advances `position`. `problem` is the reason why the file cannot be read; `events` lists truncations and
    replacements.
    """

    def __init__(self, path: Path, position: Position, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.position = position
        self.problem = ""
        self.events: list[str] = []
        self._path = path
        self._chunk = chunk_bytes
        self._fd = -1
        self._next = -1  # the file that replaced the current one
        self._seen: tuple[int, int] | None = None
        self._more = False  # the last `read` returned data, so there may be more
        self._short_since: float | None = None
        self._mark = b""  # the last bytes before the position
        self._scanned = self._scanned_crc = 0  # the scanned bytes of an oversized line

    def refresh(self, final: bool = False) -> bool:
        """Check the file for changes. True if there may be data to read. `final`: the writer has ended."""
        if self._fd < 0 and not self._open_first():
            return False
        if self._next < 0:
            self._notice_replacement()
        return self._changed(final) or self._next >= 0

    def read(self, final: bool = False) -> Batch | None:
        """The next lines; None if there are none at present. With `final` the last line needs no newline."""
        if self._fd < 0:
            return None
        batch = self._read(final and self._next < 0)
        if batch is None and self._next >= 0:
            batch = self._read_replacement(final)
        self._more = batch is not None
        return batch

    def take_events(self) -> list[str]:
        """Return the truncations and replacements since the last call."""
        events, self.events = self.events, []
        return events

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (self._fd, self._next):
            if fd >= 0:
                os.close(fd)
        self._fd = self._next = -1

    # Opening the file and detecting changes

    def _open(self) -> int:
        """Open the regular file and return its descriptor; -1 if there is none. `problem` is the reason."""
        self.problem = ""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return -1
        except OSError as error:
            self.problem = "is a symlink" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}"
            return -1
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        self.problem = "is not a regular file"
        return -1

    def _open_first(self) -> bool:
        """Open the file if it exists. After a restart, check that it is still the same file."""
        self._fd = self._open()
        if self._fd < 0:
            return False
        if self._same_content(self._fd):
            self._adopt()
        else:
            self._begin("was replaced while the recorder was restarting")
        return True

    def _adopt(self) -> None:
        """Continue in the current file at the current position."""
        self.position.inode = os.fstat(self._fd).st_ino
        count = min(_MARK_BYTES, self.position.offset)
        self._mark = self._pread(count, self.position.offset - count)

    def _begin(self, why: str) -> None:
        """Start the current file from the beginning, as a new generation."""
        self.events.append(f"{self._path.name} {why}: its new content is recorded after the old")
        self.position.generation += 1
        self.position.offset = self.position.crc = self.position.lines = 0
        self._scanned, self._short_since = 0, None
        self._adopt()

    def _same_content(self, fd: int) -> bool:
        """Whether the file begins with exactly the consumed bytes."""
        crc, offset = 0, 0
        while offset < self.position.offset:
            data = os.pread(fd, min(1 << 20, self.position.offset - offset), offset)
            if not data:
                return False
            crc, offset = zlib.crc32(data, crc), offset + len(data)
        return crc == self.position.crc

    def _changed(self, final: bool) -> bool:
        """Whether the file changed since the last check. A truncated or rewritten file begins a new generation."""
        found = os.fstat(self._fd)
        seen = (found.st_size, found.st_mtime_ns)
        if seen == self._seen and self._short_since is None and not final:
            return self._more
        self._seen = seen
        if found.st_size < self.position.offset:
            if self._wait_for_rewrite(final):
                return False
            self._begin("was truncated")
        elif not self._still_the_same():
            self._begin("was rewritten")
        return True

    def _still_the_same(self) -> bool:
        """Whether the consumed bytes are unchanged. Checks all of them after a truncation, otherwise the last ones."""
        if self._short_since is not None and self._next < 0:
            self._short_since = None
            return self._same_content(self._fd)
        return self._pread(len(self._mark), self.position.offset - len(self._mark)) == self._mark

    def _wait_for_rewrite(self, final: bool) -> bool:
        now = time.monotonic()
        if self._short_since is None:
            self._short_since = now
        return not final and now - self._short_since < _REWRITE_SECONDS

    # A replaced file: the new one is a different file or a longer copy

    def _notice_replacement(self) -> None:
        try:
            found = self._path.lstat()
        except OSError:
            return
        current = os.fstat(self._fd)
        if (found.st_dev, found.st_ino) == (current.st_dev, current.st_ino):
            self.problem = ""
        else:
            self._next = self._open()

    def _read_replacement(self, final: bool) -> Batch | None:
        """Switch to the new file after the old one has no more complete lines; read its unfinished line first."""
        short = os.fstat(self._next).st_size < self.position.offset
        if short and self._wait_for_rewrite(final):
            return None
        same = not short and self._same_content(self._next)
        if not same:
            rest = self._read(final=True)
            if rest:
                return rest
        os.close(self._fd)
        self._fd, self._next = self._next, -1
        self._seen, self._short_since, self._scanned = None, None, 0
        if same:
            self._adopt()
        else:
            self._begin("was replaced")
        return self._read(final)

    # Reading lines

    def _read(self, final: bool) -> Batch | None:
        if self._scanned:
            return self._skip(final)
        data = self._pread(self._chunk, self.position.offset)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == self._chunk:
            data = self._pread(MAX_LINE_BYTES + 1, self.position.offset)
            end = data.rfind(b"\n") + 1
        if end:
            return self._consume(data[:end])
        if len(data) > MAX_LINE_BYTES:
            self._scanned, self._scanned_crc = len(data), zlib.crc32(data, self.position.crc)
            return self._skip(final)
        return self._consume(data) if final and data else None

    def _consume(self, data: bytes) -> Batch:
        """Mark `data`, which ends at the end of a line, as consumed."""
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        batch = Batch(self.position.lines + 1, lines)
        self._advance(len(data), zlib.crc32(data, self.position.crc), len(lines))
        self._mark = data[-_MARK_BYTES:]
        return batch

    def _skip(self, final: bool) -> Batch | None:
        """Find the end of an oversized line without holding the line in memory. None if it is not written yet."""
        while True:
            data = self._pread(CHUNK_BYTES, self.position.offset + self._scanned)
            end = data.find(b"\n") + 1
            piece = data[:end] if end else data
            self._scanned += len(piece)
            self._scanned_crc = zlib.crc32(piece, self._scanned_crc)
            if end or (final and not data):
                return self._skipped()
            if not data:
                return None

    def _skipped(self) -> Batch:
        head = self._pread(_HEAD_BYTES, self.position.offset)
        batch = Batch(self.position.lines + 1, oversized=[(self.position.lines + 1, head)])
        self._advance(self._scanned, self._scanned_crc, 1)
        self._scanned = 0
        self._adopt()
        return batch

    def _advance(self, count: int, crc: int, lines: int) -> None:
        self.position.offset += count
        self.position.crc = crc
        self.position.lines += lines

    def _pread(self, count: int, offset: int) -> bytes:
        """Up to `count` bytes; fewer only at the end of the file or after a read error."""
        data = b""
        try:
            while len(data) < count:
                more = os.pread(self._fd, count - len(data), offset + len(data))
                if not more:
                    break
                data = data + more if data else more
        except OSError as error:
            self.problem = f"cannot be read: {error.strerror}"
        return data
