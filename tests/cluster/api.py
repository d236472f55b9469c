"""The few calls that the cluster itself makes to its API server: JSON over HTTPS, standard library only."""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.pki import Pki


@dataclass
class Api:
    """Speaks to `server` with a certificate of the administrator."""

    server: str
    pki: Pki
    _context: ssl.SSLContext | None = field(default=None, repr=False)

    def get(self, path: str) -> Any:
        """The object at `path`. Raises urllib.error.HTTPError, URLError or OSError."""
        return self._call("GET", path, None)

    def text(self, path: str) -> str:
        """What the server answers at `path`, as it is."""
        return self._send("GET", path, None).decode()

    def apply(self, path: str, manifest: dict[str, Any]) -> Any:
        """Create or change the object at `path` by server-side apply."""
        return self._call("PATCH", f"{path}?fieldManager=assay-cluster&force=true", manifest)

    def post(self, path: str, manifest: dict[str, Any]) -> Any:
        return self._call("POST", path, manifest)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path, None)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        return json.loads(self._send(method, path, body))

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        request = urllib.request.Request(self.server + path, data=data, method=method, headers={"Content-Type": kind})
        # A proxy of the environment has no business between us and our own machine.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._tls())
        )
        try:
            with opener.open(request, timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:1000]
            error.msg = f"{error.msg}: {method} {path}: {said}"
            raise

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=str(self.pki.certificate("ca")))
            self._context.load_cert_chain(self.pki.certificate("admin"), self.pki.key("admin"))
        return self._context
