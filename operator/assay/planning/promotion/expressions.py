"""CEL expressions: gates of policies, ``register.when`` of experiments, filters.

Expressions are untrusted input. Compiling raises only ``ExpressionError``, evaluating raises nothing, and both take
bounded time. An expression can read only the values passed to it. This module must not know what the variables mean.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from assay.planning.conditions import format_value
from assay.planning.promotion import expression_cost, expression_tree
from assay.planning.promotion.expression_cost import Extent
from assay.planning.promotion.expression_tree import Path

MAX_LENGTH = 4096
_MAX_MESSAGE = 500

_POSITION = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")
_NOT_APPLICABLE = re.compile(
    r"[Nn]o matching overloads? (?:for|found :) '?(?P<name>[^\s'(]+)'?(?: applied to '| )?(?:\((?P<kinds>.*)\))?"
)
_MISSING = re.compile(r"Key not found in map : \"(.*)\"", re.DOTALL)
_OPERATOR = re.compile(r"[@_]?(\W+|in)(?:_.*)?")
#: Strings, which are skipped, and integer literals.
_INTEGER = re.compile(
    r"""\"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?<![\w.])(?<![\w)\]]\[)(?P<integer>[0-9]+)(?![\w.])""",
)
_NOUNS = {"metrics": "metric", "parameters": "parameter"}
_HINT = "write whole numbers as 1.0, or convert with double(…)"


_SHOWN_VALUES = 4


class ExpressionError(ValueError):
    """An expression does not compile. ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.message, self.line, self.column = message, line, column


@dataclass(frozen=True)
class Outcome:
    """The result of an evaluation. ``value`` is None when the evaluation failed; ``message`` says why.

    ``null`` is the null variable or field that the expression tried to read from, as ``current`` or ``run.source``.
    ``lacks_metric`` is true if it read a metric that is not there.
    """

    value: bool | None
    message: str = ""
    null: str = ""
    lacks_metric: bool = False


class Values:
    """Values for expressions, measured and converted once for any number of evaluations.

    ``values`` maps each variable to a plain value: None, bool, int, float, str, list or a mapping with string keys.
    Every evaluation reports a value of another type.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.problem = ""
        self.plain: dict[str, Any] = {}
        self._extents: dict[Path, Extent] = {}
        for name, value in sorted(values.items()):
            try:
                self.plain[name], _ = expression_cost.plain(value)
            except expression_cost.NotPlain as error:
                self.problem = f"{name} cannot be read: {error}"
                return
        self.activation = _environment(tuple(self.plain)).Activation(self.plain)

    def get(self, path: Path) -> Any:
        """Return the value at the path. Raises KeyError when it is missing, TypeError when a parent is not a map."""
        value: Any = self.plain
        for key in path:
            if not isinstance(value, dict):
                raise TypeError
            value = value[key]
        return value

    def extent(self, path: Path) -> Extent:
        """Return the extent of the value at the path; the extent of null when there is none."""
        if path not in self._extents:
            try:
                value = self.get(path)
            except (KeyError, TypeError):
                value = None
            self._extents[path] = expression_cost.plain(value)[1].rounded()
        return self._extents[path]


class Expression:
    """A compiled expression. ``paths`` are the fields that it reads, without macro variables."""

    def __init__(self, text: str, variables: tuple[str, ...]) -> None:
        self.text = text
        self.variables = variables
        self._compiled = _compile(text, variables)
        try:
            self.tree = expression_tree.decode(self._compiled.serialize())
        except (ValueError, RecursionError, IndexError) as error:
            raise ExpressionError("the expression is too complex") from error
        _check_patterns(self.tree, variables)
        self.paths = [path for path in expression_tree.paths(self.tree) if path[0] in variables]

    def evaluate(self, values: Values | Mapping[str, Any]) -> Outcome:
        """Evaluate the expression over the values, within the cost budget. Never raises."""
        values = values if isinstance(values, Values) else Values(values)
        outcome = self.evaluate_plainly(values)
        if outcome.value and (unknown := self._not_a_number(values)):
            # Comparisons with NaN are false, so their negation would be true.
            return Outcome(None, f"{unknown} is NaN")
        return outcome

    def evaluate_plainly(self, values: Values | Mapping[str, Any]) -> Outcome:
        """Evaluate like ``evaluate``, with NaN as any other number. Never raises."""
        values = values if isinstance(values, Values) else Values(values)
        if values.problem:
            return Outcome(None, values.problem)
        units = expression_cost.cost(self.tree, tuple((path, values.extent(path)) for path in self.paths))
        if units > expression_cost.BUDGET:
            share = units / expression_cost.BUDGET
            return Outcome(None, f"the expression could take too long: its cost is up to {share:.3g} times the limit")
        outcome = self._outcome(values.activation, values)
        return self._with_doubles(values, outcome) if _mixes_numbers(outcome) else outcome

    def _not_a_number(self, values: Values) -> str:
        """Return the first field that the expression reads and that is NaN; "" if there is none."""
        for path in (each for each in self.paths if len(each) > 1):
            try:
                value = values.get(path)
            except (KeyError, TypeError):
                continue
            if isinstance(value, float) and math.isnan(value):
                return ".".join(path)
        return ""

    def evaluate_freely(self, values: dict[str, Any]) -> Outcome:
        """Evaluate the expression without the cost budget; much faster, but unbounded in time and memory.

        Use it only for values from JSON, in a process where users wait for their own expressions.
        """
        try:
            activation = _environment(self.variables).Activation(values)
        except (RuntimeError, TypeError, ValueError, OverflowError):
            return self.evaluate(values)
        outcome = self._outcome(activation, values)
        return self._with_doubles(Values(values), outcome) if _mixes_numbers(outcome) else outcome

    def _with_doubles(self, values: Values, outcome: Outcome) -> Outcome:
        """Evaluate with every number as a double, because CEL does not mix types; else return the known outcome.

        JSON, and so Kubernetes, stores 1.0 as 1: authors do not control whether their values are whole numbers.
        """
        text = doubles(self.text)
        try:
            compiled = self._compiled if text == self.text else _compile(text, self.variables)
        except ExpressionError:
            return outcome
        converted = {name: _floats(value) for name, value in values.plain.items()}
        found = self._outcome(_environment(tuple(converted)).Activation(converted), values, compiled)
        return outcome if found.value is None else found

    def _outcome(self, activation: Any, values: Values | dict[str, Any], compiled: Any = None) -> Outcome:
        try:
            result = (compiled or self._compiled).eval(activation)
        except RuntimeError as error:
            return self._failed(str(error), values)
        if result.type() == cel.Type.BOOL:
            return Outcome(bool(result.value()))
        if result.type() == cel.Type.ERROR:
            return self._failed(str(result.value()), values)
        return Outcome(None, f"the result must be true or false, but it is {result.type().name().lower()}")

    def shown(self, values: Values) -> str:
        """Return the first values that the expression reads, with their paths; "" when there are none to show."""
        found = []
        for path in self.paths:
            try:
                value = values.get(path)
            except (KeyError, TypeError):
                continue
            if isinstance(value, bool | int | float | str):
                found.append(f"{'.'.join(path)} is {_text(value)}")
        return ", ".join(found[:_SHOWN_VALUES])

    def _failed(self, error: str, values: Values | dict[str, Any]) -> Outcome:
        values = values if isinstance(values, Values) else Values(values)
        missing = _MISSING.search(error)
        for path in self.paths:
            for end in range(1, len(path)):
                above = _get(values, path[:end])
                if above is None:
                    null = ".".join(path[:end])
                    return Outcome(None, f"{null} is null, so {'.'.join(path)} cannot be read", null)
                if missing and isinstance(above, dict) and path[end] == missing[1] and path[end] not in above:
                    return Outcome(None, _lack(path[:end], path[end]), lacks_metric=path[end - 1] == "metrics")
        return Outcome(None, _words(error))


@lru_cache(maxsize=2048)
def compile(expression: str, variables: tuple[str, ...]) -> Expression:  # noqa: A001 - what it does, as in `re`
    """Return the compiled and checked expression, which must evaluate to a boolean. Results are cached.

    Raises ExpressionError with the position of the error.
    """
    return Expression(expression, tuple(sorted(variables)))


@lru_cache(maxsize=64)
def _environment(variables: tuple[str, ...]) -> Any:
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN))


def _compile(text: str, variables: tuple[str, ...]) -> Any:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression is longer than {MAX_LENGTH} characters")
    if not text.isprintable() and any(ord(letter) in range(0xD800, 0xE000) for letter in text):
        raise ExpressionError("the expression is not valid Unicode")
    try:
        compiled = _environment(variables).compile(text)
    except RuntimeError as error:
        raise _refusal(str(error), variables) from None
    kind = compiled.return_type()
    if kind not in (cel.Type.BOOL, cel.Type.DYN):
        raise ExpressionError(f"the result must be true or false, but it is {kind.name().lower()}")
    return compiled


def _refusal(error: str, variables: tuple[str, ...]) -> ExpressionError:
    if "recursion" in error:
        return ExpressionError("the expression is nested too deeply")
    found = _POSITION.search(error)
    if not found:
        return ExpressionError(_words(error))
    line, column = max(1, int(found[1])), max(1, int(found[2]))
    message = found[3].removesuffix(" (in container '')").removesuffix(" [INVALID_ARGUMENT]")
    if message.startswith("undeclared reference to"):
        message = f"{message.replace('undeclared reference to', 'there is no')}; variables: {', '.join(variables)}"
    return ExpressionError(_words(message), line, column)


def doubles(text: str) -> str:
    """Return an expression with its integer literals as doubles; strings and indexes stay."""
    return _INTEGER.sub(lambda found: f"{found[0]}.0" if found["integer"] else found[0], text)


def _mixes_numbers(outcome: Outcome) -> bool:
    return outcome.value is None and _HINT in outcome.message


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_floats(each) for each in value]
    return expression_cost.to_float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_patterns(tree: expression_tree.Node, variables: tuple[str, ...]) -> None:
    """Refuse patterns that are not valid literals, because their cost and errors are unknown until evaluation."""
    for node in expression_tree.walk(tree):
        if isinstance(node, expression_tree.Call) and node.function == "matches":
            pattern = node.arguments[-1]
            if not isinstance(pattern, expression_tree.Constant) or pattern.text is None:
                raise ExpressionError("the pattern of matches() must be a string literal")
            outcome = _environment(("pattern",)).compile('"".matches(pattern)').eval(data={"pattern": pattern.text})
            if outcome.type() == cel.Type.ERROR:
                raise ExpressionError(_words(str(outcome.value())))


def _get(values: Values, path: Path) -> Any:
    try:
        return values.get(path)
    except (KeyError, TypeError):
        return ...


def _lack(above: Path, key: str) -> str:
    noun = _NOUNS.get(above[-1])
    if noun and len(above) > 1:
        return f"{'.'.join(above[:-1])} has no {noun} {key}"[:_MAX_MESSAGE]
    return f"{'.'.join(above)} has no {key}"[:_MAX_MESSAGE]


def _text(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value[:100], ensure_ascii=False)  # quotes make an empty string visible
    return format_value(value) if isinstance(value, float) else str(value)[:100]


def _words(error: str) -> str:
    """Rewrite a message of the library as one line that the author of the expression can act on."""
    if "<jump_condition>" in error:
        return "the condition before ? must be true or false"
    found = _NOT_APPLICABLE.search(error)
    if found:
        kinds = (found["kinds"] or "").replace("int64", "int").strip()
        operator = _OPERATOR.fullmatch(found["name"])
        what = f"{operator[1].strip('_') if operator else found['name']} cannot be used"
        what += f" with {kinds.replace(', ', ' and ')}" if kinds else " with these values"
        return f"{what}; {_HINT}" if {"int", "double"} <= set(kinds.split(", ")) else what
    text = " ".join(error.split()).removesuffix(" [INVALID_ARGUMENT]")
    text = re.sub(r" expecting .*", "", text).replace("'<EOF>'", "end of the expression")
    return re.sub(r"^[A-Z_]+: ", "", text)[:_MAX_MESSAGE]
