"""Reads records from the store, an exported folder or one file: exact bytes, in order, without omissions.

Checks nothing: `assay.store.audit.chain` verifies what this module reads.
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
    """The number of exported records, the last one, and the names of files in the trail that are not records."""

    records: int
    head: Head
    left_out: list[str]


class Stored(NamedTuple):
    """One file of a trail. `data` is None if the file is gone or exceeds MAX_RECORD_BYTES."""

    name: str
    data: bytes | None

    @property
    def sequence(self) -> int | None:
        """The number in the name; None if it is not the name of a record."""
        return layout.parse_audit_name(self.name)


def key(namespace: str, sequence: int) -> str:
    """Return the key of a record."""
    return f"{layout.audit_prefix(namespace)}/{layout.audit_name(sequence)}"


def read_one(store: ObjectStore, namespace: str, name: str) -> Stored:
    """Read one file of a trail in the store."""
    try:
        return Stored(name, store.get_bytes(f"{layout.audit_prefix(namespace)}/{name}", MAX_RECORD_BYTES))
    except (NotFound, TooLarge):
        return Stored(name, None)


def read_store(store: ObjectStore, namespace: str, workers: int = WORKERS) -> Iterator[Stored]:
    """Read all files below the trail's prefix with `workers` threads, in the order of their names."""
    prefix = layout.audit_prefix(namespace) + "/"
    names = (info.key.removeprefix(prefix) for info in store.list(prefix))
    return ordered(lambda name: read_one(store, namespace, name), names, workers)


def last_sequence(store: ObjectStore, namespace: str, after: int = 0) -> int:
    """Return the highest number of a record, at least `after`. Gaps in the trail do not affect the result."""
    prefix = layout.audit_prefix(namespace) + "/"

    def any_behind(sequence: int) -> bool:
        found = store.list(prefix, after=prefix + layout.audit_name(sequence), page=10)
        return any(layout.parse_audit_name(info.key.removeprefix(prefix)) for info in found)

    return sequences.last(any_behind, after, 10**12)


def read_export(path: Path) -> Iterator[Stored]:
    """Read the files of an exported folder in the order of their names, or the lines of an exported file."""
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
    """Write the exact bytes of records to a file, one line each, or as files into an existing folder.

    The target file appears only when it is complete. Raises OSError.
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
    """Return the file name of the record in a line; a name that no record has if the line is not a record."""
    try:
        return layout.audit_name(json.loads(line)["sequence"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return f"line {line[:60]!r}"
