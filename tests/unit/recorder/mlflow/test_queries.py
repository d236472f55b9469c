"""Filters and orders of the search calls."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.recorder.collectors.mlflow.errors import MlflowError
from assay.recorder.collectors.mlflow.queries import like, matching, ordered, page

pytestmark = pytest.mark.unit

ROWS: list[dict[str, Any]] = [
    {"metrics.acc": 0.9, "params.kind": "alpha", "attributes.status": "FINISHED", "tags.a b": "it's"},
    {"metrics.acc": 0.8, "params.kind": "Beta", "attributes.status": "FAILED"},
    {"params.kind": "gamma", "attributes.status": "RUNNING"},
]


def lookup(row: dict[str, Any], kind: str, key: str) -> Any:
    return row.get(f"{kind}.{key}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [0, 1, 2]),
        ("metrics.acc > 0.85", [0]),
        ("metric.acc<=0.9 AND param.kind='Beta'", [1]),
        ("metrics.acc != 0.9", [1]),
        ("params.kind LIKE '%a'", [0, 1, 2]),
        ("params.kind ilike 'b%' and status = 'FAILED'", [1]),
        ("params.kind NOT LIKE 'al%'", [1, 2]),
        ("attributes.status IN ('FAILED', 'RUNNING')", [1, 2]),
        ("status not in ('FAILED')", [0, 2]),
        ("metrics.acc IS NULL", [2]),
        ("metrics.`acc` is not null", [0, 1]),
        ('tags."a b" = "it\'s"', [0]),
        ("tags.`a b` = 'it''s'", [0]),
        ("run.status = 'RUNNING'  ", [2]),
    ],
)
def test_a_filter_finds(text: str, found: list[int]) -> None:
    assert [ROWS.index(row) for row in matching(ROWS, text, lookup)] == found


@pytest.mark.parametrize(
    "text",
    [
        "acc",
        "metrics.acc >",
        "metrics.acc > 'x'",
        "params.kind = 3",
        "a = 'x' or b = 'y'",
        "x.y = 'z'",
        "status IN 'x'",
        "a = (1)",
        "a = 'x' and",
        7,
        "a" * 20_000,
    ],
    ids=range(11),
)
def test_an_invalid_filter_is_an_error_of_the_client(text: object) -> None:
    with pytest.raises(MlflowError) as error:
        matching(ROWS, text, lookup)
    assert error.value.code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize(
    ("orders", "found"),
    [
        (["metrics.acc ASC"], [1, 0, 2]),
        (["metrics.acc DESC"], [0, 1, 2]),
        (["params.kind desc"], [2, 0, 1]),
        (["tags.none", "metrics.acc"], [1, 0, 2]),
    ],
)
def test_an_order_sorts_and_puts_rows_without_a_value_last(orders: list[str], found: list[int]) -> None:
    assert [ROWS.index(row) for row in ordered(list(ROWS), orders, lookup)] == found


def test_pages_are_all_rows_once() -> None:
    rows, token, found = list(range(10)), "", list[int]()
    while True:
        part, token = page(rows, token, 3)
        found += part
        if not token:
            break
    assert found == rows


@given(st.text("ab%_", max_size=8), st.text("ab", max_size=8))
def test_like_is_that_of_sql(pattern: str, text: str) -> None:
    expression = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    assert like(text, pattern) == bool(re.fullmatch(expression, text, re.DOTALL))
