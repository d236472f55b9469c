"""`--where`: a CEL expression over a run, the same language as the gates of policies.

A run that lacks a field which the expression needs does not match. A field that no run at all has is a mistake, and is
answered with what is written nearly like it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from assay.api.errors import InvalidRequest
from assay.planning.promotion import expressions
from assay.planning.promotion.expression_cost import to_float
from assay.queries.references import near
from assay.queries.runs.rows import RunRow

Path = tuple[str, ...]

#: What an expression may call fields of a row beside their own names.
ALIASES = {"params": "parameters", "tags": "labels"}
VARIABLES = (*(name for name in RunRow.__annotations__ if name != "uid"), *ALIASES)
_MISSING = object()
#: A name that is wrong in a map of so many keys is answered with near ones alone.
_FEW = 12


class Filter:
    """A compiled filter. ``undecided`` counts the runs that it could not be applied to, ``why`` says why not."""

    def __init__(self, text: str) -> None:
        """Compile it; raise AssayError, which says where it is wrong."""
        try:
            self._expression = expressions.compile(text, VARIABLES)
        except expressions.ExpressionError as error:
            hint = _near_variable(error.message) or "docs/cli.md lists what it can be about"
            raise InvalidRequest(f"--where: {error}", hint=hint) from None
        self._paths = _longest(self._expression.paths)
        self._unseen = {path for path in self._paths if len(path) > 1}
        self._keys: dict[Path, set[str]] = {}
        self.undecided, self.why = 0, ""

    @property
    def unseen(self) -> bool:
        """Whether there is a field that no run had so far."""
        return bool(self._unseen)

    def matches(self, row: RunRow) -> bool:
        """Return whether the run is one of those that are asked for."""
        values, lacks = self._values(row)
        outcome = self._expression.evaluate_freely(values)
        if outcome.value is None and not lacks:
            # The slower way takes what the library alone does not, such as integers of more than 64 bits.
            outcome = self._expression.evaluate(values)
        if outcome.value is None and not lacks:
            self.undecided += 1
            self.why = self.why or outcome.message
        return bool(outcome.value)

    def check(self) -> None:
        """Once all runs were seen: raise AssayError when no run has a field that the expression reads."""
        for path in sorted(self._unseen):
            end = max((len(above) for above in self._keys if path[: len(above)] == above), default=1)
            known = sorted(self._keys.get(path[:end], ()))
            raise unknown(".".join(path[: end + 1]), path[end], known)

    def _values(self, row: RunRow) -> tuple[dict[str, Any], bool]:
        """Return what the expression reads of a row, and nothing else; and whether some of it is not there."""
        found: dict[str, Any] = {}
        lacks = False
        for path in self._paths:
            value: Any = row[ALIASES.get(path[0], path[0])]  # type: ignore[literal-required]
            into: dict[str, Any] = found
            for depth, key in enumerate(path[1:], 1):
                into = into.setdefault(path[depth - 1], {})
                below = value.get(key, _MISSING) if isinstance(value, dict) else _MISSING
                if below is _MISSING:
                    lacks = True
                    if path in self._unseen and isinstance(value, dict):
                        self._keys.setdefault(path[:depth], set()).update(value)
                    break
                value = below
            else:
                self._unseen.discard(path)
                into[path[-1]] = _floats(value) if path[0] in ("metrics", "duration") else value
        return found, lacks


def unknown(written: str, key: str, known: Iterable[str]) -> InvalidRequest:
    """Return the error for a name that no run has."""
    known = sorted(known)
    hint = near(key, known)
    if not hint and known and len(known) <= _FEW:
        hint = f"there are {', '.join(known)}"
    return InvalidRequest(f"no run has {written}", hint=hint or "`assay runs -o json --limit 1` shows a run")


def _longest(paths: list[Path]) -> list[Path]:
    """Return the paths without those that lie within another one: the whole of a map has all that is in it."""
    return [path for path in paths if not any(path[: len(other)] == other for other in paths if other != path)]


def _floats(value: Any) -> Any:
    """Return the numbers of a value as floats, as the gates of policies see them."""
    if isinstance(value, dict):
        return {key: _floats(each) for key, each in value.items()}
    return to_float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _near_variable(message: str) -> str:
    if not message.startswith("there is no '"):
        return ""
    return near(message.split("'")[1].partition(".")[0], VARIABLES)
