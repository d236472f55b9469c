"""Who gets to see the token that kubelets are asked with: whom the cluster's CA vouches for, and nobody else."""

import base64
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from assay.controllers.tracking.kubelets import Kubelets, NoStats, url_of
from assay.kube.aio import Kube
from tests import operators
from tests.cluster.local import LocalCluster
from tests.cluster.pki import Pki

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
SUMMARY = {"pods": [{"podRef": {"uid": "u"}}]}


class Kubelet:
    """Something that answers where a node says that its kubelet is."""

    def __init__(
        self, pki: Pki, *addresses: str, status: int = 200, body: bytes = json.dumps(SUMMARY).encode()
    ) -> None:
        self.requests: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, self.headers.get("Authorization", "")))
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        pki.issue("serving", "system:node:decoy", addresses=addresses)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.certificate("serving"), pki.key("serving"))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    made = Pki(tmp_path / "pki")
    made.create_authority()
    return made


@pytest.fixture
def kubelet(pki: Pki) -> Iterator[Callable[..., Kubelet]]:
    made: list[Kubelet] = []

    def start(*addresses: str, **options: Any) -> Kubelet:
        made.append(Kubelet(options.pop("pki", pki), *(addresses or ("IP:127.0.0.1",)), **options))
        return made[-1]

    yield start
    for each in made:
        each.stop()


@pytest.fixture
def node(control_plane: LocalCluster, namespace: str) -> Iterator[Callable[[Kubelet], str]]:
    """Make a Node object whose kubelet is said to be the given one; its name."""
    operators.install(control_plane)
    name = f"decoy-{namespace}"

    def make(kubelet: Kubelet) -> str:
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": True}}
        control_plane.kubectl("create", "-f", "-", stdin=json.dumps(body))
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
        }
        patch = json.dumps({"status": status})
        control_plane.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p", patch)
        return name

    yield make
    control_plane.kubectl("delete", "node", name, "--ignore-not-found", "--wait=false")


@pytest.fixture
async def kubelets(control_plane: LocalCluster, pki: Pki) -> AsyncIterator[Callable[..., Kubelets]]:
    """Kubelets as the operator asks them, with its own rights; by default the test's own CA vouches for them."""
    operators.install(control_plane)
    kube = Kube(5)
    await kube.connect(str(control_plane.token_kubeconfig(operators.NAMESPACE, operators.SERVICE_ACCOUNT)))
    made: list[Kubelets] = []

    def make(ca_file: str = "") -> Kubelets:
        made.append(Kubelets(kube, operators.NAMESPACE, ca_file or str(pki.certificate("ca"))))
        return made[-1]

    yield make
    for each in made:
        await each.close()
    await kube.close()


Make = Callable[..., Kubelet]
Named = Callable[[Kubelet], str]
Ask = Callable[..., Kubelets]


async def test_kubelets_are_queried_with_a_restricted_account(kubelet: Make, node: Named, kubelets: Ask) -> None:
    server = kubelet()
    asking = kubelets()
    name = node(server)
    assert await asking.summary(name) == SUMMARY
    assert await asking.summary(name) == SUMMARY
    (path, authorization), (_, second) = server.requests
    assert path == "/stats/summary?only_cpu_and_memory=true"
    assert authorization == second, "a token for each question"
    payload = authorization.removeprefix("Bearer ").split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["sub"] == "system:serviceaccount:assay-system:assay-node-stats"
    assert claims["exp"] - claims["iat"] <= 3607


async def test_no_token_is_sent_to_a_kubelet_without_a_cluster_certificate(
    kubelet: Make, node: Named, kubelets: Ask, tmp_path: Path
) -> None:
    stranger = Pki(tmp_path / "stranger")
    stranger.create_authority()
    server = kubelet(pki=stranger)
    with pytest.raises(
        NoStats, match=r"node .*: the kubelet's certificate is not trusted: .*certificate verify failed"
    ):
        await kubelets().summary(node(server))
    assert server.requests == []


async def test_no_token_is_sent_to_a_kubelet_with_the_certificate_of_another_address(
    kubelet: Make, node: Named, kubelets: Ask
) -> None:
    server = kubelet("IP:127.0.0.9")
    with pytest.raises(NoStats, match=r"the kubelet's certificate is not trusted: .*IP address mismatch"):
        await kubelets().summary(node(server))
    assert server.requests == []


async def test_no_kubelet_is_queried_without_a_ca(kubelet: Make, node: Named, kubelets: Ask) -> None:
    server = kubelet()
    with pytest.raises(NoStats, match="the CA of the kubelets is unknown: set ASSAY_KUBELET_CA_FILE"):
        await kubelets("/does/not/exist").summary(node(server))
    assert server.requests == []


async def test_a_redirect_is_not_followed(kubelet: Make, node: Named, kubelets: Ask) -> None:
    server = kubelet(status=302)
    with pytest.raises(NoStats, match="the kubelet answers 302"):
        await kubelets().summary(node(server))
    assert [path for path, _ in server.requests] == ["/stats/summary?only_cpu_and_memory=true"]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b"Forbidden (user=x)\n", r"the kubelet answers 403: Forbidden \(user=x\)$"),
        (200, b"nonsense", "Expecting value"),
        (200, b" " * (33 << 20), "the kubelet answers with more than 33554432 bytes"),
    ],
)
async def test_unexpected_kubelet_answers_are_reported(
    kubelet: Make, node: Named, kubelets: Ask, status: int, body: bytes, said: str
) -> None:
    with pytest.raises(NoStats, match=said):
        await kubelets().summary(node(kubelet(status=status, body=body)))


async def test_a_deleted_node_is_reported(kubelets: Ask) -> None:
    with pytest.raises(NoStats, match="node no-such-node no longer exists"):
        await kubelets().summary("no-such-node")


@pytest.mark.parametrize(
    ("addresses", "url"),
    [
        ([("Hostname", "a"), ("InternalIP", "10.0.0.7"), ("InternalIP", "fd00::7")], "https://10.0.0.7:10250"),
        ([("InternalIP", "fd00::7")], "https://[fd00::7]:10250"),
        ([("Hostname", "a"), ("ExternalIP", "192.0.2.1")], "https://a:10250"),
    ],
)
def test_the_kubelet_url_uses_the_reported_address(addresses: list[tuple[str, str]], url: str) -> None:
    known = [{"type": kind, "address": address} for kind, address in addresses]
    status = {"addresses": known, "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}
    assert url_of({"metadata": {"name": "a"}, "status": status}) == url


def test_a_node_without_a_kubelet_address_is_reported() -> None:
    with pytest.raises(NoStats, match="node a reports no address and port of its kubelet"):
        url_of({"metadata": {"name": "a"}, "status": {"addresses": []}})
