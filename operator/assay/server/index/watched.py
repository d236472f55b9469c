"""Keeps tables of the objects of one kind current: lists page by page, then watches.

One thread reads; it resumes a watch that ends, and lists anew after a gap. A list changes only what differs: it needs
no second copy in memory. While listing, ``synced`` is false and nothing is answered from the tables.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import urllib3

from assay.api import resources
from assay.api.objects import Raw
from assay.api.resources import Resource
from assay.kube.errors import ApiError
from assay.kube.shallow import loads, shallow
from assay.kube.sync import Kube
from assay.kube.watches import lines
from assay.server.index.pages import ListPage

logger = logging.getLogger(__name__)

#: The objects of the first page. Others have as many as fit into this many bytes: a run can have 1 kB or 100 kB.
_FIRST_PAGE, _LONGEST_PAGE, _PAGE_BYTES = 200, 2000, 4 << 20
#: Objects that are put into the tables at once.
_BATCH = 100
#: How long one watch lasts. Bookmarks arrive about every minute, so a longer silence means a dead connection.
_LIFE_SECONDS, _SILENCE_SECONDS = 300, 90
_TIMEOUT = urllib3.Timeout(connect=10, read=_SILENCE_SECONDS)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_GONE = 410
#: What comes of an answer that is none, or that nobody can read.
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, OSError, urllib3.exceptions.HTTPError)
#: Events of two watches are milliseconds apart.
_REACH_SECONDS = 1.0
#: Twice the longest silence: by then a watch that works has had an event or a bookmark, or was begun anew.
STALE_SECONDS: Final = 180.0


class Rows(Protocol):
    """A table of what is kept of the objects of one namespace, by name."""

    def __len__(self) -> int:
        """Return the number of objects."""

    def put(self, rows: Sequence[tuple[int, Any]]) -> None:
        """Add or replace objects, each with its resource version."""

    def remove(self, name: str) -> None:
        """Remove an object, if there is one."""

    def version(self, name: str) -> int | None:
        """Return the resource version of an object, None if there is none."""

    def versions(self) -> dict[str, int]:
        """Return the resource version of each object by name."""

    def settle(self) -> None:
        """Take as little memory as possible, after many objects were put."""


T = TypeVar("T", bound=Rows)


class Kind(NamedTuple, Generic[T]):
    """What is kept of a kind: ``row`` returns it for an object, ``table`` an empty table of such rows."""

    resource: Resource
    row: Callable[[Raw], Any]
    table: Callable[[], T]


class Watched(Generic[T]):
    """The objects of one kind in one namespace, or in all if it is "". Use the tables only within ``reading``."""

    def __init__(self, kube: Kube, kind: Kind[T], namespace: str = "", stale: float = STALE_SECONDS) -> None:
        """``stale``: the seconds without a confirmation after which the tables are not used."""
        self._kube, self._kind, self._namespace, self._stale = kube, kind, namespace, stale
        self._changed = threading.Condition(threading.RLock())
        self._tables: dict[str, T] = {}
        self._stopped = threading.Event()
        self._watch: urllib3.BaseHTTPResponse | None = None
        #: Whether the tables are complete, the highest resource version that they include, and why they are not.
        self.synced, self.version, self.problem = False, 0, "the index is being built"
        self._confirmed = time.monotonic()
        #: How often all objects were listed.
        self.lists = 0

    def start(self) -> None:
        """Begin to read, in a thread of its own."""
        threading.Thread(target=self._read, name="index", daemon=True).start()

    def stop(self) -> None:
        """Stop reading."""
        self._stopped.set()
        self.interrupt()

    def interrupt(self) -> None:
        """Break the watch, as a network would."""
        if self._watch is not None:
            # Closing would wait for the thread that reads.
            with suppress(OSError, ValueError, RuntimeError):
                self._watch.shutdown()

    @property
    def age(self) -> float:
        """The seconds since the API server last confirmed that the tables are current."""
        return time.monotonic() - self._confirmed

    @property
    def size(self) -> int:
        """The number of objects in the tables."""
        with self._changed:
            return sum(len(table) for table in self._tables.values())

    @property
    def trouble(self) -> str:
        """Why nothing is to be answered from the tables now, "" if they are complete and current."""
        if not self.synced:
            return self.problem or "the index is being built"
        if self.age > self._stale:
            return f"the index was not confirmed for {self.age:.0f} s: {self.problem or 'the watch is silent'}"
        return ""

    @contextmanager
    def reading(self, namespace: str) -> Iterator[T]:
        """The table of a namespace, unchanged for as long as the block lasts."""
        with self._changed:
            found = self._tables.get(namespace)
            # An empty table knows what was removed from it.
            yield self._kind.table() if found is None else found

    @contextmanager
    def reading_all(self, namespaces: Sequence[str] | None) -> Iterator[dict[str, T]]:
        """The tables of some namespaces, of all if None, by name, unchanged for as long as the block lasts.

        They have the order in which the API server lists objects of all namespaces.
        """
        with self._changed:
            chosen = self._tables if namespaces is None else self._tables.keys() & set(namespaces)
            known = sorted(chosen, key="{}/".format)
            yield {namespace: self._tables[namespace] for namespace in known}

    @property
    def namespaces(self) -> list[str]:
        """The namespaces that have, or had, objects."""
        with self._changed:
            return sorted(self._tables)

    def wait(self, version: int, seconds: float) -> bool:
        """Wait until the tables include a resource version of this kind. Returns whether they do in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.synced and self.version >= version, seconds)

    def reach(self, version: int) -> None:
        """Wait a moment for a resource version of this kind that others have seen, unless the tables are not used."""
        if not self.trouble:
            self.wait(version, _REACH_SECONDS)

    def wait_for_all(self, namespace: str, versions: dict[str, int], at: int, seconds: float) -> bool:
        """Wait until the tables include what a consistent list has: versions by name, at its resource version."""
        with self._changed:
            return self._changed.wait_for(lambda: self.synced and self._includes(namespace, versions, at), seconds)

    def wait_for_list(self, versions: frozenset[int], at: int, seconds: float) -> bool:
        """Wait until the tables include what a consistent list of all namespaces has: its versions, and its own."""
        with self._changed:
            return self._changed.wait_for(lambda: self.synced and self._is_past(versions, at), seconds)

    def _is_past(self, versions: frozenset[int], at: int) -> bool:
        # A version is that of one write to one object. What the tables have, and the list does not, was deleted since,
        # or has come later.
        if self.version >= at:
            return True
        if self.version < max(versions, default=0):
            return False
        mine = (version for table in self._tables.values() for version in table.versions().values())
        return all(version in versions or version > at for version in mine)

    def _includes(self, namespace: str, versions: dict[str, int], at: int) -> bool:
        # Events come in the order of their versions. In a quiet namespace none comes that is as new as the list.
        if self.version >= at:
            return True
        table = self._tables.get(namespace)
        mine = table.versions() if table else {}
        if any(mine.get(name, -1) < version for name, version in versions.items()):
            return False
        return all(name in versions or version > at for name, version in mine.items())

    # Reading

    def _read(self) -> None:
        version, pause = "", _FIRST_PAUSE
        while not self._stopped.is_set():
            try:
                version = version or self._list()
                for event in self._events(version):
                    version, pause = self._apply(event), _FIRST_PAUSE
            except ApiError as error:
                if error.status == _GONE:
                    version = self._unsynced("the watch has a gap")
                    continue
                self._pause(error.message, pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except _BROKEN as error:
                # Something arrived that is no event, so others may be lost.
                version = self._unsynced(f"the watch broke: {error}")
                self._pause(str(error), pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _unsynced(self, why: str) -> str:
        with self._changed:
            self.synced, self.problem = False, f"{why}; {self._kind.resource[1]} are listed again"
        return ""

    def _pause(self, why: str, seconds: float) -> None:
        logger.warning("the index cannot be kept current: %s; retrying", why)
        with self._changed:
            self.problem = why
        self._stopped.wait(seconds)

    def _list(self) -> str:
        """Make the tables what the API server has, and return the resource version to watch from."""
        path, seen = resources.path(self._kind.resource, self._namespace), set[tuple[str, str]]()
        query = {"limit": str(_FIRST_PAGE)}
        while True:
            with self._kube.stream("GET", path, query=query) as answer:
                text = shallow(answer.read()).decode()
            page, before = ListPage(text), len(seen)
            bodies = iter(page)
            while some := list(islice(bodies, _BATCH)):
                seen.update(self._put(some))
            if not page.metadata.get("continue"):
                self._finish(seen, int(page.metadata["resourceVersion"]))
                return str(page.metadata["resourceVersion"])
            of_one = len(text) // max(1, len(seen) - before) + 1
            query = {"limit": str(max(1, min(_LONGEST_PAGE, _PAGE_BYTES // of_one)))}
            query["continue"] = page.metadata["continue"]

    def _put(self, bodies: list[Raw]) -> list[tuple[str, str]]:
        """Put objects that changed into the tables, and return namespace and name of all."""
        seen = []
        found: dict[str, list[tuple[int, Any]]] = {}
        for body in bodies:
            namespace, name, version = _identity(body)
            seen.append((namespace, name))
            if self._known(namespace, name) != version:
                found.setdefault(namespace, []).append((version, self._kind.row(body)))
        with self._changed:
            for namespace, rows in found.items():
                self._table(namespace).put(rows)
        return seen

    def _known(self, namespace: str, name: str) -> int | None:
        table = self._tables.get(namespace)
        return table.version(name) if table else None

    def _finish(self, seen: set[tuple[str, str]], version: int) -> None:
        with self._changed:
            for namespace, table in self._tables.items():
                for name in [name for name in table.versions() if (namespace, name) not in seen]:
                    table.remove(name)
                table.settle()
            self.synced, self.problem = True, ""
            self.lists += 1
            self._confirm(version)

    def _events(self, version: str) -> Iterator[Raw]:
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_LIFE_SECONDS),
            "resourceVersion": version,
        }
        path = resources.path(self._kind.resource, self._namespace)
        with self._kube.stream("GET", path, query=query, timeout=_TIMEOUT) as self._watch:
            for line in lines(self._watch):
                event = loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(status.get("code") or 0, status.get("reason") or "", status.get("message") or "")
                yield event

    def _apply(self, event: Raw) -> str:
        """Apply an event, and return its resource version."""
        body: Raw = event["object"]
        version = str(body["metadata"]["resourceVersion"])
        rows = [] if event["type"] in ("BOOKMARK", "DELETED") else [(int(version), self._kind.row(body))]
        with self._changed:
            if event["type"] == "DELETED":
                namespace, name, _ = _identity(body)
                self._table(namespace).remove(name)
            elif rows:
                self._table(body["metadata"]["namespace"]).put(rows)
            self._confirm(int(version))
        return version

    def _confirm(self, version: int) -> None:
        self.version = max(self.version, version)
        self._confirmed = time.monotonic()
        self._changed.notify_all()

    def _table(self, namespace: str) -> T:
        return self._tables.setdefault(namespace, self._kind.table())


def _identity(body: Raw) -> tuple[str, str, int]:
    metadata = body["metadata"]
    return metadata["namespace"], metadata["name"], int(metadata["resourceVersion"])
