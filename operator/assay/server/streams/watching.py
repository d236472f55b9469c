"""Watches objects for one reader, with the reader's own rights.

A watch lasts a few seconds and is then resumed, so the API server checks the reader's token and rights again and again.
Only metadata is read: an event says what changed, and the reader asks for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final, NamedTuple

import urllib3

from assay.api import resources
from assay.api.resources import Resource
from assay.kube.errors import ApiError
from assay.kube.shallow import loads
from assay.kube.sync import Kube
from assay.kube.watches import lines
from assay.server.streams.pending import Pending

#: The longest time between two checks of the reader's rights.
LIFE_SECONDS: Final = 10
_TIMEOUT = urllib3.Timeout(connect=10, read=LIFE_SECONDS + 10)
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_GONE, _BUSY = 410, 429


#: Takes a kind, a namespace, and the resource version of an object.
Reach = Callable[[Resource, str, int], None]


class Wanted(NamedTuple):
    """Which objects: all of a namespace, those with labels, or those with some names."""

    resource: Resource
    namespace: str
    labels: str = ""
    names: Collection[str] = ()

    @property
    def kind(self) -> str:
        """The name of the kind in events: its plural."""
        return self.resource[1]

    @property
    def fields(self) -> str:
        """The selector of a single name; several cannot be selected."""
        return f"metadata.name={next(iter(self.names))}" if len(self.names) == 1 else ""


def version_now(kube: Kube, wanted: Wanted) -> str:
    """Return the resource version to watch from. Raises ApiError if the user may not list the objects."""
    query = {"limit": "1", "labelSelector": wanted.labels, "fieldSelector": wanted.fields}
    path = resources.path(wanted.resource, wanted.namespace)
    with kube.stream("GET", path, query=query, accept=_METADATA_LIST) as answer:
        return str(loads(answer.read())["metadata"]["resourceVersion"])


class Watcher:
    """Reports changes of objects to a reader, from its own thread."""

    def __init__(
        self, kube: Kube, wanted: Wanted, version: str, pending: Pending, reach: Reach = lambda *_: None
    ) -> None:
        """``reach`` is called before a change is told: it waits until answers include it."""
        self._kube, self._wanted, self._version, self._pending, self._reach = kube, wanted, version, pending, reach
        self._stopped = threading.Event()
        self._answer: urllib3.BaseHTTPResponse | None = None
        threading.Thread(target=self._run, name="stream", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._answer is not None:
            # Closing would wait for the thread that reads.
            with suppress(OSError, ValueError, RuntimeError):
                self._answer.shutdown()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopped.is_set():
            try:
                self._version = self._version or self._begin_anew()
                self._watch()
                pause = _FIRST_PAUSE
            except ApiError as error:
                if error.status == _GONE:
                    self._version = ""
                elif 400 <= error.status < 500 and error.status != _BUSY:
                    self._pending.end(error.message)
                    return
                else:
                    self._stopped.wait(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
            except (OSError, ValueError, LookupError, TypeError, urllib3.exceptions.HTTPError):
                self._version = ""
                self._stopped.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _begin_anew(self) -> str:
        """Return where to watch from after a gap, in which anything may have changed."""
        version = version_now(self._kube, self._wanted)
        self._pending.changed(self._wanted.kind, version=version)
        return version

    def _watch(self) -> None:
        kind, names = self._wanted.kind, self._wanted.names
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(LIFE_SECONDS),
            "resourceVersion": self._version,
            "labelSelector": self._wanted.labels,
            "fieldSelector": self._wanted.fields,
        }
        path = resources.path(self._wanted.resource, self._wanted.namespace)
        with self._kube.stream("GET", path, query=query, accept=_METADATA, timeout=_TIMEOUT) as self._answer:
            for line in lines(self._answer):
                if self._stopped.is_set():
                    return
                event = loads(line)
                body = event["object"]
                if event["type"] == "ERROR":
                    raise ApiError(body.get("code") or 0, body.get("reason") or "", body.get("message") or "")
                self._version = str(body["metadata"]["resourceVersion"])
                name = body["metadata"].get("name") or ""
                if event["type"] == "BOOKMARK" or (names and name not in names):
                    self._pending.passed(kind, self._version)
                else:
                    self._reach(self._wanted.resource, self._wanted.namespace, int(self._version))
                    self._pending.changed(kind, name, self._version)
