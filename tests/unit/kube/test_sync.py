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

from assay.api.errors import AssayError
from assay.api.resources import RUNS
from assay.kube import kubeconfig as kubeconfig_module
from assay.kube.errors import ApiError
from assay.kube.sync import Kube

pytestmark = pytest.mark.unit


class Server(HTTPServer):
    """Answers every request with an empty object, and remembers who asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.authorizations: list[str] = []
        self.refused: set[str] = set()
        self.headers: dict[str, str] = {}
        self.status, self.answer = 200, b"{}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        self.server.authorizations.append(authorization)
        self.send_response(401 if authorization in self.server.refused else self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.answer)

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
    return running(folder, f"print({json.dumps(credential)!r})")


def running(folder: Path, program: str) -> dict[str, Any]:
    """A user with a plugin that is this program."""
    script = folder / "login.py"
    script.write_text(program)
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
    kube = Kube(kubeconfig(tmp_path, server, user(tmp_path)))
    kube.request("GET", "/version")
    assert server.authorizations == ["Bearer abc"]


#: Prints another token each time, with the expiry that the test chooses, or none.
COUNTING = """
import json, pathlib
count = pathlib.Path(__file__).with_suffix(".count")
count.write_text(count.read_text() + "x" if count.exists() else "x")
status = {"token": count.read_text()} | %r
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))
"""


@pytest.mark.parametrize(
    ("status", "tokens"),
    [
        ({}, ["x", "x"]),
        ({"expirationTimestamp": "2999-01-01T00:00:00Z"}, ["x", "x"]),
        ({"expirationTimestamp": "2020-01-01T00:00:00Z"}, ["x", "xx"]),
    ],
    ids=["no expiry", "valid", "expired"],
)
def test_an_expired_token_is_renewed(server: Server, tmp_path: Path, status: dict[str, str], tokens: list[str]) -> None:
    kube = Kube(kubeconfig(tmp_path, server, running(tmp_path, COUNTING % status)))
    for _ in tokens:
        kube.request("GET", "/version")
    assert server.authorizations == [f"Bearer {token}" for token in tokens]


def test_a_refused_token_of_a_plugin_is_renewed_once(server: Server, tmp_path: Path) -> None:
    server.refused = {"Bearer x"}
    kube = Kube(kubeconfig(tmp_path, server, running(tmp_path, COUNTING % {})))
    kube.request("GET", "/version")
    assert server.authorizations == ["Bearer x", "Bearer xx"]
    server.refused = {"Bearer xx", "Bearer xxx"}
    with pytest.raises(ApiError) as refused:
        kube.request("GET", "/version")
    assert (refused.value.status, server.authorizations[2:]) == (401, ["Bearer xx", "Bearer xxx"])


def test_a_token_file_is_read_again(server: Server, tmp_path: Path) -> None:
    kube = Kube(kubeconfig(tmp_path, server, token_file(tmp_path)))
    kube.request("GET", "/version")
    (tmp_path / "token").write_text("def")
    kube.request("GET", "/version")
    assert server.authorizations == ["Bearer abc", "Bearer def"]


@pytest.mark.parametrize(
    "user",
    [
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login"}},
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "false"}},
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "true"}},
        {"exec": {"apiVersion": "client.authentication.k8s.io/v9", "command": "true"}},
        {"tokenFile": "none"},
        {"auth-provider": {"name": "gcp"}},
        {"auth-provider": {"name": "oidc", "config": {"id-token": "a.eyJleHAiOjF9.c"}}},
    ],
    ids=["missing", "failing", "silent", "future", "no file", "removed", "expired OIDC"],
)
def test_no_request_is_sent_without_credentials(server: Server, tmp_path: Path, user: dict[str, Any]) -> None:
    kube = Kube(kubeconfig(tmp_path, server, user))
    with pytest.raises(AssayError):
        kube.request("GET", "/version")
    assert server.authorizations == []


def kubeconfig(folder: Path, server: Server, user: dict[str, Any]) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return str(file)


def test_a_pod_without_a_kubeconfig_is_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("token", "abc"), ("namespace", "team\n"), ("ca.crt", "")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(kubeconfig_module, "_POD", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "")
    found = Kube()
    assert (found.server, found.namespace) == ("https://[fd00::1]:6443", "team")
    monkeypatch.setenv("POD_NAMESPACE", "other")
    assert Kube().namespace == "other"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert Kube().namespace == "other"
    with pytest.raises(AssayError, match="does not exist"):
        Kube(str(tmp_path / "none"))


def test_an_answer_that_breaks_off_is_an_unreachable_server(server: Server, tmp_path: Path) -> None:
    server.headers = {"Content-Length": "100"}
    with pytest.raises(ApiError, match=r"the connection to the API server http://.* broke: ") as broken:
        Kube(kubeconfig(tmp_path, server, token(tmp_path))).request("GET", "/version")
    assert broken.value.status == 0


@pytest.mark.parametrize(
    ("status", "headers"),
    [(200, {"Content-Type": "text/html; charset=utf-8"}), (302, {"Location": "https://login.example.com/?state=x"})],
    ids=["a page", "a redirect"],
)
def test_an_answer_of_something_else_than_an_api_server_is_reported(
    server: Server, tmp_path: Path, status: int, headers: dict[str, str]
) -> None:
    server.status, server.headers, server.answer = status, headers, b"<html>sign in</html>"
    with pytest.raises(ApiError, match=r"http://\S+ does not answer like an API server: HTTP \d+ with ") as found:
        Kube(kubeconfig(tmp_path, server, token(tmp_path))).request("GET", "/apis/assay.dev/v1alpha1/runs")
    assert found.value.status == 0
    assert "server of the kubeconfig" in found.value.hint
    assert "state=" not in found.value.message


@pytest.mark.parametrize("answer", [b"404 page not found\n", b'"404"', b"null"])
def test_a_cluster_without_assay_is_reported(server: Server, tmp_path: Path, answer: bytes) -> None:
    server.status, server.answer = 404, answer
    with pytest.raises(ApiError) as found:
        Kube(kubeconfig(tmp_path, server, token(tmp_path))).request("GET", "/apis/assay.dev/v1alpha1/runs")
    assert found.value.message == (
        f"the API server http://127.0.0.1:{server.server_port} answers HTTP 404 to GET /apis/assay.dev/v1alpha1/runs"
    )
    assert found.value.hint == "is Assay installed in this cluster? `kubectl config current-context` names it"


def test_no_object_has_an_empty_name(server: Server, tmp_path: Path) -> None:
    """The path without a name is that of the list."""
    kube = Kube(kubeconfig(tmp_path, server, token(tmp_path)))
    assert kube.find(RUNS, "team", "") is None
    assert server.authorizations == []
