"""Helpers shared by every status: conditions, times, durations and values."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from assay.api.common import Condition
from assay.api.numbers import to_json

Status = Literal["True", "False", "Unknown"]


def merge_conditions(
    old: Iterable[Condition],
    new: list[Condition],
) -> list[Condition]:
    """Return ``new``; a condition whose status is unchanged keeps its old transition time."""
    before = {condition.type: condition for condition in old}
    out = []
    for condition in new:
        known = before.get(condition.type)
        if known is not None and known.status == condition.status:
            condition = condition.model_copy(update={"last_transition_time": known.last_transition_time})
        out.append(condition)
    return out


def flag(holds: bool, reason: str, message: str) -> tuple[Status, str, str]:
    """Return (status, reason, message) of a condition: status "True" if it holds, else "False"."""
    return ("True" if holds else "False"), reason, message


def conditions(
    old: Iterable[Condition], flags: Mapping[str, tuple[Status, str, str]], generation: int, now: datetime
) -> list[Condition]:
    """Return one condition for each type in ``flags``; an unchanged status keeps its old transition time."""
    new = [
        Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message[:4096],
            last_transition_time=now,
            observed_generation=generation,
        )
        for kind, (status, reason, message) in flags.items()
    ]
    return merge_conditions(old, new)


def parse_time(text: str | None) -> datetime | None:
    """Return an RFC 3339 time as an aware datetime; None for None or an empty string."""
    return datetime.fromisoformat(text) if text else None


def format_duration(start: datetime | None, end: datetime | None) -> str | None:
    """Return the time between start and end in the form ``1h2m3s``; None when either is None."""
    if start is None or end is None:
        return None
    return format_seconds((end - start).total_seconds())


def format_seconds(duration: float) -> str:
    """Return a duration in seconds in the form ``1h2m3s``."""
    seconds = max(0, round(duration))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 file``, ``2 files``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def format_value(value: float) -> str:
    """Return a metric's value for a table: six significant digits."""
    named = to_json(value)
    return named if isinstance(named, str) else f"{value:.6g}"
