"""Formats values for pages. Pure; templates escape what it returns."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from assay.planning.conditions import format_duration, parse_time

_BEGIN: Final = datetime(2000, 1, 1, tzinfo=UTC)
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def value(found: Any) -> str:
    """Return a value of a run as text: numbers with six digits, "" for none."""
    if found is None:
        return ""
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, float):
        return f"{found:.6g}"
    return json.dumps(found, ensure_ascii=False) if isinstance(found, dict | list) else str(found)


def duration(seconds: float | None) -> str:
    """Return a duration such as 1h2m3s."""
    return "" if seconds is None else format_duration(_BEGIN, _BEGIN + timedelta(seconds=seconds)) or ""


def age(text: str, now: datetime | None = None) -> str:
    """Return how long ago a time was: 3d, 4h; "" if unknown."""
    then = parse_time(text)
    if then is None:
        return ""
    seconds = max(0.0, ((now or datetime.now(UTC)) - then).total_seconds())
    size, unit = next((each for each in _UNITS if seconds >= each[0]), _UNITS[-1])
    return f"{int(seconds // size)}{unit}"


def size(count: int | None) -> str:
    """Return a number of bytes with a unit."""
    if count is None:
        return ""
    number, unit = float(count), 0
    while number >= 1024 and unit < len(_SIZES) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.3g} {_SIZES[unit]}"


def path(*parts: object) -> str:
    """Return an address on this server from its parts, each of which may have any character."""
    return "/" + "/".join(quote(str(part), safe="") for part in parts)


def query(address: str, pairs: Any) -> str:
    """Return an address with a query; pairs without a value are left out."""
    found = urlencode([(name, text) for name, text in pairs if text not in ("", None)])
    return f"{address}?{found}" if found else address
