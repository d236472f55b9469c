"""CEL expressions: what they mean, what is said when they fail, and that no expression takes long."""

import contextlib
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.planning.promotion import expression_cost, expressions
from assay.planning.promotion.expressions import ExpressionError

pytestmark = pytest.mark.unit

VARIABLES = ("candidate", "current")
VALUES = {
    "candidate": {
        "metrics": {"f1": {"last": 0.91, "step": 7.0}, "loss": {"last": 1.0}},
        "parameters": {"lr": 0.1, "depth": 3, "name": "résumé", "deep": True},
        "tags": ["a", "b"],
        "text": "ab" * 100,
        "numbers": [float(number) for number in range(300)],
    },
    "current": None,
}

TRUE = [
    "candidate.metrics.f1.last >= 0.9",
    "candidate.metrics.loss.last >= 1",
    "candidate.metrics.loss.last == 1.0",
    "candidate.metrics.f1.last - 0.005 < 0.91",
    "current == null || current.metrics.f1.last > 1.0",
    "current.metrics.f1.last > 1.0 || current == null",
    "candidate != null",
    "has(candidate.metrics.f1) && !has(candidate.metrics.nope)",
    "has(candidate.metrics.nope) ? candidate.metrics.nope.last > 0.0 : true",
    '"f1" in candidate.metrics',
    'candidate.metrics["f1"].last == 0.91',
    "candidate.metrics.all(m, candidate.metrics[m].last > 0.0)",
    'candidate.tags.exists(t, t == "a") && candidate.tags.exists_one(t, t == "b")',
    'candidate.tags.map(t, t + "x") == ["ax", "bx"] && candidate.tags.filter(t, t > "a") == ["b"]',
    "[0, 1].exists(x, 1 / x > 0)",
    '"abc".startsWith("ab") && "abc".endsWith("bc") && "abc".contains("b") && "abc".matches("^a.c$")',
    "candidate.parameters.name.size() == 6",
    "candidate.parameters.depth == 3 && candidate.parameters.depth * 2 == 6 && candidate.parameters.deep",
    "1.0 / 0.0 > 1.0 && 0.0 / 0.0 != 0.0 / 0.0",
    "7 / 2 == 3 && -7 / 2 == -3 && -7 % 2 == -1",
    'timestamp("2026-01-02T00:00:00Z") - timestamp("2026-01-01T00:00:00Z") == duration("24h")',
    'timestamp("2026-01-01T00:00:00+02:00").getFullYear() == 2025',
    'timestamp("2026-11-21T12:00:00Z").getDayOfWeek("Europe/Berlin") == 6',
    'int("42") == 42 && double("0.5") == 0.5 && string(1) == "1" && type(1) == int',
    "true || 1 / 0 == 1",
    # Whole numbers and others: Kubernetes stores 1.0 as 1.
    "candidate.metrics.f1.last + 1 > 1",
    "candidate.parameters.depth * 2.0 >= 6.0 && candidate.parameters.depth / 2.0 == 1.5",
    "candidate.parameters.depth - 0.5 == 2.5 && 'x 1 y' == 'x 1 y' && [1, 2][0] < candidate.parameters.depth",
]

REFUSED = [
    ("", 1, 1, "Syntax error"),
    ("1 +", 1, 4, "Syntax error: mismatched input end of the expression"),
    ("candidate.x &&\n  nope > 1", 2, 3, "there is no 'nope'; variables: candidate, current"),
    ('"a".foo()', 1, 8, "there is no 'foo'"),
    ("1 + 1.5 > 2.0", 1, 3, "+ cannot be used with int and double; write whole numbers as 1.0"),
    ("3 in [1.0]", 1, 3, "in cannot be used with int and list(double)"),
    ("has(1)", 1, 5, "has() argument must be a field selection"),
    ("1", 1, 1, "the result must be true or false, but it is int"),
    ("candidate.text.matches(candidate.text)", 1, 1, "the pattern of matches() must be a string literal"),
    ('candidate.text.matches("(")', 1, 1, "invalid regular expression: missing ): ("),
    ("(" * 300 + "true" + ")" * 300, 1, 1, "the expression is nested too deeply"),
    ("[" * 300 + "]" * 300, 1, 1, "the expression is nested too deeply"),
    ("a" * 4097, 1, 1, "the expression is longer than 4096 characters"),
    ('"\ud800" == "a"', 1, 1, "the expression is not valid Unicode"),
    ("candidate.?a == 1", 1, 1, "unsupported syntax"),
]

NOTHING = [
    ("candidate.metrics.val_f1.last > 0.5", "candidate has no metric val_f1"),
    ("candidate.parameters.nope == 1", "candidate has no parameter nope"),
    ("candidate.metrics.f1.best > 0.5", "candidate.metrics.f1 has no best"),
    ("has(candidate.nope.deeper)", "candidate has no nope"),
    ("current.metrics.f1.last > 0.5", "current is null, so current.metrics.f1.last cannot be read"),
    ("candidate.metrics.f1.last % 2 == 1", "% cannot be used with double and int; write whole numbers as 1.0"),
    ("candidate.parameters.depth ? true : false", "the condition before ? must be true or false"),
    ("candidate.parameters.depth", "the result must be true or false, but it is int"),
    ("1 / 0 == 1", "divide by zero"),
    ("candidate.tags[5] == 'a'", "Index error: index=5 size=2"),
    ("9223372036854775807 + 1 > 0", "integer overflow"),
    ("timestamp('x') > timestamp(0)", "String to Timestamp conversion failed"),
]

_TWICE = "[{}].map(x, x + x + x + x + x + x)[0]"
HOSTILE = [
    _TWICE.format(_TWICE.format(_TWICE.format(_TWICE.format("candidate.text")))) + " == 'a'",
    "[candidate].map(x, [x, x, x, x])[0].map(x, [x, x, x, x])[0].map(x, [x, x, x, x])[0] == [candidate]",
    "candidate.numbers.all(x, candidate.numbers.all(y, candidate.numbers.all(z, z >= 0.0)))",
    "candidate.numbers.map(x, candidate.numbers.map(y, candidate.numbers)).size() > 0",
    "(candidate.numbers + candidate.numbers + candidate.numbers + candidate.numbers).map(x, x).size() > 0",
    'candidate.text.matches("(' + "|".join(f"(a|b){{{number}}}c" for number in range(200, 500)) + ')")',
    "true" + " && candidate.numbers == candidate.numbers" * 90,
    "!" * 4000 + "true",
]


@pytest.mark.parametrize("expression", TRUE)
def test_expressions_follow_cel_semantics(expression: str) -> None:
    outcome = expressions.compile(expression, VARIABLES).evaluate(VALUES)
    assert outcome.value is True, outcome


@pytest.mark.parametrize(("expression", "line", "column", "message"), REFUSED)
def test_refused_with_a_position(expression: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        expressions.compile(expression, VARIABLES)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in caught.value.message
    assert str(caught.value).startswith(f"line {line}, column {column}: ")


@pytest.mark.parametrize(("expression", "message"), NOTHING)
def test_an_evaluation_error_has_a_message(expression: str, message: str) -> None:
    outcome = expressions.compile(expression, VARIABLES).evaluate(VALUES)
    assert outcome.value is None
    assert message in outcome.message


def test_columns_are_counted_in_characters() -> None:
    with pytest.raises(ExpressionError) as caught:
        expressions.compile('"é" + nope == "a"', VARIABLES)
    assert caught.value.column == 7


@pytest.mark.parametrize("expression", HOSTILE, ids=range(len(HOSTILE)))
def test_no_expression_takes_long(expression: str) -> None:
    assert len(expression) <= expressions.MAX_LENGTH
    start = time.process_time()
    with contextlib.suppress(ExpressionError):
        expressions.compile(expression, VARIABLES).evaluate(VALUES)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("length", [100, 1000, 1200, 5000, 200_000])
def test_accepted_expressions_take_at_most_a_second(length: int) -> None:
    values = expressions.Values({"run": {"list": [1.0] * length, "text": "ab" * length}})
    for text in ("run.list.map(x, x + 1.0).size() > 0", "run.list.filter(x, x > 0.0) == run.list", "run == run"):
        expression = expressions.compile(text, ("run",))
        start = time.process_time()
        outcome = expression.evaluate(values)
        assert time.process_time() - start < 1
        assert outcome.value or "could take too long" in outcome.message or "budget exceeded" in outcome.message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "run cannot be read: a value has the unsupported type object"),
        ({"a": {1, 2}}, "run cannot be read: a value has the unsupported type set"),
        ("nested", "run cannot be read: a value is nested deeper than 32 levels"),
    ],
)
def test_values_of_unsupported_types_are_reported(value: object, message: str) -> None:
    if value == "nested":
        for _ in range(10_000):
            value = [value]
    outcome = expressions.compile("run == run", ("run",)).evaluate({"run": value})
    assert (outcome.value, outcome.message) == (None, message)


@pytest.mark.parametrize("value", [2**63, -(2**80), 10**400, "\ud800", "a\0b", float("nan"), {"": None}, {1: 2}, (1,)])
def test_extreme_values_are_accepted(value: object) -> None:
    outcome = expressions.compile("run != 5", ("run",)).evaluate({"run": value})
    assert outcome.value is True, outcome


def test_a_variable_without_a_value_is_reported() -> None:
    outcome = expressions.compile("current == null", VARIABLES).evaluate({"candidate": 1})
    assert outcome.value is None
    assert "current" in outcome.message


def test_paths_list_the_fields_that_an_expression_reads() -> None:
    expression = expressions.compile(
        "candidate.a.b > 1 && [1].all(x, x > candidate['c'].d) && has(current.e)", VARIABLES
    )
    assert expression.paths == [("candidate", "a", "b"), ("candidate", "c", "d"), ("current",)]


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
pieces = st.sampled_from(
    [
        "run",
        "run.a",
        "run['b']",
        "null",
        "1",
        "2.5",
        "'a'",
        "[1, 2]",
        "{'a': 1}",
        "true",
        "x",
        "size(run)",
        "has(run.a)",
    ]
)
fragments = st.recursive(
    pieces,
    lambda inner: st.one_of(
        st.builds(
            "({} {} {})".format,
            inner,
            st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", ">", "&&", "||", "in"]),
            inner,
        ),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("[{}].{}(x, {})".format, inner, st.sampled_from(["map", "filter", "all", "exists"]), inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("!{}".format, inner),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(fragments | st.text(max_size=60), plain_values)
def test_any_expression_ends_quickly_with_a_result_or_message(text: str, value: object) -> None:
    start = time.process_time()
    refused, outcome = None, None
    try:
        outcome = expressions.compile(text, ("run",)).evaluate({"run": value})
    except ExpressionError as error:
        refused = error
    assert time.process_time() - start < 2
    if outcome is None:
        assert refused is not None
        assert refused.message
        assert min(refused.line, refused.column) >= 1
    else:
        assert (outcome.value is None) == bool(outcome.message)


@settings(max_examples=100, deadline=None)
@given(plain_values)
def test_an_extent_covers_its_value(value: object) -> None:
    taken, extent = expression_cost.plain(value)
    assert extent.size >= _leaves(taken)
    assert extent.length >= _longest(taken)


def _leaves(value: object) -> int:
    if isinstance(value, dict):
        return sum(1 + _leaves(item) for item in value.values())
    return sum(map(_leaves, value)) if isinstance(value, list) else 1


def _longest(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return max([len(value), *map(_longest, value)]) if isinstance(value, list) else 0


def test_memory_is_bounded() -> None:
    """In a process of its own, which may not have more than 1.5 GB of addresses."""
    code = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1500 << 20, 1500 << 20))
from tests.unit.planning import test_expressions as here
for text in here.HOSTILE:
    try:
        here.expressions.compile(text, here.VARIABLES).evaluate(here.VALUES)
    except here.ExpressionError:
        pass
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment(), timeout=60)
    assert done.stdout == "done\n", done.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
