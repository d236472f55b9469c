"""Validation of names and values, with the texts that MLflow's clients and their tests match."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any

from assay.recorder.collectors.mlflow import limits
from assay.recorder.collectors.mlflow.errors import invalid

_NAME = re.compile(r"[/\w.\- :]*")
_ALIAS = re.compile(r"[\w\-]*")
_VERSION_ALIAS = re.compile(r"[vV]\d+")
_INT64 = 2**63
_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_CHARACTERS = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and "
    "slashes (/)."
)
_DOCS = " See the API docs for more information about request parameters."


def bad_value(path: str, value: object, hint: str = "") -> str:
    """The text for an invalid value."""
    shown = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)[:300]
    return f"Invalid value {shown} for parameter '{path}' supplied" + (f": {hint}" if hint else ".")


def required(body: dict[str, Any], *names: str) -> str:
    """Return a text that the request must contain, under the first of these names that has one."""
    for name in names:
        value = body.get(name)
        if value is not None and value != "":
            return text(value, name)
    raise invalid(f"Missing value for required parameter '{names[0]}'." + _DOCS)


def text(value: object, path: str) -> str:
    """Return a text. Numbers are accepted, because some clients send identifiers as numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise invalid(bad_value(path, value, f" Hint: Value was of type '{type(value).__name__}'.") + _DOCS)


def entries(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a list of objects; [] if it is absent."""
    found = body.get(name) or []
    if not isinstance(found, list) or any(not isinstance(each, dict) for each in found):
        raise invalid(bad_value(name, found if not isinstance(found, list) else "…", "a list of objects is expected"))
    return found


def name(value: object, path: str) -> str:
    """Return the valid name of a metric, a parameter or a tag."""
    if not isinstance(value, str) or not value:
        raise invalid(f"Missing value for required parameter '{path}'.")
    if not _NAME.fullmatch(value):
        raise invalid(bad_value(path, value, _CHARACTERS))
    normal = posixpath.normpath(value)
    if normal != value or normal == "." or normal.startswith(("..", "/")):
        raise invalid(
            bad_value(
                path,
                value,
                "Names may be treated as files in certain cases, and must not resolve to other names when treated as "
                f"such. This name would resolve to {normal!r}",
            )
        )
    return value


def length(value: str, most: int, what: str) -> str:
    """Return a text that is not too long."""
    if len(value) > most:
        raise invalid(f"'{what}' exceeds the maximum length of {most} characters")
    return value


def integer(value: object, path: str, hint: str = "") -> int:
    """Return a 64-bit integer. JSON of protocol buffers may have it as text."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            raise invalid(bad_value(path, value, hint) + _DOCS) from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _INT64:
        raise invalid(bad_value(path, value, hint) + _DOCS)
    return value


def number(value: object, path: str, timestamp: object) -> float:
    """Return a double. NaN and infinities are strings in the JSON of protocol buffers."""
    if isinstance(value, str):
        try:
            value = _NUMBERS[value] if value in _NUMBERS else float(value)
        except ValueError:
            value = None if value == "" else value
    if value is None:
        raise invalid(f"Missing value for required parameter '{path}'.")
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except OverflowError:
        pass
    hint = f"(timestamp={timestamp}). Please specify value as a valid double (64-bit floating point)"
    raise invalid(bad_value(path, value, hint))


def param(entry: dict[str, Any], path: str = "") -> tuple[str, str]:
    """Return key and value of a parameter. As MLflow's server does, a value that is too long is cut off."""
    key = name(entry.get("key"), f"{path}key")
    value = text(entry.get("value", ""), f"{path}value")
    return length(key, limits.KEY_CHARS, "Param key"), value[: limits.PARAM_CHARS]


def tag(entry: dict[str, Any], path: str = "", most: int = limits.TAG_CHARS) -> tuple[str, str]:
    """Return key and value of a tag. As MLflow's server does, a run's value that is too long is cut off."""
    key = name(entry.get("key"), f"{path}key")
    value = text(entry.get("value", ""), f"{path}value")
    if most == limits.TAG_CHARS:
        value = value[:most]
    return length(key, limits.KEY_CHARS, f"{path}key"), length(value, most, f"{path}value")


def tags(body: dict[str, Any], most: int = limits.TAG_CHARS) -> dict[str, str]:
    """Return the tags of a request."""
    return dict(tag(entry, f"tags[{at}].", most) for at, entry in enumerate(entries(body, "tags")))


def experiment_name(value: object) -> str:
    """Return a valid name of an experiment."""
    if not isinstance(value, str) or not value:
        raise invalid(f"Invalid experiment name: '{value or ''}'")
    return length(value, limits.EXPERIMENT_NAME_CHARS, "name")


def model_name(value: object, path: str = "name") -> str:
    """Return a valid name of a registered model."""
    if not isinstance(value, str) or not value.strip():
        raise invalid(f"Missing value for required parameter '{path}'." + _DOCS)
    if "/" in value or ":" in value:
        raise invalid(f"Invalid model name '{value}'. Names cannot contain '/' or ':'.")
    return length(value, limits.KEY_CHARS, path)


def alias(value: object) -> str:
    """Return a valid alias of a registered model."""
    if not isinstance(value, str) or not value:
        raise invalid("Registered model alias name cannot be empty.")
    if not _ALIAS.fullmatch(value):
        raise invalid(
            f"Invalid alias name: '{value}'. Names may only contain alphanumerics, underscores (_), and dashes (-)."
        )
    if value.lower() == "latest" or _VERSION_ALIAS.fullmatch(value):
        raise invalid(f"'{value}' alias name is reserved.")
    return length(value, limits.ALIAS_CHARS, "Registered model alias name")


def page_size(body: dict[str, Any], default: int, most: int) -> int:
    """Return the number of results that a request wants."""
    wanted = body.get("max_results")
    if wanted is None or wanted == "":
        return default
    found = integer(wanted, "max_results")
    if not 1 <= found <= most:
        raise invalid(
            f"Invalid value {found} for parameter 'max_results' supplied. It must be at least 1 and at most {most}"
        )
    return found
