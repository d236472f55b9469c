"""Deleting the artifacts of a run, and nothing else of its record: first it is said which, then they are deleted.

    runs/<…>/<uid>/expired.json                     Expired: which artifacts are deleted, when, with their digests
    expiring/<namespace>/<time>-<uid>.json          Expiring: an archived run whose artifacts are due at that time

What was begun and not finished is finished, or taken back while all bytes are there. Whether they may be deleted at all
is for others to say. These functions block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pydantic

from assay.store import clock, layout
from assay.store.client import ObjectStore
from assay.store.errors import ArtifactsExpired, Busy, NotFound, RecordError, TooLarge
from assay.store.limits import MAX_FILES, MAX_TEXT_CHARS
from assay.store.records import Expired, ExpiredFile, Expiring
from assay.store.verify import read_expired, run_manifest

_MAX_ENTRY_BYTES = 64 << 10


def begin(store: ObjectStore, run_prefix: str, reason: str) -> Expired:
    """Write down which artifacts are about to be deleted; what was written down before stays as it is.

    Raises RecordError for a run whose record is not closed, StoreError.
    """
    if known := read_expired(store, run_prefix):
        return known
    digests = {entry.path: (entry.size, entry.sha256) for entry in run_manifest(store, run_prefix).files}
    found = []
    for path, size in artifacts(store, run_prefix):
        listed, sha256 = digests.get(path, (-1, ""))
        found.append(ExpiredFile(path=path, size=size, sha256=sha256 if listed == size else ""))
    # What a manifest vouches for comes first: there is room for all of it.
    found.sort(key=lambda file: (not file.sha256, file.path))
    kept, more = found[:MAX_FILES], max(0, len(found) - MAX_FILES)
    expired = Expired(reason=reason[:MAX_TEXT_CHARS], begun=clock.now(), files=kept, more=more)
    _write(store, run_prefix, expired)
    return expired


def finish(store: ObjectStore, run_prefix: str) -> Expired:
    """Delete the artifacts of a run for which this was begun. Safe to repeat. Raises RecordError, StoreError."""
    expired = read_expired(store, run_prefix)
    if expired is None:
        raise RecordError(f"{run_prefix}/{layout.EXPIRED} is missing: nothing was written down of what is deleted")
    if expired.finished:
        return expired
    store.delete_all([f"{run_prefix}/{path}" for path, _ in artifacts(store, run_prefix)])
    for path, _ in artifacts(store, run_prefix):  # whose names do not survive the way into a document
        store.delete(f"{run_prefix}/{path}")
    done = expired.model_copy(update={"finished": clock.now()})
    _write(store, run_prefix, done)
    return done


def take_back(store: ObjectStore, run_prefix: str) -> bool:
    """Undo `begin` if nothing is deleted yet, else `finish`. Gives whether the artifacts are all there."""
    expired = read_expired(store, run_prefix)
    if expired is None:
        return True
    there = dict(artifacts(store, run_prefix))
    if not expired.finished and all(there.get(file.path) == file.size for file in expired.files):
        store.delete(f"{run_prefix}/{layout.EXPIRED}")
        return True
    finish(store, run_prefix)
    return False


def check_kept(store: ObjectStore, run_prefix: str) -> None:
    """Raise ArtifactsExpired when a run's artifacts are deleted, Busy while that is being decided."""
    expired = read_expired(store, run_prefix)
    if expired is None:
        return
    if not expired.finished:
        raise Busy(f"{run_prefix}: its artifacts are about to be deleted ({expired.reason})")
    raise ArtifactsExpired(f"{run_prefix}: its artifacts were deleted at {expired.finished} ({expired.reason})")


def artifacts(store: ObjectStore, run_prefix: str) -> Iterator[tuple[str, int]]:
    """The artifacts of all pods of a run: path relative to its prefix, and size."""
    for info in store.list(layout.pods_prefix(run_prefix) + "/"):
        path = info.key.removeprefix(run_prefix + "/")
        if layout.is_artifact(path):
            yield path, info.size


def _write(store: ObjectStore, run_prefix: str, expired: Expired) -> None:
    store.put_bytes(f"{run_prefix}/{layout.EXPIRED}", expired.to_json(), "application/json")


# Archived runs


class Waiting(NamedTuple):
    """An archived run whose artifacts are due: the key that says so, the run's prefix, and why."""

    key: str
    prefix: str
    reason: str


def note(store: ObjectStore, run_prefix: str, due: str, reason: str) -> None:
    """Write down that the artifacts of a run that is archived are to be deleted at a time (RFC 3339, UTC)."""
    run = layout.parse_run_prefix(run_prefix)
    key = layout.key(layout.expiring_prefix(run.namespace), layout.expiring_name(due, run.uid))
    entry = Expiring(prefix=run_prefix, reason=reason[:MAX_TEXT_CHARS])
    store.put_bytes(key, entry.to_json(), "application/json")


def waiting(store: ObjectStore, namespace: str, now: str, most: int) -> list[Waiting]:
    """The archived runs of a namespace that are due at a time, those that are due for longest first."""
    prefix = layout.expiring_prefix(namespace) + "/"
    last = layout.expiring_name(now, "z")
    found: list[Waiting] = []
    for info in store.list(prefix, page=most):
        if info.key.removeprefix(prefix) > last or len(found) == most:
            break
        entry = _entry(store, info.key, namespace)
        if entry is not None:
            found.append(entry)
    return found


def _entry(store: ObjectStore, key: str, namespace: str) -> Waiting | None:
    """What is written down; None for what cannot be understood, and so never leads to a deletion."""
    try:
        entry = Expiring.model_validate_json(store.get_bytes(key, _MAX_ENTRY_BYTES))
        run = layout.parse_run_prefix(entry.prefix)
    except (NotFound, TooLarge, ValueError, pydantic.ValidationError):
        return None
    ours = run.namespace == namespace and key.endswith(f"-{run.uid}.json")
    return Waiting(key, entry.prefix, entry.reason) if ours else None
