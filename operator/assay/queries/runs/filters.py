"""`--where`: filters runs with a CEL expression, the language of the gates of policies.

A run without a field that the expression needs does not match. If no run has the field, the filter raises an error that
suggests similar names.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable
from typing import Any

from assay.api.errors import InvalidRequest
from assay.api.numbers import of_json
from assay.planning.promotion import expressions
from assay.planning.promotion.expressions import Outcome
from assay.queries.references import near
from assay.queries.runs.rows import RunRow

Path = tuple[str, ...]

#: Alternative names of fields in an expression.
ALIASES = {"params": "parameters", "tags": "labels"}
VARIABLES = (*(name for name in RunRow.__annotations__ if name != "uid"), *ALIASES)
#: A status lists at most this many metrics: planning.runs.outcome.MAX_METRICS, whose import takes time.
LISTED_METRICS = 100
_MISSING = object()
#: An error lists all keys of a map with up to this many; of a larger map, only similar ones.
_FEW = 12


class UnknownVariable(InvalidRequest):
    """The expression reads a variable that does not exist; ``name`` is its name."""

    def __init__(self, message: str, *, hint: str, name: str) -> None:
        super().__init__(message, hint=hint)
        self.name = name


class Filter:
    """A compiled filter. ``undecided`` counts the runs that it failed for, ``why`` is the first reason."""

    def __init__(self, text: str, seconds: float | None = None) -> None:
        """Compile the expression. Raises AssayError with the position of an error.

        With ``seconds``, each evaluation stays within the cost budget and all of them within this time: for a process
        that others use too.
        """
        self._seconds, self._until = seconds, 0.0
        try:
            self.expression = expressions.compile(text, VARIABLES)
        except expressions.ExpressionError as error:
            hint = _near_variable(error.message) or "docs/cli.md lists the variables"
            message = f"invalid --where: {error}"
            if error.message.startswith("there is no '"):
                raise UnknownVariable(message, hint=hint, name=error.message.split("'")[1].partition(".")[0]) from None
            raise InvalidRequest(message, hint=hint) from None
        #: The fields that the expression reads.
        self.paths = _longest(self.expression.paths)
        self._unseen = {path for path in self.paths if len(path) > 1}
        self._keys: dict[Path, set[str]] = {}
        self.undecided, self.why = 0, ""

    @property
    def unseen(self) -> bool:
        """Whether no run so far had one of the fields."""
        return bool(self._unseen)

    def matches(self, row: RunRow) -> bool:
        """Return whether the run matches the expression."""
        values, lacks = self._values(row)
        outcome = self._bounded(values) if self._seconds else self.expression.evaluate_freely(values)
        if outcome.value is None and not lacks:
            # The slower evaluation supports what the library does not, such as integers of more than 64 bits.
            outcome = self.expression.evaluate_plainly(values)
        if outcome.value is None and not lacks:
            self.undecided += 1
            self.why = self.why or outcome.message
        return bool(outcome.value)

    def _bounded(self, values: dict[str, Any]) -> Outcome:
        now = time.monotonic()
        self._until = self._until or now + (self._seconds or 0.0)
        if now > self._until:
            raise InvalidRequest(
                f"the filter takes longer than {self._seconds:g} s",
                hint="begin it with a plain comparison that few runs meet: phase == 'Failed' && …",
            )
        return self.expression.evaluate_plainly(values)

    def note(self, path: Path, known: Iterable[str] | None = None) -> None:
        """Note that some run has a field, or with ``known`` which keys the map has that lacks it."""
        if known is None:
            self._unseen.discard(path)
        else:
            self._keys.setdefault(path, set()).update(known)

    def check(self) -> None:
        """Call this after all runs: raises AssayError if no run has a field that the expression reads."""
        for path in sorted(self._unseen):
            end = max((len(above) for above in self._keys if path[: len(above)] == above), default=1)
            known = sorted(self._keys.get(path[:end], ()))
            raise unknown(".".join(path[: end + 1]), path[end], known)

    def _values(self, row: RunRow) -> tuple[dict[str, Any], bool]:
        """Return the values of a row that the expression reads, and whether any is missing."""
        found: dict[str, Any] = {}
        lacks = False
        for path in self.paths:
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
                into[path[-1]] = floats(value) if path[0] in ("metrics", "duration") else value
        return found, lacks


def suggestion(name: str, rows: Iterable[RunRow]) -> str:
    """Return how to write a name that is a parameter or metric of some run; "" if it is neither.

    An operator ends a name in an expression: of val/f1, only val is known. Python has no names with - or a dot, so
    people write an underscore.
    """
    for row in rows:
        for field, prefix in (("parameters", "params"), ("metrics", "metrics")):
            known = row[field]  # type: ignore[literal-required]
            beginning = (each for each in known if re.fullmatch(re.escape(name) + r"[^A-Za-z0-9_].*", each))
            plain = (each for each in known if re.sub(r"[^A-Za-z0-9_]", "_", each) == name)
            if found := name if name in known else next(itertools.chain(plain, beginning), ""):
                return f"write {_written(prefix, found)}"
    return ""


def _written(prefix: str, name: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    written = f"{prefix}.{name}" if plain else f'{prefix}["{name}"]'
    return f"{written}.last" if prefix == "metrics" else written


def unknown(written: str, key: str, known: Iterable[str]) -> InvalidRequest:
    """Return the error for a name that no run has."""
    known = sorted(known)
    longer = [each for each in known if re.fullmatch(re.escape(key) + r"[^A-Za-z0-9_].*", each)]
    prefix = {"parameters": "params"}.get(written.partition(".")[0], written.partition(".")[0])
    hint = f"write {_written(prefix, longer[0])}" if longer and "." in written else near(key, known)
    if not hint and known and len(known) <= _FEW:
        hint = f"known names: {', '.join(known)}"
    return InvalidRequest(
        f"no run has {written}", hint=hint or "`assay runs -o json --limit 1` shows the fields of a run"
    )


def _longest(paths: list[Path]) -> list[Path]:
    """Return the paths without those inside another one: a whole map includes its keys."""
    return [path for path in paths if not any(path[: len(other)] == other for other in paths if other != path)]


def floats(value: Any) -> Any:
    """Convert the numbers of a value to floats, as for the gates of policies."""
    if isinstance(value, dict):
        return {key: floats(each) for key, each in value.items()}
    number = of_json(value)
    return value if number is None else number


def _near_variable(message: str) -> str:
    if not message.startswith("there is no '"):
        return ""
    return near(message.split("'")[1].partition(".")[0], VARIABLES)
