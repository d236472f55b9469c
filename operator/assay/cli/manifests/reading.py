"""Parses manifests like kubectl, and keeps the position of each field.

YAML libraries differ: some read 1e-3 as text and 12:30 as a number. This one resolves scalars like kubectl.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

#: Keys and indexes from the top of an object to one of its fields.
Path = tuple[str | int, ...]

_MAP, _SEQUENCE = yaml.MappingNode, yaml.SequenceNode


class Position(NamedTuple):
    """A position in a text. Both numbers start at 1."""

    line: int
    column: int


class Unreadable(ValueError):
    """A text that is not valid YAML, with the position of the error."""

    def __init__(self, message: str, position: Position) -> None:
        super().__init__(message)
        self.position = position


class Duplicate(NamedTuple):
    """A key that occurs more than once in a map."""

    key: str
    position: Position


@dataclass(frozen=True)
class Manifest:
    """One object of a file, its YAML nodes, and its duplicate keys."""

    body: Any
    node: yaml.Node
    duplicates: tuple[Duplicate, ...] = ()

    def position(self, path: Path, *, key: bool = False) -> Position:
        """Return the position of a field's value, or with `key` of its name; of a missing field, that of its parent."""
        node, name = self.node, self.node
        for part in path:
            found = _below(node, part)
            if found is None:
                return _position(node)
            name, node = found
        return _position(name if key else node)


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it."""


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    supported = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
    return {
        first: [(tag, pattern) for tag, pattern in known if tag in supported]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.yaml_implicit_resolvers = _resolvers()
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"[-+]?(0|[1-9][0-9_]*|0[0-7_]+|0b[01_]+|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"),
    list("-+.0123456789"),
)


def read(text: str) -> list[Manifest]:
    """Return the objects of a text without empty documents; a List is split into its items. Raises Unreadable."""
    found: list[Manifest] = []
    loader = _Loader(text)
    try:
        while loader.check_node():
            node: yaml.Node = loader.get_node()  # type: ignore[assignment]
            duplicates = tuple(_duplicates(node, set()))  # before merge keys (<<) are resolved, which may be overridden
            body = _plain(loader.construct_document(node))
            found += _listed(Manifest(body, node, duplicates)) if body is not None else []
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise Unreadable(message, Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)) from None
    except yaml.YAMLError as error:
        raise Unreadable(" ".join(str(error).split()), Position(1, 1)) from None
    except (RecursionError, ValueError) as error:
        raise Unreadable(f"cannot parse: {error}", Position(1, 1)) from None
    finally:
        loader.dispose()
    return found


def _listed(manifest: Manifest) -> list[Manifest]:
    body, node = manifest.body, _below(manifest.node, "items")
    if isinstance(body, dict) and body.get("kind") == "List" and node and isinstance(node[1], _SEQUENCE):
        parts = zip(body["items"], node[1].value, strict=True)
        return [Manifest(part, its, tuple(_within(manifest.duplicates, its))) for part, its in parts]
    return [manifest]


def _within(duplicates: tuple[Duplicate, ...], node: yaml.Node) -> Iterator[Duplicate]:
    return (each for each in duplicates if node.start_mark.line < each.position.line <= node.end_mark.line + 1)


def _plain(value: Any) -> Any:
    """Return a value as JSON: all keys are strings."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _key(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _below(node: yaml.Node, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the nodes of a field's name and value."""
    if isinstance(node, _MAP):
        return next((pair for pair in node.value if pair[0].value == part), None)
    if isinstance(node, _SEQUENCE) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _duplicates(node: yaml.Node, seen: set[int]) -> Iterator[Duplicate]:
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    if isinstance(node, _MAP):
        known: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in known:
                    yield Duplicate(key.value, _position(key))
                known.add(key.value)
            yield from _duplicates(value, seen)
    else:
        for each in node.value:
            yield from _duplicates(each, seen)


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
