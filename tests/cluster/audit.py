"""The API server's audit log: who asked for what, and how it was answered. No bodies, and service accounts only.

It lies in the cluster's folder, goes with the cluster, and is begun anew when it is too large; one older file is kept.
"""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = "audit.log"
MAX_MEGABYTES = 50


@dataclass(frozen=True)
class Request:
    """One request that was answered. `resource` is plural, with its subresource behind a slash."""

    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    status: int


def end(folder: Path) -> int:
    """How long the log of the cluster with this folder is now, in bytes."""
    path = folder / FILE
    return path.stat().st_size if path.exists() else 0


def read(folder: Path, user: str, start: int = 0) -> list[Request]:
    """The requests of a user for resources, from a byte of the log on. Raises ValueError when that is gone."""
    with (folder / FILE).open("rb") as file:
        if file.seek(0, 2) < start:
            raise ValueError(f"the audit log was begun anew at {MAX_MEGABYTES} MB: what came before is not in it")
        file.seek(start)
        lines = [line for line in file if line.endswith(b"\n")]
    events = (json.loads(line) for line in lines)
    return [_request(event) for event in events if event["user"]["username"] == user and "objectRef" in event]


def _request(event: dict[str, dict[str, str]]) -> Request:
    what, answer = event["objectRef"], event.get("responseStatus") or {}
    return Request(
        user=event["user"]["username"],
        verb=str(event["verb"]),
        group=what.get("apiGroup", ""),
        resource="/".join(filter(None, [what.get("resource"), what.get("subresource")])),
        namespace=what.get("namespace", ""),
        name=what.get("name", ""),
        status=int(answer.get("code", 0)),
    )
