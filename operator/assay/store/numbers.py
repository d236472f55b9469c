"""Version numbers: each is given to one claimant, once, and never to another after it.

    models/<namespace>/<model>/numbers/<N>.json             who was first to claim the number
                               claimants/<sha256>/<a>.json  the number that a claimant tries for, attempt by attempt
                               passed/<N>.json              who has the number since the first one gave it up

Every key is created under a condition, "if there is none", and never changed or deleted: neither the deletion of an
object in the cluster nor that of the model's bytes frees a number. A claimant ("run/<uid>", "manifest/<digest>")
writes down which number it tries for before it claims it. So it finds its claim again with a few requests, however
many claims there are and wherever it was stopped, and two processes that act for it get the same number:

    stopped after          found next time
    nothing                nothing; begins anew
    the attempt's record   the number, unclaimed: claims it; claimed by another: makes the next attempt
    the claim              the number, its own

Who makes a further attempt has given up the number of the one before: somebody had taken its name in the cluster. Then,
and only then, the number goes to who claims it next, once.

A store that ignores the condition, such as `rclone serve s3`, is served correctly within one process only.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection
from typing import Annotated, Literal, NamedTuple

import pydantic
from pydantic import Field

from assay.store import clock, layout, sequences
from assay.store.client import ObjectStore
from assay.store.errors import AlreadyExists, Busy, NotFound, RecordError, StoreError, StoreUnavailable, TooLarge
from assay.store.records import Record, Timestamp

ATTEMPTS = 1000
_MAX_BYTES = 4096
_PATIENCE = 5
# A lock for many models: threads of one process need not race each other, and must not where there is no condition.
_LOCKS = [threading.Lock() for _ in range(64)]

Claimant = Annotated[str, Field(min_length=1, max_length=512)]


class Claim(Record):
    """A number, whose it is, and since when."""

    version: Literal[1] = 1
    number: Annotated[int, Field(ge=1, le=layout.MAX_NUMBER)]
    claimant: Claimant
    claimed: Timestamp


class _Model(NamedTuple):
    store: ObjectStore
    namespace: str
    name: str

    def key(self, folder: str, number: int) -> str:
        return f"{layout.number_prefix(self.namespace, self.name, folder)}/{layout.number_name(number)}"

    def attempt(self, claimant: str, attempt: int) -> str:
        sha256 = hashlib.sha256(claimant.encode()).hexdigest()
        return layout.claimant_key(self.namespace, self.name, sha256, attempt)

    def lock(self) -> threading.Lock:
        return _LOCKS[hash((self.namespace, self.name)) % len(_LOCKS)]


def allocate(
    store: ObjectStore, namespace: str, model: str, claimant: str, above: int = 0, taken: Collection[int] = ()
) -> int:
    """The number that the claimant holds, else a new one that is larger than every claimed one and than `above`.

    `above` is the largest number that is in use without a claim, as far as the caller knows. `taken` are numbers whose
    names turned out to be another object's: the claimant gives its own up for another, for good.
    Safe to repeat after any failure. Raises StoreUnavailable, StoreDenied, StoreError when no number is left,
    RecordError for a claim that cannot be read, and ValueError.
    """
    found = _Model(store, namespace, model)
    least = max(above, *taken) if taken else above
    with found.lock():
        attempts = _attempts(found, claimant)
        while not (attempts and attempts[-1] not in taken and _first(found, attempts[-1], claimant) == claimant):
            if len(attempts) >= ATTEMPTS:
                raise StoreUnavailable(f"{layout.number_prefix(namespace, model)}: other claimants are always faster")
            attempts.append(_attempt(found, claimant, len(attempts), least))
        return attempts[-1]


def claim(store: ObjectStore, namespace: str, model: str, number: int, claimant: str) -> str:
    """Take a number that somebody has chosen, unless it is taken. Gives the claimant whose it is: ours, or another.

    Raises StoreUnavailable, StoreDenied, RecordError for a claim that cannot be read, and ValueError.
    """
    found = _Model(store, namespace, model)
    with found.lock():
        first = _first(found, number, claimant)
        passed = found.key(layout.PASSED, number)
        if known := _read(store, passed):
            return known.claimant
        if first != claimant and number in _attempts(found, first)[:-1]:
            return _create(store, passed, number, claimant).claimant
        return first


def holder(store: ObjectStore, namespace: str, model: str, number: int) -> str | None:
    """Who holds a number, None when nobody has claimed it. Reads only. Raises StoreError, RecordError, ValueError."""
    found = _Model(store, namespace, model)
    known = _read(store, found.key(layout.PASSED, number)) or _read(store, found.key(layout.NUMBERS, number))
    return known.claimant if known else None


def last_number(store: ObjectStore, namespace: str, model: str, after: int = 0) -> int:
    """The largest number that is claimed, at least `after`."""
    prefix = layout.number_prefix(namespace, model) + "/"

    def any_behind(number: int) -> bool:
        behind = prefix + layout.number_name(number) if number else ""
        found = store.list(prefix, after=behind, page=10)
        return any(layout.parse_number_name(info.key.removeprefix(prefix)) for info in found)

    return sequences.last(any_behind, after, layout.MAX_NUMBER + 1)


def _attempts(model: _Model, claimant: str) -> list[int]:
    """The numbers that a claimant has tried for, in their order. Of all but the last it has let go."""
    found: list[int] = []
    while len(found) < ATTEMPTS:
        key = model.attempt(claimant, len(found))
        known = _read(model.store, key)
        if known is None:
            break
        found.append(_of(known, claimant, key).number)
    return found


def _attempt(model: _Model, claimant: str, attempt: int, above: int) -> int:
    """Write down a new number to try for; gives the one that another process has written down for this attempt."""
    number = last_number(model.store, model.namespace, model.name, above) + 1
    if number > layout.MAX_NUMBER:
        raise StoreError(f"{model.namespace}/{model.name}: no version number is left, {number - 1} is taken")
    key = model.attempt(claimant, attempt)
    return _of(_create(model.store, key, number, claimant), claimant, key).number


def _first(model: _Model, number: int, claimant: str) -> str:
    """Who was first to claim a number: the claimant itself, from now on, when nobody was."""
    key = model.key(layout.NUMBERS, number)
    return (_read(model.store, key) or _create(model.store, key, number, claimant)).claimant


def _of(found: Claim, claimant: str, key: str) -> Claim:
    if found.claimant != claimant:
        raise RecordError(f"{key} is of another claimant, {found.claimant!r}")
    return found


def _create(store: ObjectStore, key: str, number: int, claimant: str) -> Claim:
    """Write a record unless there is one. Gives the one that is there then."""
    record = Claim(number=number, claimant=claimant, claimed=clock.now())
    for _ in range(_PATIENCE):
        try:
            store.create(key, record.to_json(), "application/json")
        except (AlreadyExists, Busy):
            if other := _read(store, key):
                return other
        else:
            return record
    raise StoreUnavailable(f"{key}: another writer is at it")


def _read(store: ObjectStore, key: str) -> Claim | None:
    try:
        return Claim.model_validate_json(store.get_bytes(key, _MAX_BYTES))
    except NotFound:
        return None
    except (TooLarge, pydantic.ValidationError):
        raise RecordError(f"{key} cannot be read: nobody can tell whose the number is") from None
