"""Determines which lines of a container's log are new. Pure functions over bytes; no I/O.

A node returns the lines of a log since a given second, in the order in which they were written, and only those in the
current log file: rotated files are lost. So two reads overlap or leave a gap. A line is identified by its stamp, which
has nanoseconds, and by its index among the lines with the same stamp: some runtimes use one stamp for everything that
a program wrote at once. Such lines are adjacent or nearly so.

Lines are stored as the node returned them, `<stamp> <text>`. An unfinished line (such as a progress bar of megabytes)
is stored in pieces: the rest of it follows as `<stamp>+ <text>`. So a position in a log is a stamp, a count, and the
number of stored bytes of the last line's text.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

_STAMP = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
_HEADS = re.compile(rb"^(" + _STAMP + rb") ", re.MULTILINE)
_PARTS = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
#: More than a stamp and its space.
_HEAD_BYTES = 64
#: The maximum distance, in lines, between lines with the same stamp.
_RECENT = 64
#: The minimum size of a piece of an unfinished line.
PIECE_BYTES = 64 << 10
#: Lines with the same stamp are always closer together than this.
_NEAR = timedelta(seconds=2)
_LEVEL = 3
_MAX_NOISE = 300


class Cursor(NamedTuple):
    """The end of the stored part of a log: the n-th line with this stamp, and the stored bytes of its text."""

    stamp: bytes
    nth: int
    length: int


def since(cursor: Cursor, back: timedelta) -> str:
    """The RFC 3339 time, in whole seconds, that is `back` before the cursor."""
    return (moment(cursor.stamp) - back).isoformat(timespec="seconds")


def _order(stamp: bytes) -> tuple[datetime, bytes]:
    """The sort key of a stamp."""
    return moment(stamp), _split(stamp)[1]


def moment(stamp: bytes) -> datetime:
    """The time of a stamp, in whole seconds. Raises ValueError for an invalid stamp."""
    second, _, zone = _split(stamp)
    return datetime.fromisoformat((second + (b"+00:00" if zone == b"Z" else zone)).decode())


def _split(stamp: bytes) -> tuple[bytes, bytes, bytes]:
    """Second, digits of the fraction without trailing zeros, and zone."""
    found = _PARTS.fullmatch(stamp)
    if not found:
        raise ValueError(f"{stamp[:100]!r} is not a stamp")
    return found[1], (found[2] or b"").rstrip(b"0"), found[3]


def heads_of(stamp: bytes) -> re.Pattern[bytes]:
    """Matches the head of lines with this stamp. Some versions of nodes omit trailing zeros of the fraction."""
    second, fraction, zone = _split(stamp)
    digits = rb"\." + fraction + rb"0*" if fraction else rb"(?:\.0+)?"
    return re.compile(rb"^" + second + digits + re.escape(zone) + rb" ", re.MULTILINE)


def cursor_of(parts: Iterable[bytes]) -> Cursor | None:
    """The position at the end of a log that is stored in these parts, newest first. None if there is no line.

    Reads an older part only while it may have lines with the stamp of the last line.
    """
    found: Cursor | None = None
    whole = False  # the head of the last line was found
    for part in parts:
        lines = part.split(b"\n")[:-1]
        if not lines:
            continue
        found = found or Cursor(_stamp_of(lines[-1]), 0, 0)
        length = 0 if whole else sum(map(len, _last_line(lines, found.stamp)))
        count = sum(line.startswith(found.stamp + b" ") for line in lines)
        whole = whole or count > 0
        found = Cursor(found.stamp, found.nth + count, found.length + length)
        if whole and moment(found.stamp) - moment(_stamp_of(lines[0])) > _NEAR:
            break
    return found


def _stamp_of(line: bytes) -> bytes:
    return line.partition(b" ")[0].rstrip(b"+")


def _last_line(lines: list[bytes], stamp: bytes) -> Iterator[bytes]:
    """The pieces of the last line's text, in reverse order."""
    for line in reversed(lines):
        head, _, text = line.partition(b" ")
        yield text
        if head == stamp:
            return


class LogResumption:
    """Consumes a node's answer piece by piece and returns the lines after the cursor, in the stored format.

    At the end, `found` is true if the answer contained the line at the cursor. If not, the answer was cut short, or the
    log was rotated and everything that the node still has comes after the cursor. `rotated` is for an answer from the
    beginning of the log: all of it is returned if its first line is later than the cursor's; if not, `broken` is set
    and nothing is returned. `trusting` skips this check.
    """

    def __init__(self, cursor: Cursor | None, *, rotated: bool = False, trusting: bool = False) -> None:
        self.cursor = cursor
        self.found = cursor is None or rotated
        self.broken = False
        #: Text in the answer that is not a log line: the error message of a node that cannot read the log.
        self.noise = ""
        #: The stamp of the first returned line.
        self.first = b""
        #: The number of returned bytes.
        self.taken = 0
        self._least = _order(cursor.stamp) if cursor and rotated and not trusting else None
        self._target = (heads_of(cursor.stamp), cursor) if cursor else None
        self._passed = 0
        self._carry = b""
        self._inside = False  # of a line before the cursor
        self._open = False  # a part of the current line was returned
        self._ignore = 0  # bytes of its text that are already stored
        self._recent: dict[bytes, int] = {cursor.stamp: cursor.nth} if cursor and not rotated else {}

    def feed(self, data: bytes) -> bytes:
        """Consume the next piece of the answer. Returns complete new lines, and long pieces of unfinished ones."""
        data = self._carry + data
        self._carry = b""
        if not self.found:
            data = self._seek(data)
        return self._take(data) if self.found else b""

    def finish(self, last: bool) -> bytes:
        """Consume the end of the answer. Returns an unfinished line if this is the `last` answer of the log."""
        rest, self._carry = self._carry, b""
        if rest and not self.found:
            rest = self._seek(rest, True)
        if self._open:
            rest = rest[self._ignore :]
            return self._piece(rest) if last else b""
        if not rest or not self._check(rest):
            return b""
        return self._whole(rest + b"\n") if last else b""

    # Finding the cursor

    def _seek(self, data: bytes, end: bool = False) -> bytes:
        """The text of the line at the cursor and everything after it; b"" until the line is found."""
        if self._target is None:
            return data
        (heads, cursor), start = self._target, 0
        if self._inside:
            start = data.find(b"\n") + 1
            if not start:
                return b""
            self._inside = False
        cut = max(data.rfind(b"\n") + 1, start)
        judged = len(data) if end or len(data) - cut >= _HEAD_BYTES else cut
        for head in heads.finditer(data, start, judged):
            self._passed += 1
            if self._passed == cursor.nth:
                self.found = self._open = True
                self._ignore = cursor.length
                return data[head.end() :]
        self._inside, self._carry = judged > cut, data[judged:]
        return b""

    # After the cursor

    def _take(self, data: bytes) -> bytes:
        given = b""
        if self._open:
            given, data = self._rest_of_line(data)
        cut = data.rfind(b"\n") + 1
        body, rest = data[:cut], data[cut:]
        if body:
            given += self._whole(body)
        if len(rest) >= PIECE_BYTES and self._open:
            given, rest = given + self._piece(rest), b""
        elif len(rest) >= PIECE_BYTES and _HEADS.match(rest):
            given, rest = given + self._whole(rest + b"\n"), b""
            self._open = not self.broken
        self._carry = rest[: 2 * PIECE_BYTES]
        return given

    def _rest_of_line(self, data: bytes) -> tuple[bytes, bytes]:
        """The new text of the open line, and the data after it."""
        end = data.find(b"\n")
        known = min(self._ignore, len(data) if end < 0 else end)
        self._ignore -= known
        if end < 0:
            return b"", data[known:]
        self._open, self._ignore = False, 0
        return self._piece(data[known:end]), data[end + 1 :]

    def _piece(self, text: bytes) -> bytes:
        """Another piece of the last line."""
        if not text or self.cursor is None:
            return b""
        self.cursor = self.cursor._replace(length=self.cursor.length + len(text))
        self.taken += len(text)
        return self.cursor.stamp + b"+ " + text + b"\n"

    def _whole(self, body: bytes) -> bytes:
        """Complete log lines. Text that is not a log line is removed."""
        stamps = _HEADS.findall(body)
        if len(stamps) != body.count(b"\n"):
            body = b"".join(line + b"\n" for line in body.split(b"\n")[:-1] if self._check(line))
            stamps = _HEADS.findall(body)
        if self._least and stamps:
            self.broken, self._least = _order(stamps[0]) <= self._least, None
        if self.broken or not body:
            return b""
        self.first = self.first or stamps[0]
        counts = Counter(stamps)
        self._recent = {stamp: counts[stamp] + self._recent.get(stamp, 0) for stamp in stamps[-_RECENT:]}
        last = body[body.rfind(b"\n", 0, -1) + 1 : -1]
        self.cursor = Cursor(stamps[-1], self._recent[stamps[-1]], len(last) - len(stamps[-1]) - 1)
        self.taken += len(body)
        return body

    def _check(self, line: bytes) -> bool:
        """Whether this is a log line. Other text is recorded as `noise`."""
        if _HEADS.match(line):
            return True
        self.noise = self.noise or line[:_MAX_NOISE].decode(errors="replace").strip()
        return False


class Part:
    """The lines of one part. They are compressed as they are added."""

    def __init__(self) -> None:
        self.size = 0
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
        self._packed: list[bytes] = []

    def add(self, lines: bytes) -> None:
        """Add lines, each with its newline."""
        self.size += len(lines)
        self._packed.append(self._packer.compress(lines))

    def close(self) -> bytes:
        """The part, as gzip."""
        return b"".join([*self._packed, self._packer.flush()])
