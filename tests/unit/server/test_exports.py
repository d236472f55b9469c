"""Tables as files: types, values that are not finite, names that a database does not tell apart."""

import math
from pathlib import Path

import duckdb
import pytest

from assay.server.pages.exports import Table, to_csv, to_parquet

pytestmark = pytest.mark.unit

TABLE: Table = (
    ["run", "Loss", "loss", 'a"b\0', "done", "steps", "none"],
    [["x\ud800", 1.5, "NaN", {"k": 1}, True, 3, None], ["'y", "-Infinity", 2, None, None, 2**62, None]],
)


def test_parquet_has_types_and_every_value(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    file.write_bytes(to_parquet(TABLE))
    found = duckdb.sql(f"SELECT * FROM '{file}'")
    assert found.columns == ["run", "Loss", "loss_2", 'a"b', "done", "steps", "none"]
    kinds = ["VARCHAR", "DOUBLE", "DOUBLE", "VARCHAR", "BOOLEAN", "BIGINT", "VARCHAR"]
    assert [str(kind) for kind in found.types] == kinds
    first, second = found.fetchall()
    assert first[:2] == ("x?", 1.5)
    assert math.isnan(first[2])
    assert first[3:] == ('{"k": 1}', True, 3, None)
    assert second == ("'y", -math.inf, 2.0, None, None, 2**62, None)


def test_parquet_of_no_rows_has_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    file.write_bytes(to_parquet((["run", "loss"], [])))
    assert duckdb.sql(f"SELECT * FROM '{file}'").columns == ["run", "loss"]


def test_csv_has_no_formulas() -> None:
    text = to_csv((["=a", "b"], [["+cmd|x", -1.5], ["-1", None]])).decode()
    assert text.splitlines() == ["'=a,b", "'+cmd|x,-1.5", "-1,"]
