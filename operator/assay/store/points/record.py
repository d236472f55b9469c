"""The way of every point, parameter and tag into the record: rows of a part, and totals. Pure: no I/O.

No input makes it fail. Invalid names are counted, quoted and skipped.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from assay.store.limits import (
    MAX_LOGGED,
    MAX_LOGGED_CHARS,
    MAX_METRIC_NAME_CHARS,
    MAX_METRICS,
    MAX_WANTED_METRICS,
)
from assay.store.points.totals import NOT_FINITE, Series, Totals

_QUOTE_CHARS = 80
_name_json = json.JSONEncoder(ensure_ascii=False).encode


class Record:
    """Collects rows until the next commit, and keeps the totals."""

    def __init__(self, totals: Totals, wanted: Collection[str] = ()) -> None:
        """`wanted` are metrics that are summarised even after `MAX_METRICS` others."""
        self.totals = totals
        self.rows: list[str] = []
        self.bytes = 0
        self._wanted = frozenset(sorted(wanted)[:MAX_WANTED_METRICS])
        self._heads: dict[str, str] = {}

    def points(self, values: Iterable[tuple[str, float]], step: float, time: float, where: str) -> int:
        """Add points of several metrics at one step. Return how many were added.

        `values` may be NaN or infinite; `step` and `time` (unix seconds) are finite. `where` begins the warnings.
        """
        metrics, rows, before = self.totals.metrics, self.rows, len(self.rows)
        tail = f', "step": {step!r}, "time": {time!r}, "value": '
        for name, value in values:
            head = self._heads.get(name) or self._head(name, where)
            if not head:
                continue
            text = repr(value)
            # inf - inf and nan - nan are not 0. This is the cheapest test for a finite float.
            row = f"{head}{tail}{text if value - value == 0.0 else _text(text)}}}\n"
            rows.append(row)
            self.bytes += len(row)
            series = metrics.get(name)
            if series is not None:
                series.add(value, step)
            else:
                self._first(name, value, step)
        added = len(rows) - before
        self.totals.points += added
        return added

    def parameter(self, name: str, value: str, where: str) -> None:
        """Add a parameter that the training code has logged. The last value of a name counts."""
        self._log(self.totals.parameters, "parameter", name, value, where)

    def tag(self, name: str, value: str, where: str) -> None:
        """Add a tag that the training code has set. The last value of a name counts."""
        self._log(self.totals.tags, "tag", name, value, where)

    def remove_tag(self, name: str) -> None:
        """Remove a tag."""
        self.totals.tags.pop(name, None)

    def refuse(self, name: str, complaint: str, where: str) -> None:
        """Count a value of a metric that is not a number, and remember the first one of the metric."""
        self.totals.refuse(name, complaint)
        self.totals.reject(f"{where}: {shorten(name)}: {complaint}")

    def taken(self) -> list[str]:
        """Return the rows, and begin with none."""
        rows, self.rows, self.bytes = self.rows, [], 0
        return rows

    def _first(self, name: str, value: float, step: float) -> None:
        if not self.totals.full or name in self._wanted:
            self.totals.metrics[name] = Series(value, step)
        else:
            self.totals.event(
                f"more than {MAX_METRICS} metrics: further metrics are recorded but not summarised, the first of "
                f"them is {shorten(name)}",
                kind="full",
            )

    def _head(self, name: str, where: str) -> str:
        """The part of a row that depends on the metric's name; "" for an invalid name."""
        complaint = _name_complaint(name)
        if complaint:
            self.totals.reject(f"{where}: {complaint}: {quote(name)}")
            return ""
        head = f'{{"metric": {_name_json(name)}'
        if len(self._heads) < MAX_METRICS:
            self._heads[name] = head
        return head

    def _log(self, into: dict[str, str], kind: str, name: str, value: str, where: str) -> None:
        if not name or len(name) > MAX_METRIC_NAME_CHARS or not name.isprintable():
            self.totals.reject(f"{where}: invalid name of a {kind}: {quote(name)}")
        elif name not in into and len(into) >= MAX_LOGGED:
            self.totals.event(f"more than {MAX_LOGGED} {kind}s: {shorten(name)} is not recorded", kind=kind)
        else:
            value = value.encode("utf-8", "replace").decode()
            into[name] = value if len(value) <= MAX_LOGGED_CHARS else value[: MAX_LOGGED_CHARS - 1] + "…"


def _text(text: str) -> str:
    return f'"{NOT_FINITE[text]}"'


def quote(offending: object) -> str:
    """The offending text, shortened, on one line."""
    if isinstance(offending, bytes):
        text = shorten(offending[: 4 * _QUOTE_CHARS].decode("utf-8", "replace").strip())
        return json.dumps(text.encode("utf-8", "replace").decode())
    if isinstance(offending, int) and not isinstance(offending, bool):
        return str(offending) if offending.bit_length() < 64 else f"an integer of {offending.bit_length()} bits"
    try:
        text = json.dumps(offending)
    except (ValueError, RecursionError):
        text = type(offending).__name__
    return shorten(text)


def shorten(text: str) -> str:
    """A text of at most 80 characters that UTF-8 can encode."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _QUOTE_CHARS else text[: _QUOTE_CHARS - 1] + "…"


def _name_complaint(name: str) -> str:
    if not name or len(name) > MAX_METRIC_NAME_CHARS:
        return f"the name of a metric must have 1 to {MAX_METRIC_NAME_CHARS} characters"
    if not name.isprintable():
        return "the name of a metric must have only printable characters"
    return ""
