"""The checked syntax tree of a CEL expression, for analysis without evaluation.

The CEL library exposes its tree only as a serialised ``google.api.expr`` message. Only a few of its fields are needed,
so this module decodes the wire format without a protobuf runtime.
It makes no decisions: ``expression_cost`` computes costs, and the library evaluates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from assay.planning.protobuf import doubles, fields, signed

_NULL_CONSTANT, _BOOL_CONSTANT, _INT_CONSTANT, _DOUBLE_CONSTANT = 1, 2, 3, 5
_STRING_CONSTANT, _BYTES_CONSTANT = 6, 7


class _Other:
    """The value of a literal that is neither null, boolean, integer, double nor string."""


OTHER: Final = _Other()


@dataclass(frozen=True, eq=False)
class Constant:
    """A literal. ``text`` is None unless it is a string or bytes; ``value`` is OTHER for bytes and unsigned numbers."""

    text: str | None
    value: bool | int | float | str | _Other | None = OTHER


@dataclass(frozen=True, eq=False)
class Name:
    """A variable, a macro's variable or a type name."""

    name: str


@dataclass(frozen=True, eq=False)
class Select:
    """``operand.field``, or ``has(operand.field)`` when ``test`` is set."""

    operand: "Node"
    field: str
    test: bool


@dataclass(frozen=True, eq=False)
class Call:
    """A function or operator; the target of a method is its first argument."""

    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, eq=False)
class Build:
    """A list, map or message literal; ``items`` holds keys and values in one sequence."""

    items: tuple["Node", ...]
    length: int


@dataclass(frozen=True, eq=False)
class Loop:
    """The expansion of a macro: a fold over ``range`` with one accumulator."""

    variables: tuple[str, ...]
    range: "Node"
    accumulator: str
    initial: "Node"
    condition: "Node"
    step: "Node"
    result: "Node"


Node = Constant | Name | Select | Call | Build | Loop
Path = tuple[str, ...]


def decode(serialised: bytes) -> Node:
    """Return the tree of a serialised ``Any`` with a ``CheckedExpr``. Raises ValueError for any other message."""
    (checked,) = _all(serialised, 2)
    (root,) = _all(checked, 4)
    return _node(root)


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and its descendants in pre-order, from left to right."""
    yield node
    for child in _children(node):
        yield from walk(child)


def paths(node: Node) -> list[Path]:
    """Return the longest ``name.field["key"]`` chains that the tree reads, in order, unique, without ``has()``."""
    found: dict[Path, None] = {}
    _collect(node, found)
    return list(found)


def _collect(node: Node, found: dict[Path, None]) -> None:
    path = path_of(node)
    if path is not None:
        found[path] = None
        return
    for child in _children(node):
        _collect(child, found)


def path_of(node: Node) -> Path | None:
    """Return the path if the node is a chain ``name.field["key"]``, else None."""
    match node:
        case Name(name):
            return (name,)
        case Select(operand, field, False):
            above = path_of(operand)
            return None if above is None else (*above, field)
        case Call("_[_]", (operand, Constant(str(text)))):
            above = path_of(operand)
            return None if above is None else (*above, text)
    return None


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Select(operand):
            return (operand,)
        case Call(_, arguments):
            return arguments
        case Build(items):
            return items
        case Loop():
            return (node.range, node.initial, node.condition, node.step, node.result)
    return ()


def _node(data: bytes) -> Node:
    for number, body in fields(data):
        if number in _KINDS and isinstance(body, bytes):
            return _KINDS[number](body)
    return Constant(None)


def _constant(data: bytes) -> Node:
    for number, value in fields(data):
        if isinstance(value, bytes):
            if number in (_STRING_CONSTANT, _BYTES_CONSTANT):
                text = value.decode(errors="replace")
                return Constant(text, text if number == _STRING_CONSTANT else OTHER)
            if number == _DOUBLE_CONSTANT:
                return Constant(None, doubles(value)[0])
        elif number == _BOOL_CONSTANT:
            return Constant(None, bool(value))
        elif number == _INT_CONSTANT:
            return Constant(None, signed(value))
        elif number == _NULL_CONSTANT:
            return Constant(None, None)
    return Constant(None)


def _name(data: bytes) -> Node:
    return Name(_text(data, 1))


def _select(data: bytes) -> Node:
    return Select(_node(_one(data, 1)), _text(data, 2), any(number == 3 and value for number, value in fields(data)))


def _call(data: bytes) -> Node:
    arguments = [_node(each) for number in (1, 3) for each in _all(data, number)]
    return Call(_text(data, 2), tuple(arguments))


def _list(data: bytes) -> Node:
    items = tuple(_node(each) for each in _all(data, 1))
    return Build(items, len(items))


def _struct(data: bytes) -> Node:
    entries = _all(data, 2)
    items = tuple(_node(part) for entry in entries for number in (3, 4) for part in _all(entry, number))
    return Build(items, len(entries))


def _loop(data: bytes) -> Node:
    names = tuple(_text(data, number) for number in (1, 8) if _all(data, number))
    source, initial, condition, step, result = (_node(_one(data, number)) for number in (2, 4, 5, 6, 7))
    return Loop(names, source, _text(data, 3), initial, condition, step, result)


_KINDS = {3: _constant, 4: _name, 5: _select, 6: _call, 7: _list, 8: _struct, 9: _loop}


def _all(data: bytes, field_number: int) -> list[bytes]:
    return [value for number, value in fields(data) if number == field_number and isinstance(value, bytes)]


def _one(data: bytes, field_number: int) -> bytes:
    (value,) = _all(data, field_number)
    return value


def _text(data: bytes, field_number: int) -> str:
    return b"".join(_all(data, field_number)[:1]).decode(errors="replace")
