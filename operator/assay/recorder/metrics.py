"""Parses lines of metrics.jsonl into points. Pure: it does no I/O, and no input makes it fail.

A line is a JSON object. `step` (integer) and `time` or `timestamp` (unix seconds) are optional; every other field with
a finite number is a point of the metric of that name. Invalid fields are counted, quoted and skipped; the rest of the
line is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from assay.recorder.state import Series, Totals
from assay.store.limits import MAX_METRIC_NAME_CHARS, MAX_METRICS

_QUOTE_CHARS = 80
_STEP_LIMIT = 2**63
_decode = json.JSONDecoder().decode
_name_json = json.JSONEncoder(ensure_ascii=False).encode


class Parser:
    """Parses lines into rows of a part and updates the totals."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._heads: dict[str, str] = {}

    def parse(self, lines: Iterable[bytes], now: float, first_line: int = 1) -> list[str]:
        """The rows (JSON text with a newline) of the points in `lines`. `now` is the time of points without one."""
        totals, rows = self._totals, list[str]()
        for number, line in enumerate(lines, first_line):
            try:
                record = _decode(str(line, "utf-8"))
            except (ValueError, RecursionError):
                if not line.isspace() and line:
                    totals.reject(f"line {number}: not JSON: {quote(line)}")
                continue
            if type(record) is not dict:
                totals.reject(f"line {number}: not a JSON object: {quote(line)}")
                continue
            before = len(rows)
            self._points(record, now, number, rows)
            if len(rows) > before:
                totals.accepted += 1
        totals.points += len(rows)
        return rows

    def _points(self, record: dict[str, Any], now: float, number: int, rows: list[str]) -> None:
        """Append the rows of one line."""
        step = self._step(record.pop("step", None), number) if "step" in record else self._totals.accepted
        when = self._time(record, now, number) if "time" in record or "timestamp" in record else now
        metrics, heads = self._totals.metrics, self._heads
        tail = f', "step": {step}, "time": {when!r}, "value": '
        for name, value in record.items():
            kind = type(value)
            # inf - inf and nan - nan are not 0. This is the cheapest test for a finite float.
            if not (kind is float and value - value == 0.0):
                number_ = _integer(value) if kind is int else None
                if number_ is None:
                    self._totals.reject(f"line {number}: {_shorten(name)}: {_complaint(value)}: {quote(value)}")
                    continue
                value = number_
            head = heads.get(name) or self._head(name, number)
            if not head:
                continue
            rows.append(f"{head}{tail}{value!r}}}\n")
            series = metrics.get(name)
            if series is not None:
                series.add(value, step)
            elif not self._totals.full:
                metrics[name] = Series(value, step)
            else:
                self._totals.event(f"more than {MAX_METRICS} metrics: further metrics are recorded but not summarised")

    def _head(self, name: str, number: int) -> str:
        """The part of a row that depends on the metric's name; "" for an invalid name."""
        complaint = _name_complaint(name)
        if complaint:
            self._totals.reject(f"line {number}: {complaint}: {quote(name)}")
            return ""
        head = f'{{"metric": {_name_json(name)}'
        if len(self._heads) < MAX_METRICS:
            self._heads[name] = head
        return head

    def _step(self, value: object, number: int) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is int and -_STEP_LIMIT <= value < _STEP_LIMIT:
            return value
        self._totals.reject(f"line {number}: step: not an integer: {quote(value)}")
        return self._totals.accepted

    def _time(self, record: dict[str, Any], now: float, number: int) -> float:
        stamp = record.pop("timestamp", None)
        stamp = record.pop("time", stamp)
        value = _integer(stamp) if type(stamp) is int else stamp
        if type(value) is float and value - value == 0.0:
            return value
        self._totals.reject(f"line {number}: time: not unix seconds: {quote(stamp)}")
        return now


def quote(offending: object) -> str:
    """The offending text, shortened, on one line."""
    if isinstance(offending, bytes):
        text = _shorten(offending[: 4 * _QUOTE_CHARS].decode("utf-8", "replace").strip())
        return json.dumps(text.encode("utf-8", "replace").decode())
    if isinstance(offending, int) and not isinstance(offending, bool):
        return f"an integer of {offending.bit_length()} bits"
    try:
        text = json.dumps(offending)
    except (ValueError, RecursionError):
        text = type(offending).__name__
    return _shorten(text)


def _shorten(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _QUOTE_CHARS else text[: _QUOTE_CHARS - 1] + "…"


def _integer(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _complaint(value: object) -> str:
    return "not finite" if isinstance(value, float | int) and not isinstance(value, bool) else "not a number"


def _name_complaint(name: str) -> str:
    if not name or len(name) > MAX_METRIC_NAME_CHARS:
        return f"the name of a metric must have 1 to {MAX_METRIC_NAME_CHARS} characters"
    if not name.isprintable():
        return "the name of a metric must have only printable characters"
    return ""
