"""What a page shows of a file: an image, a table, a confusion matrix or text. Pure.

A file is what a training pod wrote. What comes of it here are values that templates escape, never markup.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from assay.server.pages import shown

#: How much of a file is read, and how much of it a page shows.
BYTES: Final = 512 * 1024
_ROWS, _COLUMNS, _TEXT, _CELL = 200, 50, 64 * 1024, 300
_MATRIX = 40
IMAGES: Final = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_TEXTS: Final = (
    ".txt", ".log", ".md", ".py", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".html", ".htm", ".svg", ".xml", ".sh",
)  # fmt: skip
_TABLES: Final = (".csv", ".tsv", ".json", ".jsonl")


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion matrix. ``level``: its share of its row, from 0 to 9."""

    text: str
    level: int


@dataclass(frozen=True)
class Preview:
    """What to show. ``kind``: image, table, matrix, text, or "" for a file that can only be downloaded."""

    kind: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    matrix: Sequence[tuple[str, Sequence[Cell]]] = ()
    text: str = ""
    notes: list[str] = field(default_factory=list)


_Table = tuple[list[str], list[list[Any]]]


def kind_of(path: str) -> str:
    """Return what the name of a file promises: image, matrix, text (or a table), or ""."""
    name = path.lower().rpartition("/")[2]
    if name.endswith(IMAGES):
        return "image"
    if name.endswith(_TABLES):
        return "matrix" if "confusion" in name else "text"
    return "text" if name.endswith(_TEXTS) else ""


def of_file(path: str, data: bytes, *, whole: bool) -> Preview:
    """Return what to show of the beginning of a file, or of the ``whole`` of it."""
    kind = kind_of(path)
    if kind in ("", "image"):
        return Preview(kind)
    text = data.decode(errors="replace")
    table = _table(path.lower(), text, whole=whole) if path.lower().endswith(_TABLES) else None
    if table is None:
        return _text(text, whole=whole)
    if kind == "matrix" and (found := _matrix(table)):
        return found
    return _shown(table, whole=whole)


def _text(text: str, *, whole: bool) -> Preview:
    notes = [] if whole and len(text) <= _TEXT else ["Only the beginning is shown."]
    return Preview("text", text=text[:_TEXT], notes=notes)


def _shown(table: _Table, *, whole: bool) -> Preview:
    columns, rows = table
    cut = not whole or len(rows) > _ROWS or len(columns) > _COLUMNS
    notes = [f"The first {min(len(rows), _ROWS)} rows and {min(len(columns), _COLUMNS)} columns."] if cut else []
    cells = [[shown.value(value)[:_CELL] for value in row[:_COLUMNS]] for row in rows[:_ROWS]]
    return Preview("table", columns=columns[:_COLUMNS], rows=cells, notes=notes)


# Tables in files


def _table(path: str, text: str, *, whole: bool) -> _Table | None:
    """Return the table in a file, None if there is none."""
    if path.endswith((".csv", ".tsv")):
        return _separated(text if whole else text.rpartition("\n")[0], "\t" if path.endswith(".tsv") else ",")
    try:
        if path.endswith(".jsonl"):
            lines = text.splitlines() if whole else text.splitlines()[:-1]
            return _of_json([json.loads(line) for line in islice(lines, _ROWS + 1) if line.strip()])
        return _of_json(json.loads(text)) if whole else None
    except (ValueError, RecursionError):
        return None


def _separated(text: str, delimiter: str) -> _Table | None:
    try:
        rows = list(islice(csv.reader(io.StringIO(text), delimiter=delimiter), _ROWS + 2))
    except csv.Error:
        return None
    return (rows[0], [list(row) for row in rows[1:]]) if rows else None


def _of_json(value: Any) -> _Table | None:
    """Return the table in a JSON value: records, columns with data (as pandas and MLflow write), or a matrix."""
    if isinstance(value, dict):
        return _of_map(value)
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(each, dict) for each in value):
        names = list(dict.fromkeys(str(key) for each in value for key in each))
        return names, [[each.get(name) for name in names] for each in value]
    if all(isinstance(each, list) for each in value):
        width = max(map(len, value))
        return [str(at) for at in range(width)], value
    return None


def _of_map(value: dict[str, Any]) -> _Table | None:
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [shown.value(each) for each in columns], data
    matrix = next((value[name] for name in ("confusion_matrix", "matrix") if name in value), None)
    if isinstance(matrix, list) and matrix and all(isinstance(row, list) for row in matrix):
        labels = value.get("labels")
        known = labels if isinstance(labels, list) and len(labels) == len(matrix) else range(len(matrix))
        names = [shown.value(each) for each in known]
        return ["", *names], [[name, *row] for name, row in zip(names, matrix, strict=True)]
    if value and all(isinstance(each, list) for each in value.values()):
        height = max(map(len, value.values()))
        rows = [[each[at] if at < len(each) else None for each in value.values()] for at in range(height)]
        return [str(key) for key in value], rows
    if value and not any(isinstance(each, dict | list) for each in value.values()):
        return ["name", "value"], [[key, each] for key, each in value.items()]
    return None


# Confusion matrices


def _matrix(table: _Table) -> Preview | None:
    """Return a table as a confusion matrix, None if it is not square or not of numbers."""
    columns, rows = table
    if not 2 <= len(rows) <= _MATRIX:
        return None
    if len(columns) == len(rows) + 1:
        labels, cells = [shown.value(row[0]) if row else "" for row in rows], [row[1:] for row in rows]
        names = columns[1:]
    else:
        labels, cells, names = list(columns), rows, list(columns)
    numbers = [[_number(cell) for cell in row] for row in cells]
    if len(names) != len(rows) or any(len(row) != len(rows) or None in row for row in numbers):
        return None
    known = [[number for number in row if number is not None] for row in numbers]
    return Preview(
        "matrix", columns=names, matrix=[(label, _levels(row)) for label, row in zip(labels, known, strict=True)]
    )


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < float("inf") else None


def _levels(row: Sequence[float]) -> list[Cell]:
    total = sum(row) or 1.0
    return [Cell(f"{number:g}", min(9, int(10 * (number / total)))) for number in row]
