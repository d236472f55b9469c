"""A table as a file: CSV, which no spreadsheet executes, or Parquet with types. Pure, but for a temporary folder."""

# ruff: noqa: S608 (names of columns are quoted; values are in a file)
from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.api.errors import RequestFailed
from assay.api.numbers import NOT_FINITE, of_json
from assay.server.pages import shown

#: Column names and rows.
Table = tuple[Sequence[str], Sequence[Sequence[Any]]]


def to_csv(table: Table) -> bytes:
    """Return a table as CSV."""
    names, rows = table
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([_safe(name) for name in names])
    for row in rows:
        writer.writerow([_safe(_plain(value)) for value in row])
    return text.getvalue().encode(errors="replace")


def _safe(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if text[:1] in ("=", "+", "-", "@", "\t", "\r"):
        try:
            float(text)
        except ValueError:
            return "'" + text
    return text


def _plain(value: Any) -> str:
    return repr(value) if isinstance(value, float) else shown.value(value)


def to_parquet(table: Table) -> bytes:
    """Return a table as Parquet: each column as whole numbers, numbers, truth values or text. Raises RequestFailed.

    Names that differ only in case get a number, because DuckDB, which writes the file, does not tell them apart.
    """
    import duckdb

    names, rows = table
    kinds = [_kind([row[at] for row in rows]) for at in range(len(names))]
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        source, target = Path(folder) / "rows.jsonl", Path(folder) / "rows.parquet"
        with source.open("w") as out:
            for row in rows:
                cells = {f"c{at}": _cell(value, kinds[at]) for at, value in enumerate(row) if value is not None}
                out.write(json.dumps(cells) + "\n")
        settings = {"temp_directory": folder, "home_directory": folder,
                    "autoinstall_known_extensions": False, "autoload_known_extensions": False}  # fmt: skip
        try:
            with duckdb.connect(":memory:", config=settings) as database:
                database.execute(f"COPY ({_query(source, _distinct(names), kinds)}) TO '{target}' (FORMAT parquet)")
        except duckdb.Error as error:
            raise RequestFailed(f"cannot write the table as Parquet: {' '.join(str(error).split())[:300]}") from None
        return target.read_bytes()


def _query(source: Path, names: Sequence[str], kinds: Sequence[str]) -> str:
    named = ", ".join(f"c{at} AS {_name(name)}" for at, name in enumerate(names))
    columns = ", ".join(f"c{at}: '{kind}'" for at, kind in enumerate(kinds))
    return f"SELECT {named} FROM read_json('{source}', format = 'newline_delimited', columns = {{{columns}}})"


def _distinct(names: Sequence[str]) -> list[str]:
    found: dict[str, str] = {}
    for name in names:
        unique, number = name, 1
        while unique.lower() in found:
            number += 1
            unique = f"{name}_{number}"
        found[unique.lower()] = unique
    return list(found.values())


def _name(text: str) -> str:
    return '"' + text.encode(errors="replace").decode().replace('"', '""').replace("\0", "") + '"'


def _kind(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return "BOOLEAN"
    if any(isinstance(value, bool) or of_json(value) is None for value in known) or not known:
        return "VARCHAR"
    whole = all(isinstance(value, int) and abs(value) < 2**63 for value in known)
    return "BIGINT" if whole else "DOUBLE"


def _cell(value: Any, kind: str) -> Any:
    if kind == "VARCHAR":
        return shown.value(value).encode(errors="replace").decode().replace("\0", "")
    if kind == "DOUBLE":
        number = of_json(value)
        # JSON has no infinity; DuckDB reads these words.
        return str(number) if number in NOT_FINITE.values() or number != number else number
    return value
