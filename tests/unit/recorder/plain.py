"""A plain reading of metrics.jsonl, to compare the recorder with: whole file, no state, obvious rules."""

import json
import math

Point = tuple[str, float, float, float]

#: 2000-01-01 in unix seconds: what comes before is no time.
EARLIEST = 946684800.0


def number(value: object) -> float | None:
    """A number as a float, null as NaN; None for everything else."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def plain_parse(content: bytes, now: float) -> list[Point]:
    """Every point of the file."""
    points: list[Point] = []
    accepted, last = 0, None
    for line in content.split(b"\n"):
        try:
            record = json.loads(line.decode())
        except ValueError:
            continue
        if isinstance(record, dict) and len(line) <= 1 << 20:
            step = number(record["step"]) if record.get("step") is not None else None
            last = last if step is None or not math.isfinite(step) else step
            mine = plain_line(record, accepted if last is None else last, now)
            points += mine
            accepted += bool(mine)
    return points


def plain_line(record: dict[str, object], step: float, now: float) -> list[Point]:
    """The points of one line."""
    time, names = now, ["step", "timestamp"]
    for name in ("timestamp", "time"):
        stamp = number(record.get(name))
        if stamp is None or record.get(name) is None or not 0 <= stamp < EARLIEST or name == "timestamp":
            names.append(name)
        scales = [scale for scale in (1, 10**3, 10**6, 10**9) if stamp and EARLIEST <= stamp / scale <= now + 86400]
        time = record[name] / scales[0] if stamp and scales else time  # type: ignore[operator]
    return [
        (name, step, time, value)
        for name, raw in record.items()
        if name not in names and name.isprintable() and 0 < len(name) <= 200
        for value in [number(raw)]
        if value is not None
    ]
