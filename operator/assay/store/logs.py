"""The logs of a run: the output of each container of each of its pods, as the operator read it from the nodes.

    <run's prefix>/logs/<pod>/<container>/part-00001.log.gz …    lines: `<stamp> <text>`, see `log_resumption`
                                         /missing.json           known gaps, with the reasons
                                         /restart-<n>/…          the same for the container's n-th restart in its pod

Only the operator can write here. Parts are created one after the other, on the condition that the key does not exist.
The position at which to continue is read from the last part, so no line is lost or duplicated after a crash.
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

#: Sizes of one part before compression: the target when writing, and the limit when reading.
PART_BYTES, MAX_PART_BYTES = 8 << 20, 64 << 20
_DIGESTS = 4  # read at once


class Line(NamedTuple):
    """One line of a log. `time` is RFC 3339 with up to nine digits, as the node wrote it."""

    time: str
    text: str


class Gap(Record):
    """Missing lines after the one with the stamp `after`, or at the beginning of the log if it is empty."""

    after: Timestamp = ""
    reason: Text


class Gaps(Record):
    """`missing.json` of a log."""

    version: Literal[1] = 1
    gaps: Annotated[list[Gap], Field(max_length=MAX_GAPS)]


@dataclass
class Log:
    """One log: the compressed size in bytes of each part by number, and the known gaps."""

    name: LogName
    parts: dict[int, int] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Its size in the store."""
        return sum(self.parts.values())


class End(NamedTuple):
    """The end of a stored log: its last line (None: the log is empty), and the number of its last part."""

    cursor: Cursor | None
    parts: int


# Reading


def list_logs(store: ObjectStore, run_prefix: str, pod: str = "") -> list[Log]:
    """The logs of a run, or of one of its pods, sorted by name. Raises StoreError."""
    found: dict[LogName, Log] = {}
    with_gaps: list[LogName] = []
    for info in store.list(f"{run_prefix}/{layout.LOGS}/" + (f"{pod}/" if pod else "")):
        file = layout.parse_log_file(info.key.removeprefix(run_prefix + "/"))
        if file is None:
            continue
        log = found.setdefault(file.name, Log(file.name))
        if file.part is None:
            with_gaps.append(file.name)
        else:
            log.parts[file.part] = info.size
    for name in with_gaps:
        found[name].gaps = _gaps(store, run_prefix, name)
    return [found[name] for name in sorted(found)]


def read_log(store: ObjectStore, run_prefix: str, name: LogName) -> Iterator[Line]:
    """The lines of one log, in the order in which they were printed. Only one line is in memory at a time.

    A log that does not exist has no lines. Invalid UTF-8 is replaced. Raises StoreError, and RecordError for a part
    that cannot be read.
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


def part_lines(store: ObjectStore, run_prefix: str, name: LogName, number: int) -> Iterator[tuple[str, str]]:
    """Head and text of the stored lines of one part. A head with a plus continues the line before it.

    Raises StoreError, and RecordError for a part that cannot be read.
    """
    for line in _whole(store, f"{run_prefix}/{layout.log_part(name, number)}").split(b"\n")[:-1]:
        head, _, text = line.partition(b" ")
        yield head.decode(errors="replace"), text.decode(errors="replace")


def _numbers(store: ObjectStore, run_prefix: str, name: LogName) -> list[int]:
    """The numbers of a log's parts, sorted."""
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
    """The end of a log, according to the store. Raises StoreError, and RecordError for an invalid part."""
    numbers = _numbers(store, run_prefix, name)
    keys = (f"{run_prefix}/{layout.log_part(name, number)}" for number in reversed(numbers))
    return End(cursor_of(_whole(store, key) for key in keys), numbers[-1] if numbers else 0)


def _whole(store: ObjectStore, key: str) -> bytes:
    data = bytearray()
    for piece in _unpacked(store, key):
        data += piece
        if len(data) > MAX_PART_BYTES:
            raise RecordError(f"{key} is larger than {MAX_PART_BYTES} bytes")
    return bytes(data)


def put_part(store: ObjectStore, run_prefix: str, name: LogName, number: int, data: bytes) -> None:
    """Add a part. Raises AlreadyExists if the number is taken, because another operator reads the same log."""
    store.create(f"{run_prefix}/{layout.log_part(name, number)}", data, "application/gzip")


def note_gap(store: ObjectStore, run_prefix: str, name: LogName, gap: Gap) -> None:
    """Record a gap. It replaces an earlier one at the same position."""
    known = _gaps(store, run_prefix, name)
    others = [each for each in known if each.after != gap.after][: MAX_GAPS - 1]
    if [*others, gap] != known:
        store.put_bytes(_gaps_key(run_prefix, name), Gaps(gaps=[*others, gap]).to_json(), "application/json")


def _gaps_key(run_prefix: str, name: LogName) -> str:
    return f"{run_prefix}/{layout.log_path(name)}/{layout.LOG_GAPS}"


def _gaps(store: ObjectStore, run_prefix: str, name: LogName) -> list[Gap]:
    key = _gaps_key(run_prefix, name)
    try:
        return Gaps.model_validate_json(store.get_bytes(key, MAX_GAPS_BYTES)).gaps
    except NotFound:
        return []
    except (TooLarge, pydantic.ValidationError):
        return [Gap(reason="missing.json, which lists the gaps, cannot be read")]


# For the run's manifest


class LogFiles(NamedTuple):
    """The files of all logs of a run, and the missing ones. Paths are relative to the run's prefix."""

    files: list[FileEntry]
    missing: list[MissingEntry]


def log_files(
    store: ObjectStore, run_prefix: str, pods: Iterable[str], whole: Collection[LogName] | None, room: int
) -> LogFiles:
    """The files of a run's logs for its manifest, at most `room` files.

    `pods` names the pods that ran: each should have a log. `whole` has the logs that were read to their end; None if
    the operator reads no logs.
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
        missing += _incomplete(log, whole)
    if whole is not None:
        silent = {*pods} - {log.name.pod for log in logs} - {name.pod for name in whole}
        missing += [
            MissingEntry(path=f"{layout.LOGS}/{pod}", reason="the pod was gone before its log was read")
            for pod in sorted(silent)
        ]
    return LogFiles(files, missing[:MAX_MISSING])


def _entry(store: ObjectStore, run_prefix: str, path: str) -> FileEntry:
    size, sha256 = store.digest(f"{run_prefix}/{path}")
    return FileEntry(path=path, size=size, sha256=sha256)


def _incomplete(log: Log, whole: Collection[LogName] | None) -> list[MissingEntry]:
    if log.gaps:
        more = f" and {len(log.gaps) - 1} more" if len(log.gaps) > 1 else ""
        return [_missing(log.name, log.gaps[0].reason[: MAX_TEXT_CHARS - 20] + more)]
    if whole is not None and log.name not in whole:
        return [_missing(log.name, "its end was not read: the last lines may be missing")]
    return []


def _missing(name: LogName, reason: str) -> MissingEntry:
    return MissingEntry(path=layout.log_path(name), reason=reason)
