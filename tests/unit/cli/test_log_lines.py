"""Log lines: byte for byte in a pipe, without control sequences on a terminal."""

import io
import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.cli.output.log_lines import Printer, harmless
from assay.store.log_resumption import PIECE_BYTES, LogResumption
from assay.store.logs import Line

pytestmark = pytest.mark.unit

STAMP = b"2026-03-01T12:00:00.5Z"


class Out(io.BytesIO):
    """Standard output: a pipe, or a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def printed(monkeypatch: pytest.MonkeyPatch, *data: bytes, terminal: bool = False, timestamps: bool = False) -> bytes:
    """Return what a Printer prints for the output of a LogResumption."""
    out = Out(terminal)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out, isatty=out.isatty))
    printer = Printer(timestamps)
    for each in data:
        printer.new(each)
    printer.close()
    return out.getvalue()


def test_colours_are_kept_and_cursor_movements_removed() -> None:
    assert harmless("plain") == "plain"
    assert harmless("\x1b[1;32mgood") == "\x1b[1;32mgood\x1b[0m"
    assert harmless("\x1b[2Jgone\x07\x1b]0;title\x07") == "\ufffd[2Jgone\ufffd\ufffd]0;title\ufffd"
    assert harmless("10%\r 50%\r100%\r") == "100%"


@given(st.text(st.sampled_from("a\x1b[]0;3m\r\n\x07J\x9b")))
def test_only_colour_sequences_reach_a_terminal(text: str) -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", harmless(text))
    assert not any(ord(sign) < 32 and sign not in "\t\n" for sign in shown)


def test_lines_are_piped_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    data = STAMP + b" one\x1b[2J\r\n" + STAMP + b" \n" + STAMP + b" \xff\n"
    assert printed(monkeypatch, data) == b"one\x1b[2J\r\n\n\xff\n"
    assert printed(monkeypatch, data, timestamps=True).count(STAMP) == 3
    assert printed(monkeypatch, data, terminal=True) == "one\ufffd[2J\n\n\ufffd\n".encode()


def test_a_line_in_pieces_is_printed_as_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    long = b"x" * (3 * PIECE_BYTES)
    whole = STAMP + b" before\n" + STAMP + b" " + long + b"\n" + STAMP + b" after\n"
    log_resumption = LogResumption(None)
    given = [log_resumption.feed(whole[at : at + 10_000]) for at in range(0, len(whole), 10_000)]
    assert printed(monkeypatch, *given, log_resumption.finish(True)) == b"before\n" + long + b"\nafter\n"


def test_tail_prints_the_last_stored_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Out(False)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out, isatty=out.isatty))
    Printer(False).stored(iter([Line("t", str(number)) for number in range(10)]), 2)
    assert out.getvalue() == b"8\n9\n"
