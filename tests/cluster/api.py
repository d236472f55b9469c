"""The few calls that the cluster itself makes to its API server: JSON over HTTPS, standard library only."""

import http.client
import json
import ssl
import threading
import urllib.error
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.pki import Pki

TIMEOUT_SECONDS = 10
LONGEST_MESSAGE = 4000
Headers = Mapping[str, str]
NOBODY: Headers = {}


@dataclass
class Api:
    """Speaks to `server` with a certificate of the administrator. Threads may share it: each has a connection."""

    server: str
    pki: Pki
    _context: ssl.SSLContext | None = field(default=None, repr=False)
    _local: threading.local = field(default_factory=threading.local, repr=False)

    def get(self, path: str) -> Any:
        """The object at `path`. Raises urllib.error.HTTPError or OSError."""
        return self._call("GET", path, None)

    def text(self, path: str) -> str:
        """What the server answers at `path`, as it is."""
        return self._send("GET", path, None).decode()

    def apply(self, path: str, manifest: dict[str, Any], manager: str = "assay-cluster", who: Headers = NOBODY) -> Any:
        """Create or change the object at `path` by server-side apply; `who` may impersonate a user."""
        query = f"fieldManager={manager}&force=true&fieldValidation=Strict"
        return self._call("PATCH", f"{path}?{query}", manifest, {"Content-Type": "application/apply-patch+yaml", **who})

    def patch(self, path: str, change: Any, content_type: str, who: Headers = NOBODY) -> Any:
        """Change the object at `path` by a patch; `who` may impersonate a user."""
        return self._call("PATCH", path, change, {"Content-Type": content_type, **who})

    def post(self, path: str, manifest: dict[str, Any], who: Headers = NOBODY) -> Any:
        """Create an object; `who` may impersonate a user."""
        return self._call("POST", path, manifest, who)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path, None)

    def watch(self, path: str, seconds: int) -> Iterator[Any]:
        """Yield the events of a watch, which the server ends after so many seconds, over a connection of its own."""
        connection = self._connection()
        try:
            connection.request("GET", f"{path}&watch=true&timeoutSeconds={seconds}")
            answer = connection.getresponse()
            if answer.status >= 400:
                raise OSError(f"{answer.reason}: watch {path}: {_message(answer.read())[:LONGEST_MESSAGE]}")
            for line in answer:
                yield json.loads(line)
        except http.client.HTTPException as error:
            raise OSError(f"watch {self.server}{path}: {error!r}") from error
        finally:
            connection.close()

    def _call(self, method: str, path: str, body: Any, headers: Headers = NOBODY) -> Any:
        return json.loads(self._send(method, path, body, headers))

    def _send(self, method: str, path: str, body: Any, headers: Headers = NOBODY) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        status, reason, answer = self._ask(method, path, data, {"Content-Type": "application/json", **headers})
        if status >= 400:
            message = f"{reason}: {method} {path}: {_message(answer)[:LONGEST_MESSAGE]}"
            raise urllib.error.HTTPError(self.server + path, status, message, http.client.HTTPMessage(), None)
        return answer

    def _ask(self, method: str, path: str, data: bytes | None, headers: Headers) -> tuple[int, str, bytes]:
        """Send a request; a read over a connection that the server has closed meanwhile is sent once more."""
        kept: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if kept is not None and method == "GET":
            try:
                return self._exchange(kept, method, path, data, headers)
            except OSError:
                kept = None
        if kept is not None:
            kept.close()
        self._local.connection = self._connection()
        return self._exchange(self._local.connection, method, path, data, headers)

    def _exchange(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        data: bytes | None,
        headers: Headers,
    ) -> tuple[int, str, bytes]:
        try:
            # Names of users may have any letters.
            connection.request(method, path, data, {name: value.encode() for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.reason, answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._local.connection = None
            raise OSError(f"{method} {self.server}{path}: {error!r}") from error

    def _connection(self) -> http.client.HTTPSConnection:
        """A new connection, straight to the server: a proxy has no business between us and our own machine."""
        address = urllib.parse.urlsplit(self.server)
        assert address.hostname, self.server
        return http.client.HTTPSConnection(address.hostname, address.port, timeout=TIMEOUT_SECONDS, context=self._tls())

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=str(self.pki.certificate("ca")))
            self._context.load_cert_chain(self.pki.certificate("admin"), self.pki.key("admin"))
        return self._context


def _message(answer: bytes) -> str:
    """Return what a Status says, or the answer itself when it is none."""
    said = answer.decode(errors="replace")
    try:
        return str(json.loads(said)["message"])
    except (ValueError, TypeError, KeyError):
        return said
