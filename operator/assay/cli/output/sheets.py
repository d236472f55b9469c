"""Prints answers about one object as facts and tables, and lists in all formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from assay.cli.output import printing
from assay.cli.output.printing import Column, Format


def listing(items: Sequence[Any], columns: Sequence[Column], rows: Iterable[Sequence[object]], output: Format) -> None:
    """Print a list: ``items`` as JSON or YAML under the key ``items``, or ``rows`` as a table or CSV."""
    if output in (Format.JSON, Format.YAML):
        printing.document({"items": list(items)}, output.value)
    elif output is Format.CSV:
        printing.rows_as_csv([column.title for column in columns], rows)
    else:
        printing.table(columns, rows, output)


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Print names and aligned values; names without a value are omitted."""
    known = [(name, line(value)) for name, value in rows if value not in (None, "")]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        printing.write(f"  {name.ljust(width)}  {value}")


def line(text: object) -> str:
    """Return a text as one clean line, so that text from users cannot imitate a line of the answer."""
    return printing.clean(" ".join(str(text).split()))


def section(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """Print an empty line and a table; nothing if it has no rows."""
    if rows:
        printing.write("")
        printing.table(columns, rows)


def age(since: str | None, now: datetime | None = None) -> str:
    """Return the age of an RFC 3339 time in one unit: 40s, 5m, 30h, 12d; "" without a time."""
    if not since:
        return ""
    seconds = max(0, int(((now or datetime.now(UTC)) - datetime.fromisoformat(since)).total_seconds()))
    for size, unit, longest in ((1, "s", 120), (60, "m", 120), (3600, "h", 48)):
        if seconds < size * longest:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


def size(count: int | None) -> str:
    """Format a number of bytes; "" for None."""
    if count is None:
        return ""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
