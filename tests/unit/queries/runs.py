"""Rows of runs for unit tests."""

from typing import Any

from assay.queries.runs import rows
from assay.queries.runs.rows import RunRow

FOUND = {"last": 0.8, "min": 0.1, "max": 0.9, "step": 7, "count": 7}


def row(name: str = "r-1", **fields: Any) -> RunRow:
    """Return the row of a run; `fields` replace its values."""
    run = {"metadata": {"name": name, "uid": f"uid of {name}", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    return {**rows.of_run(run), **fields}  # type: ignore[typeddict-item]
