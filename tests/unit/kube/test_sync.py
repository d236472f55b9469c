"""Every way in which a kubeconfig signs in with a token ends in the header that the API server reads."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.kube.sync import Kube

pytestmark = pytest.mark.unit


class Server(HTTPServer):
    """Answers every request with an empty object, and remembers who asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.authorizations: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers.get("Authorization", ""))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def token(_: Path) -> dict[str, Any]:
    return {"token": "abc"}


def token_file(folder: Path) -> dict[str, Any]:
    (folder / "token").write_text("abc")
    return {"tokenFile": str(folder / "token")}


def plugin(folder: Path) -> dict[str, Any]:
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "abc"}}
    script = folder / "login.py"
    script.write_text(f"print({json.dumps(credential)!r})")
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(script)],
            "interactiveMode": "Never",
        }
    }


@pytest.mark.parametrize("user", [token, token_file, plugin], ids=["token", "tokenFile", "exec plugin"])
def test_a_token_is_sent(server: Server, tmp_path: Path, user: Any) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": user(tmp_path)}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    Kube(str(file)).request("GET", "/version")
    assert server.authorizations == ["Bearer abc"]
