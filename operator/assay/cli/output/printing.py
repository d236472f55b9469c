"""Prints tables for users and documents for programs. Colours and widths apply only to a terminal.

Texts may come from objects of other users, so control sequences are removed before printing.
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

from assay.planning.conditions import format_value

if TYPE_CHECKING:
    from rich.console import Console

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Format(StrEnum):
    """Output format of a list. `wide` is a table with more columns."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


class Document(StrEnum):
    """Output format of a single answer: text for users, or a document."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True)
class Column:
    """One column of a table. A `wide` one is omitted from the plain table; numbers are right-aligned."""

    title: str
    wide: bool = False
    number: bool = False
    #: Styles by the text of a cell, such as {"Failed": "red"}; only on a terminal.
    styles: dict[str, str] = field(default_factory=dict)


PHASE = {"Succeeded": "green", "Ready": "green", "Bound": "green", "Failed": "red", "Refused": "red", "Held": "yellow"}


def clean(text: object) -> str:
    """Replace the control characters of a text."""
    return _CONTROL.sub("\ufffd", str(text))


def console() -> Console:
    """Return the standard output as a console. Unless it is a terminal, lines are not wrapped."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    output: Format = Format.TABLE,
    above: Sequence[int] = (),
) -> list[int]:
    """Print rows like kubectl: two spaces between columns, no lines; None and "" are shown as `-`.

    Return the widths of the columns. Given the widths of the rows ``above``, the table continues them without a header.
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
    """Format a value for a table, on one line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return number(value)
    return clean(value).replace("\n", " ").replace("\t", " ")


def number(value: float) -> str:
    """Format a number with six significant digits; NaN and infinities by name."""
    return format_value(value)


_ANSI = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}


def _line(cells: Sequence[str], heads: Sequence[Column], widths: Sequence[int], *, coloured: bool) -> str:
    parts = []
    for text, head, width in zip(cells, heads, widths, strict=True):
        padded = text.rjust(width) if head.number else text.ljust(width)
        style = head.styles.get(text, "") if coloured else ""
        parts.append(f"\x1b[{_ANSI[style]}m{padded}\x1b[0m" if style else padded)
    return "  ".join(parts).rstrip()


def document(value: Any, output: str) -> None:
    """Print a value as indented JSON or as YAML, with keys in their order."""
    if output == "yaml":
        import yaml

        write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n"))
    else:
        write(json.dumps(value, indent=2, ensure_ascii=False))


def rows_as_csv(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows as CSV (RFC 4180) with a header; None is an empty field."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(["" if value is None else value for value in row] for row in rows)


def write(text: str) -> None:
    """Print a text and a newline."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print a note about the answer to the standard error stream."""
    sys.stderr.write(clean(text) + "\n")
