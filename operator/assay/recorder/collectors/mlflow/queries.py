"""MLflow's filter strings and orders, as used by the search calls. Written from MLflow's documentation.

`metrics.loss < 0.3 and params.optimizer = 'sgd' and tags."mlflow.parentRunId" = 'abc'`. There is only AND.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from assay.recorder.collectors.mlflow.errors import invalid

T = TypeVar("T")
#: Returns the value of a key of a kind (metrics, params, tags, attributes, datasets); None if there is none.
Lookup = Callable[[T, str, str], Any]

_MOST_CHARS = 10_000
_KINDS = {
    "metric": "metrics",
    "metrics": "metrics",
    "param": "params",
    "params": "params",
    "parameter": "params",
    "parameters": "params",
    "tag": "tags",
    "tags": "tags",
    "attribute": "attributes",
    "attributes": "attributes",
    "attr": "attributes",
    "run": "attributes",
    "dataset": "datasets",
    "datasets": "datasets",
}
_KEY = re.compile(r"""\s*(?:(\w+)\s*\.\s*)?("[^"]*"|`[^`]*`|[\w./:@-]+)\s*""")
_OPERATOR = re.compile(
    r"(!=|>=|<=|=|>|<|(?:NOT\s+)?(?:I?LIKE|IN)(?![\w.])|IS\s+NOT\s+NULL\b|IS\s+NULL\b)\s*", re.IGNORECASE
)
_VALUE = re.compile(r"""('(?:[^'\\]|\\.|'')*'|"[^"]*"|[-+]?[\w.+-]+|\([^()]*\))\s*""")
_ITEM = re.compile(r"""\s*('(?:[^'\\]|\\.|'')*'|"[^"]*"|[-+]?[\w.+-]+)\s*(,|$)""")
_AND = re.compile(r"and\b", re.IGNORECASE)
_ORDER = re.compile(r"""\s*(?:(\w+)\s*\.\s*)?("[^"]*"|`[^`]*`|[\w./:@-]+)\s*(asc|desc)?\s*""", re.IGNORECASE)


class _Clause(NamedTuple):
    kind: str
    key: str
    operator: str
    value: Any


def matching(found: Iterable[T], text: object, lookup: Lookup[T]) -> list[T]:
    """The entries that match a filter string. Raises MlflowError for an invalid one."""
    clauses = _parse(text)
    return [each for each in found if all(_holds(clause, lookup(each, clause.kind, clause.key)) for clause in clauses)]


def ordered(found: list[T], orders: Iterable[object], lookup: Lookup[T]) -> list[T]:
    """Sort by the orders of a request, the first one first. Entries without a value come last."""
    for order in reversed(list(orders)):
        match = _ORDER.fullmatch(order) if isinstance(order, str) else None
        if not match:
            raise invalid(f"Invalid order_by clause '{order!s:.200}'")
        kind, key = _kind(match[1]), _bare(match[2])
        rows = [(lookup(each, kind, key), each) for each in found]
        known = [row for row in rows if row[0] is not None and row[0] == row[0]]
        rest = [each for value, each in rows if value is None or value != value]
        known.sort(key=_sortable, reverse=(match[3] or "").lower() == "desc")
        found = [each for _, each in known] + rest
    return found


def page(found: list[T], token: object, size: int) -> tuple[list[T], str]:
    """One page of results, and the token of the next page; "" if there is none."""
    start, end, following = page_bounds(len(found), token, size)
    return found[start:end], following


def page_bounds(count: int, token: object, size: int) -> tuple[int, int, str]:
    """Start and end of a page, and the token of the next page; "" if there is none."""
    start = 0
    if token:
        try:
            start = int(base64.urlsafe_b64decode(str(token)))
        except ValueError:
            start = -1
        if start < 0:
            raise invalid("Invalid page token, could not base64-decode")
    end = start + size
    following = base64.urlsafe_b64encode(str(end).encode()).decode() if end < count else ""
    return start, end, following


def _sortable(row: tuple[Any, Any]) -> tuple[bool, Any]:
    return isinstance(row[0], str), row[0]


def _parse(text: object) -> list[_Clause]:
    if not text:
        return []
    if not isinstance(text, str) or len(text) > _MOST_CHARS:
        raise invalid(f"a filter must be a text of at most {_MOST_CHARS} characters")
    clauses, at = [], 0
    while True:
        clause, at = _clause(text, at)
        clauses.append(clause)
        if at >= len(text.rstrip()):
            return clauses
        joined = _AND.match(text, at)
        if not joined:
            raise _complaint(text, at)
        at = joined.end()


def _clause(text: str, at: int) -> tuple[_Clause, int]:
    key = _KEY.match(text, at)
    operator = _OPERATOR.match(text, key.end()) if key else None
    if not key or not operator:
        raise _complaint(text, at)
    kind, name = _kind(key[1]), _bare(key[2])
    sign = " ".join(operator[1].upper().split())
    if sign.endswith("NULL"):
        return _Clause(kind, name, sign, None), operator.end()
    value = _VALUE.match(text, operator.end())
    if not value or sign.endswith("IN") != value[1].startswith("("):
        raise _complaint(text, at)
    return _Clause(kind, name, sign, _value(kind, value[1])), value.end()


def _complaint(text: str, at: int) -> Exception:
    return invalid(f"Invalid clause(s) in filter string: '{text[at : at + 200].strip()}'")


def _kind(word: str | None) -> str:
    if word is None:
        return "attributes"
    kind = _KINDS.get(word.lower())
    if not kind:
        raise invalid(f"Invalid entity type '{word}'. Valid values are {sorted(set(_KINDS.values()))}")
    return kind


def _bare(text: str) -> str:
    return text[1:-1] if text[:1] in ('"', "`") else text


def _value(kind: str, text: str) -> Any:
    if text.startswith("("):
        items, at, inner = [], 0, text[1:-1]
        while at < len(inner):
            item = _ITEM.match(inner, at)
            if not item:
                raise invalid(f"Invalid list in filter string: '{text[:200]}'")
            items.append(_value(kind, item[1]))
            at = item.end()
        return items
    if text[0] in "'\"":
        return text[1:-1].replace("''", "'").replace("\\'", "'")
    try:
        return float(text)
    except ValueError:
        raise invalid(f"Expected a quoted string value for {kind} or a number. Got value {text[:200]}") from None


def _holds(clause: _Clause, found: Any) -> bool:
    operator, value = clause.operator, clause.value
    if operator.startswith("IS"):
        return (found is None) == (operator == "IS NULL")
    if operator == "NOT IN":
        return found not in value
    if found is None:
        return False
    if operator == "IN":
        return found in value
    if operator.endswith("LIKE"):
        fold = str.lower if "ILIKE" in operator else str
        return like(fold(str(found)), fold(str(value))) != operator.startswith("NOT")
    return _compare(operator, found, value)


def _compare(operator: str, found: Any, value: Any) -> bool:
    if isinstance(found, str) and not isinstance(value, str):
        raise invalid(f"Expected a quoted string value, got {value!r}")
    if not isinstance(found, str) and isinstance(value, str):
        raise invalid(f"Expected a number, got '{value[:200]}'")
    results = {
        "=": found == value,
        "!=": found != value,
        ">": found > value,
        ">=": found >= value,
        "<": found < value,
        "<=": found <= value,
    }
    return bool(results[operator])


def like(text: str, pattern: str) -> bool:
    """SQL's LIKE. For any pattern, the time is proportional to both lengths."""
    first, *rest = pattern.split("%")
    if not rest:
        return _fits(text, first, 0) and len(text) == len(first)
    *middle, last = rest
    if not _fits(text, first, 0):
        return False
    at = len(first)
    for piece in filter(None, middle):
        at = next((start for start in range(at, len(text) - len(piece) + 1) if _fits(text, piece, start)), -1)
        if at < 0:
            return False
        at += len(piece)
    return len(text) - len(last) >= at and _fits(text, last, len(text) - len(last))


def _fits(text: str, piece: str, at: int) -> bool:
    return len(text) >= at + len(piece) and all(
        wanted in ("_", found) for wanted, found in zip(piece, text[at : at + len(piece)], strict=True)
    )
