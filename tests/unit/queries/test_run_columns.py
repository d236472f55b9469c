"""Names of values, the columns of tables and the order of runs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.api.errors import InvalidRequest
from assay.cli.output import run_cells
from assay.queries.runs import columns as run_columns
from assay.queries.runs.columns import Names
from assay.queries.runs.rows import RunRow
from tests.unit.queries.runs import FOUND, row

pytestmark = pytest.mark.unit

UP = {"metric": "f1", "direction": "maximize"}
DOWN = {"metric": "loss", "direction": "minimize"}


def _run(name: str, f1: float, loss: float, **fields: Any) -> RunRow:
    metrics = {"f1": {**FOUND, "best": f1}, "loss": {**FOUND, "last": loss}}
    return row(name, **{"metrics": metrics, "objective": UP, "parameters": {"depth": 2, "kind": "a"}} | fields)


def _names(rows: list[RunRow]) -> list[str]:
    return [each["name"] for each in rows]


RUNS = [_run("a", 0.5, 3), _run("b", 0.9, 1), _run("c", 0.7, 2), row("d")]


@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("f1", "bcad"),
        ("metrics.f1", "bcad"),
        ("-f1", "acbd"),
        ("loss:desc", "acbd"),
        ("loss:asc", "bcad"),
        ("metrics.loss.last:desc", "acbd"),
        ("-loss:asc", "acbd"),
        ("f1:asc", "acbd"),
        ("name", "abcd"),
        ("-name", "dcba"),
    ],
)
def test_the_best_runs_come_first_and_those_without_a_value_last(by: str, order: str) -> None:
    assert "".join(_names(run_columns.sort(RUNS, by, Names(RUNS)))) == order


@pytest.mark.parametrize("by", ["loss", "metrics.loss.last", "metrics.loss.min", "-loss"])
def test_no_direction_is_guessed(by: str) -> None:
    with pytest.raises(InvalidRequest, match="it is no run's objective") as refused:
        run_columns.sort(RUNS, by, Names(RUNS))
    assert f"--sort {by.removeprefix('-')}:asc" in refused.value.hint


def test_smaller_is_better_for_a_minimized_objective() -> None:
    runs = [{**each, "objective": DOWN} for each in RUNS]
    assert _names(run_columns.sort(runs, "loss", Names(runs))) == ["b", "c", "a", "d"]  # type: ignore[arg-type]


def test_the_newest_come_first() -> None:
    runs = [row(day, created=f"2026-01-0{day}T00:00:00Z") for day in "213"]
    for by in ("created", "age"):
        assert _names(run_columns.sort(runs, by, Names(runs))) == ["3", "2", "1"]
        assert _names(run_columns.sort(runs, by, Names(runs), reverse=True)) == ["1", "2", "3"]


_VALUES = st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3), st.booleans())


@given(st.lists(_VALUES, max_size=8), st.booleans())
def test_sorting_keeps_every_run_with_any_values(values: list[Any], reverse: bool) -> None:
    runs = [row(str(at), parameters={"x": value}) for at, value in enumerate(values)] + [row("y")]
    found = run_columns.sort(runs, "params.x", Names([*runs, row("z", parameters={"x": 1})]), reverse=reverse)
    assert sorted(_names(found)) == sorted(_names(runs))
    here = [each["parameters"].get("x") not in (None, "") for each in found]
    assert here == sorted(here, reverse=True)


def test_a_table_has_differing_parameters_and_the_objective_first() -> None:
    runs = [_run("a", 0.5, 3), _run("b", 0.9, 1, parameters={"depth": 3, "kind": "a"}, objective=DOWN)]
    titles = [each.title for each in run_columns.default(Names(runs), wide=False)]
    assert titles == ["RUN", "PHASE", "depth", "f1", "loss", "DURATION", "AGE"]
    wide = [each.title for each in run_columns.default(Names(runs), wide=True)]
    assert wide[2:8] == ["EXPERIMENT", "REASON", "OWNER", "SEED", "depth", "kind"]
    only_down = run_columns.default(Names(runs[1:]), wide=False)
    assert [each.title for each in only_down] == [
        "RUN",
        "PHASE",
        "depth",
        "kind",
        "loss",
        "f1",
        "DURATION",
        "AGE",
    ]


def test_a_narrow_terminal_omits_metrics_then_parameters_never_the_objective() -> None:
    fields = run_columns.default(Names(RUNS), wide=False)
    for width in range(10, 120):
        visible = [each.title for each in run_cells.fitting(fields, RUNS, width)]
        assert {"RUN", "PHASE", "f1", "DURATION", "AGE"} <= set(visible)
    assert "loss" not in [each.title for each in run_cells.fitting(fields, RUNS, 40)]
    assert run_cells.fitting(fields, RUNS, 1000) == fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("owner", "ana"),
        ("f1", 0.5),
        ("metrics.f1.min", 0.1),
        ("metrics.a.b", 0.8),
        ("metrics.a.b.max", 0.9),
        ("depth", 2),
        ("params.depth", 2),
        ("parameters.f1", "no metric"),
        ("tags.team", "vision"),
        ("labels.assay.dev/experiment", "x"),
        ("datasets.digits.2.uri", "s3://x"),
        ("source.revision", "3f"),
        ("objective.metric", "f1"),
    ],
)
def test_values_have_names(name: str, value: object) -> None:
    run = _run("a", 0.5, 3, owner="ana", parameters={"depth": 2, "f1": "no metric"}, source={"revision": "3f"})
    run["metrics"]["a.b"] = FOUND
    run["labels"] = {"team": "vision", "assay.dev/experiment": "x"}
    run["datasets"] = {"digits.2": {"uri": "s3://x"}}
    assert Names([run]).field(name).value(run) == value


@pytest.mark.parametrize(
    ("name", "hint"), [("deepth", "depth"), ("params.deepth", "depth"), ("metrics.f2", "f1"), ("ownr", "owner")]
)
def test_an_unknown_name_gets_suggestions(name: str, hint: str) -> None:
    with pytest.raises(InvalidRequest, match=f"no run has {name}") as error:
        Names(RUNS).field(name)
    assert hint in error.value.hint


def test_an_objective_can_be_sorted_by_before_a_run_has_recorded_it() -> None:
    objective: Any = {"metric": "loss", "direction": "minimize"}
    new = [row("b", objective=objective), row("a", objective=objective)]
    for by in ("loss", "metrics.loss", "-loss"):
        assert _names(run_columns.sort(new, by, Names(new))) == ["a", "b"]
    field, descends = run_columns.order("loss", Names(new))
    assert not descends
    assert Names(new).unrecorded(field) == "no run has recorded its objective loss yet"
    misspelt = [row("a", objective=objective, metrics={"los": FOUND})]
    assert Names(misspelt).unrecorded(field).endswith("; did you mean los?")
    assert not Names([row("a", metrics={"loss": FOUND})]).unrecorded(field)


def test_a_file_has_every_summary() -> None:
    titles = [each.title for each in run_columns.flat(Names(RUNS), RUNS)]
    assert titles[:2] == ["name", "uid"]
    assert "metrics.f1.best" in titles
    assert "metrics.loss.best" not in titles
    assert "params.depth" in titles


def test_control_characters_from_users_are_removed() -> None:
    run = row("a", parameters={"\x1b[2Jx": "\x1b[2J"})
    field = run_columns.parameter("\x1b[2Jx")
    assert "\x1b" not in run_cells.column(field).title
    assert field.value(run) == "\x1b[2J"


def test_values_are_shown_in_the_usual_notation() -> None:
    run = row("a", parameters={"yes": True, "map": {"a": 1}}, duration=3723.4)
    names = Names([run])
    assert run_cells.shown(names.field("yes"), run) == "true"
    assert run_cells.shown(names.field("params.map"), run) == '{"a": 1}'
    assert run_cells.shown(names.field("duration"), run) == "1h2m3s"
