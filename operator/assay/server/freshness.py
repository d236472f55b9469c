"""How current an answer is, and how current it has to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from typing_extensions import TypedDict

#: What can be asked for: what the watch has delivered, what is true now, or what includes a resource version.
PATTERN: Final = r"^(live|now|[0-9]{1,20})$"
LIVE: Final = "live"


class Freshness(TypedDict):
    """How current an answer is. ``asOf``: the resource version that it includes at least, "" if unknown.

    ``age``: seconds since the API server last confirmed that; ``source``: "index" or "apiserver".
    """

    source: Literal["index", "apiserver"]
    asOf: str
    age: float


def of_all(parts: Sequence[Freshness]) -> Freshness:
    """Return the freshness of an answer that was put together: that of its oldest part."""
    old = [part for part in parts if part["source"] == "index"]
    if not old:
        return {"source": "apiserver", "asOf": "", "age": 0.0}
    return {
        "source": "index",
        "asOf": min((part["asOf"] for part in old), key=int),
        "age": max(part["age"] for part in old),
    }
