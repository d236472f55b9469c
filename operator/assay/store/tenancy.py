"""Decides whether a record belongs to a namespace whose name was used before.

A namespace does not own records that are older than it. The timestamps can be trusted. A run's record contains the Run
as it was created, whose `creationTimestamp` comes from the API server. The operator writes the time into the manifest
of a registered model. Writes nothing but the note of ``inherits``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, TooLarge
from assay.store.limits import MAX_MANIFEST_BYTES

#: The maximum number of records below one address.
MAX_RECORDS = 1000
_RUN, _MODEL = "runs", "models"
#: The number of path segments in the prefix of a record.
_DEPTH = {_RUN: 5, _MODEL: 4}
_LARGEST_NOTE = 1000
_VERSION = re.compile(r"v[1-9][0-9]{0,8}")


class TooManyRecords(Exception):
    """An address covers more records than the operator checks. The message is written for users."""


def is_own(key: str, namespace: str) -> bool:
    """Return whether a key is below the prefixes of a namespace."""
    return key.split("/")[:2] in ([_RUN, namespace], [_MODEL, namespace])


def earlier(store: ObjectStore, key: str, since: datetime) -> str:
    """Return the prefix of the first record at or below `key` that was created before `since`; "" if there is none.

    `is_own` must be true for `key`. Ignores anything that is not a record. Raises StoreError, TooManyRecords.
    """
    parts = key.rstrip("/").split("/")
    root = parts[0]
    depth = _DEPTH[root]
    for number, prefix in enumerate(_records(store, "/".join(parts[:depth]), min(len(parts), depth), depth)):
        if number >= MAX_RECORDS:
            raise TooManyRecords(f"{key} covers more than {MAX_RECORDS} records: name one of them")
        made = _made(store, root, prefix)
        if made is not None and made < since:
            return prefix
    return ""


def folders(namespace: str) -> tuple[str, str]:
    """Return the prefixes of a namespace's records, with a slash at the end."""
    return f"{_RUN}/{namespace}/", f"{_MODEL}/{namespace}/"


def inherits(store: ObjectStore, trails: Iterable[ObjectStore], namespace: str, uid: str, since: datetime) -> bool:
    """Whether records of an earlier namespace of the same name may be among those of a namespace.

    If there are none, that is noted under the UID: later calls make one request. ``trails`` are the stores that may
    have an audit trail. If there are more records than are read, the first entry of the trail decides: an entry is
    added when a run ends. Raises StoreError.
    """
    if _noted(store, namespace) == uid:
        return False
    entries = [made for trail in trails if (made := _first_entry(trail, namespace)) is not None]
    if any(made < since for made in entries):
        return True
    for folder in folders(namespace):
        try:
            if earlier(store, folder, since):
                return True
        except TooManyRecords:
            if not entries:
                return True
    store.put_bytes(layout.readers(namespace), json.dumps({"uid": uid}).encode(), "application/json")
    return False


def noted_namespaces(store: ObjectStore) -> list[str]:
    """Return the namespaces with a note of ``inherits``. Raises StoreError."""
    keys = (info.key for info in store.list(f"{layout.READERS}/"))
    return [key.removeprefix(f"{layout.READERS}/").removesuffix(".json") for key in keys]


def _noted(store: ObjectStore, namespace: str) -> str:
    try:
        return str(json.loads(store.get_bytes(layout.readers(namespace), _LARGEST_NOTE))["uid"])
    except (NotFound, TooLarge, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _first_entry(trail: ObjectStore, namespace: str) -> datetime | None:
    """Return the time of the first record in an audit trail; None without one, or without a time."""
    first = next(iter(trail.list(f"{layout.audit_prefix(namespace)}/", page=1)), None)
    if first is None:
        return None
    try:
        made = datetime.fromisoformat(json.loads(trail.get_bytes(first.key, MAX_MANIFEST_BYTES))["time"])
    except (NotFound, TooLarge, ValueError, KeyError, TypeError, RecursionError):
        return None
    return made if made.tzinfo else None


def _records(store: ObjectStore, prefix: str, depth: int, target: int) -> Iterator[str]:
    if depth == target:
        yield prefix
        return
    for name in store.folders(f"{prefix}/"):
        if prefix.startswith(f"{_MODEL}/") and depth == target - 1 and not _VERSION.fullmatch(name):
            continue
        yield from _records(store, f"{prefix}/{name}", depth + 1, target)


def _made(store: ObjectStore, root: str, prefix: str) -> datetime | None:
    """Return the time when a record was created; None if it is unknown."""
    name = layout.RUN if root == _RUN else layout.MANIFEST
    try:
        found = json.loads(store.get_bytes(f"{prefix}/{name}", MAX_MANIFEST_BYTES))
        text = found["metadata"]["creationTimestamp"] if root == _RUN else found["written"]
        made = datetime.fromisoformat(text)
    except (NotFound, TooLarge, ValueError, KeyError, TypeError, RecursionError):
        return None
    return made if made.tzinfo else None
