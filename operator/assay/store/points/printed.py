"""Points in the lines that a program prints: JSON objects, pairs such as `loss=0.5`, or groups of a pattern. Pure.

Other lines are ignored: programs print much else. Patterns are matched by RE2, in time that is linear in the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from assay.store.points.record import Record, quote
from assay.store.points.values import Progress, complaint, number, parsed

#: Longer lines are ignored. Only longer ones are stored in pieces: see `log_resumption.PIECE_BYTES`.
MAX_LINE_CHARS = 60 << 10
_STEP = "step"
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|nan|NaN|inf|Infinity|[Ii]nf)"
_PAIR = r"\b([A-Za-z_][\w./-]*)\s*[=:]\s*(" + _NUMBER + r")(?:[\s,;)\]}|%]|$)"
#: In order of precedence. The number in brackets begins a line of XGBoost and LightGBM.
_STEPS = (
    r"(?i)\b(?:global_step|step)\s*[=:]?\s*\[?([0-9]+(?:\.[0-9]+)?)\b",
    r"^\s*\[([0-9]+)\]",
    r"(?i)\b(?:iteration|iter)\s*[=:]?\s*\[?([0-9]+(?:\.[0-9]+)?)\b",
    r"(?i)\bepoch\s*[=:]?\s*\[?([0-9]+(?:\.[0-9]+)?)\b",
)
_STEP_NAMES = frozenset({"global_step", "step", "iteration", "iter", "epoch"})
_DIGITS = frozenset("0123456789")


class InvalidPattern(ValueError):
    """A pattern that does not compile, or has no group for a metric."""


class Format(Protocol):
    """Reads one line: the step if it names one, and the values by name."""

    def read(self, line: str) -> tuple[object, dict[str, Any]]:
        """Return the step, None without one, and the values. Nothing is checked yet."""
        ...


def format_of(options: Mapping[str, Any]) -> Format:
    """Return the format that `spec.collect.stdout` describes. Raises InvalidPattern."""
    kind = options.get("format")
    if kind == "json":
        return _Json()
    return _Pattern(str(options.get("pattern") or "")) if kind == "regex" else _Pairs()


def take(line: str, when: float, found: Format, progress: Progress, record: Record) -> None:
    """Add the points of one line. `when` is the time of the line in unix seconds."""
    if len(line) > MAX_LINE_CHARS:
        return
    step, values = found.read(line)
    if step is not None:
        progress.accept(step)
    good: list[tuple[str, float]] = []
    for name, value in values.items():
        value_ = number(value)
        if value_ is None:
            # Remembered in case it is the objective, but not counted: most fields of a log line are no metrics.
            record.totals.refuse(name, f"{complaint(value)}: {quote(value)}")
        else:
            good.append((name, value_))
    if good and record.points(good, progress.default(), when, "stdout"):
        progress.lines += 1


class _Json:
    def read(self, line: str) -> tuple[object, dict[str, Any]]:
        line = line.strip()
        if not line.startswith("{"):
            return None, {}
        try:
            fields = parsed(line)
        except (ValueError, RecursionError):
            return None, {}
        step = fields.pop(_STEP, None)
        # The node's time is the time of the line.
        return step, {name: value for name, value in fields.items() if name not in ("time", "timestamp", "ts")}


class _Pairs:
    def __init__(self) -> None:
        self._pair, *self._steps = map(_compiled, (_PAIR, *_STEPS))

    def read(self, line: str) -> tuple[object, dict[str, Any]]:
        if not _DIGITS & set(line) and "nan" not in line.lower() and "inf" not in line.lower():
            return None, {}
        values = {name: value for name, value in self._pairs(line) if name.lower() not in _STEP_NAMES}
        step = next((float(found.group(1)) for each in self._steps if (found := each.search(line))), None)
        return (step, values) if values else (step, {})

    def _pairs(self, line: str) -> Iterator[tuple[str, float]]:
        for found in self._pair.finditer(line):
            # Hosts with ports and parts of paths are no metrics.
            if line[max(0, found.start() - 1) : found.start()] not in ("/", "@", "."):
                yield found.group(1), float(found.group(2))


class _Pattern:
    def __init__(self, pattern: str) -> None:
        self._pattern = _compiled(pattern)
        groups = self._pattern.groupindex
        self._names = sorted((name for name in groups if name != _STEP), key=lambda name: int(groups[name]))
        if not self._names:
            raise InvalidPattern("the pattern has no named group for a metric, such as (?P<loss>[0-9.]+)")

    def read(self, line: str) -> tuple[object, dict[str, Any]]:
        found = self._pattern.search(line)
        if found is None:
            return None, {}
        texts = {name: found.group(name) for name in self._pattern.groupindex}
        values = {name: _value(texts[name]) for name in self._names if texts[name] is not None}
        step = texts.get(_STEP)
        return (_value(step) if step is not None else None), values


def _value(text: str) -> object:
    """Parse a text as a number; return the text if it is not one."""
    try:
        return float(text.strip().rstrip("%"))
    except ValueError:
        return text


def _compiled(pattern: str) -> Any:
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InvalidPattern(f"the pattern is not valid in the syntax of RE2: {text}") from None
