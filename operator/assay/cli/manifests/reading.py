"""Manifests as text → objects, read as the API server reads them, and where in the text each of their fields stands.

A reader of YAML may take 1e-3 for text and 12:30 for a number: what is read here is what kubectl makes of the file.
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
    """A place in a text. Both count from 1."""

    line: int
    column: int


class Unreadable(ValueError):
    """A text that is no YAML: what is wrong, and where."""

    def __init__(self, message: str, position: Position) -> None:
        super().__init__(message)
        self.position = position


class Twice(NamedTuple):
    """A key that stands twice in one map."""

    key: str
    position: Position


@dataclass(frozen=True)
class Manifest:
    """One object of a file, the nodes that it was read from, and the keys that stand twice in one of its maps."""

    body: Any
    node: yaml.Node
    twice: tuple[Twice, ...] = ()

    def position(self, path: Path, *, key: bool = False) -> Position:
        """Where the field stands, or with `key` its name; of one that is not there, where it would be in."""
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
    kept = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
    return {
        first: [(tag, pattern) for tag, pattern in known if tag in kept]
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
    """Return the objects of a text, those in Lists one by one, without documents that are empty. Raises Unreadable."""
    found: list[Manifest] = []
    loader = _Loader(text)
    try:
        while loader.check_node():
            node: yaml.Node = loader.get_node()  # type: ignore[assignment]
            twice = tuple(_twice(node, set()))  # before merges (<<) are resolved: they may bring what is replaced
            body = _plain(loader.construct_document(node))
            found += _listed(Manifest(body, node, twice)) if body is not None else []
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise Unreadable(message, Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)) from None
    except yaml.YAMLError as error:
        raise Unreadable(" ".join(str(error).split()), Position(1, 1)) from None
    except (RecursionError, ValueError) as error:
        raise Unreadable(f"it cannot be read: {error}", Position(1, 1)) from None
    finally:
        loader.dispose()
    return found


def _listed(manifest: Manifest) -> list[Manifest]:
    body, node = manifest.body, _below(manifest.node, "items")
    if isinstance(body, dict) and body.get("kind") == "List" and node and isinstance(node[1], _SEQUENCE):
        parts = zip(body["items"], node[1].value, strict=True)
        return [Manifest(part, its, tuple(_within(manifest.twice, its))) for part, its in parts]
    return [manifest]


def _within(twice: tuple[Twice, ...], node: yaml.Node) -> Iterator[Twice]:
    return (each for each in twice if node.start_mark.line < each.position.line <= node.end_mark.line + 1)


def _plain(value: Any) -> Any:
    """A value as JSON has it: keys are texts."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _key(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _below(node: yaml.Node, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The nodes of a field's name and value."""
    if isinstance(node, _MAP):
        return next((pair for pair in node.value if pair[0].value == part), None)
    if isinstance(node, _SEQUENCE) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _twice(node: yaml.Node, seen: set[int]) -> Iterator[Twice]:
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))
    if isinstance(node, _MAP):
        known: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in known:
                    yield Twice(key.value, _position(key))
                known.add(key.value)
            yield from _twice(value, seen)
    else:
        for each in node.value:
            yield from _twice(each, seen)


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
