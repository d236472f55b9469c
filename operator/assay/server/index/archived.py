"""The archive of a namespace as columns. What was read is kept: the record of a run that is gone never changes.

Names are listed for each answer, with the user's own keys, which also have to read one of the records. A name is read
again when something about it is new: a UID that the cluster had meanwhile, or a record that was not closed.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

import numpy

from assay.queries.runs.rows import RunRow, of_record
from assay.server.index.column import Mask, Rows
from assay.server.index.table import Table, packed
from assay.store import archive, layout
from assay.store.archive import RecordedRun
from assay.store.client import ObjectStore
from assay.store.errors import NotFound
from assay.store.parallel import ordered

#: Rows that are kept of all archives together, about 100 MB. A larger archive is read anew for each answer.
MOST: Final = 50_000
_WORKERS: Final = 16
#: Rows that are put into the table at once.
BATCH: Final = 100
_OWN: Final = "_"
#: Folder (the experiment) and name.
Name = tuple[str, str]


class ArchivedTable(Table):
    """Rows of the archive: names can be used more than once."""

    def key(self, row: RunRow) -> str:
        """Return what identifies a row."""
        return _key(row["experiment"] or _OWN, row["name"], row["uid"])

    def name(self, number: int) -> str:
        """Return the name of a run."""
        return self._names[number].partition(" ")[0]

    def place(self, number: int) -> tuple[str, str, str]:
        """Return folder, name and UID of a run."""
        name, folder, uid = self._names[number].split(" ")
        return folder.removesuffix("/"), name, uid

    def reversed(self, rows: Rows) -> Rows:
        """Return rows in the reverse order of names; those with the same one keep theirs."""
        return numpy.array(sorted(rows.tolist(), key=self.name, reverse=True), dtype=numpy.int64)

    def as_listed(self, rows: Rows) -> Rows:
        """Return rows in the order of the store."""

        def listed(number: int) -> tuple[str, str, str]:
            name, folder, uid = self._names[number].split(" ")
            return folder, f"{name}/", uid

        return numpy.array(sorted(rows.tolist(), key=listed), dtype=numpy.int64)


class Live(NamedTuple):
    """The runs of the cluster at a moment: their UIDs, and what tells whether some were removed since.

    ``gone`` are names that were removed since the moment before, None if that is not known.
    """

    uids: dict[Name, str]
    moment: tuple[Hashable, int]
    gone: frozenset[str] | None


class Archive:
    """The archive of one namespace in one bucket. Use it only within ``lock``."""

    def __init__(self, namespace: str) -> None:
        self.lock = threading.Lock()
        self.table = ArchivedTable()
        self._namespace = namespace
        self._uids: dict[Name, frozenset[str]] = {}
        #: Rows whose record could not be read, which may be better the next time.
        self._broken: set[str] = set()
        self._known: dict[str, tuple[int, Name, str]] = {}
        self._moment: tuple[Hashable, int] = (None, 0)

    def live(self, table: Table, listing: Hashable) -> Live:
        """Return what a table of the cluster has now.

        ``listing`` differs where the removals of a table cannot be compared: for another feed, and after a new list.
        """
        known, uids = self._known, dict[Name, str]()
        self._known = {}
        for name, version in table.versions().items():
            found = known.get(name)
            if found is None or found[0] != version:
                row = table.unpacked(name)
                found = version, (row["experiment"] or _OWN, name), row["uid"]
            self._known[name] = found
            uids[found[1]] = found[2]
        before = self._moment
        gone = table.removed_since(before[1]) if before[0] == listing else None
        return Live(uids, (listing, table.removals), gone)

    def update(self, store: ObjectStore, experiment: str, live: Live) -> bool:
        """Read what is new; False if the archive is too large to be kept. Raises StoreError."""
        names = list(archive.names_of(store, self._namespace, experiment or None))
        if len(names) > MOST:
            return False
        self._forget(experiment, names, live)
        # From here on, what was read stays, also if the store fails in the middle.
        self._moment = live.moment
        unknown = [each for each in names if each not in self._uids or self._is_new(each, live)]
        for name, uids in zip(unknown, ordered(partial(self._list, store), unknown, _WORKERS), strict=True):
            self._uids[name] = uids
        missing = [place for place in self._places(names, live) if self._is_missing(place)]
        packed(((0, of_record(each)) for each in self._records(store, missing)), self.table, BATCH)
        self._prove(store, self._places(names, live))
        return True

    def among(self, live: Live) -> Mask:
        """Return which rows are of runs that the cluster does not have."""
        found = numpy.zeros(self.table.size, dtype=bool)
        for number in self.table.ordered().tolist():
            folder, name, uid = self.table.place(number)
            found[number] = live.uids.get((folder, name)) != uid and uid in self._uids.get((folder, name), ())
        return found

    def _records(self, store: ObjectStore, places: Sequence[tuple[str, str, str]]) -> Iterator[RecordedRun]:
        for place, record in zip(places, ordered(partial(self._read, store), places, _WORKERS), strict=True):
            key = _key(*place)
            self._broken.discard(key)
            if record is not None:
                if record.problem:
                    self._broken.add(key)
                yield record

    def _forget(self, experiment: str, names: Sequence[Name], live: Live) -> None:
        """Forget the UIDs of names that are no longer there, or may have others by now."""
        there = set(names)
        if live.gone is None:
            self._uids = {}
            return
        for folder, name in list(self._uids):
            vanished = experiment in ("", folder) and (folder, name) not in there
            if vanished or name in live.gone:
                del self._uids[folder, name]

    def _is_new(self, name: Name, live: Live) -> bool:
        return name in live.uids and live.uids[name] not in self._uids[name]

    def _places(self, names: Sequence[Name], live: Live) -> Iterator[tuple[str, str, str]]:
        for folder, name in names:
            for uid in self._uids[folder, name]:
                if live.uids.get((folder, name)) != uid:
                    yield folder, name, uid

    def _is_missing(self, place: tuple[str, str, str]) -> bool:
        key = _key(*place)
        return self.table.version(key) is None or key in self._broken

    def _list(self, store: ObjectStore, name: Name) -> frozenset[str]:
        return frozenset(store.folders(f"runs/{self._namespace}/{name[0]}/{name[1]}/"))

    def _read(self, store: ObjectStore, place: tuple[str, str, str]) -> RecordedRun | None:
        return archive.ended(store, f"runs/{self._namespace}/{'/'.join(place)}")

    def _prove(self, store: ObjectStore, places: Iterable[tuple[str, str, str]]) -> None:
        """Raise StoreDenied unless the user's own keys read one of the records that are kept.

        Keys that may only list learn that a record is missing as well.
        """
        for place in places:
            if self.table.version(_key(*place)) is not None:
                with suppress(NotFound):
                    store.stat(f"runs/{self._namespace}/{'/'.join(place)}/{layout.MANIFEST}")
                    return


class Archives:
    """The archives that are kept, those first that were asked for longest ago."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str, str], Archive] = {}

    def of(self, store: ObjectStore, namespace: str) -> Archive:
        """Return the archive of a namespace in a bucket; others are dropped if all together are too large."""
        key = store.config.endpoint, store.config.bucket, namespace
        with self._lock:
            found = self._kept.pop(key) if key in self._kept else Archive(namespace)
            self._kept[key] = found
            while len(self._kept) > 1 and sum(len(each.table) for each in self._kept.values()) > MOST:
                del self._kept[next(iter(self._kept))]
            return found


def _key(folder: str, name: str, uid: str) -> str:
    """Return what identifies a row. A space sorts before everything that names can have."""
    return f"{name} {folder}/ {uid}"
