"""Kubeconfigs of all kinds, beside kubectl: both are the same user in the same namespace, or both refuse."""

import base64
import json
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api.errors import AssayError
from assay.kube.sync import Kube
from tests import registry
from tests.cli.conftest import run_process
from tests.cluster import fetched
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
_V1, _V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
ADMIN, ROBOT = "the administrator", "system:serviceaccount:default:robot"


@dataclass(frozen=True)
class Parts:
    """What the kubeconfigs are made of: the cluster's address and authority, a token, a certificate and a proxy."""

    folder: Path
    cluster: Raw
    token: str
    user: Raw
    admin: str
    proxy: str

    def pem(self, name: str) -> str:
        """The administrator's client-certificate or client-key, as PEM."""
        return base64.b64decode(self.user[f"{name}-data"]).decode()

    def write(self, user: Raw | None, *, name: str = "config", context: Raw | None = None, **cluster: Any) -> Path:
        """Write a kubeconfig with one user, and its cluster's fields changed; None leaves a field out."""
        fields = {key: value for key, value in {**self.cluster, **cluster}.items() if value is not None}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": fields}],
            "users": [] if user is None else [{"name": "u", "user": user}],
            "contexts": [
                {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "demo", **(context or {})}}
            ],
            "current-context": "x",
        }
        return self.file(name, yaml.safe_dump(config))

    def file(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a file beside the kubeconfig."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def plugin(self, script: str, version: str = _V1, **more: Any) -> Raw:
        """Return a user with a credential plugin that is this shell script."""
        command = self.file("bin/login", f"#!/bin/sh\n{script}\n", 0o700)
        return {"exec": {"apiVersion": version, "command": str(command), "interactiveMode": "Never", **more}}

    def printing(self, status: Raw, version: str = _V1, **more: Any) -> Raw:
        """Return a user whose plugin prints a credential."""
        credential = {"apiVersion": version, "kind": "ExecCredential", "status": status}
        printed = self.file("credential.json", json.dumps(credential))
        return self.plugin(f"cat {printed}", more.pop("asked", version), **more)


def _files(parts: Parts) -> Path:
    for name in ("client-certificate", "client-key"):
        parts.file(f"{name}.pem", parts.pem(name))
    return parts.write({name: f"{name}.pem" for name in ("client-certificate", "client-key")})


def _token_file(parts: Parts, token: str = "") -> Path:
    parts.file("token", f"{parts.token}\n")
    return parts.write({"tokenFile": "token", **({"token": token} if token else {})})


def _relative(parts: Parts) -> Path:
    user = parts.printing({"token": parts.token})
    return parts.write({"exec": {**user["exec"], "command": "./bin/login"}})


def _asked(parts: Parts) -> Path:
    """The plugin answers only if it gets the cluster, its arguments and variables."""
    answer = parts.printing({"token": parts.token})["exec"]["command"]
    parts.file("bin/answer", Path(answer).read_text(), 0o700)
    server = parts.cluster["server"]
    script = f'echo "$KUBERNETES_EXEC_INFO" | grep -qF {server} && [ $1$REALM = ml ] && {parts.folder}/bin/answer'
    more = {"args": ["m"], "env": [{"name": "REALM", "value": "l"}], "provideClusterInfo": True}
    return parts.write(parts.plugin(script, **more))


def _split(parts: Parts) -> str:
    """The user is in the second file. A third file has another user of that name, and a fourth does not exist."""
    first, second = parts.write(None, name="first"), parts.write({"token": parts.token}, name="second")
    third = parts.write(parts.user, name="third", context={"namespace": "other"})
    return os.pathsep.join(map(str, (first, second, third, parts.folder / "none")))


def _other_context(parts: Parts) -> str:
    """The first file sets only the current context, which is the second one's."""
    second = yaml.safe_load(parts.write({"token": parts.token}, name="second").read_text())
    second["contexts"].append({"name": "other", "context": {"cluster": "c", "user": "u"}})
    parts.file("second", yaml.safe_dump(second))
    first = "{apiVersion: v1, kind: Config, current-context: other}"
    return f"{parts.file('first', first)}{os.pathsep}{parts.folder / 'second'}"


def _at_home(parts: Parts) -> str:
    (parts.folder / ".kube").mkdir()
    parts.write({"token": parts.token}, name=".kube/config")
    return ""


def _certificate(parts: Parts) -> Raw:
    return {"clientCertificateData": parts.pem("client-certificate"), "clientKeyData": parts.pem("client-key")}


def _socks(parts: Parts, user: str = "") -> str:
    return parts.proxy.replace("http://", f"socks5://{user}")


#: What is written, and the user whom the API server sees; "" where kubectl refuses.
KUBECONFIGS: dict[str, tuple[Callable[[Parts], Path | str], str]] = {
    "certificate as data": (lambda parts: parts.write(parts.user), ADMIN),
    "certificate in files": (_files, ADMIN),
    "certificate without its key": (
        lambda parts: parts.write({"client-certificate-data": parts.user["client-certificate-data"]}),
        "",
    ),
    "token": (lambda parts: parts.write({"token": parts.token}), ROBOT),
    "invalid token": (lambda parts: parts.write({"token": "abc"}), ""),
    "token file": (_token_file, ROBOT),
    "token file before token": (lambda parts: _token_file(parts, "abc"), ROBOT),
    "missing token file": (lambda parts: parts.write({"tokenFile": "none"}), ""),
    "password": (lambda parts: parts.write({"username": "jane", "password": "x"}), ""),
    "plugin with a token": (lambda parts: parts.write(parts.printing({"token": parts.token})), ROBOT),
    "plugin v1beta1": (lambda parts: parts.write(parts.printing({"token": parts.token}, _V1BETA1)), ROBOT),
    "plugin with a certificate": (lambda parts: parts.write(parts.printing(_certificate(parts))), ADMIN),
    "plugin beside the kubeconfig": (_relative, ROBOT),
    "plugin that needs its arguments": (_asked, ROBOT),
    "plugin that is missing": (lambda parts: parts.write({"exec": {"apiVersion": _V1BETA1, "command": "none"}}), ""),
    "plugin that fails": (lambda parts: parts.write(parts.plugin("echo expired >&2; exit 1")), ""),
    "plugin that prints something else": (lambda parts: parts.write(parts.plugin("echo hello")), ""),
    "plugin of another version": (
        lambda parts: parts.write(parts.printing({"token": parts.token}, _V1BETA1, asked=_V1)),
        "",
    ),
    "plugin without a credential": (lambda parts: parts.write(parts.printing({})), ""),
    "token before plugin": (lambda parts: parts.write({"token": parts.token, **parts.plugin("exit 1")}), ROBOT),
    "removed auth-provider": (lambda parts: parts.write({"auth-provider": {"name": "gcp"}}), ""),
    "user that does not exist": (lambda parts: parts.write(None), ""),
    "no authority": (lambda parts: parts.write(parts.user, **{"certificate-authority-data": None}), ""),
    "insecure": (
        lambda parts: parts.write(
            {"token": parts.token}, **{"certificate-authority-data": None, "insecure-skip-tls-verify": True}
        ),
        ROBOT,
    ),
    "insecure with an authority": (lambda parts: parts.write(parts.user, **{"insecure-skip-tls-verify": True}), ""),
    "tls-server-name": (lambda parts: parts.write(parts.user, **{"tls-server-name": "kubernetes"}), ADMIN),
    "wrong tls-server-name": (lambda parts: parts.write(parts.user, **{"tls-server-name": "example.com"}), ""),
    "proxy": (lambda parts: parts.write({"token": parts.token}, **{"proxy-url": parts.proxy}), ROBOT),
    "socks proxy": (lambda parts: parts.write({"token": parts.token}, **{"proxy-url": _socks(parts)}), ROBOT),
    "socks proxy with a password": (
        lambda parts: parts.write({"token": parts.token}, **{"proxy-url": _socks(parts, "me:secret@")}),
        ROBOT,
    ),
    "unknown kind of proxy": (
        lambda parts: parts.write({"token": parts.token}, **{"proxy-url": "ftp://me:secret@127.0.0.1:9"}),
        "",
    ),
    "dead socks proxy": (
        lambda parts: parts.write({"token": parts.token}, **{"proxy-url": "socks5://me:secret@127.0.0.1:9"}),
        "",
    ),
    "dead proxy": (lambda parts: parts.write({"token": parts.token}, **{"proxy-url": "http://127.0.0.1:9"}), ""),
    "impersonation": (lambda parts: parts.write({**parts.user, "as": "dora"}), "dora"),
    "several files": (_split, ROBOT),
    "current context in a file of its own": (_other_context, ROBOT),
    "empty KUBECONFIG": (_at_home, ROBOT),
    "not YAML": (lambda parts: parts.file("config", "{"), ""),
}


@pytest.fixture(scope="module")
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that understands CONNECT and SOCKS5, and what it was asked for."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, asked), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked


def _accept(listener: socket.socket, asked: list[str]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_tunnel, args=(client, asked), daemon=True).start()


def _tunnel(client: socket.socket, asked: list[str]) -> None:
    with client:
        first = client.recv(65536)
        if first.startswith(b"\x05"):
            method, target, answer = "SOCKS5", _socks_target(client, first), b"\x05\x00\x00\x01" + bytes(6)
        else:
            method, target, *_ = first.decode().split()
            answer = b"HTTP/1.1 200 OK\r\n\r\n"
        asked.append(f"{method} {target}")
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            client.sendall(answer)
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    piece = ready.recv(65536)
                    if not piece:
                        return
                    (server if ready is client else client).sendall(piece)


def _socks_target(client: socket.socket, greeting: bytes) -> str:
    """Return where a client of SOCKS5 (RFC 1928, 1929) wants to go; a user signs in as `me` with `secret`."""
    with_password = 2 in greeting[2 : 2 + greeting[1]]
    client.sendall(b"\x05\x02" if with_password else b"\x05\x00")
    if with_password:
        assert client.recv(65536) == b"\x01\x02me\x06secret"
        client.sendall(b"\x01\x00")
    request = client.recv(65536)
    end = 8 if request[3] == 1 else 5 + request[4]
    host = ".".join(map(str, request[4:end])) if request[3] == 1 else request[5:end].decode()
    return f"{host}:{int.from_bytes(request[end : end + 2], 'big')}"


@pytest.fixture(scope="module")
def token(control_plane: Cluster) -> str:
    """A token of the service account `robot`."""
    manifest = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "default"}}
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    return control_plane.kubectl("create", "token", "robot", "--namespace=default").strip()


@pytest.fixture
def parts(control_plane: Cluster, token: str, proxy: tuple[str, list[str]], tmp_path: Path) -> Parts:
    config = json.loads(control_plane.kubectl("config", "view", "--raw", "--minify", "--flatten", "-ojson"))
    admin = control_plane.kubectl("auth", "whoami", "-ojsonpath={.status.userInfo.username}")
    return Parts(tmp_path, config["clusters"][0]["cluster"], token, config["users"][0]["user"], admin, proxy[0])


def _kubectl(*argv: str, environment: dict[str, str]) -> str:
    """Return what kubectl answers with an environment, "" if it refuses."""
    done = subprocess.run([str(fetched.kubectl()), *argv], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.mark.parametrize("case", KUBECONFIGS)
def test_users_match_those_of_kubectl(case: str, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    write, expected = KUBECONFIGS[case]
    monkeypatch.setenv("HOME", str(parts.folder))
    monkeypatch.setenv("KUBECONFIG", str(write(parts)))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    who, where = "{.status.userInfo.username}", "{.contexts[0].context.namespace}"
    user = _kubectl("auth", "whoami", f"-ojsonpath={who}", environment=dict(os.environ))
    assert user == (parts.admin if expected is ADMIN else expected)
    try:
        kube = Kube()
        ours = kube.whoami()
    except AssayError:
        ours = ""
    assert ours == user
    if user:
        view = ("config", "view", "--minify", f"-ojsonpath={where}")
        assert kube.namespace == (_kubectl(*view, environment=dict(os.environ)) or "default")


@pytest.mark.parametrize("proxy_url", ["ftp://me:secret@127.0.0.1:9", "socks5://me:secret@127.0.0.1:9"])
def test_the_password_of_a_proxy_is_not_shown(parts: Parts, proxy_url: str) -> None:
    config = parts.write({"token": parts.token}, **{"proxy-url": proxy_url})
    answer = run_process("runs", environment={"KUBECONFIG": str(config)})
    assert (bool(answer.code), "secret" in answer.out + answer.err) == (True, False)
    assert "cannot use the proxy ftp://127.0.0.1:9" in answer.err or "cannot reach the API server" in answer.err


def test_a_proxy_is_used(parts: Parts, proxy: tuple[str, list[str]]) -> None:
    before = len(proxy[1])
    assert Kube(str(parts.write({"token": parts.token}, **{"proxy-url": parts.proxy}))).whoami() == ROBOT
    assert proxy[1][before:] == [f"CONNECT {parts.cluster['server'].removeprefix('https://')}"]


def test_a_failing_plugin_is_named_with_what_it_printed(parts: Parts) -> None:
    config = parts.write(parts.plugin("echo your session has expired >&2; exit 7"))
    answer = run_process("runs", environment={"KUBECONFIG": str(config)})
    assert answer.code == 4
    assert "bin/login' of the kubeconfig failed: exit code 7: your session has expired" in answer.err
    missing = parts.write({"exec": {"apiVersion": _V1, "command": "no-such-login", "interactiveMode": "Never"}})
    answer = run_process("runs", environment={"KUBECONFIG": str(missing)})
    assert (answer.code, "'no-such-login' of the kubeconfig failed: No such file" in answer.err) == (4, True)


def test_options_work_before_the_command(governed: Cluster, namespace: str) -> None:
    governed.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(registry.run("mine")))
    config = str(governed.kubeconfig)
    before = run_process("--kubeconfig", config, "-n", namespace, "runs", "-ojson", environment={})
    after = run_process("runs", "-ojson", "--kubeconfig", config, "-n", namespace, environment={})
    assert [each["name"] for each in before.json()["items"]] == ["mine"]
    assert before.out == after.out
    assert run_process("-n", namespace, "audit", "list", environment={"KUBECONFIG": config}).code == 2  # no store there
