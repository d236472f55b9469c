"""An upper bound of the cost of evaluating a CEL expression, computed before the evaluation.

The CEL library has neither a time nor a memory limit and holds the GIL while it evaluates. Its own limits (depth 32,
10,000 macro iterations in total) do not cover values that double in every macro, or lists that are copied in full for
each appended element. This module therefore walks the tree with the extents of the values instead of the values. It
must never underestimate.

A unit is about ten nanoseconds of the library's CPU time, or eight bytes of memory.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any

from assay.planning.promotion.expression_tree import Build, Call, Constant, Loop, Name, Node, Path, Select, path_of

#: At most about half a second; usually a tenth of that.
BUDGET = 50_000_000
MAX_DEPTH = 32
#: The library's limit of macro iterations in one evaluation.
MAX_ROUNDS = 10_000
#: Units for copying one list element.
_COPY = 25
_BYTES_A_UNIT = 8
#: Maximum factor by which one repetition multiplies a pattern's program size.
_REPETITION = 1000
_LOGIC = frozenset({"_&&_", "_||_", "!_", "@not_strictly_false"})
_SEARCH = frozenset({"_==_", "_!=_", "@in", "contains", "matches"})
_NUMBER = frozenset({"_-_", "_*_", "_/_", "_%_", "-_"})
_ORDER = frozenset({"_<_", "_<=_", "_>_", "_>=_", "startsWith", "endsWith", "size"})


@dataclass(frozen=True)
class Extent:
    """How large a value can be: total ``size``, ``length`` of its longest list or map, its longest ``scalar``."""

    size: int
    length: int = 0
    scalar: int = 1

    def rounded(self) -> "Extent":
        """Return the extent rounded up to powers of two, which keeps the number of distinct extents small."""
        return Extent(*(1 << max(0, number - 1).bit_length() for number in (self.size, self.length, self.scalar)))


_ONE = Extent(1)
_NONE = Extent(0, 0, 0)


class NotPlain(ValueError):
    """A value has a type that expressions do not support, or is nested too deeply."""


def plain(value: Any) -> tuple[Any, Extent]:
    """Return the value converted for the library, and its extent. Raises NotPlain for unsupported values.

    Integers beyond 64 bits become floats, as in JSON. Characters that UTF-8 cannot encode become question marks.
    """
    taken, *numbers = _plain(value, 0)
    return taken, Extent(*numbers)


_Measured = tuple[Any, int, int, int]


def _plain(value: Any, depth: int) -> _Measured:
    if value is None or isinstance(value, (bool, float)):
        return value, 1, 0, 1
    if isinstance(value, str):
        return _plain_text(value)
    if isinstance(value, int):
        return (value if -(2**63) <= value < 2**63 else to_float(value)), 1, 0, 1
    if depth == MAX_DEPTH:
        raise NotPlain(f"a value is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return _plain_map(value, depth)
    if isinstance(value, (list, tuple)):
        items = [_plain(item, depth + 1) for item in value]
        return ([item[0] for item in items], *_together(items, len(items)))
    raise NotPlain(f"a value has the unsupported type {type(value).__name__}")


def _plain_map(value: Mapping[Any, Any], depth: int) -> _Measured:
    """Measure a map in a single loop, because metric summaries are most of the data."""
    taken, size, length, scalar = {}, 1, len(value), 1
    for key, item in value.items():
        name, key_size, _, _ = _plain_text(str(key))
        size += key_size
        scalar = max(scalar, key_size)
        if isinstance(item, float):
            taken[name] = item
            size += 1
            continue
        taken[name], item_size, item_length, item_scalar = _plain(item, depth + 1)
        size += item_size
        length = max(length, item_length)
        scalar = max(scalar, item_scalar)
    return taken, size, length, scalar


def to_float(value: float) -> float:
    """Return the number as a float; a number that is too large becomes infinite, as in JSON."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _plain_text(text: str) -> _Measured:
    if not text.isascii():
        encoded = text.encode(errors="replace")
        text, length = encoded.decode(), len(encoded)
    else:
        length = len(text)
    scalar = 1 + length // _BYTES_A_UNIT
    return text, scalar, 0, scalar


def _together(parts: list[_Measured], length: int) -> tuple[int, int, int]:
    size, scalar = 1, 1
    for _, part_size, part_length, part_scalar in parts:
        size += part_size
        length = max(length, part_length)
        scalar = max(scalar, part_scalar)
    return size, length, scalar


@lru_cache(maxsize=4096)
def cost(tree: Node, extents: tuple[tuple[Path, Extent], ...]) -> int:
    """Return the maximum cost of an evaluation in units, given the extents of the values that it reads."""
    return _estimate(tree, dict(extents))[1]


_Scope = Mapping[Path, Extent]


def _estimate(node: Node, scope: _Scope) -> tuple[Extent, int]:
    path = path_of(node)
    if path is not None and path in scope:
        return scope[path], len(path)
    match node:
        case Constant(text):
            return (_ONE if text is None else plain(text)[1]), 1
        case Name():
            return _ONE, 1
        case Select(operand, _, test):
            extent, units = _estimate(operand, scope)
            return (_ONE if test else extent), units + 1
        case Build(items, length):
            parts = [_estimate(item, scope) for item in items]
            extent = Extent(*_together([(None, *astuple(part)) for part, _ in parts], length))
            return extent, sum(units for _, units in parts) + len(parts) + 1
        case Call(function, arguments):
            parts = [_estimate(argument, scope) for argument in arguments]
            extent, own = _call(function, [extent for extent, _ in parts], arguments)
            return extent, own + sum(units for _, units in parts)
        case Loop():
            return _loop(node, scope)


def _call(function: str, extents: list[Extent], arguments: tuple[Node, ...]) -> tuple[Extent, int]:
    sizes = [extent.size for extent in extents]
    scalars = [extent.scalar for extent in extents]
    if function in _LOGIC or function in _NUMBER:
        return _ONE, 1
    if function in _ORDER:
        return _ONE, 1 + max(scalars)
    if function == "_[_]":
        return extents[0], 1 + scalars[1]
    if function == "_?_:_":
        return _largest(extents[1:]), 1
    if function == "_+_":
        # If one operand is a literal, this is not a list concatenation.
        length = 0 if any(isinstance(each, Constant) for each in arguments) else sum(each.length for each in extents)
        return Extent(sum(sizes), length, sum(scalars)), 1 + sum(scalars) + _COPY * length
    if function in _SEARCH:
        return _ONE, 1 + _search(function, sizes, scalars, arguments)
    text = 8 + 4 * sum(scalars)
    return Extent(8 + 4 * sum(sizes), max([0, *(extent.length for extent in extents)]), text), text


def _search(function: str, sizes: list[int], scalars: list[int], arguments: tuple[Node, ...]) -> int:
    """Return the units of a full comparison or search."""
    if function == "@in":
        return 4 * sizes[1]
    if function == "contains":
        return scalars[0] * scalars[1]
    if function == "matches":
        return _BYTES_A_UNIT * (scalars[0] + 100) * _program(arguments[1])
    return 4 * min(sizes)


def _largest(extents: list[Extent]) -> Extent:
    return Extent(
        max(extent.size for extent in extents),
        max(extent.length for extent in extents),
        max(extent.scalar for extent in extents),
    )


def _program(pattern: Node) -> int:
    """Return an upper bound of the number of instructions that a regular expression compiles to."""
    text = pattern.text if isinstance(pattern, Constant) and pattern.text is not None else ""
    return 1 + len(text) + _REPETITION * text.count("{")


def _loop(node: Loop, scope: _Scope) -> tuple[Extent, int]:
    source, source_units = _estimate(node.range, scope)
    initial, initial_units = _estimate(node.initial, scope)
    rounds = min(source.length, MAX_ROUNDS)
    inner = {path: extent for path, extent in scope.items() if path[0] not in node.variables}
    inner |= {(name,): source for name in node.variables}
    nothing, something = ({**inner, (node.accumulator,): extent} for extent in (_NONE, _ONE))
    # Expressions cannot name the accumulator, and macros only append to it, so the gain of one iteration is the extent
    # of the step with an empty accumulator.
    gain, step_units = _estimate(node.step, nothing)
    _, condition_units = _estimate(node.condition, something)
    total = Extent(
        initial.size + rounds * gain.size,
        initial.length + rounds * gain.length,
        max(initial.scalar, gain.scalar),
    )
    extent, result_units = _estimate(node.result, {**scope, (node.accumulator,): total})
    copies = _COPY * rounds * rounds // 2 if gain.length else 0
    units = source_units + initial_units + result_units + copies + rounds * (step_units + condition_units + 1)
    return extent, units
