"""Reads the log of a container through the API server: once, or following it across restarts and retries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import urllib3

from assay.api import names, resources
from assay.api.objects import Raw
from assay.api.resources import PODS, RUNS
from assay.api.run_status import TERMINAL
from assay.cli.errors import NOT_FOUND, CliError
from assay.cli.output import printing
from assay.cli.output.log_lines import Printer
from assay.kube.errors import ApiError
from assay.kube.sync import Kube
from assay.kube.watches import State, Watch, apply, changes
from assay.planning.runs.starts import Start, starts
from assay.queries.references import near
from assay.store.log_resumption import Cursor, LogResumption, since

#: How far before the last line to resume: the lines of a container's two streams are only nearly in order.
_BACK = timedelta(seconds=5)
_PAUSE_SECONDS = 0.5
_TIMEOUT = urllib3.Timeout(connect=10, read=None)


def container_of(pod: Raw, name: str) -> str:
    """Check the name of a container; "" is the training container. Raises CliError."""
    known = [each["name"] for part in ("containers", "initContainers") for each in pod["spec"].get(part) or []]
    if name and name not in known:
        hint = near(name, known) or f"containers: {', '.join(known)}"
        raise CliError(f"pod {pod['metadata']['name']} has no container {name}", hint=hint, code=NOT_FOUND)
    return name or str(known[0])


def created(pod: Raw) -> tuple[str, str]:
    """Return the sort key of a pod: oldest first."""
    return pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


class Reading:
    """The log of one start of a container, and how far it was read."""

    def __init__(self, kube: Kube, pod: Raw, container: str, printer: Printer) -> None:
        self._kube, self._printer, self._container = kube, printer, container
        self._path = resources.path(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"], "log")
        self._cursor: Cursor | None = None

    def read(self, *, follow: bool, previous: bool, tail: int | None = None) -> None:
        """Print new lines; with ``follow``, until the container or the connection ends. Raises ApiError."""
        query = {
            "container": self._container,
            "timestamps": "true",
            "follow": "true" if follow else "",
            "previous": "true" if previous else "",
            "sinceTime": since(self._cursor, _BACK) if self._cursor else "",
            "tailLines": "" if tail is None or self._cursor else str(tail),
        }
        log_resumption = LogResumption(self._cursor)
        with self._kube.stream("GET", self._path, query=query, timeout=_TIMEOUT) as answer:
            for data in _pieces(answer):
                self._printer.new(log_resumption.feed(data))
        self._printer.new(log_resumption.finish(last=not follow))
        self._cursor = log_resumption.cursor
        if log_resumption.noise:
            raise ApiError(404, "Unreadable", f"the node cannot read the log: {log_resumption.noise}")


def _pieces(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield a response as it arrives, until it or the connection ends; the caller reconnects."""
    try:
        yield from answer.stream()
    except (urllib3.exceptions.HTTPError, OSError):
        return


class Follower:
    """Reads every start of a container, beginning with the newest, in all pods of the run."""

    def __init__(self, kube: Kube, run: Raw, printer: Printer, pod: str = "", container: str = "") -> None:
        self._kube, self._run, self._printer = kube, run, printer
        self._pod, self._container = pod, container
        self._pods: State = {}
        self._runs: State = {}
        self._synced: set[Any] = set()
        self._done: set[tuple[str, int]] = set()
        self._begun = False

    def follow(self, tail: int | None = None) -> None:
        """Print until the run ends. Raises ApiError."""
        metadata = self._run["metadata"]
        namespace = metadata["namespace"]
        watched = (
            Watch(PODS, namespace, labels=f"{names.LABEL_RUN_UID}={metadata['uid']}"),
            Watch(RUNS, namespace, fields=f"metadata.name={metadata['name']}"),
        )
        for change in changes(self._kube, *watched):
            if change is None:
                continue
            apply(self._pods if change.resource == PODS else self._runs, change)
            self._synced.add(change.resource)
            if len(self._synced) < len(watched):
                continue
            while found := self._next():
                self._read(*found, tail)
                tail = None
            if self._over():
                break
        self._printer.close()

    def _next(self) -> tuple[Raw, Start] | None:
        """Return the next start to read. The first one is the newest; earlier starts are skipped."""
        pods = [pod for (_, name), pod in self._pods.items() if self._pod in ("", name)]
        found = [
            (pod, start)
            for pod in sorted(pods, key=created)
            for start in starts(pod)
            if start.container == container_of(pod, self._container) and self._key(pod, start) not in self._done
        ]
        if not found:
            return None
        if not self._begun:
            self._begun = True
            self._done |= {self._key(pod, start) for pod, start in found[:-1]}
            return found[-1]
        return found[0]

    def _key(self, pod: Raw, start: Start) -> tuple[str, int]:
        return pod["metadata"]["uid"], start.attempt

    def _read(self, pod: Raw, start: Start, tail: int | None) -> None:
        """Print one start to its end, reconnecting as often as needed."""
        name = pod["metadata"]["name"]
        restart = f", restart {start.attempt}" if start.attempt else ""
        printing.note(f"from pod {name}, container {start.container}{restart}")
        reading = Reading(self._kube, pod, start.container, self._printer)
        self._done.add(self._key(pod, start))
        now: Start | None = start
        while now is not None:
            try:
                reading.read(follow=now.running, previous=now.previous, tail=tail)
                # The status lags behind the container by a second: the log may be requested again after its end.
                now = self._now(pod, start) if now.running else None
            except ApiError as error:
                printing.note(error.message)
                now = now if error.status == 0 or error.status >= 500 else None
            if now is not None and now.running:
                time.sleep(_PAUSE_SECONDS)

    def _now(self, pod: Raw, start: Start) -> Start | None:
        """Return the current state of a start from its pod; None when the pod no longer has it."""
        found = self._kube.find(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])
        if found is None or found["metadata"]["uid"] != pod["metadata"]["uid"]:
            return None
        same = [each for each in starts(found) if (each.container, each.attempt) == (start.container, start.attempt)]
        return same[0] if same else None

    def _over(self) -> bool:
        """Whether no more lines can come: the run has ended, is being recorded, or was deleted."""
        run = next(iter(self._runs.values()), None)
        if run is None or run["metadata"]["uid"] != self._run["metadata"]["uid"]:
            return True
        status = run.get("status") or {}
        return status.get("phase") in TERMINAL or status.get("reason") == names.RECORDING
