"""Attacks on the way from an OpenID provider to the web application: the proxy, its headers, and the ID tokens."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from assay.kube.bearer import ApiServer
from assay.server.app import Parts, create
from assay.server.entrance.bearer import BearerEntrance
from tests.attackers import Outcome, Realm, stopped
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.oidc import OTHER_CLIENT, Browser, Person, Provider, Proxy
from tests.serving import served

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

ANN = Person("ann@example.com", ("admins",))
MALLORY = Person("mallory@example.com")
#: Mallory wrote Ann's address into a profile of her own, and the provider did not ask Ann.
PRETENDER = Person("ann@example.com", ("admins",), verified=False)
BRIEF = Person("brief@example.com", seconds=1)


@dataclass(frozen=True)
class Entrance:
    """The application, with and without the proxy in front."""

    provider: Provider
    proxy: Proxy
    direct: str

    def signed_in(self, person: Person) -> Browser:
        """Return the browser of a person who has signed in."""
        browser = self.provider.browser()
        browser.sign_in(self.proxy.address, person)
        return browser

    def send(self, token: str) -> Outcome:
        """Send a token to the application itself."""
        return outcome(httpx.get(f"{self.direct}/api/v1/me", headers={"Authorization": f"Bearer {token}"}))


def outcome(answer: httpx.Response) -> Outcome:
    return Outcome(answer.is_success, answer.text)


@pytest.fixture(scope="module")
def entrance(local_cluster: LocalCluster, realm: Realm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrance]:
    folder = tmp_path_factory.mktemp("sign-in")
    app = create(Parts(BearerEntrance(ApiServer(str(realm.cluster.kubeconfig)))))
    with ExitStack() as life:
        provider = life.enter_context(Provider(local_cluster, folder, ANN, MALLORY, PRETENDER, BRIEF))
        direct = life.enter_context(served(app))
        yield Entrance(provider, life.enter_context(Proxy(provider, direct, folder)), direct)


def test_w18_name_somebody_else_past_the_proxy(entrance: Entrance, realm: Realm) -> None:
    mallory = entrance.signed_in(MALLORY)
    foreign = realm.admin("create", "token", "default").strip()
    smuggled = {
        "Authorization": f"Bearer {foreign}",
        "X-Forwarded-User": ANN.user,
        "X-Forwarded-Email": ANN.email,
        "X-Forwarded-Groups": "admins",
        "X-Forwarded-Access-Token": foreign,
        "Impersonate-User": ANN.user,
    }
    answer = mallory.get(f"{entrance.proxy.address}/api/v1/me", headers=smuggled)
    assert answer.json()["user"] == MALLORY.user
    assert "oidc:admins" not in answer.json()["groups"]
    stranger = entrance.provider.browser().get(f"{entrance.proxy.address}/api/v1/me", headers=smuggled)
    assert stranger.status_code == 401


def test_w19_change_or_forge_an_id_token(entrance: Entrance) -> None:
    genuine = entrance.provider.id_token(MALLORY)
    assert entrance.send(genuine).done
    header, claims, signature = genuine.split(".")
    changed = _encoded({**_decoded(claims), "email": ANN.email, "groups": list(ANN.groups)})
    stopped("W19", entrance.send(f"{header}.{changed}.{signature}"))
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signed = own.sign(f"{header}.{changed}".encode(), padding.PKCS1v15(), hashes.SHA256())
    stopped("W19", entrance.send(f"{header}.{changed}.{_text(signed)}"))
    none = _encoded({**_decoded(header), "alg": "none"})
    stopped("W19", entrance.send(f"{none}.{changed}.{signature}"))


def test_w20_claim_an_email_address_that_nobody_verified(entrance: Entrance) -> None:
    pretender = entrance.signed_in(PRETENDER)
    stopped("W20", outcome(pretender.get(f"{entrance.proxy.address}/api/v1/me")))


def test_w21_use_an_id_token_of_another_application(entrance: Entrance) -> None:
    stopped("W21", entrance.send(entrance.provider.id_token(ANN, OTHER_CLIENT)))


def test_w22_use_an_id_token_after_its_end(entrance: Entrance) -> None:
    token = entrance.provider.id_token(BRIEF)
    end = _decoded(token.split(".")[1])["exp"]
    wait_for("the end of the token", lambda: time.time() > end)
    stopped("W22", entrance.send(token))


def _decoded(part: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def _encoded(values: dict[str, object]) -> str:
    return _text(json.dumps(values).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
