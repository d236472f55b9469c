"""What a page shows of files: tables of several formats, confusion matrices, text, and what is none of these."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.server.pages import previews
from assay.server.pages.previews import BYTES, of_file

pytestmark = pytest.mark.unit

RECORDS = [{"class": "cat", "f1": 0.5}, {"class": "dog", "support": 3}]


@pytest.mark.parametrize(
    ("path", "text", "columns", "rows"),
    [
        ("a.csv", "x,y\n1,<b>\n", ["x", "y"], [["1", "<b>"]]),
        ("a.TSV", "x\ty\n1\t2", ["x", "y"], [["1", "2"]]),
        ("a.json", json.dumps(RECORDS), ["class", "f1", "support"], [["cat", "0.5", ""], ["dog", "", "3"]]),
        ("a.jsonl", '{"a": 1}\n{"b": "x"}\n', ["a", "b"], [["1", ""], ["", "x"]]),
        ("mlflow.json", '{"columns": ["in", "out"], "data": [["a", {"k": 1}]]}', ["in", "out"], [["a", '{"k": 1}']]),
        ("a.json", '{"x": [1, 2], "y": [3]}', ["x", "y"], [["1", "3"], ["2", ""]]),
        ("a.json", '{"accuracy": 0.5, "ok": true}', ["name", "value"], [["accuracy", "0.5"], ["ok", "true"]]),
        ("a.json", "[[1, 2], [3]]", ["0", "1"], [["1", "2"], ["3"]]),
    ],
    ids=["csv", "tsv", "records", "jsonl", "mlflow", "columns", "facts", "lists"],
)  # fmt: skip
def test_tables(path: str, text: str, columns: list[str], rows: list[list[str]]) -> None:
    found = of_file(path, text.encode(), whole=True)
    assert (found.kind, list(found.columns), found.rows) == ("table", columns, rows)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("confusion.json", '{"labels": ["cat", "dog"], "confusion_matrix": [[8, 2], [0, 10]]}'),
        ("eval/Confusion_Matrix.csv", ",cat,dog\ncat,8,2\ndog,0,10\n"),
        ("confusion.csv", "cat,dog\n8,2\n0,10\n"),
        ("confusion.json", '{"columns": ["cat", "dog"], "data": [[8, 2], [0, 10]]}'),
    ],
    ids=["json", "csv with labels", "csv", "mlflow"],
)
def test_a_confusion_matrix_has_the_share_of_each_row(path: str, text: str) -> None:
    found = of_file(path, text.encode(), whole=True)
    assert found.kind == "matrix"
    assert list(found.columns) == ["cat", "dog"]
    assert [(label, [(cell.text, cell.level) for cell in cells]) for label, cells in found.matrix] == [
        ("cat", [("8", 8), ("2", 2)]),
        ("dog", [("0", 0), ("10", 9)]),
    ]


def test_a_confusion_matrix_may_have_any_finite_numbers() -> None:
    text = '{"labels": ["cat", "dog"], "confusion_matrix": [[1e308, 0], [1.5e308, 1.5e308]]}'
    assert of_file("confusion.json", text.encode(), whole=True).kind == "matrix"


@pytest.mark.parametrize("text", ["a,b\n1,x\n2,3\n", "a,b\n1,2\n", "a,b\n1,-2\n3,inf\n"])
def test_a_table_that_is_only_named_confusion_matrix_is_shown_as_a_table(text: str) -> None:
    assert of_file("confusion.csv", text.encode(), whole=True).kind == "table"


@pytest.mark.parametrize("path", ["x.svg", "x.html", "train.py", "notes.md", "x.json"])
def test_documents_are_shown_as_text(path: str) -> None:
    text = "<svg onload='alert(1)'>"
    assert of_file(path, text.encode(), whole=True) == previews.Preview("text", text=text)


@pytest.mark.parametrize(
    ("path", "kind"), [("x.png", "image"), ("model.joblib", ""), ("confusion_matrix.png", "image")]
)
def test_what_is_no_text(path: str, kind: str) -> None:
    assert of_file(path, b"\x89PNG", whole=True).kind == kind


def test_the_beginning_of_a_large_file_has_whole_lines_only() -> None:
    text = "a,b\n" + "1,22\n" * BYTES
    found = of_file("a.csv", text.encode()[:BYTES], whole=False)
    assert len(found.rows) == 200
    assert found.notes == ["The first 200 rows and 2 columns."]
    assert of_file("a.csv", b"a,b\n1,2\n3,", whole=False).rows == [["1", "2"]]
    assert of_file("a.json", b'[{"a": 1}, {"a"', whole=False).kind == "text"


@given(
    st.sampled_from(["a.json", "confusion.json", "a.csv", "a.jsonl", "x.txt"]), st.binary(max_size=200), st.booleans()
)
def test_no_file_breaks_the_page(path: str, data: bytes, whole: bool) -> None:
    assert of_file(path, data, whole=whole).kind in ("table", "text", "matrix")


KEYS = st.sampled_from(["columns", "data", "labels", "confusion_matrix", "x"])
SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)


@given(
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
    )
)
def test_no_json_breaks_the_page(value: object) -> None:
    assert of_file("confusion.json", json.dumps(value).encode(), whole=True).kind in ("table", "text", "matrix")


def test_deep_json_is_text() -> None:
    assert of_file("a.json", b"[" * 100_000, whole=True).kind == "text"
