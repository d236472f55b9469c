"""The runs of a namespace, or of all, as columns that a watch keeps current."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from assay.api import names
from assay.api.resources import RUNS, Resource
from assay.kube.sync import Kube
from assay.queries.runs.rows import of_run
from assay.server.index.table import Table
from assay.server.index.watched import STALE_SECONDS, Kind, Watched

_RUNS: Final = Kind(RUNS, of_run, Table)


class Feed(Watched[Table]):
    """The runs of one namespace, or of all if it is ""."""

    def __init__(self, kube: Kube, namespace: str = "", stale: float = STALE_SECONDS) -> None:
        super().__init__(kube, _RUNS, namespace, stale)


W = TypeVar("W", bound=Watched[Any])


class NamespaceFeeds(Generic[W]):
    """A feed for each namespace that is asked about, "" for all, with one user's own rights: for `assay ui`."""

    def __init__(self, kube: Kube, resource: Resource, feed: Callable[[str], W]) -> None:
        """``feed`` returns a feed of the resource for a namespace; it is started here."""
        self._kube, self._resource, self._feed = kube, resource, feed
        self._feeds: dict[str, W] = {}
        self._lock = threading.Lock()

    def __call__(self, namespace: str) -> W | None:
        """Return the feed of a namespace, and start it when it is new; None for all if the user may not list all."""
        if not namespace and not self._kube.can("list", names.GROUP, self._resource[1], ""):
            return None
        with self._lock:
            everywhere = self._feeds.get("")
            found = everywhere if everywhere and not everywhere.trouble else self._feeds.get(namespace)
            if found is None:
                found = self._feeds[namespace] = self._feed(namespace)
                found.start()
            return found
