"""The logs of a run: what each container of each of its pods printed, as the operator has read it of the nodes.

    <run's prefix>/logs/<pod>/<container>/part-00001.log.gz …    lines: `<stamp> <text>`, see `log_resumption`
                                         /missing.json           where something is known to be missing, and why
                                         /restart-<n>/…          the same of the container's n-th restart in its pod

Only the operator can write here. Parts are created under a condition, "if there is none", one after the other: where a
log goes on is read from its last part, so that whoever reads on after a crash neither loses nor doubles a line.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal, NamedTuple

import pydantic
from pydantic import Field

from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, RecordError, TooLarge
from assay.store.layout import LogName
from assay.store.limits import MAX_GAPS, MAX_GAPS_BYTES, MAX_MISSING, MAX_TEXT_CHARS
from assay.store.log_resumption import Cursor, cursor_of
from assay.store.parallel import ordered
from assay.store.records import FileEntry, MissingEntry, Record, Text, Timestamp

#: Of one part, before compression: what the operator writes, and what it will read to go on from.
PART_BYTES, MAX_PART_BYTES = 8 << 20, 64 << 20
_DIGESTS = 4  # read at once


class Line(NamedTuple):
    """One line of a log. `time` is RFC 3339 with up to nine digits, as the node wrote it."""

    time: str
    text: str


class Gap(Record):
    """Lines that are missing behind the one with the stamp `after`, or from the beginning where it is empty."""

    after: Timestamp = ""
    reason: Text


class Gaps(Record):
    """`missing.json` of a log."""

    version: Literal[1] = 1
    gaps: Annotated[list[Gap], Field(max_length=MAX_GAPS)]


@dataclass
class Log:
    """One log: its parts by number with their compressed size in bytes, and what is known to be missing."""

    name: LogName
    parts: dict[int, int] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Its size in the store."""
        return sum(self.parts.values())


class End(NamedTuple):
    """Where a log goes on: behind this line (None: from the beginning), with the part after this number."""

    cursor: Cursor | None
    parts: int


# Reading


def list_logs(store: ObjectStore, run_prefix: str, pod: str = "") -> list[Log]:
    """The logs of a run, or of one of its pods, by name. Raises StoreError."""
    found: dict[LogName, Log] = {}
    told: list[LogName] = []
    for info in store.list(f"{run_prefix}/{layout.LOGS}/" + (f"{pod}/" if pod else "")):
        file = layout.parse_log_file(info.key.removeprefix(run_prefix + "/"))
        if file is None:
            continue
        log = found.setdefault(file.name, Log(file.name))
        if file.part is None:
            told.append(file.name)
        else:
            log.parts[file.part] = info.size
    for name in told:
        found[name].gaps = _gaps(store, run_prefix, name)
    return [found[name] for name in sorted(found)]


def read_log(store: ObjectStore, run_prefix: str, name: LogName) -> Iterator[Line]:
    """The lines of one log, in the order in which they were printed; one line is in memory at a time.

    A log that does not exist has none. Bytes that are not UTF-8 are replaced. Raises StoreError, and RecordError for a
    part that cannot be read.
    """
    stamp, text = b"", bytearray()
    for line in _stored_lines(store, run_prefix, name):
        head, _, piece = line.partition(b" ")
        if head.endswith(b"+"):
            text += piece
            continue
        if stamp:
            yield Line(stamp.decode(), text.decode(errors="replace"))
        stamp, text = head, bytearray(piece)
    if stamp:
        yield Line(stamp.decode(), text.decode(errors="replace"))


def _stored_lines(store: ObjectStore, run_prefix: str, name: LogName) -> Iterator[bytes]:
    for number in _numbers(store, run_prefix, name):
        rest = b""
        for data in _unpacked(store, f"{run_prefix}/{layout.log_part(name, number)}"):
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            yield from lines


def _numbers(store: ObjectStore, run_prefix: str, name: LogName) -> list[int]:
    """The numbers of a log's parts, in order."""
    start = f"{run_prefix}/{layout.log_path(name)}/part-"
    files = (layout.parse_log_file(info.key.removeprefix(run_prefix + "/")) for info in store.list(start))
    return sorted(file.part for file in files if file and file.part)


def _unpacked(store: ObjectStore, key: str) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(31)
    try:
        for chunk in store.read_chunks(key):
            yield unpacker.decompress(chunk)
        yield unpacker.flush()
    except zlib.error:
        raise RecordError(f"{key} is not gzip") from None
    if not unpacker.eof:
        raise RecordError(f"{key} ends early")


# Writing


def end_of_log(store: ObjectStore, run_prefix: str, name: LogName) -> End:
    """Where a log goes on, by what is in the store. Raises StoreError, and RecordError for a bad part."""
    numbers = _numbers(store, run_prefix, name)
    keys = (f"{run_prefix}/{layout.log_part(name, number)}" for number in reversed(numbers))
    return End(cursor_of(_whole(store, key) for key in keys), numbers[-1] if numbers else 0)


def _whole(store: ObjectStore, key: str) -> bytes:
    data = bytearray()
    for piece in _unpacked(store, key):
        data += piece
        if len(data) > MAX_PART_BYTES:
            raise RecordError(f"{key} has more than {MAX_PART_BYTES} bytes")
    return bytes(data)


def put_part(store: ObjectStore, run_prefix: str, name: LogName, number: int, data: bytes) -> None:
    """Add a part. Raises AlreadyExists when there is one of that number: another operator reads the same log."""
    store.create(f"{run_prefix}/{layout.log_part(name, number)}", data, "application/gzip")


def note_gap(store: ObjectStore, run_prefix: str, name: LogName, gap: Gap) -> None:
    """Remember that something is missing. Said again of the same place, it replaces what was said."""
    known = _gaps(store, run_prefix, name)
    kept = [each for each in known if each.after != gap.after][: MAX_GAPS - 1]
    if [*kept, gap] != known:
        store.put_bytes(_gaps_key(run_prefix, name), Gaps(gaps=[*kept, gap]).to_json(), "application/json")


def _gaps_key(run_prefix: str, name: LogName) -> str:
    return f"{run_prefix}/{layout.log_path(name)}/{layout.LOG_GAPS}"


def _gaps(store: ObjectStore, run_prefix: str, name: LogName) -> list[Gap]:
    key = _gaps_key(run_prefix, name)
    try:
        return Gaps.model_validate_json(store.get_bytes(key, MAX_GAPS_BYTES)).gaps
    except NotFound:
        return []
    except (TooLarge, pydantic.ValidationError):
        return [Gap(reason="missing.json, which says what is missing, cannot be read")]


# For the run's manifest


class Kept(NamedTuple):
    """The files of all logs of a run, and what of them is missing. Paths are relative to the run's prefix."""

    files: list[FileEntry]
    missing: list[MissingEntry]


def kept(
    store: ObjectStore, run_prefix: str, pods: Iterable[str], whole: Collection[LogName] | None, room: int
) -> Kept:
    """What a run's manifest says of its logs, at most `room` files of them.

    `pods` names the pods that have run: each should have left a log. `whole` are the logs of which somebody saw the
    end; None when nobody reads logs at all.
    """
    files: list[FileEntry] = []
    missing: list[MissingEntry] = []
    logs = list_logs(store, run_prefix)
    for log in logs:
        paths = [layout.log_part(log.name, number) for number in sorted(log.parts)]
        paths += [f"{layout.log_path(log.name)}/{layout.LOG_GAPS}"] if log.gaps else []
        if len(files) + len(paths) > room:
            missing.append(_missing(log.name, f"the run's manifest has no room for {len(paths)} more files"))
            continue
        files += ordered(partial(_entry, store, run_prefix), paths, _DIGESTS)
        missing += _untold(log, whole)
    if whole is not None:
        silent = {*pods} - {log.name.pod for log in logs} - {name.pod for name in whole}
        missing += [
            MissingEntry(path=f"{layout.LOGS}/{pod}", reason="the pod was gone before its log was read")
            for pod in sorted(silent)
        ]
    return Kept(files, missing[:MAX_MISSING])


def _entry(store: ObjectStore, run_prefix: str, path: str) -> FileEntry:
    size, sha256 = store.digest(f"{run_prefix}/{path}")
    return FileEntry(path=path, size=size, sha256=sha256)


def _untold(log: Log, whole: Collection[LogName] | None) -> list[MissingEntry]:
    if log.gaps:
        more = f" and {len(log.gaps) - 1} more" if len(log.gaps) > 1 else ""
        return [_missing(log.name, log.gaps[0].reason[: MAX_TEXT_CHARS - 20] + more)]
    if whole is not None and log.name not in whole:
        return [_missing(log.name, "nobody saw its end: its last lines may be missing")]
    return []


def _missing(name: LogName, reason: str) -> MissingEntry:
    return MissingEntry(path=layout.log_path(name), reason=reason)
