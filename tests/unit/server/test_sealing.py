"""Session cookies: sealed, split, and worth nothing when altered, expired or sealed elsewhere."""

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from assay.api.errors import PermissionDenied
from assay.kube.bearer import ApiServer, BearerKube
from assay.server.app import Parts, create
from assay.server.entrance.sealing import COOKIE, Seal, names
from assay.server.entrance.session import SessionEntrance

pytestmark = pytest.mark.unit

SEAL = Seal(b"k" * 32)
CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "x",
}


def jwt(seconds: float, padding: int = 0) -> str:
    """Return a token that expires in so many seconds."""
    body = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + seconds, "p": "x" * padding}).encode())
    return f"e30.{body.decode().rstrip('=')}.c2ln"


@given(st.text("abcXYZ019-._~+/", min_size=1, max_size=9000))
def test_tokens_round_trip(token: str) -> None:
    cookies, seconds = SEAL.close(token)
    assert SEAL.open(cookies) == token
    assert 0 < seconds <= 12 * 3600
    assert all(len(name) + len(value) < 4000 for name, value in cookies.items())
    assert not any(token[:200] in value for value in cookies.values() if len(token) > 20)


def test_a_cookie_lives_as_long_as_its_token() -> None:
    cookies, seconds = SEAL.close(jwt(60))
    assert 55 <= seconds <= 60
    assert SEAL.open(cookies)
    assert SEAL.open(cookies, now=time.time() + 61) == ""


@pytest.mark.parametrize("at", [0, 20, -1])
def test_an_altered_cookie_is_rejected(at: int) -> None:
    cookies, _ = SEAL.close(jwt(600))
    text = cookies[COOKIE]
    other = "A" if text[at] != "A" else "B"
    place = at % len(text)
    assert SEAL.open({COOKIE: text[:place] + other + text[place + 1 :]}) in ("",) or at == -1


def test_cookies_of_another_key_and_pieces_of_others_are_no_session() -> None:
    cookies, _ = SEAL.close(jwt(600, 6000))
    others, _ = SEAL.close(jwt(600, 6000))
    assert len(cookies) > 1
    assert Seal(b"o" * 32).open(cookies) == ""
    assert SEAL.open({**cookies, f"{COOKIE}-1": others[f"{COOKIE}-1"]}) == ""
    assert SEAL.open({COOKIE: cookies[COOKIE]}) == ""
    assert SEAL.open({COOKIE: "planted"}) == ""
    with pytest.raises(ValueError, match="too long"):
        SEAL.close("x" * 40_000)


@pytest.fixture
def client(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    path = f"{tmp_path}/config"
    with open(path, "w") as file:  # noqa: PTH123
        json.dump(CONFIG, file)

    def whoami(kube: BearerKube) -> str:
        if kube.token() != "good.token":
            raise PermissionDenied("unknown")
        return "nina"

    monkeypatch.setattr(BearerKube, "whoami", whoami)
    return TestClient(create(Parts(SessionEntrance(ApiServer(path), SEAL))), base_url="https://assay.example.com")


def test_a_pasted_token_becomes_a_session_that_ends(client: TestClient) -> None:
    assert client.get("/sign-in").status_code == 200
    refused = client.post("/sign-in", data={"token": "bad.token"}, follow_redirects=False)
    assert refused.status_code == 401
    assert "set-cookie" not in refused.headers
    assert "bad.token" not in refused.text
    answer = client.post("/sign-in", data={"token": "good.token"}, follow_redirects=False)
    assert answer.status_code == 303
    cookie = answer.headers.get_list("set-cookie")[-1].lower()
    for attribute in ("__host-assay=", "secure", "httponly", "samesite=strict", "path=/"):
        assert attribute in cookie or any(attribute in each.lower() for each in answer.headers.get_list("set-cookie"))
    assert "good.token" not in str(answer.headers)
    assert client.get("/nowhere").status_code == 404
    ended = client.post("/sign-out", follow_redirects=False)
    assert {each.split("=")[0] for each in ended.headers.get_list("set-cookie")} == set(names())
    assert client.get("/nowhere").status_code == 401


def test_another_site_cannot_sign_users_in(client: TestClient) -> None:
    """Login CSRF: a page that signs its visitor in as somebody else."""
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = client.post("/sign-in", data={"token": "good.token"}, headers=headers, follow_redirects=False)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_authorization_header_overrides_the_session(client: TestClient) -> None:
    client.post("/sign-in", data={"token": "good.token"}, follow_redirects=False)
    assert client.get("/nowhere", headers={"Authorization": "Basic x"}).status_code == 401
