"""Deletes the artifacts of a run but not the rest of its record. A list of them is stored before the first deletion.

    runs/<…>/<uid>/expired.json                     Expired: which artifacts are deleted, when, with their digests
    expiring/<namespace>/<time>-<uid>.json          Expiring: an archived run whose artifacts are due at that time

A deletion that was begun is either finished or, while all bytes still exist, taken back. Callers decide whether the
artifacts may be deleted. These functions block.
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
    """Store the list of artifacts that will be deleted. An existing list is not changed.

    Raises RecordError for a run whose record is not closed, and StoreError.
    """
    if known := read_expired(store, run_prefix):
        return known
    digests = {entry.path: (entry.size, entry.sha256) for entry in run_manifest(store, run_prefix).files}
    found = []
    for path, size in artifacts(store, run_prefix):
        listed, sha256 = digests.get(path, (-1, ""))
        found.append(ExpiredFile(path=path, size=size, sha256=sha256 if listed == size else ""))
    # Files with a digest from a manifest come first: there is room for all of them.
    found.sort(key=lambda file: (not file.sha256, file.path))
    listed_files, more = found[:MAX_FILES], max(0, len(found) - MAX_FILES)
    expired = Expired(reason=reason[:MAX_TEXT_CHARS], begun=clock.now(), files=listed_files, more=more)
    _write(store, run_prefix, expired)
    return expired


def finish(store: ObjectStore, run_prefix: str) -> Expired:
    """Delete the artifacts of a run after `begin`. Safe to repeat. Raises RecordError, StoreError."""
    expired = read_expired(store, run_prefix)
    if expired is None:
        raise RecordError(f"{run_prefix}/{layout.EXPIRED} is missing: the list of artifacts to delete was not stored")
    if expired.finished:
        return expired
    store.delete_all([f"{run_prefix}/{path}" for path, _ in artifacts(store, run_prefix)])
    for path, _ in artifacts(store, run_prefix):  # names that cannot be written in an XML document
        store.delete(f"{run_prefix}/{path}")
    done = expired.model_copy(update={"finished": clock.now()})
    _write(store, run_prefix, done)
    return done


def take_back(store: ObjectStore, run_prefix: str) -> bool:
    """Undo `begin` if nothing is deleted yet, otherwise `finish`. Returns whether all artifacts still exist."""
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
    """Raise ArtifactsExpired if a run's artifacts are deleted, or Busy if their deletion has begun."""
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
    """An archived run whose artifacts are due for deletion: the key of the entry, the run's prefix, the reason."""

    key: str
    prefix: str
    reason: str


def note(store: ObjectStore, run_prefix: str, due: str, reason: str) -> None:
    """Schedule the deletion of an archived run's artifacts at the time `due` (RFC 3339, UTC)."""
    run = layout.parse_run_prefix(run_prefix)
    key = layout.key(layout.expiring_prefix(run.namespace), layout.expiring_name(due, run.uid))
    entry = Expiring(prefix=run_prefix, reason=reason[:MAX_TEXT_CHARS])
    store.put_bytes(key, entry.to_json(), "application/json")


def waiting(store: ObjectStore, namespace: str, now: str, most: int) -> list[Waiting]:
    """At most `most` archived runs of a namespace that are due at the time `now`, the longest overdue first."""
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
    """Parse an entry; None if it is invalid, so that it never leads to a deletion."""
    try:
        entry = Expiring.model_validate_json(store.get_bytes(key, _MAX_ENTRY_BYTES))
        run = layout.parse_run_prefix(entry.prefix)
    except (NotFound, TooLarge, ValueError, pydantic.ValidationError):
        return None
    ours = run.namespace == namespace and key.endswith(f"-{run.uid}.json")
    return Waiting(key, entry.prefix, entry.reason) if ours else None
