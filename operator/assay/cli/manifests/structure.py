"""Validates objects against a structural schema like the API server: types, bounds, CEL rules.

Supports the parts of apiextensions.k8s.io/v1 that the kinds of Assay use. Pure: knows no kinds and no files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

from assay.cli.manifests import patterns
from assay.cli.manifests.reading import Path
from assay.queries import references

Schema = dict[str, Any]

_PRESERVE, _RULES = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"
_LIST_TYPE, _LIST_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_NAMES = {"object": "a map", "array": "a list", "string": "a string", "boolean": "true or false"}
_NAMES |= {"integer": "an integer", "number": "a number"}


class Problem(NamedTuple):
    """A problem with the value of the field at a path; with `key`, with its name."""

    path: Path
    message: str
    key: bool = False


def without_nulls(schema: Schema, value: Any) -> Any:
    """Return a value without its null fields: the API server drops those that the schema describes."""
    if isinstance(value, dict):
        known, others = schema.get("properties") or {}, schema.get("additionalProperties")
        if isinstance(others, dict):
            return {name: without_nulls(others, each) for name, each in value.items()}
        return {
            name: without_nulls(known.get(name) or {}, each)
            for name, each in value.items()
            if each is not None or name not in known
        }
    if isinstance(value, list) and "items" in schema:
        return [without_nulls(schema["items"], each) for each in value]
    return value


def check(schema: Schema, value: Any, path: Path = ()) -> Iterator[Problem]:
    """Yield the problems of a value, except those of CEL rules."""
    kind = schema.get("type")
    if kind and not _TYPES[kind](value):
        yield Problem(path, f"{_shown(value)} is not {_NAMES[kind]}")
        return
    for keyword, judge in _KEYWORDS.items():
        if keyword in schema and (message := judge(schema[keyword], value)):
            yield Problem(path, message)
    if isinstance(value, dict):
        yield from _fields(schema, value, path)
    elif isinstance(value, list):
        yield from _items(schema, value, path)


def _fields(schema: Schema, value: dict[str, Any], path: Path) -> Iterator[Problem]:
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    for name in schema.get("required") or []:
        if name not in value:
            yield Problem(path, f"{name} is missing")
    if choices := schema.get("oneOf"):
        yield from _choice([each["required"] for each in choices], value, path)
    for name, each in value.items():
        if name in properties:
            yield from check(properties[name], each, (*path, name))
        elif isinstance(others, dict):
            yield from check(others, each, (*path, name))
        elif not schema.get(_PRESERVE):
            near = references.near(name, properties)
            yield Problem((*path, name), f"unknown field{': ' if near else ''}{near}", key=True)


def _choice(choices: list[list[str]], value: dict[str, Any], path: Path) -> Iterator[Problem]:
    if sum(all(name in value for name in choice) for choice in choices) != 1:
        options = " or ".join(" and ".join(choice) for choice in choices)
        yield Problem(path, f"exactly one of these is required: {options}")


def _items(schema: Schema, value: list[Any], path: Path) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, each in enumerate(value):
        yield from check(schema.get("items") or {}, each, (*path, index))
        if (identity := _identity(schema, each)) is not None:
            if identity in seen:
                yield Problem((*path, index), f"duplicate entry: {identity}")
            seen.add(identity)


def _identity(schema: Schema, item: Any) -> str | None:
    """Return the part of a list item that must be unique, as JSON; None if nothing must be."""
    if schema.get(_LIST_TYPE) == "map" and isinstance(item, dict):
        return json.dumps({name: item.get(name) for name in schema[_LIST_KEYS]}, default=str)
    return json.dumps(item, default=str) if schema.get(_LIST_TYPE) == "set" else None


# Types and bounds


def _whole(value: Any) -> bool:
    return _number(value) and float(value).is_integer()


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": _whole,
    "number": _number,
}


def _enum(allowed: list[Any], value: Any) -> str:
    if value in allowed:
        return ""
    known = ", ".join(str(each) for each in allowed)
    near = references.near(str(value), [str(each) for each in allowed])
    return f"{_shown(value)} is not one of {known}" + (f": {near}" if near else "")


def _pattern(pattern: str, value: Any) -> str:
    # In Go `$` matches only the end of the text, not before a final newline.
    ok = isinstance(value, str) and re.search(pattern, value) and not value.endswith("\n")
    return "" if ok else f"{_shown(value)} is not valid: use {patterns.in_words(pattern)}"


def _date(_: str, value: Any) -> str:
    try:
        ok = bool(_TIME.fullmatch(value)) and bool(datetime.fromisoformat(value))
    except ValueError:
        ok = False
    return "" if ok else f"{_shown(value)} is not a time such as 2026-01-31T12:00:00Z"


def _at_least(what: str, size: Callable[[Any], float]) -> Callable[[Any, Any], str]:
    return lambda bound, value: "" if size(value) >= bound else f"{_shown(value)} is less than {bound}{what}"


def _at_most(what: str, size: Callable[[Any], float]) -> Callable[[Any, Any], str]:
    return lambda bound, value: (
        "" if size(value) <= bound else f"{size(value)}{what} are more than the maximum of {bound}"
    )


_KEYWORDS: dict[str, Callable[[Any, Any], str]] = {
    "enum": _enum,
    "pattern": _pattern,
    "format": _date,
    "minimum": _at_least("", float),
    "maximum": lambda bound, value: "" if value <= bound else f"{_shown(value)} is more than {bound}",
    "minLength": lambda bound, value: "" if len(value) >= bound else "must not be empty",
    "maxLength": _at_most(" characters", len),
    "minItems": lambda bound, value: "" if len(value) >= bound else "the list must not be empty",
    "maxItems": _at_most(" entries", len),
    "maxProperties": _at_most(" fields", len),
}


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


# Rules in CEL


def rules(schema: Schema, value: Any, path: Path = ()) -> Iterator[Problem]:
    """Yield the CEL rules that a structurally valid value violates; transition rules are skipped."""
    for each in schema.get(_RULES) or []:
        if "oldSelf" not in each["rule"] and not _holds(each["rule"], _typed(schema, value)):
            yield Problem(path, each["message"])
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        for name, below in value.items():
            if name in properties:
                yield from rules(properties[name], below, (*path, name))
    elif isinstance(value, list) and "items" in schema:
        for index, below in enumerate(value):
            yield from rules(schema["items"], below, (*path, index))


def _holds(rule: str, value: Any) -> bool:
    result = _compiled(rule).eval(data={"self": value})
    return result.type() == cel.Type.BOOL and bool(result.value())


@lru_cache(maxsize=256)
def _compiled(rule: str) -> Any:
    environment = cel.NewEnv(variables={"self": cel.Type.DYN}, extensions=[ext_strings.ExtStrings()])
    return environment.compile(rule)


def _typed(schema: Schema, value: Any) -> Any:
    """Convert a value to CEL's types: the schema type number is a double, even for a whole value."""
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        return {name: _typed(properties.get(name) or {}, each) for name, each in value.items()}
    if isinstance(value, list):
        return [_typed(schema.get("items") or {}, each) for each in value]
    if schema.get("type") == "number":
        return float(value)
    if schema.get("type") == "integer":
        return int(value)
    # The library does not support times inside a map. Rules only compare them, so numbers suffice.
    return datetime.fromisoformat(value).timestamp() if schema.get("format") == "date-time" else value
