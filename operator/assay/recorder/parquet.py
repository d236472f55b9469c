"""Compacts the parts of the metrics into one Parquet file when a run ends, in bounded memory."""

# ruff: noqa: S608 (the queries contain only trusted names)
from __future__ import annotations

from pathlib import Path

MEMORY_LIMIT = "128MB"
_COLUMNS = "{metric: 'VARCHAR', step: 'DOUBLE', time: 'DOUBLE', value: 'DOUBLE'}"


class ParquetError(Exception):
    """The file could not be written. The parts hold the same points."""


def write_parquet(parts: list[Path], points: int, target: Path, scratch: Path) -> None:
    """Write the rows of `parts` in order to `target`. Raises ParquetError, also if the file has not `points` rows."""
    try:
        import duckdb  # large, and needed only once

        settings = {
            "memory_limit": MEMORY_LIMIT,
            "threads": 1,
            "temp_directory": str(scratch),
            "home_directory": str(scratch),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with duckdb.connect(":memory:", config=settings) as database:
            target.unlink(missing_ok=True)
            database.execute(f"COPY ({_query(parts)}) TO {_text(target)} (FORMAT parquet, COMPRESSION zstd)")
            found = database.execute(f"SELECT count(*) FROM read_parquet({_text(target)})").fetchone()
    except Exception as error:
        raise ParquetError(" ".join(str(error).split())[:300]) from None
    if found is None or found[0] != points:
        raise ParquetError(f"the file has {found and found[0]} rows, but {points} were recorded")


def _query(parts: list[Path]) -> str:
    if not parts:
        return (
            "SELECT NULL::VARCHAR AS metric, NULL::DOUBLE AS step, NULL::DOUBLE AS time, NULL::DOUBLE AS value "
            "WHERE false"
        )
    files = ", ".join(_text(part) for part in parts)
    return (
        f"SELECT metric, step, time, value FROM read_json([{files}], format = 'newline_delimited', "
        f"compression = 'gzip', columns = {_COLUMNS})"
    )


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
