"""Whose a record is when another namespace has got the name of a deleted one: what is older than it is not its own.

Both times come from the API server and the operator: a run's record begins with the Run as it was created, and its
`creationTimestamp` cannot be chosen; the manifest of a registered model says when it was written. Reads only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime

from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, TooLarge
from assay.store.limits import MAX_MANIFEST_BYTES

#: How many records one address may stand for.
MAX_RECORDS = 1000
_RUN, _MODEL = "runs", "models"
#: How many parts the prefix of a record has, and the file and field that tell its age.
_DEPTH = {_RUN: 5, _MODEL: 4}
_VERSION = re.compile(r"v[1-9][0-9]{0,8}")


class TooManyRecords(Exception):
    """An address stands for more records than can be looked at. The message is for people."""


def is_own(key: str, namespace: str) -> bool:
    """Whether a key lies below the prefixes that are a namespace's own by their name."""
    return key.split("/")[:2] in ([_RUN, namespace], [_MODEL, namespace])


def earlier(store: ObjectStore, key: str, since: datetime) -> str:
    """The prefix of the first record at or below `key` that was made before `since`, "" when there is none.

    `key` is one for which `is_own` holds. What is no record counts as none. Raises StoreError, TooManyRecords.
    """
    parts = key.rstrip("/").split("/")
    root = parts[0]
    depth = _DEPTH[root]
    for number, prefix in enumerate(_records(store, "/".join(parts[:depth]), min(len(parts), depth), depth)):
        if number >= MAX_RECORDS:
            raise TooManyRecords(f"{key} stands for more than {MAX_RECORDS} records: name one of them")
        made = _made(store, root, prefix)
        if made is not None and made < since:
            return prefix
    return ""


def _records(store: ObjectStore, prefix: str, depth: int, wanted: int) -> Iterator[str]:
    if depth == wanted:
        yield prefix
        return
    for name in store.folders(f"{prefix}/"):
        if prefix.startswith(f"{_MODEL}/") and depth == wanted - 1 and not _VERSION.fullmatch(name):
            continue
        yield from _records(store, f"{prefix}/{name}", depth + 1, wanted)


def _made(store: ObjectStore, root: str, prefix: str) -> datetime | None:
    """When a record was made, None when nothing says so."""
    name = layout.RUN if root == _RUN else layout.MANIFEST
    try:
        found = json.loads(store.get_bytes(f"{prefix}/{name}", MAX_MANIFEST_BYTES))
        text = found["metadata"]["creationTimestamp"] if root == _RUN else found["written"]
        made = datetime.fromisoformat(text)
    except (NotFound, TooLarge, ValueError, KeyError, TypeError, RecursionError):
        return None
    return made if made.tzinfo else None
