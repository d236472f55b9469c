"""The resource usage of a run's pods in the store: parts that contain points, one JSON object per line.

The parts are below `system/<pod>/` of the run's prefix, where only the operator writes. The last part of a pod is
rewritten with more points until it is full; each part is gzip, of one or more members. These functions block. A point
is `{"container": …, "metric": "system.cpu_cores", "time": unix seconds, "value": …}`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, TooLarge
from assay.store.records import FileEntry

#: The compressed size in bytes at which a part is full.
FULL_BYTES = 32 << 10
_MAX_PART_BYTES = 4 << 20
_MAX_TEXT_BYTES = 64 << 20
_LEVEL = 6

Row = dict[str, Any]


class Part(NamedTuple):
    """The current part of a pod: its number, from 1, and its content so far."""

    number: int = 1
    data: bytes = b""

    @property
    def full(self) -> bool:
        """Whether the next points belong in a new part."""
        return len(self.data) >= FULL_BYTES


def open_part(store: ObjectStore, run: str, pod: str) -> Part:
    """The part to continue: the last one of the pod, or a new one. Raises StoreError."""
    numbers = [number for number, _ in _parts(store, run, pod)]
    if not numbers:
        return Part()
    try:
        return Part(numbers[-1], store.get_bytes(_key(run, pod, numbers[-1]), _MAX_PART_BYTES))
    except (NotFound, TooLarge):
        return Part(numbers[-1] + 1)


def append(store: ObjectStore, run: str, pod: str, part: Part | None, rows: Iterable[Row]) -> Part:
    """Add points to a part and return the new part. If `part` is None, it is read from the store.

    Raises StoreError; nothing is added then.
    """
    part = part or open_part(store, run, pod)
    if part.full:
        part = Part(part.number + 1)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    grown = Part(part.number, part.data + gzip.compress(lines.encode(), _LEVEL, mtime=0))
    store.put_bytes(_key(run, pod, grown.number), grown.data, "application/gzip")
    return grown


def files(store: ObjectStore, run: str) -> Iterator[tuple[str, FileEntry, list[Row]]]:
    """Pod, manifest entry and points of every part of a run; the parts of a pod are in order. Raises StoreError.

    Other files are skipped. If a part cannot be parsed, its points are empty.
    """
    for pod in sorted({pod for _, pod in _parts(store, run)}):
        for number, _ in _parts(store, run, pod):
            try:
                data = store.get_bytes(_key(run, pod, number), _MAX_PART_BYTES)
            except (NotFound, TooLarge):
                continue
            path = layout.system_part(pod, number)
            yield pod, FileEntry(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest()), _rows(data)


def read(store: ObjectStore, run: str) -> Iterator[tuple[str, Row]]:
    """Pod and point of all points of a run; those of a pod are in order. Raises StoreError."""
    for pod, _, rows in files(store, run):
        for row in rows:
            yield pod, row


def last(store: ObjectStore, run: str, pod: str) -> list[Row]:
    """The points of a pod's current part, in order: its last minutes or hours. Raises StoreError."""
    return _rows(open_part(store, run, pod).data)


def _parts(store: ObjectStore, run: str, pod: str = "") -> list[tuple[int, str]]:
    prefix = f"{run}/{layout.SYSTEM}/" + (f"{pod}/" if pod else "")
    found = (layout.parse_system_part(info.key.removeprefix(f"{run}/")) for info in store.list(prefix))
    return sorted((number, name) for name, number in filter(None, found))


def _key(run: str, pod: str, number: int) -> str:
    return f"{run}/{layout.system_part(pod, number)}"


def _rows(data: bytes) -> list[Row]:
    """The points of a part. Invalid lines are skipped."""
    try:
        text = _unpacked(data)
    except (OSError, EOFError, zlib.error):
        return []
    return [row for line in text.splitlines() if (row := _row(line)) is not None]


def _unpacked(data: bytes) -> bytes:
    """The content of a gzip file, up to a limit."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return file.read(_MAX_TEXT_BYTES)


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
        known = {"container": str(row["container"]), "metric": str(row["metric"])}
        time, value = float(row["time"]), float(row["value"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return known | {"time": time, "value": value} if math.isfinite(time) and math.isfinite(value) else None
