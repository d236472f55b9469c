"""The index answers as the filter and the order of `assay runs` do, row by row: on random rows and expressions."""

import json
import random
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.api.errors import AssayError
from assay.queries.runs import columns as run_columns
from assay.queries.runs.columns import Names
from assay.queries.runs.filters import Filter
from assay.queries.runs.rows import RunRow, of_run, timed
from assay.server.index.column import UNKNOWN
from assay.server.index.evaluation import evaluate
from assay.server.index.lean import lean
from assay.server.index.searching import FoundNames, View, ordered, search
from assay.server.index.table import Table
from assay.server.pages.groups import Spread, grouped

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCALARS: list[Any] = [
    *(None, True, False, 0, 1, 2, -1, 3, 2**53 + 1, 2**70, 0.0, 1.0, 1.5, -2.0, 1e300),
    *("", "a", "b", "ab", "1", "é", "\U00010000", "\uffff"),
]
TIMES = ["", "2026-01-01T10:00:00Z", "2026-01-01T11:30:00Z", "2026-01-01T11:30:00.5Z"]
value = st.sampled_from([*SCALARS, {}, {"x": 1}, {"x": {"y": {"z": {"w": 1}}}}, [], [1], ["a"]])


def some(values: Any, keys: str = "abc") -> Any:
    return st.dictionaries(st.sampled_from(keys), values, max_size=3)


number = st.sampled_from([0, 1, 2, 0.5, -1.5, 2.0, "NaN", "Infinity", "-Infinity"])
#: Values that no metric should have: they must come back as they are nonetheless.
strange = st.sampled_from([{"last": -0.0}, {"last": True}, {"min": None}, {"best": 2**70}, {"last": "text"}, {}])
rows_of = st.builds(
    lambda name, **more: {**of_run({"metadata": {"name": name, "uid": f"u-{name}"}}), **more},
    st.sampled_from([f"r-{n}" for n in range(12)]),
    experiment=st.sampled_from(["", "e", "f"]),
    phase=st.sampled_from(["Running", "Succeeded", "Pending"]),
    owner=st.sampled_from(["", "nina", "olaf"]),
    created=st.sampled_from(TIMES),
    started=st.sampled_from(TIMES),
    completed=st.sampled_from(TIMES),
    seed=st.sampled_from([None, 0, 1, 7]),
    parameters=some(value),
    metrics=some(st.dictionaries(st.sampled_from(["last", "best", "min"]), number, max_size=3) | strange),
    objective=st.sampled_from(
        [None, {"metric": "a", "direction": "maximize"}, {"metric": "b", "direction": "minimize"}]
    ),
    labels=some(st.sampled_from(["", "a", "b"])),
)

PATHS = [
    *("params.a", "params.b", "parameters.c", "params['a']", "params.a.x", "params.a.x.y.z", "params.b.x.y.z.w"),
    *("metrics.a.last", "metrics.a.best", "metrics.b.min", "metrics.c", "params", "metrics"),
    *("phase", "owner", "seed", "duration", "created", "labels.a", "tags.b", "objective", "objective.metric"),
    *("archived", "experiment"),
]
LITERALS = [
    *("null", "true", "false", "0", "1", "-1", "2", "1.0", "0.5", "-1.5", "''", "'a'", "'b'", "'zz'", "'Running'"),
    *("9007199254740993", "{}", "[1]", "b'a'", "1u", "{'x': 1}"),
]
path, literal = st.sampled_from(PATHS), st.sampled_from(LITERALS)
terms = st.recursive(
    path | literal,
    lambda term: (
        st.builds(lambda a, op, b: f"({a} {op} {b})", term, st.sampled_from("+-*/%"), term)
        | st.builds(lambda a: f"-({a})", term)
    ),
    max_leaves=3,
)
atoms = st.one_of(
    st.builds(lambda a, op, b: f"{a} {op} {b}", terms, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), terms),
    st.builds(lambda a, b: f"{a} in [{', '.join(b)}]", terms, st.lists(literal, max_size=3)),
    st.builds(lambda a, b: f"{a} in {b}", literal, path),
    st.builds(lambda a, f, b: f"{a}.{f}({b})", path, st.sampled_from(["startsWith", "endsWith", "contains"]), literal),
    st.builds(lambda a, b: f"{a}.matches('{b}')", path, st.sampled_from(["a", "^b$", "[ab]+", "", "."])),
    st.builds(lambda a, k: f"has({a}.{k})", path, st.sampled_from("abx")),
    st.builds(lambda a: f"size({a}) > 1", path),
    st.builds(lambda a: f"labels.exists(k, k == {a})", literal),
    path,
)
expressions = st.recursive(
    atoms,
    lambda inner: (
        st.builds(lambda a, op, b: f"({a} {op} {b})", inner, st.sampled_from(["&&", "||"]), inner)
        | st.builds(lambda a: f"!({a})", inner)
        | st.builds(lambda a, b, c: f"({a} ? {b} : {c})", inner, inner, inner)
    ),
    max_leaves=5,
)


#: Deeper than any column.
DEEP = {"x": {"y": {"z": {"w": 1}}}}


def row(name: str, **parameters: Any) -> RunRow:
    made = of_run({"metadata": {"name": name, "uid": f"u-{name}"}})
    return {**made, "parameters": parameters}


def table_of(rows: list[RunRow]) -> Table:
    table = Table()
    table.put(list(enumerate(rows)))
    return table


def by_row(rows: list[RunRow], where: str) -> Any:
    """Return what the filter finds row by row, or its error."""
    try:
        condition = Filter(where)
        known = timed(sorted(rows, key=lambda row: row["name"]), NOW)
        found = [row["name"] for row in known if condition.matches(row)]
        if known:
            condition.check()
    except AssayError as error:
        # The hint depends on the order of the rows when the expression reads several fields that no run has.
        return error.message
    return found, condition.undecided, condition.why


def by_columns(table: Table, where: str) -> Any:
    """Return what the index finds, or its error."""
    view = View(table, NOW)
    try:
        found = search(view, "", where)
    except AssayError as error:
        return error.message
    return [row["name"] for row in view.rows(found.rows.tolist())], found.undecided, found.why


def unique(rows: list[RunRow]) -> list[RunRow]:
    return list({row["name"]: row for row in rows}.values())


@settings(max_examples=100)
@given(st.lists(rows_of, max_size=8).map(unique), expressions)
@example([row("r-0", a=None, b=DEEP)], "(params.a.matches('a') ? params.b.x.y.z.w.matches('a') : null in params.a)")
@example([row("r-0", a=1, b=DEEP), row("r-1", a=1)], "params.b.x.y.z.w == 1")
@example([row("r-0", a=1, b=DEEP)], "params.a == 2 && params.b.x.y.z.v == 1")
def test_columns_and_library_agree(rows: list[RunRow], where: str) -> None:
    assert by_columns(table_of(rows), where) == by_row(rows, where)


@settings(max_examples=60)
@given(st.lists(rows_of, max_size=12).map(unique))
@example([{**row("r-0"), "metrics": {"b": 1, "a": [1], "c": {"step": 1, "last": "NaN", "min": -0.0, "max": 1.0}}}])
def test_rows_come_back_byte_for_byte(rows: list[RunRow]) -> None:
    """Most of a row is only in columns: types of numbers and the order of keys are what they were."""
    table = table_of(rows)
    table.settle()
    found = table.rows([table.ordered().tolist()[at] for at in range(len(rows))])
    assert [json.dumps(row) for row in found] == [json.dumps(row) for row in sorted(rows, key=lambda row: row["name"])]


def test_a_metric_of_few_runs_takes_little_memory() -> None:
    """Each of 600 runs has 50 of 100 metrics: the numbers alone are 8 bytes each, and 2 where they are small."""
    chance, values = random.Random(1), 0
    tracemalloc.start()
    table = Table()
    for number in range(600):
        names = [f"layer_{each}" for each in chance.sample(range(100), k=50)]
        summaries = {name: {"last": chance.random(), "min": chance.random(), "step": number} for name in names}
        values += 3 * len(names)
        table.put([(number, {**row(f"r-{number}"), "metrics": summaries})])
    table.settle()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / values < 16


SORTS = ["name", "created", "-created", "duration", "seed", "a", "-a", "params.b", "owner", "phase", "metrics.a.min",
         "age", "uid", "labels.a", "experiment", "objective.metric", "nothing"]  # fmt: skip


@settings(max_examples=60)
@given(st.lists(rows_of, max_size=8).map(unique), st.sampled_from(SORTS), st.booleans())
def test_orders_agree(rows: list[RunRow], by: str, reverse: bool) -> None:
    known = timed(sorted(rows, key=lambda row: row["name"]), NOW)
    view = View(table_of(rows), NOW)
    found = search(view).rows

    def wanted() -> list[str]:
        return [row["name"] for row in run_columns.sort(known, by, Names(known), reverse=reverse)]

    def got() -> list[str] | None:
        order = ordered(view, found, by, FoundNames(view, found), reverse=reverse)
        return None if order is None else [row["name"] for row in view.rows(order.tolist())]

    outcome = _outcome(got)
    assert outcome is None or outcome == _outcome(wanted)


def _outcome(answer: Callable[[], Any]) -> Any:
    """Return an answer, or its error."""
    try:
        return answer()
    except AssayError as error:
        return error.message, error.hint


@settings(max_examples=40)
@given(st.lists(rows_of, max_size=8).map(unique))
def test_names_agree(rows: list[RunRow]) -> None:
    known = sorted(rows, key=lambda row: row["name"])
    view = View(table_of(rows), NOW)
    found, wanted = FoundNames(view, search(view).rows).summary(), Names(known).summary()
    assert json.dumps(found) == json.dumps(wanted) or found == wanted
    assert list(found["objectives"]) == list(wanted["objectives"])


@settings(max_examples=30)
@given(st.lists(st.tuples(rows_of, st.booleans()), max_size=60), st.randoms())
def test_a_changed_table_is_like_a_new_one(changes: list[tuple[RunRow, bool]], chance: random.Random) -> None:
    table, rows = Table(), {}
    for at, (row, deleted) in enumerate(changes):
        if deleted:
            table.remove(row["name"])
            rows.pop(row["name"], None)
        else:
            table.put([(at, row)])
            rows[row["name"]] = row
    left = list(rows.values())
    where = chance.choice(["has(params.a) && params.a == 1", "labels.a == 'a'", "phase == 'Running'", "seed > 0"])
    assert len(table) == len(left)
    assert by_columns(table, where) == by_row(left, where)
    view = View(table, NOW)
    assert view.rows(search(view).rows.tolist()) == timed(sorted(left, key=lambda row: row["name"]), NOW)


def test_many_rows_become_dense_columns_and_agree() -> None:
    """Few rows are kept in dictionaries, many in arrays: both are read, and grow."""
    chance = random.Random(7)
    rows: list[RunRow] = []
    for number in range(3000):
        body = {
            "metadata": {"name": f"r-{number:05}", "uid": str(number)},
            "spec": {"parameters": {"depth": number % 7}},
        }
        if number % 50 == 0:
            body["spec"]["parameters"]["rare"] = chance.random()  # type: ignore[index]
        rows.append(of_run(body))
    table = Table()
    for start in range(0, len(rows), 500):
        table.put([(start, row) for row in rows[start : start + 500]])
    for where in ("params.depth in [2, 3]", "has(params.rare) && params.rare > 0.5", "params.rare <= 0.5"):
        assert by_columns(table, where) == by_row(rows, where)


@pytest.mark.parametrize(
    "where",
    ["metrics.a.best > 0.5 && params.b == 1", "phase == 'Running' || labels.a in ['a', 'b']", "has(params.a)",
     "owner.startsWith('n') && !(seed == 1)", "duration < 60.0", "params.a.matches('^a')", "seed * 2 + 1 > 3"],
)  # fmt: skip
def test_everyday_filters_need_no_library(where: str) -> None:
    rows = [{**of_run({"metadata": {"name": "r", "uid": "u"}}), "parameters": {"a": "a", "b": 1}, "seed": 3}]
    rows[0] |= {"metrics": {"a": {"best": 1}}, "labels": {"a": "a"}}
    assert UNKNOWN not in evaluate(Filter(where).expression.tree, View(table_of(rows), NOW)).kind.tolist()  # type: ignore[arg-type]


BY = ["params.a", "params.b", "phase", "owner", "seed", "labels.a", "duration", "metrics.a.last", "name", "params.a.x"]


@given(st.lists(rows_of, max_size=12), st.sampled_from(BY))
def test_groups_of_lean_rows_are_those_of_whole_rows(rows: list[RunRow], by: str) -> None:
    view = View(table_of(rows), NOW)
    found = search(view)
    names = FoundNames(view, found.rows)
    try:
        path = names.field(by).path
    except AssayError:
        return
    metrics = [("metrics", name, part) for name in names.ordered_metrics() for part in ("best", "last")]
    made = lean(view, found.rows, [("name",), ("phase",), path, *metrics])
    if made is None:
        return
    assert all(row.keys() == whole.keys() for row, whole in zip(made, view.rows(found.rows.tolist()), strict=True))
    assert grouped(made, names, by) == grouped(view.rows(found.rows.tolist()), names, by)


def test_a_spread_of_huge_numbers_is_no_error() -> None:
    rows = [{**of_run({"metadata": {"name": name, "uid": name}}), "metrics": {"a": {"last": 1e308}}} for name in "xyz"]
    (group,) = grouped(rows, Names(rows), "phase").items
    assert group.spreads == [Spread(float("inf"), float("inf"), 3)]
