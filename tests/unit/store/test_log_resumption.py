"""Log resumption: each line is stored once and in order, whatever a node returns and when."""

import gzip
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.store import log_resumption
from assay.store.log_resumption import Cursor, LogResumption, Part, cursor_of, since

pytestmark = pytest.mark.unit

_EPOCH = datetime(2026, 3, 1, 11, 59, 58, tzinfo=UTC)
_BACK = timedelta(seconds=5)


class Written(NamedTuple):
    """A line that a program wrote; `at` in nanoseconds."""

    at: int
    text: bytes


def stamp(at: int, digits: int = 9) -> bytes:
    moment = _EPOCH + timedelta(seconds=at // 10**9)
    fraction = f"{at % 10**9:09d}"[:digits]
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction}Z".encode()


class Node:
    """A container's log as a kubelet returns it: complete lines of the current file, in the order of writing."""

    def __init__(self) -> None:
        self.lines: list[Written] = []
        self.first = 0

    def write(self, lines: list[Written]) -> None:
        self.lines += lines

    def rotate(self, keep: int) -> None:
        """Leave only the last `keep` lines in the file; what was written at once stays together."""
        first = max(self.first, len(self.lines) - keep)
        while 0 < first < len(self.lines) and self.lines[first].at == self.lines[first - 1].at:
            first += 1
        self.first = first

    def answer(self, after: str = "", cut: int = 0) -> bytes:
        """The answer to a request. The last `cut` bytes of it have not been written yet, or do not arrive."""
        least = stamp(0)[:19] if not after else after.encode()[:19]
        found = [line for line in self.lines[self.first :] if stamp(line.at)[:19] >= least]
        data = b"".join(stamp(line.at) + b" " + line.text + b"\n" for line in found)
        return data[: max(0, len(data) - cut)]


class Reader:
    """Reads like the operator and stores the result in parts."""

    def __init__(self, pieces: list[int]) -> None:
        self.parts: list[bytes] = []
        self.cursor: Cursor | None = None
        self.gaps = 0
        self._pieces = pieces

    def read(self, node: Node, cut: int = 0, last: bool = False) -> None:
        found = self._pass(
            LogResumption(self.cursor), node.answer(since(self.cursor, _BACK) if self.cursor else "", cut), last
        )
        if not found.found:
            found = self._pass(LogResumption(self.cursor, rotated=True), node.answer(cut=cut), last)
            self.gaps += found.taken > 0

    def _pass(self, found: LogResumption, data: bytes, last: bool) -> LogResumption:
        part = Part()
        start = 0
        for size in [*self._pieces, len(data)]:
            part.add(found.feed(data[start : start + size]))
            start += size
        part.add(found.finish(last))
        if found.found and not found.broken:
            self.cursor = found.cursor
            if part.size:
                self.parts.append(gzip.decompress(part.close()))
        return found

    def forget(self) -> None:
        """Restart from the stored parts, as after a crash."""
        self.cursor = cursor_of(reversed(self.parts))

    @property
    def kept(self) -> bytes:
        """The stored lines, with the pieces of each line joined."""
        whole: list[bytes] = []
        for line in b"".join(self.parts).split(b"\n")[:-1]:
            head, _, text = line.partition(b" ")
            if head.endswith(b"+"):
                assert whole[-1].startswith(head[:-1] + b" ")
                whole[-1] += text
            else:
                whole.append(line)
        return b"".join(line + b"\n" for line in whole)


texts = st.sampled_from(
    [b"", b"a", b"a", b"bb", b"x" * 70, b"progress\rprogress 2", "ü".encode(), b"2026-03-01T12:00:00Z "]
)
# Nanoseconds between lines: none, as under one stamp; a little; over a second. And a little back, as of two streams.
steps = st.sampled_from([0, 0, 0, 10, 100, 10**8, 15 * 10**8])
batches = st.lists(st.tuples(st.one_of(steps, st.just(-3)), texts), max_size=8)
forward = st.lists(st.tuples(steps, texts), max_size=8)


def written(node: Node, at: int, batch: list[tuple[int, bytes]]) -> int:
    """Write lines beginning at a time, and return the end time."""
    for step, text in batch:
        if step < 0:
            node.write([Written(at + step, text)])
            at += 7
        else:
            at += step
            node.write([Written(at, text)])
    return at


@given(
    st.lists(st.tuples(batches, st.integers(0, 90), st.booleans()), min_size=1, max_size=8),
    st.lists(st.integers(1, 50), max_size=20),
)
def test_overlapping_answers_give_each_line_once_and_in_order(
    rounds: list[tuple[list[tuple[int, bytes]], int, bool]], pieces: list[int]
) -> None:
    node, reader, at = Node(), Reader(pieces), 10**9
    for batch, cut, crash in rounds:
        at = written(node, at, batch)
        reader.read(node, min(cut, len(node.answer()) - len(reader.kept)))
        if crash:
            reader.forget()
        assert node.answer().startswith(reader.kept)
    reader.read(node, last=True)
    reader.forget()
    reader.read(node, last=True)
    assert reader.kept == node.answer()
    assert reader.gaps == 0


@given(st.lists(st.tuples(forward, st.integers(0, 300), st.booleans()), min_size=1, max_size=8))
def test_truncated_answers_lose_and_duplicate_nothing(
    rounds: list[tuple[list[tuple[int, bytes]], int, bool]],
) -> None:
    node, reader, at = Node(), Reader([]), 10**9
    for batch, cut, crash in rounds:
        at = written(node, at, batch)
        reader.read(node, cut)
        if crash:
            reader.forget()
        assert node.answer().startswith(reader.kept)
    reader.read(node, last=True)
    assert reader.kept == node.answer()
    assert reader.gaps == 0


@given(st.lists(st.tuples(forward, st.integers(0, 20), st.booleans()), min_size=1, max_size=8))
def test_rotation_loses_only_what_was_rotated_before_it_was_read(
    rounds: list[tuple[list[tuple[int, bytes]], int, bool]],
) -> None:
    node, reader, at = Node(), Reader([]), 10**9
    expected: list[bytes] = []
    read = 0
    for batch, keep, crash in rounds:
        # A rotation takes longer than the clock stands still.
        at = written(node, at + 10, batch)
        node.rotate(keep)
        expected += [stamp(line.at) + b" " + line.text + b"\n" for line in node.lines[max(read, node.first) :]]
        read = len(node.lines)
        reader.read(node)
        if crash:
            reader.forget()
    assert reader.kept == b"".join(expected)


@given(st.lists(st.integers(0, 3 * log_resumption.PIECE_BYTES), min_size=1, max_size=6), st.booleans())
def test_a_growing_line_is_stored_in_pieces(sizes: list[int], crash: bool) -> None:
    node, reader = Node(), Reader([1000])
    node.write([Written(1, b"before"), Written(2, b"")])
    for number, size in enumerate(sizes):
        node.lines[-1] = Written(2, node.lines[-1].text + bytes([97 + number]) * size)
        reader.read(node, cut=1)  # its newline is not there yet
        if crash:
            reader.forget()
    assert len(node.lines[-1].text) - sum(map(len, reader.parts)) <= log_resumption.PIECE_BYTES
    node.write([Written(3, b"after")])
    reader.read(node, last=True)
    assert reader.kept == node.answer()


def test_an_answer_that_ends_before_the_cursor_is_not_a_rotated_log() -> None:
    early, late = (stamp(at) + b" a\n" for at in (1, 2))
    for answer in (early, early + late):
        found = LogResumption(Cursor(stamp(2), 2, 1), rotated=True)
        assert found.feed(answer) + found.finish(True) == b""
        assert found.broken
    found = LogResumption(Cursor(stamp(2), 2, 1), rotated=True, trusting=True)
    assert found.feed(early) == early


def test_an_unfinished_line_is_stored_only_at_the_end() -> None:
    node, reader = Node(), Reader([])
    node.write([Written(1, b"whole"), Written(2, b"half")])
    reader.read(node, cut=1)
    assert reader.kept == stamp(1) + b" whole\n"
    reader.read(node, cut=1, last=True)
    reader.read(node, cut=1, last=True)
    assert reader.kept == stamp(1) + b" whole\n" + stamp(2) + b" half\n"
    reader.forget()
    reader.read(node, last=True)
    assert reader.kept == node.answer()


def test_text_that_is_not_a_log_line_is_noise_and_not_stored() -> None:
    words = b"unable to retrieve container logs for containerd://0123"
    found = LogResumption(None)
    assert found.feed(words) + found.finish(True) == b""
    assert found.noise == words.decode()
    found = LogResumption(None)
    line = stamp(1) + b" a\n"
    assert found.feed(line + words) + found.finish(True) == line
    assert found.noise == words.decode()
    assert found.cursor == Cursor(stamp(1), 1, 1)


def test_a_tail_of_a_line_whose_beginning_was_filtered_is_dropped() -> None:
    found = LogResumption(None)
    assert found.feed(b"tail of a long line\n" + stamp(1) + b" a\n") == stamp(1) + b" a\n"


def test_timestamps_with_other_trailing_zeros_are_equal() -> None:
    found = LogResumption(Cursor(b"2026-03-01T12:00:00.12Z", 1, 1))
    assert (
        found.feed(stamp(2 * 10**9 + 12 * 10**7) + b" a\n" + stamp(3 * 10**9) + b" b\n") == stamp(3 * 10**9) + b" b\n"
    )
    found = LogResumption(Cursor(b"2026-03-01T12:00:00Z", 1, 1))
    assert found.feed(b"2026-03-01T12:00:00.000000000Z a\n2026-03-01T12:00:00.5Z b\n").endswith(b" b\n")


def test_since_is_in_whole_seconds_and_in_the_node_s_zone() -> None:
    assert since(Cursor(b"2026-03-01T12:00:03.999Z", 1, 0), timedelta(seconds=5)) == "2026-03-01T11:59:58+00:00"
    assert since(Cursor(b"2026-03-01T00:00:03+05:30", 1, 0), timedelta(seconds=5)) == "2026-02-28T23:59:58+05:30"


def test_older_parts_with_other_timestamps_are_not_read() -> None:
    def parts():
        yield stamp(10**9) + b" a\n" + stamp(4 * 10**9) + b" b\n"
        raise AssertionError("an older part was asked for")

    assert cursor_of(parts()) == Cursor(stamp(4 * 10**9), 1, 1)
    assert cursor_of([]) is None
