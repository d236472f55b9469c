"""The end of a run's log: from its pod while that exists, otherwise from the store."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import urllib3

from assay.api import names, resources
from assay.api.errors import ObjectNotFound
from assay.api.objects import Raw
from assay.api.resources import PODS
from assay.kube.errors import ApiError
from assay.planning.runs.recipe import containers_of
from assay.queries.runs import recorded
from assay.server.person import Person
from assay.store import layout, logs

#: Lines and bytes that a page shows at most.
LINES, BYTES = 300, 200_000
_TIMEOUT = urllib3.Timeout(connect=5, read=10)


@dataclass(frozen=True)
class Tail:
    """The last lines of one log, and where they come from."""

    source: str
    text: str


def tail(person: Person, run: Raw) -> Tail:
    """Return the end of the log of the training container. Raises AssayError, ApiError, StoreError."""
    try:
        found = _of_pod(person, run)
    except (ApiError, urllib3.exceptions.HTTPError):
        found = None
    return found or _of_store(person, run)


def _of_pod(person: Person, run: Raw) -> Tail | None:
    uid = run["metadata"]["uid"]
    pods = sorted(
        person.kube.list(PODS, person.namespace, labels=f"{names.LABEL_RUN_UID}={uid}"),
        key=lambda pod: str(pod["metadata"]["creationTimestamp"]),
    )
    if not pods:
        return None
    pod = pods[-1]
    name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]
    path = resources.path(PODS, person.namespace, name, "log")
    query = {"container": container, "tailLines": str(LINES), "limitBytes": str(BYTES)}
    with person.kube.stream("GET", path, query=query, timeout=_TIMEOUT) as answer:
        text = answer.read(BYTES).decode(errors="replace")
    return Tail(f"pod {name}, container {container}", text)


def _of_store(person: Person, run: Raw) -> Tail:
    prefix = layout.prefix_of(run)
    found = logs.list_logs(person.store, prefix)
    if not found:
        raise ObjectNotFound(f"the store has no log of run {run['metadata']['name']}", hint="it may not have started")
    counting, first = recorded.pod_of(run), next((str(each.get("name")) for each in containers_of(run["spec"])), "")
    log = max(found, key=lambda each: (each.name.pod == counting, each.name.container == first, each.name.attempt))
    lines = deque((line.text for line in logs.read_log(person.store, prefix, log.name)), LINES)
    text = "\n".join(lines)[-BYTES:]
    return Tail(f"the store: pod {log.name.pod}, container {log.name.container}", text)
