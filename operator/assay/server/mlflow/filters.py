"""Translates MLflow's filter strings and orders into those of `assay runs`.

    metrics.loss < 0.5 and params.depth = '3' and attributes.status = 'FINISHED'

Reference: https://mlflow.org/docs/latest/ml/search/search-runs/
"""

from __future__ import annotations

import json
import math
import operator as operators
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from assay.api.errors import InvalidRequest
from assay.api.objects import Raw

_CONDITION = re.compile(
    r"""\s*(?:(?P<kind>\w+)\.)?(?P<key>\w[\w./-]*|`[^`]+`|"[^"]+")\s*
    (?P<op>>=|<=|!=|=|>|<|(?:not\s+)?i?like\b|(?:not\s+)?in\b)\s*
    (?P<value>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?[\d.]+(?:e[+-]?\d+)?|\([^)]*\))\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_AND = re.compile(r"and\b\s*", re.IGNORECASE)
_TEXT = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_ATTRIBUTES: Final = {
    "status": "phase",
    "user_id": "owner",
    "run_id": "name",
    "run_name": "name",
    "run name": "name",
    "start_time": "started",
    "created": "created",
    "end_time": "completed",
}
EXPERIMENT_FIELDS: Final = frozenset({"name", "experiment_id", "creation_time", "last_update_time"})
_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "==": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
_TAGS: Final = {"mlflow.user": "owner", "mlflow.runName": "name", "mlflow.source.git.commit": "source.revision"}
_KINDS: Final = {"metric": "metrics", "param": "params", "parameter": "params", "parameters": "params", "tag": "tags"}
PHASES: Final = {
    "FINISHED": ("Succeeded",),
    "FAILED": ("Failed",),
    "RUNNING": ("Running",),
    "SCHEDULED": ("Pending", "Suspended"),
    "KILLED": ("Stopped",),
}


def where(text: str) -> str:
    """Return the CEL expression of a filter string, "" for none. Raises InvalidRequest."""
    return " && ".join(map(_condition, _conditions(text)))


def of_experiments(text: str) -> list[Callable[[Raw], bool]]:
    """Return what the conditions of a filter string ask of an experiment. Raises InvalidRequest."""
    return list(map(_of_experiment, _conditions(text)))


def _conditions(text: str) -> Iterator[re.Match[str]]:
    rest = text.strip()
    while rest:
        match = _CONDITION.match(rest)
        if match is None:
            raise InvalidRequest(f"Invalid clause(s) in filter string: {rest[:200]!r}")
        yield match
        rest = rest[match.end() :]
        if rest:
            both = _AND.match(rest)
            if both is None or not rest[both.end() :]:
                raise InvalidRequest(f"Invalid clause(s) in filter string: {rest[:200]!r}")
            rest = rest[both.end() :]


def _of_experiment(match: re.Match[str]) -> Callable[[Raw], bool]:
    kind, key = (match["kind"] or "attributes").lower(), match["key"].strip('`"')
    sign, value = " ".join(match["op"].lower().split()), match["value"]
    if kind in ("tag", "tags"):
        return lambda _: False  # experiments have none
    if kind not in ("attributes", "attribute", "attr") or key not in EXPERIMENT_FIELDS:
        raise InvalidRequest(f"Invalid attribute key '{key}' specified. Valid keys are {sorted(EXPERIMENT_FIELDS)}")
    if key in ("creation_time", "last_update_time"):
        compare, limit = _COMPARE[_plain(sign)], _number(value)
        return lambda found: compare(found.get(key, 0), limit)
    texts, negated = _texts(value), sign in ("!=", "not in", "not like", "not ilike")
    if "like" in sign:
        pattern = re.compile(_pattern(texts[0]), re.DOTALL | (re.IGNORECASE if "ilike" in sign else 0))
        return lambda found: bool(pattern.fullmatch(found[key])) != negated
    if sign not in ("=", "!=", "in", "not in"):
        raise InvalidRequest(f"Invalid comparator '{sign}': use =, !=, LIKE, ILIKE, IN")
    return lambda found: (found[key] in texts) != negated


def _condition(match: re.Match[str]) -> str:
    kind = (match["kind"] or "attributes").lower()
    kind, key = _KINDS.get(kind, kind), match["key"].strip('`"')
    operator = " ".join(match["op"].lower().split())
    if kind == "metrics":
        return f"metrics[{quoted(key)}].last {_plain(operator)} {_number(match['value'])!r}"
    if kind == "params":
        return _parameter(f"params[{quoted(key)}]", operator, match["value"])
    if kind == "tags":
        return _text(_TAGS.get(key) or f"tags[{quoted(key)}]", operator, match["value"])
    if kind not in ("attributes", "attribute", "attr", "run") or key not in _ATTRIBUTES:
        raise InvalidRequest(f"Invalid attribute key '{key}' specified. Valid keys are {sorted(_ATTRIBUTES)}")
    if key in ("start_time", "end_time", "created"):
        moment = _moment(match["value"])
        return f"{_ATTRIBUTES[key]} {_plain(operator)} {quoted(f'{moment:%Y-%m-%dT%H:%M:%SZ}')}"
    if key == "status":
        phases = [phase for each in _texts(match["value"]) for phase in PHASES.get(each.upper(), ())]
        inside = f"phase in [{', '.join(map(quoted, phases))}]" if phases else "false"
        return f"!({inside})" if operator in ("!=", "not in") else inside
    return _text(_ATTRIBUTES[key], operator, match["value"])


def _number(value: str) -> float:
    """Return the number of a condition. Raises InvalidRequest."""
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InvalidRequest(f"Expected a number, got {value[:100]}")
    return found


def _moment(value: str) -> datetime:
    """Return the time of a condition, which is in unix milliseconds. Raises InvalidRequest."""
    try:
        return datetime.fromtimestamp(_number(value) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest(f"Expected a time in unix milliseconds, got {value[:100]}") from None


def _parameter(path: str, operator: str, value: str) -> str:
    """Compare a parameter with a text. MLflow keeps the texts of parameters, Assay the values themselves."""
    if "like" in operator:
        return _text(path, operator, value)
    choices = [each for text in _texts(value) for each in _spellings(text)]
    inside = f"{path} in [{', '.join(choices)}]"
    if operator in ("=", "in"):
        return inside
    if operator in ("!=", "not in"):
        return f"!({inside})"
    raise InvalidRequest(f"Invalid comparator '{operator}' for a parameter: use =, !=, LIKE, ILIKE, IN")


def _spellings(text: str) -> list[str]:
    found = [quoted(text)]
    if text in ("True", "False", "true", "false"):
        found.append(text.lower())
    elif re.fullmatch(r"-?[0-9]{1,16}", text) and abs(int(text)) < 1 << 53:
        found.append(text)
    elif re.fullmatch(r"-?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(e[+-]?[0-9]+)?", text, re.IGNORECASE):
        found += [repr(number) for number in [float(text)] if math.isfinite(number)]
    return found


def _text(path: str, operator: str, value: str) -> str:
    texts = _texts(value)
    if "like" in operator:
        flags = "(?is)" if "ilike" in operator else "(?s)"
        found = f"{path}.matches({quoted(f'{flags}^{_pattern(texts[0])}$')})"
    else:
        found = f"{path} in [{', '.join(map(quoted, texts))}]"
    if operator in ("=", "in", "like", "ilike"):
        return found
    if operator in ("!=", "not in", "not like", "not ilike"):
        return f"!({found})"
    raise InvalidRequest(f"Invalid comparator '{operator}': use =, !=, LIKE, ILIKE, IN")


def _pattern(text: str) -> str:
    """Return the regular expression of a text for LIKE."""
    return "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in text)


def _texts(value: str) -> list[str]:
    found = [re.sub(r"\\(.)", r"\1", a or b) for a, b in _TEXT.findall(value)]
    if not found:
        raise InvalidRequest(f"Expected a quoted string value, got {value[:100]}")
    return found


def _plain(operator: str) -> str:
    if operator not in ("=", "!=", "<", "<=", ">", ">="):
        raise InvalidRequest(f"Invalid comparator '{operator}': use =, !=, <, <=, >, >=")
    return "==" if operator == "=" else operator


def quoted(text: str) -> str:
    """Return a CEL string literal: JSON's escapes are CEL's too."""
    return json.dumps(text, ensure_ascii=False)


def order_of_experiments(text: str) -> tuple[str, bool]:
    """Return the field of an order of experiments, and whether it descends. Raises InvalidRequest."""
    name, descending = _ordered(text)
    key = name.rpartition(".")[2].strip('`"').lower()
    if key not in EXPERIMENT_FIELDS:
        raise InvalidRequest(f"Invalid order_by key '{name}'. Valid keys are {sorted(EXPERIMENT_FIELDS)}")
    return key, descending


def _ordered(text: str) -> tuple[str, bool]:
    words = text.strip().rsplit(None, 1)
    descending = len(words) == 2 and words[1].upper() == "DESC"
    return words[0] if len(words) == 2 and words[1].upper() in ("ASC", "DESC") else text.strip(), descending


def order(text: str) -> tuple[str, bool]:
    """Return the field of an order, and whether it descends. Raises InvalidRequest."""
    name, descending = _ordered(text)
    kind, _, key = name.rpartition(".") if name.count(".") == 1 else name.partition(".")
    kind, key = _KINDS.get(kind.lower(), kind.lower()), (key or name).strip('`"')
    if kind == "metrics":
        return f"metrics.{key}.last", descending
    if kind in ("params", "tags"):
        return f"{kind}.{key}", descending
    if key.lower() not in _ATTRIBUTES:
        raise InvalidRequest(f"Invalid order_by key '{name}'. Valid attributes are {sorted(_ATTRIBUTES)}")
    return _ATTRIBUTES[key.lower()], descending
