"""metrics.jsonl: one JSON object a line. No input makes it fail.

`step` (a number) and `time` or `timestamp` (unix seconds) are optional; every other field with a number is a point of
the metric of that name. NaN and infinities are numbers, and null is NaN, because many encoders write it for NaN.
Invalid fields are counted, quoted and skipped; the rest of the line is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from assay.recorder.collectors import tail
from assay.recorder.collectors.protocol import Position, Surroundings
from assay.recorder.collectors.tail import MAX_LINE_BYTES, Tail
from assay.recorder.record import Record, quote
from assay.store.points.times import EARLIEST, unix_seconds
from assay.store.points.values import Progress, complaint, number, parsed

FILE = "metrics.jsonl"


class Parser:
    """Parses lines into points of a record."""

    def __init__(self, record: Record, progress: Progress) -> None:
        self._record = record
        self._progress = progress

    def parse(self, lines: Iterable[bytes], now: float, first_line: int = 1) -> None:
        """Add the points in `lines`. `now` is the time of points without one."""
        totals = self._record.totals
        for at, line in enumerate(lines, first_line):
            try:
                fields = parsed(str(line, "utf-8"))
            except (ValueError, RecursionError):
                if not line.isspace() and line:
                    totals.reject(f"line {at}: not JSON: {quote(line)}")
                continue
            if type(fields) is dict:
                self._points(fields, now, f"line {at}")
            else:
                totals.reject(f"line {at}: not a JSON object: {quote(line)}")

    def _points(self, fields: dict[str, Any], now: float, where: str) -> None:
        """Add the points of one line."""
        when = self._time(fields, now, where) if "time" in fields or "timestamp" in fields else now
        step = self._step(fields.pop("step"), where) if "step" in fields else self._progress.default()
        values: list[tuple[str, float]] = []
        for name, value in fields.items():
            found = value if type(value) is float else number(value)
            if found is None:
                self._record.refuse(name, f"{complaint(value)}: {quote(value)}", where)
            else:
                values.append((name, found))
        if self._record.points(values, step, when, where):
            self._progress.lines += 1

    def _step(self, value: object, where: str) -> float:
        if not self._progress.accept(value):
            self._record.totals.reject(f"{where}: step: not a number: {quote(value)}")
        return self._progress.default()

    def _time(self, fields: dict[str, Any], now: float, where: str) -> float:
        """Take the time out of the fields; `time` has precedence. A `time` before 2000 stays: it is a metric."""
        found = None
        for name in ("timestamp", "time"):
            if name not in fields:
                continue
            value = fields[name]
            seconds, wrong = unix_seconds(value, now)
            if name == "time" and seconds is None and _is_span(value):
                if found is None:
                    text = f"{where}: time: {quote(value)} is not unix seconds, so it is recorded as the metric time"
                    self._record.totals.event(text, kind=name)
                continue
            del fields[name]
            found = found if seconds is None else seconds
            if wrong:
                self._complain(f"{where}: {name}: {wrong}: {quote(value)}", name, is_number=_is_number(value))
        return now if found is None else found

    def _complain(self, text: str, name: str, *, is_number: bool) -> None:
        """Count a time that is not a number. One warning is enough, because usually all lines have the same mistake."""
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
        for at, head in batch.oversized:
            record.totals.reject(f"line {at}: longer than {MAX_LINE_BYTES} bytes: {quote(head)}")
        Parser(record, self._progress).parse(batch.lines, round(self._clock(), 3), batch.first_line)
        return True


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and value == value


def _is_span(value: object) -> bool:
    """Whether a value can be a number of seconds since the start, or any other metric that is called time."""
    return _is_number(value) and 0 <= value < EARLIEST  # type: ignore[operator]
