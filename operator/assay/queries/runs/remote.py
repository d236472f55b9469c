"""Runs from a server (docs/server.md), which has an index of them. The answer is the same as without it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import certifi
import urllib3

from assay.api.errors import AssayError, InvalidRequest, ObjectNotFound, PermissionDenied, RequestFailed, Unreachable
from assay.queries.access import Access
from assay.queries.runs.columns import Names
from assay.queries.runs.rows import RunRow

_AT_ONCE = 10_000
_TIMEOUT = urllib3.Timeout(connect=10, read=60)
#: The server may have to read the archive first.
_TIMEOUT_ARCHIVED = urllib3.Timeout(connect=10, read=900)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ERRORS: Mapping[int, type[AssayError]] = {
    400: InvalidRequest,
    401: PermissionDenied,
    403: PermissionDenied,
    404: ObjectNotFound,
    503: Unreachable,
}


class Answer(NamedTuple):
    """Runs in their order, and the names of all that match. The filter failed for ``undecided`` others: see ``why``."""

    rows: list[RunRow]
    names: Names
    undecided: int
    why: str


def read(
    access: Access, server: str, query: Mapping[str, Any], limit: int | None = None, *, everywhere: bool = False
) -> Answer:
    """Return the runs that a server finds, with the user's token, in one namespace or everywhere. Raises AssayError."""
    token = _token(access, server)
    place = "" if everywhere else f"namespaces/{quote(access.namespace, safe='')}/"
    url = f"{server.rstrip('/')}/api/v1/{place}runs"
    pool = urllib3.PoolManager(ca_certs=certifi.where())
    timeout = _TIMEOUT_ARCHIVED if query.get("archived") else _TIMEOUT
    rows: list[RunRow] = []
    while True:
        size = min(_AT_ONCE, (limit or _AT_ONCE) - len(rows)) if limit else _AT_ONCE
        page = {**query, "limit": str(size), "offset": str(len(rows)), "fresh": "now"}
        found = _get(pool, f"{url}?{urlencode({name: value for name, value in page.items() if value})}", token, timeout)
        rows += found["items"]
        if len(rows) >= min(limit or found["total"], found["total"]) or not found["items"]:
            break
    for note in found["notes"]:
        access.note(note)
    return Answer(rows, Names(summary=found["names"]), found["undecided"], found["why"])


def _token(access: Access, server: str) -> str:
    """Return the user's token, which is sent only over TLS or to this machine. Raises AssayError."""
    address = urlsplit(server)
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in _LOOPBACK):
        raise InvalidRequest(
            f"invalid --server {server}", hint="write https://assay.example.com: your token is sent there"
        )
    token = access.kube.token()
    if not token:
        raise InvalidRequest(
            "--server needs a token, and your kubeconfig signs in with a certificate",
            hint="omit --server, or use a user with a token",
        )
    return token


def _get(pool: urllib3.PoolManager, url: str, token: str, timeout: urllib3.Timeout) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    try:
        answer = pool.request("GET", url, headers=headers, timeout=timeout, retries=False, redirect=False)
        found = json.loads(answer.data)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise Unreachable(f"no answer from the server {url.partition('/api/')[0]}: {error}") from None
    if answer.status == 200:
        return found
    refused = found.get("error") or {}
    kind = _ERRORS.get(answer.status, RequestFailed)
    raise kind(str(refused.get("message") or f"HTTP {answer.status}"), hint=str(refused.get("hint") or ""))
