"""Hosts, other sites, headers, and the ways in: what is refused before any route runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from assay.kube.bearer import ApiServer
from assay.kube.sync import Kube
from assay.server.app import OPERATIONS, Parts, create
from assay.server.entrance.bearer import BearerEntrance
from assay.server.entrance.entrance import Entrance
from assay.server.entrance.local import LocalEntrance
from assay.server.guard.guard import LOOPBACK
from assay.server.person import person_of

pytestmark = pytest.mark.unit

PORT = 8123
CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority-data": ""}}],
    "users": [{"name": "u", "user": {"token": "the-servers-own", "as": "somebody"}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
    "current-context": "x",
}


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """A kubeconfig of an API server that does not answer."""
    path = tmp_path / "config"
    path.write_text(json.dumps(CONFIG))
    return str(path)


def who(request: Request) -> Response:
    person = person_of(request)
    sent = person.kube._headers | {"Authorization": person.kube._login.identity().authorization}
    return PlainTextResponse(json.dumps(dict(sent)))


def broken(request: Request) -> Response:
    raise RuntimeError("secret of the process")


MORE = (Route("/who", who, methods=["GET", "POST"]), Route("/broken", broken))


def client(entrance: Entrance, *, host: str = f"127.0.0.1:{PORT}", hosts: Any = LOOPBACK) -> TestClient:
    return TestClient(create(Parts(entrance, hosts, more=MORE)), base_url=f"http://{host}")


@pytest.fixture
def bearer(kubeconfig: str) -> TestClient:
    return client(BearerEntrance(ApiServer(kubeconfig)))


@pytest.fixture
def local(kubeconfig: str) -> tuple[LocalEntrance, list[str]]:
    renewed: list[str] = []
    return LocalEntrance(Kube(kubeconfig), "team", PORT, renewed.append), renewed


TOKEN = {"Authorization": "Bearer abc.def-_~+/=="}


# Who it is


def test_a_request_is_made_with_the_users_token_alone(bearer: TestClient) -> None:
    """Neither the token nor the `as` of the server's own kubeconfig is part of it."""
    assert bearer.get("/who", headers=TOKEN).json() == TOKEN


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer a b"},
        {"Authorization": "Bearer a\tImpersonate-User: admin"},
        {"Authorization": "Bearer " + "a" * 20_000},
        {"X-Forwarded-User": "admin", "X-Remote-User": "admin", "Kubeflow-Userid": "admin"},
        {"Cookie": "assay-ui-8123=guess"},
    ],
    ids=["none", "basic", "empty", "two words", "smuggled header", "too long", "a proxy's user", "a cookie"],
)
@pytest.mark.parametrize("path", ["/who", "/api/v1/me", "/api/v1/namespaces/team/runs", "/elsewhere"])
def test_requests_without_a_token_are_refused(bearer: TestClient, headers: dict[str, str], path: str) -> None:
    answer = bearer.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["hint"] or answer.json()["error"]["message"]


def test_impersonation_is_not_passed_on(bearer: TestClient) -> None:
    headers = {**TOKEN, "Impersonate-User": "admin", "Impersonate-Group": "system:masters"}
    assert bearer.get("/who", headers=headers).json() == TOKEN


def test_a_proxy_can_name_another_header(kubeconfig: str) -> None:
    proxied = client(BearerEntrance(ApiServer(kubeconfig), "X-Forwarded-Access-Token"))
    assert proxied.get("/who", headers={"X-Forwarded-Access-Token": "abc"}).json() == {"Authorization": "Bearer abc"}
    assert proxied.get("/who", headers=TOKEN).status_code == 401
    twice = [("X-Forwarded-Access-Token", "abc"), ("X-Forwarded-Access-Token", "def")]
    assert proxied.get("/who", headers=twice).status_code == 401


def test_the_local_secret_is_used_once(local: tuple[LocalEntrance, list[str]]) -> None:
    entrance, renewed = local
    first = entrance.path
    browser, other = client(entrance), client(entrance)
    assert browser.get("/who").status_code == 401
    answer = browser.get(first)
    assert (answer.status_code, renewed) == (200, [entrance.path])
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.get("/who").status_code == 200
    assert other.get(first).status_code == 403
    assert other.get("/who").status_code == 401
    assert browser.get(first).status_code == 200, "whoever is in already is led on"
    assert other.get(renewed[0]).status_code == 200


def test_a_session_cannot_be_fixed(local: tuple[LocalEntrance, list[str]]) -> None:
    """A cookie that somebody else planted is worth nothing, and is replaced."""
    entrance, _ = local
    victim = client(entrance)
    victim.cookies.set(f"assay-ui-{PORT}", "planted", domain="127.0.0.1")
    assert victim.get("/who").status_code == 401
    answer = victim.get(entrance.path)
    assert "planted" not in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("asked", "led"),
    [("/runs?x=1", "/runs?x=1"), ("https://evil.example", "/"), ("//evil.example", "/"), ("/\\evil.example", "/")],
)
def test_the_entrance_redirects_only_within_the_site(
    local: tuple[LocalEntrance, list[str]], asked: str, led: str
) -> None:
    answer = client(local[0]).get(local[0].path, params={"next": asked})
    assert f'content="0;url={led}"' in answer.text


# From where


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8123", "127.0.0.1.evil.example", "localhost.evil:1", ""]
)
def test_other_hosts_are_refused(local: tuple[LocalEntrance, list[str]], host: str) -> None:
    answer = client(local[0]).get(local[0].path, headers={"Host": host})
    assert answer.status_code == 421
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8123", "127.0.0.1:8123", "[::1]:8123", "[::1]"])
def test_names_of_this_machine_are_fine(bearer: TestClient, host: str) -> None:
    assert bearer.get("/who", headers={**TOKEN, "Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": f"http://127.0.0.1:{PORT}"}, 403),
        ({"Origin": f"http://127.0.0.1:{PORT}"}, 200),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
    ],
    ids=str,
)
def test_writes_come_from_our_own_pages(bearer: TestClient, headers: dict[str, str], status: int) -> None:
    assert bearer.post("/who", headers={**TOKEN, **headers}).status_code == status
    assert bearer.get("/who", headers={**TOKEN, **headers}).status_code == 200


@pytest.mark.parametrize("name", ["Authorization", "Host", "Origin", "Sec-Fetch-Site", "Content-Length"])
def test_repeated_headers_are_refused(bearer: TestClient, name: str) -> None:
    """A proxy may have checked the first one, and this server would heed the second."""
    headers = [("Authorization", TOKEN["Authorization"]), (name, "one"), (name, "two")]
    assert bearer.get("/who", headers=headers).status_code == 400


# What is answered


@pytest.mark.parametrize("path", ["/who", "/livez", "/readyz", "/nowhere", "/broken", "/api/v1/openapi.json"])
def test_every_response_has_the_security_headers(bearer: TestClient, path: str) -> None:
    for headers in ({}, TOKEN, {**TOKEN, "Host": "evil.example"}):
        found = bearer.get(path, headers=headers).headers
        policy = found["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert found["x-content-type-options"] == "nosniff"
        assert found["cache-control"] == "no-store"
        assert found["cross-origin-resource-policy"] == "same-origin"


def test_internal_errors_reveal_no_details(bearer: TestClient) -> None:
    answer = bearer.get("/broken", headers=TOKEN)
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_an_unreachable_api_server_is_reported(bearer: TestClient) -> None:
    answer = bearer.get("/api/v1/me", headers=TOKEN)
    assert answer.status_code == 503
    assert "cannot reach the API server" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=no", "invalid query parameter limit"),
        ("limit=1&limit=2", "the query parameter limit is repeated"),
        ("lmit=1", "invalid query parameter lmit"),
        ("fresh=yesterday", "invalid query parameter fresh"),
    ],
)
def test_wrong_parameters_are_explained(bearer: TestClient, query: str, message: str) -> None:
    answer = bearer.get(f"/api/v1/namespaces/team/runs?{query}", headers=TOKEN)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize("namespace", ["..", "%2e%2e", "a%2f..%2fkube-system", "te%25am"])
def test_a_namespace_cannot_contain_path_traversal(bearer: TestClient, namespace: str) -> None:
    """Path traversal towards the API server: refused before anything is requested."""
    answer = bearer.get(f"/api/v1/namespaces/{namespace}/models", headers=TOKEN)
    assert answer.status_code == 404


def test_the_document_describes_every_operation(bearer: TestClient) -> None:
    found = bearer.get("/api/v1/openapi.json").json()
    assert found["openapi"] == "3.1.0"
    described = {(path, method) for path, methods in found["paths"].items() for method in methods}
    assert described == {("/api/v1" + each.path, each.method.lower()) for each in OPERATIONS}
    text = json.dumps(found)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in found["components"]["schemas"]
