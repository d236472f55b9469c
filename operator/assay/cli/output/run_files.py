"""Writes runs as a Parquet file, for use in notebooks."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from assay.cli.errors import USAGE, CliError
from assay.cli.output import printing


def check(to: Path | None) -> None:
    """Raise CliError if the file cannot be written there."""
    if to is None and sys.stdout.isatty():
        raise CliError(
            "cannot print Parquet to a terminal", hint="write it to a file with --to runs.parquet", code=USAGE
        )
    if to is not None and not to.parent.is_dir():
        raise CliError(f"folder {to.parent} does not exist", hint="create it first", code=USAGE)


def write(titles: Sequence[str], rows: Sequence[Sequence[Any]], to: Path | None) -> None:
    """Write the rows as Parquet to a file, or to the standard output. Raises CliError if it cannot be written.

    A column is BOOLEAN, BIGINT or DOUBLE if all its values are, otherwise VARCHAR, with other values as JSON.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "runs.parquet"
        _write(titles, rows, file, Path(folder))
        try:
            if to is None:
                with file.open("rb") as data:
                    shutil.copyfileobj(data, sys.stdout.buffer)
                return
            shutil.copyfile(file, to)
        except OSError as error:
            raise CliError(f"cannot write {to}: {error.strerror}", code=USAGE) from None
    printing.note(f"wrote {len(rows)} runs to {to}")


def _write(titles: Sequence[str], rows: Sequence[Sequence[Any]], file: Path, scratch: Path) -> None:
    import duckdb

    kinds = [_kind(row[at] for row in rows) for at in range(len(titles))]
    lines = scratch / "rows.jsonl"
    with lines.open("w") as out:
        for row in rows:
            cells = {f"c{at}": _value(row[at], kind) for at, kind in enumerate(kinds)}
            out.write(json.dumps(cells) + "\n")
    columns = ", ".join(f"c{at}: '{kind}'" for at, kind in enumerate(kinds))
    named = ", ".join(f"c{at} AS {_quoted(title, chr(34))}" for at, title in enumerate(titles))
    source = f"read_json({_quoted(str(lines), chr(39))}, format = 'newline_delimited', columns = {{{columns}}})"
    settings = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "home_directory": str(scratch),
    }
    with duckdb.connect(":memory:", config=settings) as database:
        target = _quoted(str(file), chr(39))
        database.execute(f"COPY (SELECT {named} FROM {source}) TO {target} (FORMAT parquet)")  # noqa: S608 - quoted


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, 2 * mark) + mark


def _kind(values: Iterable[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int}:
        return "BIGINT"
    return "DOUBLE" if kinds and kinds <= {int, float} else "VARCHAR"


def _value(value: Any, kind: str) -> Any:
    if value is None or kind != "VARCHAR" or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
