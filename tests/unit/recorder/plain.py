"""A plain reading of metrics.jsonl, to compare the recorder with: whole file, no state, obvious rules."""

import json
import math

Point = tuple[str, int, float, float]


def number(value: object) -> float | None:
    """A finite number as a float; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def plain_parse(content: bytes, now: float) -> list[Point]:
    """Every point of the file."""
    points: list[Point] = []
    accepted = 0
    for line in content.split(b"\n"):
        try:
            record = json.loads(line.decode())
        except ValueError:
            continue
        if isinstance(record, dict) and len(line) <= 1 << 20:
            mine = plain_line(record, accepted, now)
            points += mine
            accepted += bool(mine)
    return points


def plain_line(record: dict[str, object], ordinal: int, now: float) -> list[Point]:
    """The points of one line."""
    step, time = record.get("step", ordinal), number(record.get("time", record.get("timestamp", now)))
    whole = isinstance(step, int | float) and not isinstance(step, bool) and math.isfinite(number(step) or math.nan)
    if step == 0 and not isinstance(step, bool):
        whole = True
    if not whole or step != int(step) or not -(2**63) <= step < 2**63:  # type: ignore[call-overload,operator]
        step = ordinal
    return [
        (name, int(step), now if time is None else time, value)  # type: ignore[call-overload]
        for name, raw in record.items()
        if name not in ("step", "time", "timestamp") and name.isprintable() and 0 < len(name) <= 200
        for value in [number(raw)]
        if value is not None
    ]
