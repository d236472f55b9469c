"""Allocates version numbers. Each number is given to one claimant and never reused.

    models/<namespace>/<model>/numbers/<N>.json             the first claimant of the number
                               claimants/<sha256>/<a>.json  the number that a claimant tries to get in attempt <a>
                               passed/<N>.json              the holder of the number after the first one gave it up

Every key is created on the condition that it does not exist, and is never changed or deleted: deleting the object in
the cluster or the model's bytes does not free a number. A claimant ("run/<uid>", "manifest/<digest>") records the
number it tries to get before it claims it. So it finds its claim again with a few requests, regardless of the number of
claims and of where it was stopped, and two processes that act for it get the same number:

    stopped after          next time
    nothing                starts over
    the attempt's record   claims the number if it is free; makes the next attempt if another claimant has it
    the claim              gets its own number

A claimant that makes a further attempt gives up the number of the previous one, because its name in the cluster was
taken. Only in this case the number passes, once, to the next claimant.

With a store that ignores the condition, such as `rclone serve s3`, this is correct within a single process only.
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
# Each lock is shared by many models. It avoids races of threads, which would be wrong if the store ignores conditions.
_LOCKS = [threading.Lock() for _ in range(64)]

Claimant = Annotated[str, Field(min_length=1, max_length=512)]


class Claim(Record):
    """A number, its claimant, and the time of the claim."""

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
    """The claimant's number, or a new one that is larger than all claimed numbers and `above`.

    `above` is the largest number that the caller knows to be in use without a claim. `taken` are numbers whose names
    belong to other objects: if the claimant's number is among them, it gives the number up for good and gets another.
    Safe to repeat after any failure. Raises StoreUnavailable, StoreDenied, StoreError if no number is left,
    RecordError for a claim that cannot be read, and ValueError.
    """
    found = _Model(store, namespace, model)
    least = max(above, *taken) if taken else above
    with found.lock():
        attempts = _attempts(found, claimant)
        while not (attempts and attempts[-1] not in taken and _first(found, attempts[-1], claimant) == claimant):
            if len(attempts) >= ATTEMPTS:
                raise StoreUnavailable(f"{layout.number_prefix(namespace, model)}: other claimants keep winning")
            attempts.append(_attempt(found, claimant, len(attempts), least))
        return attempts[-1]


def claim(store: ObjectStore, namespace: str, model: str, number: int, claimant: str) -> str:
    """Claim a specific number unless it is taken. Returns its holder: this claimant or another one.

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
    """The holder of a number; None if it is not claimed. Read-only. Raises StoreError, RecordError, ValueError."""
    found = _Model(store, namespace, model)
    known = _read(store, found.key(layout.PASSED, number)) or _read(store, found.key(layout.NUMBERS, number))
    return known.claimant if known else None


def last_number(store: ObjectStore, namespace: str, model: str, after: int = 0) -> int:
    """The largest claimed number, at least `after`."""
    prefix = layout.number_prefix(namespace, model) + "/"

    def any_behind(number: int) -> bool:
        behind = prefix + layout.number_name(number) if number else ""
        found = store.list(prefix, after=behind, page=10)
        return any(layout.parse_number_name(info.key.removeprefix(prefix)) for info in found)

    return sequences.last(any_behind, after, layout.MAX_NUMBER + 1)


def _attempts(model: _Model, claimant: str) -> list[int]:
    """The numbers that a claimant has tried to get, in order. It has given up all but the last."""
    found: list[int] = []
    while len(found) < ATTEMPTS:
        key = model.attempt(claimant, len(found))
        known = _read(model.store, key)
        if known is None:
            break
        found.append(_of(known, claimant, key).number)
    return found


def _attempt(model: _Model, claimant: str, attempt: int, above: int) -> int:
    """Record a new number to try. Returns the number of this attempt, which another process may have recorded."""
    number = last_number(model.store, model.namespace, model.name, above) + 1
    if number > layout.MAX_NUMBER:
        raise StoreError(f"{model.namespace}/{model.name}: no version number is left, {number - 1} is taken")
    key = model.attempt(claimant, attempt)
    return _of(_create(model.store, key, number, claimant), claimant, key).number


def _first(model: _Model, number: int, claimant: str) -> str:
    """The first claimant of a number. Claims the number for `claimant` if it is free."""
    key = model.key(layout.NUMBERS, number)
    return (_read(model.store, key) or _create(model.store, key, number, claimant)).claimant


def _of(found: Claim, claimant: str, key: str) -> Claim:
    if found.claimant != claimant:
        raise RecordError(f"{key} belongs to another claimant, {found.claimant!r}")
    return found


def _create(store: ObjectStore, key: str, number: int, claimant: str) -> Claim:
    """Create a record unless it exists. Returns the record in the store."""
    record = Claim(number=number, claimant=claimant, claimed=clock.now())
    for _ in range(_PATIENCE):
        try:
            store.create(key, record.to_json(), "application/json")
        except (AlreadyExists, Busy):
            if other := _read(store, key):
                return other
        else:
            return record
    raise StoreUnavailable(f"{key}: another writer is creating it")


def _read(store: ObjectStore, key: str) -> Claim | None:
    try:
        return Claim.model_validate_json(store.get_bytes(key, _MAX_BYTES))
    except NotFound:
        return None
    except (TooLarge, pydantic.ValidationError):
        raise RecordError(f"{key} cannot be read: the holder of the number is unknown") from None
