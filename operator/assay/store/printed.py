"""The points that containers printed: one folder a log, one part for each part of the log that has any.

    <run's prefix>/printed/<pod>/<container>[.<restart>]/part-00001.jsonl.gz    number = that of the log's part

The first row of a part is the state after it: totals and steps. So a part is a function of the parts of the log up to
it, and a crash at any moment loses and doubles nothing. Only the operator writes here. These
functions block.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.errors import AlreadyExists, NotFound, RecordError, TooLarge
from assay.store.layout import LogName
from assay.store.limits import MAX_WARNINGS
from assay.store.logs import part_lines
from assay.store.points import printed
from assay.store.points.record import Record
from assay.store.points.totals import Totals
from assay.store.points.values import Progress
from assay.store.records import FileEntry, Summary

_PART = re.compile(r"part-([0-9]{5,9})\.jsonl\.gz")
_MAX_BYTES, _MAX_TEXT_BYTES = 64 << 20, 256 << 20


@dataclass
class State:
    """What the next part depends on."""

    part: int = 0
    totals: Totals = field(default_factory=Totals)
    progress: Progress = field(default_factory=Progress)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"part": self.part, "totals": self.totals.to_dict(), "progress": asdict(self.progress)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> State:
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(data["part"], Totals.from_dict(data["totals"]), Progress(**data["progress"]))


def advance(
    store: ObjectStore,
    run_prefix: str,
    name: LogName,
    options: Mapping[str, Any],
    wanted: Collection[str],
    upto: int,
    state: State | None = None,
) -> State:
    """Read the parts of a log that are not read yet, up to a number, and store their points. Return the new state.

    `options` is `spec.collect.stdout`; `state` is the result of the last call,
    None to read it from the store. Raises StoreError, RecordError for a part that cannot be read, and InvalidPattern.
    """
    state = state or _stored(store, run_prefix, name)
    found = printed.format_of(options)
    for number in range(state.part + 1, upto + 1):
        record = Record(state.totals, wanted)
        for stamp, text in part_lines(store, run_prefix, name, number):
            if not stamp.endswith("+"):
                printed.take(text, _seconds(stamp), found, state.progress, record)
        state.part = number
        if record.rows:
            _write(store, run_prefix, name, number, state, record)
    return state


def summary(store: ObjectStore, run_prefix: str, pod: str, into: Summary | None) -> Summary | None:
    """Return a recorder's summary with the points that the pod printed; unchanged if it printed none."""
    found = [_state(store, keys[-1]) for keys in _folders(store, run_prefix, pod).values()]
    known = [state.totals for state in found if state is not None]
    for totals in known:
        into = _merged(into or Summary(pod=pod, updated=""), totals)
    return into


def _merged(summary: Summary, totals: Totals) -> Summary:
    found = Summary.model_validate(
        {
            "pod": summary.pod,
            "updated": summary.updated,
            "metrics": {name: series.to_dict() for name, series in totals.metrics.items()},
            "refused": {name: why for name, why in totals.refused.items() if name not in totals.metrics},
        }
    )
    metrics = {**found.metrics, **summary.metrics}
    return summary.model_copy(
        update={
            "points": summary.points + totals.points,
            "metrics": metrics,
            "refused": {name: why for name, why in {**found.refused, **summary.refused}.items() if name not in metrics},
            "warnings": [*summary.warnings, *totals.events, *totals.warnings][:MAX_WARNINGS],
        }
    )


def parts(store: ObjectStore, run_prefix: str, pod: str) -> list[str]:
    """The keys of the parts of a pod, in order: rows as in the recorder's parts, after one without a metric."""
    return [key for keys in _folders(store, run_prefix, pod).values() for key in keys]


def files(store: ObjectStore, run_prefix: str) -> Iterator[FileEntry]:
    """The entries of all parts of a run for its manifest."""
    for keys in _folders(store, run_prefix).values():
        for key in keys:
            size, sha256 = store.digest(key)
            yield FileEntry(path=key.removeprefix(f"{run_prefix}/"), size=size, sha256=sha256)


# One part


def _seconds(stamp: str) -> float:
    """The unix time of a stamp, which has up to nine digits."""
    return round(datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", stamp)).timestamp(), 6)


def _write(store: ObjectStore, prefix: str, name: LogName, number: int, state: State, record: Record) -> None:
    text = json.dumps({"state": state.to_dict()}) + "\n" + "".join(record.taken())
    try:
        store.create(_key(prefix, name, number), gzip.compress(text.encode(), 6, mtime=0), "application/gzip")
    except AlreadyExists:
        return  # written before a crash: it has the same content


def _stored(store: ObjectStore, prefix: str, name: LogName) -> State:
    """The state after the last stored part; a new one without any."""
    folder = _key(prefix, name, 0).rpartition("/")[0]
    keys = sorted(info.key for info in store.list(f"{folder}/") if _PART.fullmatch(info.key.rpartition("/")[2]))
    return (_state(store, keys[-1]) if keys else None) or State()


def _state(store: ObjectStore, key: str) -> State | None:
    """The state in a part. Raises RecordError if it has none."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(store.get_bytes(key, _MAX_BYTES))) as file:
            return State.from_dict(json.loads(file.readline(_MAX_TEXT_BYTES))["state"])
    except NotFound:
        return None
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, TooLarge) as error:
        raise RecordError(f"{key} cannot be read: {error}") from None


def _key(prefix: str, name: LogName, number: int) -> str:
    return f"{prefix}/{layout.printed_part(name, number)}"


def _folders(store: ObjectStore, prefix: str, pod: str = "") -> dict[str, list[str]]:
    """The keys of the parts by their folder, in order."""
    found: dict[str, list[str]] = {}
    for key in sorted(info.key for info in store.list(f"{prefix}/{layout.PRINTED}/" + (f"{pod}/" if pod else ""))):
        folder, _, file = key.rpartition("/")
        if _PART.fullmatch(file):
            found.setdefault(folder, []).append(key)
    return found
