"""How answers look: tables for people, documents for programs. Colours and widths only where a terminal is.

What is printed here may come from anybody's object: it is cleaned of everything that a terminal would obey.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Format(StrEnum):
    """How a list is printed. `wide` is a table with more columns."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


class Document(StrEnum):
    """How one answer is printed: for people, or as a document."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True)
class Column:
    """One column of a table. A `wide` one is left out of the plain table; numbers stand at the right."""

    title: str
    wide: bool = False
    number: bool = False
    #: The style of a cell's text, such as {"Failed": "red"}; only on a terminal.
    styles: dict[str, str] = field(default_factory=dict)


PHASE = {"Succeeded": "green", "Ready": "green", "Bound": "green", "Failed": "red", "Refused": "red", "Held": "yellow"}


def clean(text: object) -> str:
    """Return a text without what a terminal would take for commands."""
    return _CONTROL.sub("\ufffd", str(text))


def console() -> Console:
    """The standard output. Plain text of any width unless it is a terminal."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    output: Format = Format.TABLE,
    above: Sequence[int] = (),
) -> list[int]:
    """Print rows in kubectl's manner: no lines, two spaces between columns; None and "" are shown as `-`.

    Return the widths of the columns. With those of the rows ``above`` the table goes on below them, without a head.
    """
    shown = [index for index, column in enumerate(columns) if output is Format.WIDE or not column.wide]
    cells = [[cell(row[index]) for index in shown] for row in rows]
    heads = [columns[index] for index in shown]
    least = above or [len(head.title) for head in heads]
    widths = [max([least[at], *(len(row[at]) for row in cells)]) for at in range(len(heads))]
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    lines = [] if above else [_line([head.title for head in heads], heads, widths, coloured=False)]
    lines += [_line(row, heads, widths, coloured=coloured) for row in cells]
    if lines:
        write("\n".join(lines))
    return widths


def cell(value: object) -> str:
    """A value as a table has it, on one line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return number(value)
    return clean(value).replace("\n", " ").replace("\t", " ")


def number(value: float) -> str:
    """A number as people read it: six digits that count."""
    return f"{value:.6g}"


_ANSI = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}


def _line(cells: Sequence[str], heads: Sequence[Column], widths: Sequence[int], *, coloured: bool) -> str:
    parts = []
    for text, head, width in zip(cells, heads, widths, strict=True):
        padded = text.rjust(width) if head.number else text.ljust(width)
        style = head.styles.get(text, "") if coloured else ""
        parts.append(f"\x1b[{_ANSI[style]}m{padded}\x1b[0m" if style else padded)
    return "  ".join(parts).rstrip()


def document(value: Any, output: str) -> None:
    """Print a value as JSON or YAML; JSON is indented, and keeps the order of the keys."""
    if output == "yaml":
        import yaml

        write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n"))
    else:
        write(json.dumps(value, indent=2, ensure_ascii=False))


def rows_as_csv(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as CSV with a head, as RFC 4180 has it; what is not there is an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(["" if value is None else value for value in row] for row in rows)


def write(text: str) -> None:
    """Print a text and a line's end."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Say something about the answer that is not part of it, on the standard error."""
    sys.stderr.write(clean(text) + "\n")
