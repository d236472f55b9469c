"""Where records are read from: the store, an exported folder, or one file. Exact bytes, in order, none left out.

Reads only, and judges nothing: `assay.store.audit.chain` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from assay.store import layout, sequences
from assay.store.audit.records import EMPTY, MAX_RECORD_BYTES, Head, digest
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, TooLarge
from assay.store.parallel import ordered

WORKERS = 8


class Exported(NamedTuple):
    """What was exported, the last record of it, and the names of files in the trail that are no records."""

    records: int
    head: Head
    left_out: list[str]


class Stored(NamedTuple):
    """One file of a trail. `data` is None when it is not there any more or larger than any record."""

    name: str
    data: bytes | None

    @property
    def sequence(self) -> int | None:
        """The number in the name, None when no record has such a name."""
        return layout.parse_audit_name(self.name)


def key(namespace: str, sequence: int) -> str:
    """The key of a record."""
    return f"{layout.audit_prefix(namespace)}/{layout.audit_name(sequence)}"


def read_one(store: ObjectStore, namespace: str, name: str) -> Stored:
    """One file of a trail in the store."""
    try:
        return Stored(name, store.get_bytes(f"{layout.audit_prefix(namespace)}/{name}", MAX_RECORD_BYTES))
    except (NotFound, TooLarge):
        return Stored(name, None)


def read_store(store: ObjectStore, namespace: str, workers: int = WORKERS) -> Iterator[Stored]:
    """All files under the trail's prefix, in the order of their names, read by `workers` threads."""
    prefix = layout.audit_prefix(namespace) + "/"
    names = (info.key.removeprefix(prefix) for info in store.list(prefix))
    return ordered(lambda name: read_one(store, namespace, name), names, workers)


def last_sequence(store: ObjectStore, namespace: str, after: int = 0) -> int:
    """The highest number of a record, at least `after`. Holes in the trail do not mislead it."""
    prefix = layout.audit_prefix(namespace) + "/"

    def any_behind(sequence: int) -> bool:
        found = store.list(prefix, after=prefix + layout.audit_name(sequence), page=10)
        return any(layout.parse_audit_name(info.key.removeprefix(prefix)) for info in found)

    return sequences.last(any_behind, after, 10**12)


def read_export(path: Path) -> Iterator[Stored]:
    """The files of an exported folder in the order of their names, or the lines of an exported file as they stand."""
    if path.is_dir():
        for file in sorted(path.iterdir()):
            data = file.read_bytes() if file.is_file() and file.stat().st_size <= MAX_RECORD_BYTES else None
            yield Stored(file.name, data)
        return
    with path.open("rb") as lines:
        while line := lines.readline(MAX_RECORD_BYTES + 1):
            data = line.removesuffix(b"\n")
            yield Stored(_name(data), data)


def export(files: Iterable[Stored], target: Path) -> Exported:
    """Write the very bytes of records to a file, a line each, or into a folder that is there.

    A file appears when it is whole. Raises OSError.
    """
    head, count, left_out = EMPTY, 0, []
    folder = target if target.is_dir() else None
    partial = target.with_name(target.name + ".partial")
    with (Path(os.devnull) if folder else partial).open("wb") as lines:
        for file in files:
            if file.sequence is None or file.data is None:
                left_out.append(file.name)
                continue
            if folder:
                (folder / file.name).write_bytes(file.data)
            lines.write(file.data + b"\n")
            head, count = Head(file.sequence, digest(file.data)), count + 1
    if not folder:
        partial.replace(target)
    return Exported(count, head, left_out)


def _name(line: bytes) -> str:
    """The name that a line's record would have; a name of no record when it is none."""
    try:
        return layout.audit_name(json.loads(line)["sequence"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return f"line {line[:60]!r}"
