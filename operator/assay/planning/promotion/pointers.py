"""The periods in which aliases pointed to a version. They are stored on the version and derived from alias histories.

An alias drops its older bindings, and its history is lost when it is deleted; the version retains the periods.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from assay.api.modelalias import Binding
from assay.api.modelversion import HeldStatus

MAX_STRETCHES = 100
#: Maximum number of bindings in the status of an alias.
MAX_HISTORY = 20


class History(NamedTuple):
    """The bindings of one alias of the version's model, oldest first."""

    alias: str
    bindings: list[Binding]


class Past(NamedTuple):
    """A version of the alias's model, and the periods in its status."""

    version: int
    digest: str
    held: list[HeldStatus]


def held(
    known: list[HeldStatus], version: int, digest: str, histories: Iterable[History], now: datetime
) -> list[HeldStatus]:
    """Return the periods in which an alias pointed to this version and digest, oldest first, at most MAX_STRETCHES.

    ``known`` are the periods in the version's status. An open period whose alias was deleted, or whose binding is
    missing from the alias's history, ends at the alias's next known move, or now if there is none.
    """
    found = {(each.alias, each.from_): each for each in known}
    open_: set[tuple[str, datetime]] = set()
    moves: dict[str, list[datetime]] = {}
    for alias, bindings in histories:
        moves[alias] = [binding.from_ for binding in bindings]
        for binding in bindings:
            if binding.version == version and binding.digest in (None, digest):
                key = (alias, binding.from_)
                found[key] = HeldStatus(alias=alias, from_=binding.from_, to=binding.to)
                (open_.add if binding.to is None else open_.discard)(key)
    for key, each in found.items():
        if each.to is None and key not in open_:
            later = [at for at in moves.get(each.alias, []) if at >= each.from_]
            found[key] = each.model_copy(update={"to": min(later, default=max(now, each.from_))})
    return _truncated(found.values())


def remembered(alias: str, versions: Collection[Past], deleted: Iterable[History], until: datetime) -> list[Binding]:
    """Return the past bindings of an alias that was created again and has none of its own yet, oldest first.

    The statuses of its versions retain the periods. ``deleted`` are the histories of recently deleted aliases: if one
    is created again at once, the statuses may not contain its last bindings yet. ``until`` is when the new alias was
    created, in whole seconds, so the earlier alias may seem to have been bound after it. The audit trail has who moved
    the earlier alias, and why.
    """
    digests = {past.version: past.digest for past in versions}
    found = {(past.version, each.from_): each.to for past in versions for each in past.held if each.alias == alias} | {
        (binding.version, binding.from_): binding.to
        for history in deleted
        if history.alias == alias
        for binding in history.bindings
        if binding.version in digests and binding.digest in (None, digests[binding.version])
    }
    bindings = [
        Binding(version=version, digest=digests[version], from_=from_, to=max(from_, min(to or until, until)))
        for (version, from_), to in found.items()
    ]
    return sorted(bindings, key=lambda each: each.from_)[-MAX_HISTORY:]


def _truncated(stretches: Iterable[HeldStatus]) -> list[HeldStatus]:
    """Return at most MAX_STRETCHES, oldest first: all open periods, then the newest of each alias in turn.

    A user who may move one alias must not be able to evict another alias's periods. Otherwise a live version would
    look unused, and a rollback to it would be refused.
    """
    turns: Counter[str] = Counter()
    ranked = []
    for each in sorted(stretches, key=lambda each: (each.from_, each.alias), reverse=True):
        ranked.append((each.to is not None, turns[each.alias], each))
        turns[each.alias] += 1
    ranked.sort(key=lambda entry: entry[:2])
    return sorted((each for *_, each in ranked[:MAX_STRETCHES]), key=lambda each: (each.from_, each.alias))


def holding(stretches: Iterable[HeldStatus]) -> list[str]:
    """Return the names of the aliases that point to the version now, sorted."""
    return sorted({each.alias for each in stretches if each.to is None})
