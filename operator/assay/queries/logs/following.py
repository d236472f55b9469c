"""Reads a run's log from a position: from its pod while that exists and the user may read it, otherwise from the store.

A position is where the last answer ended. An answer has the last lines after it, so it is bounded, whatever was printed
meanwhile; ``skipped`` says that lines before it were left out.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import urllib3

from assay.api import names, resources
from assay.api.errors import InvalidRequest, ObjectNotFound
from assay.api.objects import Raw
from assay.api.resources import PODS
from assay.api.run_status import TERMINAL
from assay.kube.errors import ApiError
from assay.planning.runs.recipe import containers_of
from assay.queries.access import Access
from assay.queries.runs import recorded
from assay.store import layout, logs
from assay.store.layout import LogName

#: Lines and bytes of one answer.
LINES, BYTES = 300, 200_000
_TIMEOUT = urllib3.Timeout(connect=5, read=10)
_POD = re.compile(r"pod:([a-z0-9.-]{1,253}):([0-9TZ:.+-]{20,40}):([0-9]{1,6})")
_STORE = re.compile(r"store:([a-z0-9.-]{1,253}):([a-z0-9.-]{1,253}):([0-9]{1,6}):([0-9]{1,9})")


@dataclass(frozen=True)
class Tail:
    """Lines of one log, where they come from, and the position after them."""

    source: str
    lines: list[str]
    position: str
    skipped: bool
    ended: bool

    @property
    def text(self) -> str:
        """The lines as text."""
        return "\n".join(self.lines)


def tail(access: Access, run: Raw, position: str = "") -> Tail:
    """Return the last lines of the training container's log after a position. Raises AssayError, ApiError, StoreError.

    A position in another source than before begins that source anew: its lines have no order among both.
    """
    if position and not (_POD.fullmatch(position) or _STORE.fullmatch(position)):
        raise InvalidRequest("invalid position in a log", hint="use that of the last answer")
    ended = (run.get("status") or {}).get("phase") in TERMINAL
    try:
        found = _of_pod(access, run, position, ended)
    except (ApiError, urllib3.exceptions.HTTPError):
        found = None  # no pod any more, or no right to read it: the store has the same lines a little later
    return found or _of_store(access, run, position, ended)


# From the pod


def _of_pod(access: Access, run: Raw, position: str, ended: bool) -> Tail | None:
    selector = f"{names.LABEL_RUN_UID}={run['metadata']['uid']}"
    pods = list(access.kube.list(PODS, access.namespace, labels=selector))
    if not pods:
        return None
    pod = max(pods, key=lambda each: str(each["metadata"]["creationTimestamp"]))
    name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]
    known = _POD.fullmatch(position)
    stamp, count = (known[2], int(known[3])) if known and known[1] == name else ("", 0)
    query = {"container": container, "tailLines": str(LINES + count), "limitBytes": str(BYTES), "timestamps": "true"}
    if stamp:
        query["sinceTime"] = f"{stamp[:19]}Z"  # whole seconds only
    path = resources.path(PODS, access.namespace, name, "log")
    with access.kube.stream("GET", path, query=query, timeout=_TIMEOUT) as answer:
        text = answer.read(BYTES).decode(errors="replace")
    pieces = text.split("\n")
    cut = len(text.encode()) >= BYTES and len(pieces) > 1
    pieces = pieces[:-1] if cut else [piece for piece in pieces if piece]
    stamped = [(line[:30].partition(" ")[0], line.partition(" ")[2]) for line in pieces]
    fresh = _after(stamped, stamp, count)
    shown = fresh[-LINES:]
    last = shown[-1][0] if shown else stamp
    same = sum(each == last for each, _ in stamped)
    at = f"pod:{name}:{last}:{same}" if last else position
    # The first line that was read is one that is known, unless others were left out.
    skipped = bool(stamp) and len(fresh) >= LINES and len(fresh) == len(stamped)
    return Tail(f"pod {name}, container {container}", [line for _, line in shown], at, skipped, ended)


def _after(stamped: list[tuple[str, str]], stamp: str, count: int) -> list[tuple[str, str]]:
    """Return the lines after the first ``count`` ones with a stamp. Stamps have a fixed width, so their texts sort."""
    found = []
    for each, line in stamped:
        if each == stamp and count:
            count -= 1
        elif each >= stamp:
            found.append((each, line))
    return found


# From the store


def _of_store(access: Access, run: Raw, position: str, ended: bool) -> Tail:
    prefix = layout.prefix_of(run)
    found = logs.list_logs(access.store, prefix)
    if not found:
        raise ObjectNotFound(f"the store has no log of run {run['metadata']['name']}", hint="it may not have started")
    counting, first = recorded.pod_of(run), next((str(each.get("name")) for each in containers_of(run["spec"])), "")
    log = max(found, key=lambda each: (each.name.pod == counting, each.name.container == first, each.name.attempt))
    after = _known_part(position, log.name)
    numbers = sorted(number for number in log.parts if number > after)
    lines: deque[str] = deque()
    skipped = bool(after) and len(numbers) > 1
    # From the end: an early part of a long log is not read at all.
    for at in range(len(numbers) - 1, -1, -1):
        part = _joined(logs.part_lines(access.store, prefix, log.name, numbers[at]))
        skipped = skipped or (bool(after) and len(part) > LINES)
        lines.extendleft(reversed(part[-LINES:]))
        if len(lines) >= LINES:
            break
    shown = _within(list(lines)[-LINES:])
    last = numbers[-1] if numbers else after
    where = f"store:{log.name.pod}:{log.name.container}:{log.name.attempt}:{last}"
    source = f"the store: pod {log.name.pod}, container {log.name.container}"
    return Tail(source, shown, where, skipped and len(lines) >= LINES, ended)


def _known_part(position: str, name: LogName) -> int:
    known = _STORE.fullmatch(position)
    same = known and (known[1], known[2], int(known[3])) == (name.pod, name.container, name.attempt)
    return int(known[4]) if known and same else 0


def _joined(lines: Iterable[tuple[str, str]]) -> list[str]:
    """Return the lines of a part; a head with a plus continues the line before it."""
    found: deque[str] = deque(maxlen=LINES + 1)
    for head, text in lines:
        if head.endswith("+") and found:
            found[-1] += text
        else:
            found.append(text)
    return list(found)


def _within(lines: list[str]) -> list[str]:
    """Return the last lines within the limit of bytes."""
    room, found = BYTES, deque[str]()
    for line in reversed(lines):
        room -= len(line) + 1
        if room < 0:
            if not found:
                found.appendleft(line[-BYTES:])
            break
        found.appendleft(line)
    return list(found)
