"""Lists and watches several kinds, and merges the changes into one stream.

One thread reads each kind. It resumes the watch when a connection ends, and lists again when the resource version has
expired. The threads end with the process.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import urllib3

from assay.api import resources
from assay.api.errors import AssayError
from assay.api.objects import Raw
from assay.api.resources import Resource
from assay.kube.errors import ApiError
from assay.kube.shallow import loads
from assay.kube.sync import Kube

#: Objects by namespace and name.
State = dict[tuple[str, str], Raw]

_PAGE = 500
_LIFE_SECONDS = 60
_TIMEOUT = urllib3.Timeout(connect=10, read=_LIFE_SECONDS + 15)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_GONE = 410


class Watch(NamedTuple):
    """What to watch. ``labels`` and ``fields`` are selectors, such as ``metadata.name=digits``."""

    resource: Resource
    namespace: str
    labels: str = ""
    fields: str = ""


class Change(NamedTuple):
    """One change. A SYNC has all existing objects, any other kind the object that changed."""

    resource: Resource
    kind: Literal["SYNC", "ADDED", "MODIFIED", "DELETED"]
    objects: list[Raw]


def apply(state: State, change: Change) -> None:
    """Apply a change to the state of one kind."""
    if change.kind == "SYNC":
        state.clear()
    for each in change.objects:
        key = (each["metadata"].get("namespace") or "", each["metadata"]["name"])
        if change.kind == "DELETED":
            state.pop(key, None)
        else:
            state[key] = each


def changes(
    kube: Kube, *watches: Watch, tick: float = 1.0, note: Callable[[str], None] = lambda _: None
) -> Iterator[Change | None]:
    """Yield changes without end, and None after ``tick`` seconds without one. Each watch begins with a SYNC.

    Raises ApiError if the API server rejects a watch, and AssayError if the user's credentials cannot be renewed.
    Retries while the API server is unreachable, and reports that to ``note``.
    """
    found: queue.SimpleQueue[Change | AssayError] = queue.SimpleQueue()
    for watch in watches:
        threading.Thread(target=_read, args=(kube, watch, found, note), daemon=True).start()
    while True:
        try:
            change = found.get(timeout=tick)
        except queue.Empty:
            yield None
            continue
        if isinstance(change, AssayError):
            raise change
        yield change


def _read(kube: Kube, watch: Watch, found: queue.SimpleQueue[Change | AssayError], note: Callable[[str], None]) -> None:
    """Put the changes of one watch into a queue, and the error if the API server rejects it."""
    version, pause = "", _FIRST_PAUSE
    while True:
        try:
            if not version:
                objects, version = _list(kube, watch)
                found.put(Change(watch.resource, "SYNC", objects))
            for change, at in _events(kube, watch, version):
                version, pause = at, _FIRST_PAUSE
                if change is not None:
                    found.put(change)
        except ApiError as error:
            if error.status == _GONE:
                version = ""
            elif 400 <= error.status < 500 and error.status != 429:
                found.put(error)
                return
            else:
                note(f"{error.message}; retrying")
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        except AssayError as error:  # the credentials
            found.put(error)
            return


def _list(kube: Kube, watch: Watch) -> tuple[list[Raw], str]:
    """Return all objects, and the resource version to watch from."""
    objects: list[Raw] = []
    query = {"limit": str(_PAGE), "labelSelector": watch.labels, "fieldSelector": watch.fields}
    while True:
        page = kube.request("GET", resources.path(watch.resource, watch.namespace), query=query)
        objects += page.get("items") or []
        metadata = page["metadata"]
        if not metadata.get("continue"):
            return objects, metadata["resourceVersion"]
        query["continue"] = metadata["continue"]


def _events(kube: Kube, watch: Watch, version: str) -> Iterator[tuple[Change | None, str]]:
    """Yield changes, each with the resource version to resume from, until the connection ends. Raises ApiError."""
    query = {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(_LIFE_SECONDS),
        "resourceVersion": version,
        "labelSelector": watch.labels,
        "fieldSelector": watch.fields,
    }
    path = resources.path(watch.resource, watch.namespace)
    with kube.stream("GET", path, query=query, timeout=_TIMEOUT) as answer:
        for line in lines(answer):
            event = loads(line)
            kind, each = event["type"], event["object"]
            if kind == "ERROR":
                raise ApiError(each.get("code") or 0, each.get("reason") or "", each.get("message") or "")
            change = None if kind == "BOOKMARK" else Change(watch.resource, kind, [each])
            yield change, each["metadata"]["resourceVersion"]


def lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the lines of a response as they arrive. If the connection breaks, an unfinished last line is dropped."""
    rest = b""
    try:
        for data in answer.stream():
            *whole, rest = (rest + data).split(b"\n")
            yield from whole
    except (urllib3.exceptions.HTTPError, OSError):
        return
