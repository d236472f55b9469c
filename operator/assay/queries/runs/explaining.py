"""Explains one run: what was asked for, what became of it, and what Kubernetes says about its Job and pods.

Events and conditions only explain: nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from typing_extensions import TypedDict

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import EVENTS, JOBS, PODS
from assay.kube.errors import ApiError
from assay.queries.access import Access
from assay.queries.runs import attempts, recorded
from assay.queries.runs.rows import RunRow, timed

_FORBIDDEN = 403


class Condition(TypedDict):
    """A condition of the Run."""

    type: str
    status: str
    reason: str
    message: str


class Attempt(TypedDict):
    """One pod of the run; ``node`` and ``reason`` are "" if unknown."""

    pod: str
    phase: str
    node: str
    reason: str


class Event(TypedDict):
    """A warning about the run, its Job or one of its pods: the newest of its kind."""

    object: str
    reason: str
    message: str
    count: int
    time: str


class RunDetails(TypedDict):
    """`assay show -o json`. ``message``, ``cause``, ``otherPods`` and ``link`` are "" if there is none.

    ``record`` is an s3:// address. ``otherPods`` says which pods have points that ``metrics`` lacks. ``link`` is the
    run's page in the console of the server.
    """

    run: RunRow
    namespace: str
    message: str
    cause: str
    conditions: list[Condition]
    attempts: list[Attempt]
    events: list[Event]
    record: str
    note: str
    otherPods: str
    link: str


def details(access: Access, name: str, server: str = "") -> RunDetails:
    """Return everything about a run, from the cluster or from its record. Raises AssayError.

    ``server`` is the address of a server; "" if there is none.
    """
    located = recorded.locate(access, name)
    run = located.run
    status = run.get("status") or {}
    found = list(_events(access, run))
    return RunDetails(
        run=timed([located.row])[0],
        namespace=run["metadata"]["namespace"],
        message=status.get("message") or "",
        cause=_cause(status, found),
        conditions=[_texts(Condition, each) for each in status.get("conditions") or []],
        attempts=[_texts(Attempt, each) for each in status.get("attempts") or []],
        events=found,
        record=(status.get("record") or {}).get("uri") or "",
        note=(run["metadata"].get("annotations") or {}).get(names.ANNOTATION_NOTE) or "",
        otherPods=attempts.other_pods(run),
        link=_link(server, run["metadata"]) if server else "",
    )


def _link(server: str, metadata: Raw) -> str:
    namespace, name = (quote(metadata[each], safe="") for each in ("namespace", "name"))
    return f"{server.rstrip('/')}/n/{namespace}/runs/{name}"


def _cause(status: Raw, events: list[Event]) -> str:
    """Return why the run does not run or failed; "" if it runs or has succeeded."""
    phase = status.get("phase") or "Pending"
    if phase in ("Succeeded", "Running") and status.get("reason") not in (names.RETRYING,):
        return ""
    known = status.get("message") or ""
    waiting = status.get("reason") in (names.STARTING, names.WAITING_FOR_POD, None)
    if phase == "Pending" and events and waiting:
        return f"{events[0]['object']}: {events[0]['message']}"
    if known or not events:
        return known or ("" if phase == "Pending" else str(status.get("reason") or ""))
    return f"{events[0]['object']}: {events[0]['message']}"


def _texts(kind: Any, found: Raw) -> Any:
    return {name: str(found.get(name) or "") for name in kind.__annotations__}


def _events(access: Access, run: Raw) -> Iterator[Event]:
    """Yield the warnings, newest first. Without the right to read them, yield none and note it."""
    try:
        uids = {run["metadata"]["uid"], *_children(access, run)}
        found: dict[tuple[str, str], Raw] = {}
        for uid in sorted(uids):
            for each in access.kube.list(EVENTS, run["metadata"]["namespace"], fields=f"involvedObject.uid={uid}"):
                if each.get("type") == "Warning":
                    key = (uid, str(each.get("reason")))
                    found[key] = max(each, found.get(key, each), key=_time)
    except ApiError as error:
        if error.status != _FORBIDDEN:
            raise
        access.note(f"{error.message}; events are omitted")
        return
    for each in sorted(found.values(), key=_time, reverse=True):
        about = each.get("involvedObject") or {}
        yield Event(
            object=f"{about.get('kind')} {about.get('name')}",
            reason=str(each.get("reason") or ""),
            message=" ".join(str(each.get("message") or "").split()),
            count=int((each.get("series") or {}).get("count") or each.get("count") or 1),
            time=_time(each),
        )


def _children(access: Access, run: Raw) -> Iterator[str]:
    """Yield the UIDs of the Job and the pods of a run that are in the cluster."""
    labels = f"{names.LABEL_RUN_UID}={run['metadata']['uid']}"
    for resource in (JOBS, PODS):
        for each in access.kube.list(resource, run["metadata"]["namespace"], labels=labels):
            yield str(each["metadata"]["uid"])


def _time(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return str(last or event["metadata"].get("creationTimestamp") or "")
