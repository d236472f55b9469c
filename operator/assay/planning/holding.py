"""When which alias pointed to a version: kept on the version, made from the histories of the aliases.

An alias forgets its older bindings, and is forgotten itself when it is deleted; the version remembers.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from assay.api.modelalias import Binding
from assay.api.modelversion import HeldStatus

MAX_STRETCHES = 100


class History(NamedTuple):
    """The bindings of one alias of the version's model, oldest first."""

    alias: str
    bindings: list[Binding]


def held(
    known: list[HeldStatus], version: int, digest: str, histories: Iterable[History], now: datetime
) -> list[HeldStatus]:
    """Return the stretches in which an alias pointed to these very bytes, oldest first, the newest MAX_STRETCHES.

    ``known`` are those that were seen before. A stretch that is open, and whose alias is gone or points elsewhere
    without a word about when it left, ends now.
    """
    found = {(each.alias, each.from_): each for each in known}
    open_: set[tuple[str, datetime]] = set()
    for alias, bindings in histories:
        for binding in bindings:
            if binding.version == version and binding.digest in (None, digest):
                key = (alias, binding.from_)
                found[key] = HeldStatus(alias=alias, from_=binding.from_, to=binding.to)
                if binding.to is None:
                    open_.add(key)
    for key, each in found.items():
        if each.to is None and key not in open_:
            found[key] = each.model_copy(update={"to": max(now, each.from_)})
    return sorted(found.values(), key=lambda each: (each.from_, each.alias))[-MAX_STRETCHES:]


def holding(stretches: Iterable[HeldStatus]) -> list[str]:
    """Return the aliases that point to the version now, by name."""
    return sorted({each.alias for each in stretches if each.to is None})
