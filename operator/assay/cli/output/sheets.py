"""Answers about one object, facts line by line and tables under titles; and lists in every format that there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from assay.cli.output import printing
from assay.cli.output.printing import Column, Format


def listing(items: Sequence[Any], columns: Sequence[Column], rows: Iterable[Sequence[object]], output: Format) -> None:
    """Print a list: ``items`` as JSON or YAML below ``items``, ``rows`` as a table or as CSV."""
    if output in (Format.JSON, Format.YAML):
        printing.document({"items": list(items)}, output.value)
    elif output is Format.CSV:
        printing.rows_as_csv([column.title for column in columns], rows)
    else:
        printing.table(columns, rows, output)


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Print names and values, the values below each other; what has no value is left out."""
    known = [(name, line(value)) for name, value in rows if value not in (None, "")]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        printing.write(f"  {name.ljust(width)}  {value}")


def line(text: object) -> str:
    """Return a text in one line, cleaned: what people have written must not look like a line of the answer."""
    return printing.clean(" ".join(str(text).split()))


def section(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with an empty line before it, nothing when it has no rows."""
    if rows:
        printing.write("")
        printing.table(columns, rows)


def age(since: str | None, now: datetime | None = None) -> str:
    """Return how long ago an RFC 3339 time was, in its largest unit: 40s, 5m, 30h, 12d; "" for no time."""
    if not since:
        return ""
    seconds = max(0, int(((now or datetime.now(UTC)) - datetime.fromisoformat(since)).total_seconds()))
    for size, unit, longest in ((1, "s", 120), (60, "m", 120), (3600, "h", 48)):
        if seconds < size * longest:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


def size(count: int | None) -> str:
    """Return a number of bytes as people read it, "" when it is not known."""
    if count is None:
        return ""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
