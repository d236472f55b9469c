"""Reads metrics.jsonl as it grows, line by line, in bounded memory, whatever the writer does to the file.

The file belongs to an untrusted container: symlinks, FIFOs and devices are refused, never followed. A file
that is truncated or replaced begins a new generation, unless it still begins with exactly what was consumed
(some writers write the whole file again each time): then reading just goes on.
"""

from __future__ import annotations

import errno
import os
import stat
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from assay.recorder.state import Position

MAX_LINE_BYTES = 1 << 20
CHUNK_BYTES = 256 << 10
_HEAD_BYTES = 400  # of a line that is too long
_MARK_BYTES = 64
_REWRITE_SECONDS = 2.0  # a file that got shorter may be about to be written again in full


@dataclass
class Batch:
    """Whole lines, without their newlines; the number of the first; and the heads of lines that are too long."""

    first_line: int
    lines: list[bytes] = field(default_factory=list)
    oversized: list[tuple[int, bytes]] = field(default_factory=list)


class Tail:
    """Follows one file: `refresh`, then `read` until it gives None. Nothing is read between two refreshes.

    `position` advances with what `read` gives. `problem` says why the file cannot be read, `events` what has
    happened to it.
    """

    def __init__(self, path: Path, position: Position, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.position = position
        self.problem = ""
        self.events: list[str] = []
        self._path = path
        self._chunk = chunk_bytes
        self._fd = -1
        self._next = -1  # the file that has replaced the one that is being read
        self._seen: tuple[int, int] | None = None
        self._more = False  # the last `read` gave something, so that there may be more
        self._short_since: float | None = None
        self._mark = b""  # the last bytes before the position
        self._scanned = self._scanned_crc = 0  # how much of a line that is too long was looked at

    def refresh(self, final: bool = False) -> bool:
        """Look at the file. True when there may be something to read. `final`: nobody writes any more."""
        if self._fd < 0 and not self._open_first():
            return False
        if self._next < 0:
            self._notice_replacement()
        return self._changed(final) or self._next >= 0

    def read(self, final: bool = False) -> Batch | None:
        """The next lines, None when there are no more for now. With `final` the last line needs no newline."""
        if self._fd < 0:
            return None
        batch = self._read(final and self._next < 0)
        if batch is None and self._next >= 0:
            batch = self._read_replacement(final)
        self._more = batch is not None
        return batch

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in (self._fd, self._next):
            if fd >= 0:
                os.close(fd)
        self._fd = self._next = -1

    # What the file is.

    def _open(self) -> int:
        """A descriptor of the regular file, -1 when there is none; `problem` says what is there instead."""
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
        """Open the file when it is there. After a restart make sure that it is still the same."""
        self._fd = self._open()
        if self._fd < 0:
            return False
        if self._same_content(self._fd):
            self._adopt()
        else:
            self._begin("was replaced while the recorder was restarting")
        return True

    def _adopt(self) -> None:
        """Go on in the present file at the present position."""
        self.position.inode = os.fstat(self._fd).st_ino
        count = min(_MARK_BYTES, self.position.offset)
        self._mark = self._pread(count, self.position.offset - count)

    def _begin(self, why: str) -> None:
        """Begin the present file at its start, as a new generation."""
        self.events.append(f"metrics.jsonl {why}: its new content is recorded after the old")
        self.position.generation += 1
        self.position.offset = self.position.crc = self.position.lines = 0
        self._scanned, self._short_since = 0, None
        self._adopt()

    def _same_content(self, fd: int) -> bool:
        """Whether the file begins with exactly the bytes that were consumed."""
        crc, offset = 0, 0
        while offset < self.position.offset:
            data = os.pread(fd, min(1 << 20, self.position.offset - offset), offset)
            if not data:
                return False
            crc, offset = zlib.crc32(data, crc), offset + len(data)
        return crc == self.position.crc

    def _changed(self, final: bool) -> bool:
        """Whether the file has changed since the last look. One that was truncated or rewritten begins anew."""
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
            self._begin("was written anew")
        return True

    def _still_the_same(self) -> bool:
        """Whether what was consumed is still there: all of it after a truncation, else the last bytes of it."""
        if self._short_since is not None and self._next < 0:
            self._short_since = None
            return self._same_content(self._fd)
        return self._pread(len(self._mark), self.position.offset - len(self._mark)) == self._mark

    def _wait_for_rewrite(self, final: bool) -> bool:
        now = time.monotonic()
        if self._short_since is None:
            self._short_since = now
        return not final and now - self._short_since < _REWRITE_SECONDS

    # A file that was replaced: by another one, or by a longer copy of itself.

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
        """The old file has no more whole lines: go over to the new one, after the old one's unfinished line."""
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

    # Lines.

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
        """Count `data`, which ends behind a line, as consumed."""
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        batch = Batch(self.position.lines + 1, lines)
        self._advance(len(data), zlib.crc32(data, self.position.crc), len(lines))
        self._mark = data[-_MARK_BYTES:]
        return batch

    def _skip(self, final: bool) -> Batch | None:
        """Look for the end of a line that is too long, without holding the line. None: it is not there yet."""
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
        """Up to `count` bytes, fewer only at the end of the file or where it cannot be read."""
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
