"""Which lines of a container's log are new. Pure functions over bytes; no I/O.

A node gives the lines of a log from a second on, in the order in which they were written, and only those of the file
that it writes at the moment: what it has rotated away is gone. So two reads overlap, or leave a gap. A line is known
again by its stamp, which has nanoseconds, and by its place among the lines that have the same one: some runtimes give
one stamp to everything that a program wrote at once. Such lines lie together, or nearly so.

What is kept is what the node gave, a line being `<stamp> <text>`. Of a line that is not finished yet (a progress bar
of megabytes) pieces are kept: the rest of it follows as `<stamp>+ <text>`. So a place in a log is always a stamp, a
count, and how many bytes of the last line's text there are.
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
#: How many lines back another line with the same stamp may lie.
_RECENT = 64
#: An unfinished line is kept in pieces of at least so many bytes.
PIECE_BYTES = 64 << 10
#: Lines with the same stamp are never so far apart.
_NEAR = timedelta(seconds=2)
_LEVEL = 3
_MAX_NOISE = 300


class Cursor(NamedTuple):
    """How far a log is kept: to the n-th line with this stamp, and how many bytes of its text."""

    stamp: bytes
    nth: int
    length: int


def since(cursor: Cursor, back: timedelta) -> str:
    """The RFC 3339 time, in whole seconds, that is so much before the cursor."""
    return (moment(cursor.stamp) - back).isoformat(timespec="seconds")


def _order(stamp: bytes) -> tuple[datetime, bytes]:
    """By which stamps are sorted."""
    return moment(stamp), _split(stamp)[1]


def moment(stamp: bytes) -> datetime:
    """The second of a stamp. Raises ValueError for what is none."""
    second, _, zone = _split(stamp)
    return datetime.fromisoformat((second + (b"+00:00" if zone == b"Z" else zone)).decode())


def _split(stamp: bytes) -> tuple[bytes, bytes, bytes]:
    """Second, digits of the fraction without zeros at their end, and zone."""
    found = _PARTS.fullmatch(stamp)
    if not found:
        raise ValueError(f"{stamp[:100]!r} is not a stamp")
    return found[1], (found[2] or b"").rstrip(b"0"), found[3]


def heads_of(stamp: bytes) -> re.Pattern[bytes]:
    """What the lines with this stamp begin with. Whether zeros end a fraction depends on the node's version."""
    second, fraction, zone = _split(stamp)
    digits = rb"\." + fraction + rb"0*" if fraction else rb"(?:\.0+)?"
    return re.compile(rb"^" + second + digits + re.escape(zone) + rb" ", re.MULTILINE)


def cursor_of(parts: Iterable[bytes]) -> Cursor | None:
    """The place at which a log ends that is kept in these parts, the newest first. None when there is no line.

    Asks for an older part only while it may have lines with the stamp of the last one.
    """
    found: Cursor | None = None
    whole = False  # the head of the last line was seen
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
    """The pieces of the last line's text, from behind."""
    for line in reversed(lines):
        head, _, text = line.partition(b" ")
        yield text
        if head == stamp:
            return


class LogResumption:
    """Takes one answer of a node, piece by piece, and gives what of it comes behind the cursor, as it is to be kept.

    `found` says, at the end, whether the line at the cursor was in it. If not, the answer was cut short, or the log was
    rotated, and everything that the node still has of it comes behind the cursor. `rotated` is for an answer from the
    log's beginning on: all of it is given if its first line is later than the cursor's; if not, `broken` is set, and
    nothing is given. `trusting` does not look.
    """

    def __init__(self, cursor: Cursor | None, *, rotated: bool = False, trusting: bool = False) -> None:
        self.cursor = cursor
        self.found = cursor is None or rotated
        self.broken = False
        #: What was in the answer and is no line of a log: the words of a node that cannot read it.
        self.noise = ""
        #: The stamp of the first line that was given.
        self.first = b""
        #: Bytes that were given.
        self.taken = 0
        self._least = _order(cursor.stamp) if cursor and rotated and not trusting else None
        self._wanted = (heads_of(cursor.stamp), cursor) if cursor else None
        self._passed = 0
        self._carry = b""
        self._inside = False  # of a line that is not wanted
        self._open = False  # the line that is being read has been given in part
        self._ignore = 0  # bytes of its text that are kept already
        self._recent: dict[bytes, int] = {cursor.stamp: cursor.nth} if cursor and not rotated else {}

    def feed(self, data: bytes) -> bytes:
        """What is to be kept of the next piece of the answer: whole lines, and long pieces of unfinished ones."""
        data = self._carry + data
        self._carry = b""
        if not self.found:
            data = self._seek(data)
        return self._take(data) if self.found else b""

    def finish(self, last: bool) -> bytes:
        """What is to be kept of the end of the answer: an unfinished line, if this is the `last` that the log has."""
        rest, self._carry = self._carry, b""
        if rest and not self.found:
            rest = self._seek(rest, True)
        if self._open:
            rest = rest[self._ignore :]
            return self._piece(rest) if last else b""
        if not rest or not self._check(rest):
            return b""
        return self._whole(rest + b"\n") if last else b""

    # Looking for the cursor

    def _seek(self, data: bytes, end: bool = False) -> bytes:
        """The text of the line at the cursor, and what follows; nothing while it is not found."""
        if self._wanted is None:
            return data
        (heads, cursor), start = self._wanted, 0
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

    # Behind it

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
        """What is new of the open line, and what follows it."""
        end = data.find(b"\n")
        known = min(self._ignore, len(data) if end < 0 else end)
        self._ignore -= known
        if end < 0:
            return b"", data[known:]
        self._open, self._ignore = False, 0
        return self._piece(data[known:end]), data[end + 1 :]

    def _piece(self, text: bytes) -> bytes:
        """More of the last line."""
        if not text or self.cursor is None:
            return b""
        self.cursor = self.cursor._replace(length=self.cursor.length + len(text))
        self.taken += len(text)
        return self.cursor.stamp + b"+ " + text + b"\n"

    def _whole(self, body: bytes) -> bytes:
        """Lines, without those that are none."""
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
        """Whether this is a line of a log."""
        if _HEADS.match(line):
            return True
        self.noise = self.noise or line[:_MAX_NOISE].decode(errors="replace").strip()
        return False


class Part:
    """Lines that become one part, compressed as they come."""

    def __init__(self) -> None:
        self.size = 0
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
        self._packed: list[bytes] = []

    def add(self, lines: bytes) -> None:
        """Add lines. Their newlines are what ends them."""
        self.size += len(lines)
        self._packed.append(self._packer.compress(lines))

    def close(self) -> bytes:
        """The part, as gzip."""
        return b"".join([*self._packed, self._packer.flush()])
