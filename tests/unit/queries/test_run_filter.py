"""`--where`: what matches, what does not, and errors for unknown names."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.api.errors import InvalidRequest
from assay.cli.errors import USAGE, exit_code
from assay.queries.runs.filters import Filter, suggestion
from tests import generated
from tests.unit.queries.runs import FOUND, row

pytestmark = pytest.mark.unit

ROWS = [
    row(each.name, parameters=each.parameters, metrics=each.metrics, phase=each.phase, seed=each.seed)
    for each in generated.rows(60)
]


def _matches(text: str, **fields: Any) -> bool:
    return Filter(text).matches(row(**fields))


@pytest.mark.parametrize(
    "text",
    [
        "params.depth in [2, 3]",
        "params.depth == 2.0",
        "parameters.depth < 2.5",
        "metrics.val_f1.last > 0.5 && params.optimizer == 'adam'",
        "metrics.val_f1.best >= 1",
        "metrics.val_f1.best * 2.0 > 1.5",
        "metrics.val_f1.step == 7",
        "metrics['val_f1'].min < 1",
        "params.missing > 1 || params.depth == 2",
        "has(params.depth) && !has(params.missing)",
        "params.exists(name, name.startsWith('opt'))",
        "datasets.digits.version == '2.1'",
        "tags.team == 'vision' && labels['team'] == 'vision'",
        "experiment == '' && owner == '' && !archived && name.matches('^r-[0-9]$')",
        "created > '2025-12-31' && phase == 'Pending'",
        "objective.metric == 'val_f1'",
        "seed == null",
        "params.big > 1",
    ],
)
def test_matching_runs_are_selected(text: str) -> None:
    assert _matches(
        text,
        parameters={"depth": 2, "optimizer": "adam", "big": 2**70},
        metrics={"val_f1": {**FOUND, "best": 1}},
        datasets={"digits": {"version": "2.1"}},
        labels={"team": "vision"},
        objective={"metric": "val_f1", "direction": "maximize"},
    )


@pytest.mark.parametrize("text", ["params.depth > 1", "!(params.depth > 1)", "metrics.val_f1.best < 2.0"])
def test_a_run_without_the_field_matches_neither_way(text: str) -> None:
    found = Filter(text)
    assert not found.matches(row())
    assert found.undecided == 0


def test_runs_that_the_filter_fails_for_are_counted_with_a_reason() -> None:
    found = Filter("params.depth > 1")
    assert not found.matches(row(parameters={"depth": "deep"}))
    assert found.undecided == 1
    assert found.why == "> cannot be used with string and int"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("params.dpeth > 1", "params.dpeth", "did you mean depth?"),
        ("metrics.val_f2.last > 0.1", "metrics.val_f2", "did you mean val_f1?"),
        ("metrics.accuracy.best > 0.1", "metrics.accuracy.best", "known names: count, last, max, min, step"),
        ("name == 'x' || params.zzz", "params.zzz", "known names: augment, depth"),
    ],
)
def test_an_unknown_name_gets_suggestions_or_the_known_names(text: str, message: str, hint: str) -> None:
    found = Filter(text)
    for each in ROWS:
        found.matches(each)
    with pytest.raises(InvalidRequest, match=f"no run has {message}$") as error:
        found.check()
    assert hint in error.value.hint
    assert exit_code(error.value) == USAGE


def test_a_name_that_one_run_has_is_known() -> None:
    found = Filter("params.rare == 1")
    assert not found.matches(row())
    assert found.unseen
    assert found.matches(row(parameters={"rare": 1}))
    assert not found.unseen
    found.check()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("parms.depth > 1", "there is no 'parms.depth'", "params"),
        ("params.depth >", "line 1, column 15", "docs/cli.md"),
        ("1 + 1", "must be true or false", "docs/cli.md"),
    ],
)
def test_an_invalid_expression_is_refused_with_its_position(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidRequest, match="--where: ") as error:
        Filter(text)
    assert message in error.value.message
    assert hint in error.value.hint


# A filter and plain Python agree

_Judge = Callable[[dict[str, Any]], bool | None]
_COMPARISONS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt}
_NUMBERS = st.one_of(st.integers(-3, 9), st.sampled_from((0.1, 0.5, 0.9, 2.0, 0.25)))


def _get(run: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        run = run[key]
    return run


@st.composite
def _comparison(draw: st.DrawFn) -> tuple[str, _Judge]:
    path = draw(
        st.sampled_from(
            [("parameters", "depth"), ("parameters", "learning_rate"), ("parameters", "missing"), ("seed",)]
            + [("metrics", name, part) for name in ("val_f1", "loss") for part in ("last", "best")]
        )
    )
    if draw(st.booleans()):
        values = draw(st.lists(_NUMBERS, max_size=4))
        text, judge = f"in {values}", lambda value: value in values
    else:
        sign, number = draw(st.sampled_from(sorted(_COMPARISONS))), draw(_NUMBERS)
        text, judge = f"{sign} {number}", lambda value: _COMPARISONS[sign](value, number)

    def judged(run: dict[str, Any]) -> bool | None:
        try:
            return bool(judge(_get(run, path)))
        except KeyError:
            return None

    return f"{'.'.join(path)} {text}", judged


def _not(part: tuple[str, _Judge]) -> tuple[str, _Judge]:
    def judged(run: dict[str, Any]) -> bool | None:
        value = part[1](run)
        return None if value is None else not value

    return f"!({part[0]})", judged


def _both(a: tuple[str, _Judge], b: tuple[str, _Judge], sign: str) -> tuple[str, _Judge]:
    decisive = sign == "||"

    def judged(run: dict[str, Any]) -> bool | None:
        values = {a[1](run), b[1](run)}
        if decisive in values:
            return decisive
        return None if None in values else not decisive

    return f"({a[0]}) {sign} ({b[0]})", judged


_FILTERS = st.recursive(
    _comparison(),
    lambda part: st.one_of(part.map(_not), st.builds(_both, part, part, st.sampled_from(("&&", "||")))),
    max_leaves=6,
)


@given(_FILTERS)
def test_a_filter_agrees_with_plain_python(drawn: tuple[str, _Judge]) -> None:
    text, judge = drawn
    found = Filter(text)
    assert [found.matches(each) for each in ROWS] == [bool(judge(each)) for each in ROWS]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("learning_rate", "write params.learning_rate"),
        ("loss", "write metrics.loss.last"),
        ("val", 'write metrics["val/f1"].last'),
        ("model", 'write params["model.lr"]'),
        ("batch", 'write params["batch-size"]'),
        ("nothing", ""),
    ],
)
def test_a_bare_name_is_completed(name: str, hint: str) -> None:
    some = row(
        "a",
        parameters={"learning_rate": 0.1, "model.lr": 1, "batch-size": 2},
        metrics={"loss": FOUND, "val/f1": FOUND},
    )
    assert suggestion(name, [row("b"), some]) == hint


def test_a_name_with_an_operator_in_it_is_completed() -> None:
    found = Filter("metrics.val > 0.5")
    assert not found.matches(row("a", metrics={"val/f1": FOUND}))
    with pytest.raises(InvalidRequest) as refused:
        found.check()
    assert refused.value.hint == 'write metrics["val/f1"].last'
