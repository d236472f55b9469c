"""metrics.jsonl: one JSON object a line. No input makes it fail.

`step` (a number) and `time` or `timestamp` (unix seconds) are optional; every other field with a number is a point of
the metric of that name. NaN and infinities are numbers, and null is NaN, because many encoders write it for NaN.
Invalid fields are counted, quoted and skipped; the rest of the line is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

from assay.recorder.collectors import tail
from assay.recorder.collectors.protocol import Position, Surroundings
from assay.recorder.collectors.tail import MAX_LINE_BYTES, Tail
from assay.recorder.record import Record, quote
from assay.recorder.times import EARLIEST, unix_seconds

FILE = "metrics.jsonl"
_STRINGS = {"NaN": nan, "Infinity": float("inf"), "-Infinity": float("-inf")}
#: Whole doubles below it are exact, and are written without a decimal point.
_EXACT = 2**53
_decode = json.JSONDecoder().decode


@dataclass
class Progress:
    """What the default of the next step depends on: the lines with points so far, and the last step in the file."""

    lines: int = 0
    step: float | None = None

    def default(self) -> float:
        """The step of a line without one: the last step, or the number of the line if no line has had a step."""
        return self.lines if self.step is None else self.step


class Parser:
    """Parses lines into points of a record."""

    def __init__(self, record: Record, progress: Progress) -> None:
        self._record = record
        self._progress = progress

    def parse(self, lines: Iterable[bytes], now: float, first_line: int = 1) -> None:
        """Add the points in `lines`. `now` is the time of points without one."""
        totals = self._record.totals
        for number, line in enumerate(lines, first_line):
            try:
                fields = _decode(str(line, "utf-8"))
            except (ValueError, RecursionError):
                if not line.isspace() and line:
                    totals.reject(f"line {number}: not JSON: {quote(line)}")
                continue
            if type(fields) is dict:
                self._points(fields, now, f"line {number}")
            else:
                totals.reject(f"line {number}: not a JSON object: {quote(line)}")

    def _points(self, fields: dict[str, Any], now: float, where: str) -> None:
        """Add the points of one line."""
        when = self._time(fields, now, where) if "time" in fields or "timestamp" in fields else now
        step = self._step(fields.pop("step"), where) if "step" in fields else self._progress.default()
        values: list[tuple[str, float]] = []
        for name, value in fields.items():
            found = value if type(value) is float else _number(value)
            if found is None:
                self._record.refuse(name, f"{_complaint(value)}: {quote(value)}", where)
            else:
                values.append((name, found))
        if self._record.points(values, step, when, where):
            self._progress.lines += 1

    def _step(self, value: object, where: str) -> float:
        step = _number(value) if type(value) in (int, float) else None
        if step is None or step - step != 0.0:
            self._record.totals.reject(f"{where}: step: not a number: {quote(value)}")
            return self._progress.default()
        self._progress.step = int(step) if step.is_integer() and abs(step) < _EXACT else step
        return self._progress.step

    def _time(self, fields: dict[str, Any], now: float, where: str) -> float:
        """Take the time out of the fields; `time` has precedence. A `time` before 2000 stays: it is a metric."""
        found = None
        for name in ("timestamp", "time"):
            if name not in fields:
                continue
            value = fields[name]
            seconds, complaint = unix_seconds(value, now)
            if name == "time" and seconds is None and _is_span(value):
                if found is None:
                    text = f"{where}: time: {quote(value)} is not unix seconds, so it is recorded as the metric time"
                    self._record.totals.event(text, kind=name)
                continue
            del fields[name]
            found = found if seconds is None else seconds
            if complaint:
                self._complain(f"{where}: {name}: {complaint}: {quote(value)}", name, is_number=_is_number(value))
        return now if found is None else found

    def _complain(self, text: str, name: str, *, is_number: bool) -> None:
        """Count a time that is no number. One warning about numbers is enough: usually all are wrong alike."""
        if is_number:
            self._record.totals.event(text, kind=name)
        else:
            self._record.totals.reject(text)


class JsonLines:
    """Follows metrics.jsonl."""

    def __init__(self, surroundings: Surroundings, position: Position, chunk_bytes: int = tail.CHUNK_BYTES) -> None:
        self._progress = Progress(**position.get("progress", {}))
        self._tail = Tail(surroundings.directory / FILE, tail.Position(**position.get("file", {})), chunk_bytes)
        self._clock = surroundings.clock

    @property
    def problem(self) -> str:
        """Why the file cannot be read; "" if it can be read or does not exist."""
        return self._tail.problem

    def poll(self, record: Record, *, final: bool) -> bool:
        """Read a piece of the file."""
        more = self._tail.refresh(final) and self._read(record, final)
        for event in self._tail.take_events():
            record.totals.event(event)
        return more

    def position(self) -> Position:
        """Where in the file the next line begins."""
        return {"file": asdict(self._tail.position), "progress": asdict(self._progress)}

    def close(self) -> None:
        """Close the file."""
        self._tail.close()

    def _read(self, record: Record, final: bool) -> bool:
        batch = self._tail.read(final)
        if batch is None:
            return False
        for number, head in batch.oversized:
            record.totals.reject(f"line {number}: longer than {MAX_LINE_BYTES} bytes: {quote(head)}")
        Parser(record, self._progress).parse(batch.lines, round(self._clock(), 3), batch.first_line)
        return True


def _number(value: object) -> float | None:
    """A value of a metric; None if it is none."""
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return None
    if type(value) is float:
        return value
    if value is None:
        return nan
    return _STRINGS.get(value) if type(value) is str else None


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and value == value


def _is_span(value: object) -> bool:
    """Whether a value can be a number of seconds since the start, or any other metric that is called time."""
    return _is_number(value) and 0 <= value < EARLIEST  # type: ignore[operator]


def _complaint(value: object) -> str:
    return "too large" if type(value) is int else "not a number"
