"""Plays the API server for one namespace with many generated Runs: it lists them page by page, and nothing changes.

    python -m tests.benchmarks.api_server PORT RUNS SECRET [METRICS AMONG]

A real API server takes minutes and gigabytes to be given 100,000 Runs, and what it takes then is not the server's. This
one answers from memory. Everybody may do everything; SECRET is a file with the Secret `assay-store`. With METRICS,
each run has so many of AMONG.
"""

import json
import select
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from assay.store import layout
from tests import generated

Raw = dict[str, Any]

NAMESPACE = "bench"
_VERSION = 1_000_000
_BOOKMARK_SECONDS = 30
_RUNS = f"/apis/assay.dev/v1alpha1/namespaces/{NAMESPACE}/runs"


def manifest(row: generated.GeneratedRun) -> Raw:
    """Return a Run as an API server returns it."""
    found = generated.body(row)
    found["metadata"] |= {
        "namespace": NAMESPACE,
        "uid": str(uuid.UUID(int=row.seed + (1 << 96))),
        "resourceVersion": str(row.seed + 1),
        "generation": 1,
        "creationTimestamp": row.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "managedFields": _FIELDS,
    }
    prefix = layout.prefix_of(found)
    record = {"uri": f"s3://assay/{prefix}/", "pod": f"{row.name}-pod", "complete": True}
    found["status"] = generated.status(row) | ({"record": record} if row.completed else {})
    return found


def _owned(*names: str) -> Raw:
    return {f"f:{name}": {} for name in names}


_LABELS = {"f:labels": _owned("assay.dev/experiment", "assay.dev/index", "team")}
_SPEC = _owned("datasets", "job", "objective", "owner", "parameters", "seed", "source")
#: As operators leave them; nobody reads them, but everybody has to parse them.
_FIELDS = [
    {
        "apiVersion": "assay.dev/v1alpha1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": _LABELS, "f:spec": _SPEC},
        "manager": manager,
        "operation": "Update",
        "time": "2026-01-01T00:00:00Z",
    }
    for manager in ("assay-operator", "assay-operator-status")
]


class Runs:
    """The Runs, encoded once: a page is put together from their texts."""

    def __init__(self, count: int, wide: tuple[int, ...] = ()) -> None:
        self.names: dict[str, int] = {}
        self.texts: list[bytes] = []
        for row in sorted(generated.rows(count), key=lambda row: row.name):
            self.names[row.name] = len(self.texts)
            body = manifest(generated.wide(row, *wide) if wide else row)
            self.texts.append(json.dumps(body).encode())

    def page(self, start: int, limit: int) -> bytes:
        """Return a page of the list."""
        end = min(len(self.texts), start + limit)
        metadata = {"resourceVersion": str(_VERSION)} | ({"continue": str(end)} if end < len(self.texts) else {})
        head = f'{{"kind": "RunList", "metadata": {json.dumps(metadata)}, "items": ['
        return head.encode() + b",".join(self.texts[start:end]) + b"]}"


def _experiments() -> bytes:
    names = [f"exp-{number:02}" for number in range(generated.EXPERIMENTS)]
    fixed = {"namespace": NAMESPACE, "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return _listed([{"metadata": {"name": name, **fixed}, "spec": {}} for name in names])


def _listed(items: list[Raw]) -> bytes:
    return json.dumps({"kind": "List", "metadata": {"resourceVersion": str(_VERSION)}, "items": items}).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers requests."""

    protocol_version = "HTTP/1.1"
    runs: Runs
    secret: bytes

    def do_GET(self) -> None:
        """Answer a list, a watch, or one object."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        name = url.path.removeprefix(f"{_RUNS}/")
        if "watch" in query:
            self._watch()
        elif url.path == _RUNS:
            self._send(self.runs.page(int(query.get("continue", 0)), int(query.get("limit", 500))))
        elif url.path.endswith("/experiments"):
            self._send(_experiments())
        elif url.path.endswith("/secrets/assay-store"):
            self._send(self.secret)
        elif name in self.runs.names:
            self._send(self.runs.texts[self.runs.names[name]])
        else:
            self._send(_listed([]))

    def do_POST(self) -> None:
        """Allow what is reviewed, and call everybody the same."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(b'{"status": {"allowed": true, "userInfo": {"username": "bench"}}}')

    def _watch(self) -> None:
        """Nothing happens until the client goes away, and bookmarks say so."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(_VERSION)}}}
        while not select.select([self.connection], [], [], _BOOKMARK_SECONDS)[0]:
            self.wfile.write(json.dumps(bookmark).encode() + b"\n")
            self.wfile.flush()

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Answer until the process is ended."""
    port, count, secret, *wide = sys.argv[1:]
    Handler.runs, Handler.secret = Runs(int(count), tuple(map(int, wide))), Path(secret).read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
