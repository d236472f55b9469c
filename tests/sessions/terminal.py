"""One command in a terminal of 110 columns, and what is left on its screen when it has ended."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

COLUMNS, ROWS = 110, 28
_READ = 1 << 16
#: A sequence that is a terminal's business (groups: parameters, command; or a whole title), or a character.
_TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b\].*?(?:\x07|\x1b\\)|\x1b.|[\s\S]")


@dataclass
class Screen:
    """A terminal's screen without end: it knows what programs use that draw a picture anew in its place."""

    lines: list[list[str]] = field(default_factory=lambda: [[]])
    row: int = 0
    column: int = 0

    def write(self, text: str) -> None:
        """Do what a terminal does with a text."""
        for token in _TOKEN.finditer(text):
            if token[2]:
                self._obey(token[2], token[1])
            elif len(token[0]) == 1:
                self._put(token[0])

    def text(self) -> str:
        """What is to be seen, without blanks at the ends of lines."""
        return "\n".join("".join(line).rstrip() for line in self.lines).strip("\n")

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._down(1)
        elif character >= " ":
            line = self.lines[self.row]
            line.extend(" " * (self.column + 1 - len(line)))
            line[self.column] = character
            self.column += 1

    def _down(self, count: int) -> None:
        self.row += count
        self.lines.extend([] for _ in range(self.row + 1 - len(self.lines)))

    def _obey(self, command: str, parameters: str) -> None:
        count = int(parameters) if parameters.isdigit() else 0
        line = self.lines[self.row]
        if command == "A":
            self.row = max(0, self.row - max(1, count))
        elif command == "B":
            self._down(max(1, count))
        elif command == "G":
            self.column = max(1, count) - 1
        elif command == "K":
            self.lines[self.row] = [] if count == 2 else line[: self.column]
        elif command == "J":
            self.lines[self.row :] = [line[: self.column]]


def run(command: str, *, environment: Mapping[str, str], folder: Path, seconds: float) -> tuple[int, str]:
    """Run a shell command in a terminal; return its exit code, and what is on the screen in the end.

    Raises subprocess.TimeoutExpired.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        ["timeout", "--foreground", str(seconds), "bash", "-euo", "pipefail", "-c", command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm", "LINES": str(ROWS), "COLUMNS": str(COLUMNS)},
        cwd=folder,
        start_new_session=True,
    )
    os.close(theirs)
    screen = Screen()
    screen.write(b"".join(iter(lambda: _read(ours), b"")).decode(errors="replace"))
    os.close(ours)
    return process.wait(), screen.text()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ)
    except OSError:  # what Linux says when the last program has let go of the terminal
        return b""
