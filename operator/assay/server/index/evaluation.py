"""Evaluates a checked CEL expression over columns, with the meaning that the CEL library gives it row by row.

What a read finds missing is an error; ``false && error`` is false and ``true || error`` is true. What is not covered
here is UNKNOWN, and spreads like an error: the caller evaluates the library on the rows whose result depends on it.
Macros, integer division and conversions are not covered. A property test compares both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy
from cel_expr_python import cel

from assay.planning.promotion.expression_tree import OTHER, Build, Call, Constant, Node, Path, Select, path_of
from assay.server.index.column import (
    BIG,
    BOOL,
    DOUBLE,
    ERROR,
    EXACT,
    INT,
    LIST,
    MAP,
    MISSING,
    NULL,
    STRING,
    UNKNOWN,
    Kinds,
    Mask,
    Numbers,
    Vector,
)
from assay.server.index.columns import DEEPEST, MoreStrings, ranked

_Compare = Callable[[Numbers, Numbers], Mask]

#: Up to this, sums and products of integers are exact in a double.
_SMALL: Final = float(1 << 26)
_COMPARISONS: Final[dict[str, _Compare]] = {
    "_<_": numpy.less,
    "_<=_": numpy.less_equal,
    "_>_": numpy.greater,
    "_>=_": numpy.greater_equal,
}
_ARITHMETIC: Final = {"_+_": numpy.add, "_-_": numpy.subtract, "_*_": numpy.multiply, "_/_": numpy.divide}
_TEXT: Final[dict[str, Callable[[str, str], bool]]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}


class Source(Protocol):
    """What an expression is evaluated over."""

    strings: MoreStrings

    @property
    def size(self) -> int:
        """The number of rows."""

    def vector(self, path: Path) -> Vector:
        """The values of a field, MISSING where a row does not have it."""


def evaluate(node: Node, source: Source) -> Vector:
    """Return the value of an expression for each row: BOOL, ERROR, UNKNOWN, or another kind if it is no condition."""
    return _Evaluation(source).value(node)


class _Evaluation:
    def __init__(self, source: Source) -> None:
        self._source, self._strings, self._size = source, source.strings, source.size

    def value(self, node: Node) -> Vector:
        path = path_of(node)
        if path is not None:
            return self._read(path) if len(path) <= DEEPEST else self._all(UNKNOWN)
        match node:
            case Constant():
                return self._constant(node)
            case Select(operand, field, True):
                return self._has(operand, field)
            case Call(function, arguments):
                return self._call(function, arguments)
        return self._all(UNKNOWN)

    def _all(self, kind: int, number: float = 0.0) -> Vector:
        return Vector(numpy.full(self._size, kind, dtype=numpy.uint8), numpy.full(self._size, number))

    def _read(self, path: Path) -> Vector:
        kind, number = self._source.vector(path)
        lookup = numpy.arange(UNKNOWN + 1, dtype=numpy.uint8)
        lookup[MISSING], lookup[BIG] = ERROR, UNKNOWN
        return Vector(lookup[kind], number)

    def _constant(self, node: Constant) -> Vector:
        value = node.value
        if value is None:
            return self._all(NULL)
        if isinstance(value, bool):
            return self._all(BOOL, float(value))
        if isinstance(value, int):
            return self._all(INT, float(value)) if abs(value) <= 1 << 53 else self._all(UNKNOWN)
        if isinstance(value, float):
            return self._all(DOUBLE, value)
        return self._all(STRING, self._strings.code(value)) if isinstance(value, str) else self._all(UNKNOWN)

    def _has(self, operand: Node, field: str) -> Vector:
        above = path_of(operand)
        if above is None:
            return self._all(UNKNOWN)
        outer = self._read(above).kind
        inner = self._source.vector((*above, field)).kind
        kind = numpy.where(outer == MAP, BOOL, numpy.where(outer == UNKNOWN, UNKNOWN, ERROR)).astype(numpy.uint8)
        return Vector(kind, ((outer == MAP) & (inner != MISSING)).astype(numpy.float64))

    # Functions

    def _call(self, function: str, arguments: tuple[Node, ...]) -> Vector:
        if function in ("_&&_", "_||_") and len(arguments) == 2:
            return _either([self.value(each) for each in arguments], stops=function == "_||_")
        if function == "!_":
            return _not(self.value(arguments[0]))
        if function == "_?_:_":
            return _choice(*(self.value(each) for each in arguments))
        if function in ("_==_", "_!=_"):
            return _equal(*(self.value(each) for each in arguments), negated=function == "_!=_")
        if function in _COMPARISONS:
            return self._compare(_COMPARISONS[function], *(self.value(each) for each in arguments))
        if function in _ARITHMETIC and len(arguments) == 2:
            return _arithmetic(function, *(self.value(each) for each in arguments))
        if function == "@in":
            return self._in(*arguments)
        if function in _TEXT or function == "matches":
            return self._text(function, *arguments)
        return self._all(UNKNOWN)

    def _compare(self, compare: _Compare, left: Vector, right: Vector) -> Vector:
        a, b = left.kind, right.kind
        numbers = _is_number(a) & _is_number(b)
        texts = (a == STRING) & (b == STRING)
        booleans = (a == BOOL) & (b == BOOL)
        with numpy.errstate(invalid="ignore"):
            found = compare(left.number, right.number)
        if texts.any():
            both = numpy.concatenate((left.number[texts], right.number[texts])).astype(numpy.int64)
            ranks = ranked(both, self._strings.text).astype(numpy.float64)
            half = len(ranks) // 2
            found = found.copy()
            found[texts] = compare(ranks[:half], ranks[half:])
        return _condition(numbers | texts | booleans, found, a, b)

    def _in(self, needle: Node, haystack: Node) -> Vector:
        value = self.value(needle)
        if isinstance(haystack, Build):
            items = haystack.items
            plain = all(isinstance(each, Constant) and each.value is not OTHER for each in items)
            # An empty map looks like an empty list here.
            if not plain or not items or len(items) != haystack.length:
                return self._all(UNKNOWN)
            found = self._among(value, [each.value for each in items if isinstance(each, Constant)])
            if found is None:
                return self._all(UNKNOWN)
            fine = (value.kind != ERROR) & (value.kind != UNKNOWN)
            return _condition(fine, found, value.kind, value.kind)
        path, constant = path_of(haystack), needle
        if path is None or not isinstance(constant, Constant) or not isinstance(constant.value, str):
            return self._all(UNKNOWN)
        outer = self._read(path).kind
        inner = self._source.vector((*path, constant.value)).kind
        kind = numpy.where(outer == MAP, BOOL, numpy.where((outer == UNKNOWN) | (outer == LIST), UNKNOWN, ERROR))
        return Vector(kind.astype(numpy.uint8), ((outer == MAP) & (inner != MISSING)).astype(numpy.float64))

    def _among(self, value: Vector, items: list[Any]) -> Mask | None:
        """Return which values are among constants, None if one of these is not covered."""
        found = numpy.zeros(self._size, dtype=bool)
        texts = [each for each in items if isinstance(each, str)]
        if texts:
            codes = numpy.zeros(len(self._strings), dtype=bool)
            codes[[code for code in map(self._strings.known, texts) if code >= 0]] = True
            at = value.kind == STRING
            found[at] = codes[value.number[at].astype(numpy.int64)]
        for each in items:
            if each is None:
                found |= value.kind == NULL
            elif isinstance(each, bool):
                found |= (value.kind == BOOL) & (value.number == float(each))
            elif isinstance(each, int | float):
                if isinstance(each, int) and abs(each) > EXACT:
                    return None
                found |= _is_number(value.kind) & (value.number == float(each))
            elif not isinstance(each, str):
                return None
        return found

    def _text(self, function: str, *arguments: Node) -> Vector:
        """Evaluate once for each different string, not for each row."""
        if len(arguments) != 2 or not isinstance(arguments[1], Constant) or not isinstance(arguments[1].value, str):
            return self._all(UNKNOWN)
        value, argument = self.value(arguments[0]), arguments[1].value
        texts = value.kind == STRING
        codes, inverse = numpy.unique(value.number[texts].astype(numpy.int64), return_inverse=True)
        holds = _matching(argument) if function == "matches" else lambda text: _TEXT[function](text, argument)
        outcomes = numpy.fromiter(
            (holds(self._strings.text(int(code))) for code in codes), dtype=bool, count=len(codes)
        )
        found = numpy.zeros(self._size, dtype=bool)
        found[texts] = outcomes[inverse] if len(codes) else False
        return _condition(texts, found, value.kind, value.kind)


def _matching(pattern: str) -> Callable[[str], bool]:
    """Return whether a string matches a pattern, as the library finds: its expressions are not Python's."""
    compiled = cel.NewEnv(variables={"text": cel.Type.STRING, "pattern": cel.Type.STRING}).compile(
        "text.matches(pattern)"
    )
    return lambda text: bool(compiled.eval(data={"text": text, "pattern": pattern}).value())


def _is_number(kind: Kinds) -> Mask:
    found: Mask = (kind == INT) | (kind == DOUBLE)
    return found


def _condition(fine: Mask, found: Mask, *kinds: Kinds) -> Vector:
    """Return a condition where the operands have fine kinds, else UNKNOWN if an operand is that, else an error."""
    unknown = numpy.zeros(len(fine), dtype=bool)
    for kind in kinds:
        unknown |= kind == UNKNOWN
    kind = numpy.where(unknown, UNKNOWN, numpy.where(fine, BOOL, ERROR)).astype(numpy.uint8)
    return Vector(kind, (found & (kind == BOOL)).astype(numpy.float64))


def _either(values: list[Vector], *, stops: bool) -> Vector:
    """Evaluate && and ||: one operand that is false, or true, decides regardless of the other."""
    decided = numpy.zeros(len(values[0].kind), dtype=bool)
    for each in values:
        decided |= (each.kind == BOOL) & ((each.number > 0) == stops)
    kinds = [each.kind for each in values]
    fine = decided | numpy.logical_and.reduce([kind == BOOL for kind in kinds])
    kind = numpy.where(fine, BOOL, numpy.where(numpy.logical_or.reduce([k == UNKNOWN for k in kinds]), UNKNOWN, ERROR))
    number = decided if stops else fine & ~decided
    return Vector(kind.astype(numpy.uint8), (number & fine).astype(numpy.float64))


def _not(value: Vector) -> Vector:
    return _condition(value.kind == BOOL, value.number == 0, value.kind)


def _choice(condition: Vector, yes: Vector, no: Vector) -> Vector:
    taken = (condition.kind == BOOL) & (condition.number > 0)
    kind = numpy.where(taken, yes.kind, no.kind)
    number = numpy.where(taken, yes.number, no.number)
    kind = numpy.where(condition.kind == BOOL, kind, numpy.where(condition.kind == UNKNOWN, UNKNOWN, ERROR))
    return Vector(kind.astype(numpy.uint8), number)


def _equal(left: Vector, right: Vector, *, negated: bool = False) -> Vector:
    a, b = left.kind, right.kind
    same_kind = (a == b) | (_is_number(a) & _is_number(b))
    found = same_kind & ((left.number == right.number) | (a == NULL))
    # Maps and lists are compared with each other by the library; with anything else they are not equal.
    deep = (a == b) & ((a == MAP) | (a == LIST))
    failed = (a == ERROR) | (b == ERROR)
    unknown = (a == UNKNOWN) | (b == UNKNOWN) | deep
    kind = numpy.where(failed & ~((a == UNKNOWN) | (b == UNKNOWN)), ERROR, numpy.where(unknown, UNKNOWN, BOOL))
    return Vector(kind.astype(numpy.uint8), ((found != negated) & (kind == BOOL)).astype(numpy.float64))


def _arithmetic(function: str, left: Vector, right: Vector) -> Vector:
    a, b = left.kind, right.kind
    doubles, integers = (a == DOUBLE) & (b == DOUBLE), (a == INT) & (b == INT)
    with numpy.errstate(all="ignore"):
        number = _ARITHMETIC[function](left.number, right.number)
    # Integers divide with a remainder, and overflow; sums of strings and lists are the library's, and so are integers
    # among doubles, which change how the rest of the expression is evaluated.
    exact = integers & (abs(left.number) <= _SMALL) & (abs(right.number) <= _SMALL)
    exact &= function != "_/_"
    unknown = (a == UNKNOWN) | (b == UNKNOWN) | (integers & ~exact) | (_is_number(a) & _is_number(b) & (a != b))
    if function == "_+_":
        unknown |= (a == b) & ((a == STRING) | (a == LIST))
    kind = numpy.where(doubles, DOUBLE, numpy.where(exact, INT, numpy.where(unknown, UNKNOWN, ERROR)))
    return Vector(kind.astype(numpy.uint8), numpy.where(doubles | exact, number, 0.0))
