"""The compacted file has exactly the points of the parts, bit for bit."""

import gzip
import json
import math
from pathlib import Path

import duckdb
import pytest

from assay.recorder.parquet import ParquetError, write_parquet

pytestmark = pytest.mark.unit

Row = tuple[str, float, float, float | str]


def write_part(path: Path, rows: list[Row]) -> Path:
    names = ("metric", "step", "time", "value")
    lines = "".join(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))
    return path


def read(path: Path) -> list[Row]:
    found: list[Row] = duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()
    return found


def test_every_value_survives_in_its_order(tmp_path: Path) -> None:
    odd = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, math.pi, 1e22, 123456789.123456789]
    first: list[Row] = [("loss", step / 2, 1763700000.123 + step, value) for step, value in enumerate(odd)]
    second: list[Row] = [("späße \"'\\", -(2.0**63), 0.0, 1.0), ("x", 2.0**53, 1.0, -1.0)]
    parts = [write_part(tmp_path / "1.gz", first), write_part(tmp_path / "it's 2.gz", second)]
    write_parquet(parts, 10, tmp_path / "metrics.parquet", tmp_path)
    assert repr(read(tmp_path / "metrics.parquet")) == repr(first + second)


def test_steps_may_be_whole_and_values_not_finite(tmp_path: Path) -> None:
    part = write_part(
        tmp_path / "1.gz", [("a", 1, 1.0, "NaN"), ("a", 2.5, 1.0, "Infinity"), ("a", 3, 1.0, "-Infinity")]
    )
    write_parquet([part], 3, tmp_path / "metrics.parquet", tmp_path)
    expected = [("a", 1.0, 1.0, math.nan), ("a", 2.5, 1.0, math.inf), ("a", 3.0, 1.0, -math.inf)]
    assert repr(read(tmp_path / "metrics.parquet")) == repr(expected)


def test_without_points_the_file_is_empty_but_has_columns(tmp_path: Path) -> None:
    write_parquet([], 0, tmp_path / "metrics.parquet", tmp_path)
    described = duckdb.sql(f"DESCRIBE SELECT * FROM read_parquet('{tmp_path}/metrics.parquet')").fetchall()
    columns = [(name, kind) for name, kind, *_ in described]
    assert columns == [("metric", "VARCHAR"), ("step", "DOUBLE"), ("time", "DOUBLE"), ("value", "DOUBLE")]
    assert read(tmp_path / "metrics.parquet") == []


def test_a_part_with_missing_points_is_detected(tmp_path: Path) -> None:
    part = write_part(tmp_path / "1.gz", [("a", 1, 1.0, 1.0)])
    with pytest.raises(ParquetError, match="the file has 1 rows, but 2 were recorded"):
        write_parquet([part], 2, tmp_path / "metrics.parquet", tmp_path)


def test_a_corrupt_part_is_detected(tmp_path: Path) -> None:
    (tmp_path / "1.gz").write_bytes(b"no gzip")
    with pytest.raises(ParquetError):
        write_parquet([tmp_path / "1.gz"], 1, tmp_path / "metrics.parquet", tmp_path)
