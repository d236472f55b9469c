"""People sign in at an OpenID provider, through oauth2-proxy, as docs/server.md says: all of it is real.

The API server checks their ID tokens, so what they see and write is decided there, under their names.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from lxml import html
from starlette.applications import Starlette

from assay.kube.bearer import ApiServer
from assay.server.app import Parts, create
from assay.server.entrance.sealing import Seal
from assay.server.entrance.session import SessionEntrance
from tests import oidc, registry
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.oidc import Browser, Person, Provider, Proxy
from tests.operators import OperatorProcess
from tests.server.conftest import Team
from tests.serving import served

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
ANN = Person("ann@example.com", ("scientists", "everybody"))
RITA = Person("rita@example.com", ("approvers", "everybody"))
WALTER = Person("walter@example.com", ("release-managers",))
GUEST = Person("guest@example.com")
#: Their ID tokens end before their sessions at the provider and at the proxy.
BRIEF = Person("brief@example.com", ("scientists",), seconds=4)
#: The roles of the team's namespace that the groups have.
ROLES = {"scientists": "dora", "approvers": "rita", "release-managers": "walter"}
ALIAS = "models/digits/aliases/champion"
#: The other header of the page that can have the token, and headers with which some proxies name people.
HEADER = "X-Forwarded-Access-Token"
IDENTITIES = {
    "X-Forwarded-User": RITA.email, "X-Forwarded-Email": RITA.email, "X-Auth-Request-User": RITA.email,
    "X-Remote-User": RITA.user, "Impersonate-User": RITA.user,
}  # fmt: skip
REFUSED = "the API server does not accept your token"


@dataclass(frozen=True)
class World:
    """The team's application behind the proxy. ``upstream`` is its own address, which only the proxy should know."""

    team: Team
    provider: Provider
    proxy: Proxy
    upstream: str

    def page(self, path: str) -> str:
        """Return the address of a page of the team."""
        return f"{self.proxy.address}/n/{self.team.namespace}/{path}"

    def signed_in(self, person: Person) -> Browser:
        """Return the browser of a person who has signed in."""
        browser = self.provider.browser()
        assert browser.sign_in(self.page("runs"), person).status_code in (200, 403)
        return browser

    def user(self, browser: Browser) -> str:
        """Return who a browser's user is for the API server, or the problem."""
        answer = browser.get(f"{self.proxy.address}/api/v1/me")
        return str(answer.json()["user"]) if answer.is_success else f"{answer.status_code} {answer.text}"


@pytest.fixture(scope="module")
def world(local_cluster: LocalCluster, team: Team, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("oidc")
    _fill(team)  # before the operator starts: it leaves a run alone that has ended
    with ExitStack() as life:
        life.enter_context(OperatorProcess(local_cluster, folder / "operator.log"))
        provider = life.enter_context(Provider(local_cluster, folder, ANN, RITA, WALTER, GUEST, BRIEF))
        upstream = life.enter_context(served(_application(local_cluster)))
        proxy = life.enter_context(Proxy(provider, upstream, folder))
        yield World(team, provider, proxy, upstream)


def _application(cluster: LocalCluster, header: str = "authorization") -> Starlette:
    entrance = SessionEntrance(
        ApiServer(str(cluster.kubeconfig)),
        Seal(b"s" * 32),
        header,
        stores=frozenset({cluster.store.endpoint}),
        sign_out=oidc.chart_values()["server"]["signOut"],
    )
    return create(Parts(entrance, hosts={"127.0.0.1"}))


def _fill(team: Team) -> None:
    """A run, two versions with bytes, a policy that asks for an approval, and rights for the provider's groups."""
    objects = team.objects
    objects.run("digits-1", {"phase": "Succeeded"}, parameters={"depth": 3})
    for number in (1, 2):
        key, data = f"runs/{team.namespace}/_/r/u{number}/given/model.bin", b"v%d" % number
        objects.store.put_bytes(key, data)
        artifact = {"uri": f"s3://assay/{key}", "digest": f"sha256:{hashlib.sha256(data).hexdigest()}"}
        manifest = registry.model_version("digits", number, namespace=team.namespace, owner="dora", artifact=artifact)
        objects.create(manifest)
    objects.create(registry.model_alias("digits", "champion", 1))
    kind = {"apiVersion": "assay.dev/v1alpha1", "kind": "PromotionPolicy"}
    evidence = {"artifactVerified": True, "provenanceVerified": False}
    policy = {"match": {"aliases": ["champion"]}, "approvals": {"required": 1}, "evidence": evidence}
    objects.create(kind | {"metadata": {"name": "one-approval"}, "spec": policy})
    for group, role in ROLES.items():
        objects.kubectl("create", "rolebinding", f"oidc-{group}", f"--role={role}", f"--group=oidc:{group}")


def test_a_scientist_signs_in_and_sees_the_runs(world: World) -> None:
    ann = world.provider.browser()
    page = ann.sign_in(world.page("runs"), ANN)
    assert (page.status_code, str(page.url)) == (200, world.page("runs"))
    assert f"Signed in as {ANN.user}" in html.fromstring(page.text).text_content()
    assert "digits-1" in page.text
    found = ann.get(f"{world.proxy.address}/api/v1/me").json()
    assert found["user"] == ANN.user
    assert {"oidc:scientists", "oidc:everybody", "system:authenticated"} == set(found["groups"])
    runs = ann.get(f"{world.proxy.address}/api/v1/namespaces/{world.team.namespace}/runs").json()
    assert [each["name"] for each in runs["items"]] == ["digits-1"]


def test_a_login_without_the_password_is_refused(world: World) -> None:
    stranger = world.provider.browser()
    answer = stranger.sign_in(world.page("runs"), Person(ANN.email, account=ANN.account))
    assert (answer.status_code, answer.text.strip()) == (403, "wrong password")
    assert stranger.get(f"{world.proxy.address}/api/v1/me").status_code == 401


def test_a_guest_sees_nothing_and_the_reason(world: World) -> None:
    guest = world.signed_in(GUEST)
    page = guest.page(world.page("runs"))
    assert page.status_code == 403
    text = html.fromstring(page.text).text_content()
    assert f'User "{GUEST.user}" cannot list resource "runs"' in text
    assert "docs/personas.md" in text
    assert "digits-1" not in page.text
    answer = guest.get(f"{world.proxy.address}/api/v1/namespaces/{world.team.namespace}/runs")
    assert answer.status_code == 403
    assert GUEST.user in answer.json()["error"]["message"]


def test_the_gate_accepts_an_approval_and_a_promotion_under_the_names_of_the_provider(world: World) -> None:
    """The operator checks the approver's right by the groups that the provider gave her."""
    _wait(world, "modelversion", "digits.v2", "phase", "Ready")
    rita, walter, ann = (world.signed_in(person) for person in (RITA, WALTER, ANN))
    assert "may not bind" in rita.page(world.page(f"{ALIAS}?version=2")).text
    assert not html.fromstring(ann.page(world.page(ALIAS)).text).xpath("//form[contains(@action, '/approve')]")
    why = f"{world.proxy.address}/api/v1/namespaces/{world.team.namespace}/models/digits/aliases/champion/why"
    assert ann.get(why, params={"version": 2}).json()["met"] is False

    assert "The approval was written" in _decide(world, rita, "approve")
    version = _get(world, "modelversion", "digits.v2")
    annotations = version["metadata"]["annotations"]
    (approval,) = (text for key, text in annotations.items() if key.startswith("champion.approval.assay.dev/"))
    first, second, *_ = approval.splitlines()
    assert first == f"{version['spec']['artifact']['digest']} {RITA.user}"
    assert set(second.removeprefix("groups: ").split(",")) == {"oidc:approvers", "oidc:everybody"}
    assert ann.get(why, params={"version": 2}).json()["met"] is True, "the policy counts her approval"

    assert "was requested" in _decide(world, walter, "promote")
    alias = _wait(world, "modelalias", "digits.champion", "boundVersion", 2)
    assert alias["metadata"]["annotations"]["assay.dev/moved-by"] == WALTER.user
    trail = ann.get(f"{world.proxy.address}/api/v1/namespaces/{world.team.namespace}/audit").text
    assert RITA.user in trail
    assert WALTER.user in trail


def _get(world: World, kind: str, name: str) -> Raw:
    found: Raw = json.loads(world.team.objects.kubectl("get", kind, name, "-o", "json"))
    return found


def _wait(world: World, kind: str, name: str, field: str, value: object) -> Raw:
    """Wait until the operator has given a field of a status a value."""

    def there() -> bool:
        return bool(_get(world, kind, name)["status"].get(field) == value)

    wait_for(f"{field} {value} of {name}", there, every=0.3, saw=lambda: _get(world, kind, name))
    return _get(world, kind, name)


def _decide(world: World, browser: Browser, verb: str) -> str:
    """Fill in the form of a version's approval or promotion, confirm it, and return what the page says then."""
    page = browser.page(world.page(f"{ALIAS}?version=2"))
    for _ in range(2):
        assert page.status_code == 200, page.text
        (form,) = html.fromstring(page.text).xpath(f"//form[contains(@action, '/{verb}')]")
        page = browser.submit(str(page.url.join(form.get("action"))), dict(form.form_values()))
    return str(html.fromstring(page.text).text_content())


def test_a_program_can_send_its_own_id_token(world: World) -> None:
    program = world.provider.browser()
    program.headers["Authorization"] = f"Bearer {world.provider.id_token(ANN)}"
    assert world.user(program) == ANN.user
    program.headers["Authorization"] = f"Bearer {world.team.tokens['dora']}"
    assert world.user(program).startswith("401"), "a token that is not the provider's does not pass the proxy"


@pytest.fixture(scope="module")
def renamed(world: World, local_cluster: LocalCluster) -> Iterator[str]:
    """The address of the same application, for a proxy that passes the token in another header."""
    with served(_application(local_cluster, HEADER)) as address:
        yield address


def test_the_proxy_can_pass_the_token_in_another_header(world: World, renamed: str, tmp_path: Path) -> None:
    """The proxy replaces what the client sends in that header, so nobody is somebody else by what they send."""
    with Proxy(world.provider, renamed, tmp_path, token_header=HEADER) as proxy:
        me = f"{proxy.address}/api/v1/me"
        ann = world.provider.browser()
        assert ann.sign_in(f"{proxy.address}/n/{world.team.namespace}/runs", ANN).status_code == 200
        assert ann.get(me).json()["user"] == ANN.user
        for smuggled in ({HEADER: world.provider.id_token(RITA)}, {HEADER: "abc"}, IDENTITIES):
            assert ann.get(me, headers=smuggled).json()["user"] == ANN.user
            stranger = world.provider.browser().get(me, headers=smuggled)
            assert stranger.status_code == 401, "a token in that header does not pass the proxy"
        page = html.fromstring(ann.page(f"{proxy.address}/n/{world.team.namespace}/runs").text)
        assert f"Signed in as {ANN.user}" in page.text_content()


def test_an_access_token_is_no_id_token(world: World, renamed: str, tmp_path: Path) -> None:
    """What --pass-access-token passes says nothing about groups and email: the API server refuses it."""
    with Proxy(world.provider, renamed, tmp_path, pass_access_token="") as proxy:
        ann = world.provider.browser()
        assert ann.sign_in(f"{proxy.address}/n/{world.team.namespace}/runs", ANN).status_code == 401
        answer = ann.get(f"{proxy.address}/api/v1/me")
        assert (answer.status_code, answer.json()["error"]["message"].startswith(REFUSED)) == (401, True)


def test_a_header_that_is_not_configured_is_nobodys(world: World) -> None:
    ann, token = world.signed_in(ANN), world.provider.id_token(RITA)
    assert ann.get(f"{world.proxy.address}/api/v1/me", headers={HEADER: token}).json()["user"] == ANN.user
    around = httpx.get(f"{world.upstream}/api/v1/me", headers={HEADER: token, **IDENTITIES})
    assert (around.status_code, "needs a token" in around.text) == (401, True)
    bearer = {"Authorization": f"Bearer {world.provider.id_token(ANN)}", HEADER: token, **IDENTITIES}
    assert httpx.get(f"{world.upstream}/api/v1/me", headers=bearer).json()["user"] == ANN.user


def test_around_the_proxy_a_token_is_a_token_and_nothing_else_is(world: World, renamed: str) -> None:
    """Whoever reaches the server itself is whom their token names, in the one header that counts."""
    ann, rita = (world.provider.id_token(person) for person in (ANN, RITA))

    def me(*headers: tuple[str, str]) -> tuple[int, str]:
        answer = httpx.get(f"{renamed}/api/v1/me", headers=list(headers))
        return answer.status_code, answer.json().get("user", "")

    assert me((HEADER, ann)) == me((HEADER, f"Bearer {ann}")) == (200, ANN.user)
    assert me((HEADER, ann), ("Authorization", f"Bearer {rita}"), *IDENTITIES.items()) == (200, ANN.user)
    assert me((HEADER, ann), (HEADER, rita)) == (401, "")
    assert me(("Authorization", f"Bearer {rita}")) == (401, "")
    assert me(*IDENTITIES.items()) == (401, "")
    head, body, signature = ann.split(".")
    forged = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))) | {"email": RITA.email}
    claims = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    assert me((HEADER, f"{head}.{claims}.{signature}")) == (401, "")
    assert me((HEADER, world.provider.id_token(RITA, oidc.OTHER_CLIENT))) == (401, "")


def test_signing_out_ends_the_session(world: World) -> None:
    ann = world.signed_in(ANN)
    copied = world.provider.browser()
    copied.cookies.update(ann.cookies)
    (link,) = html.fromstring(ann.page(world.page("runs")).text).xpath("//a[text()='Sign out']/@href")
    left = ann.page(f"{world.proxy.address}{link}")
    assert "/oauth2/start" in left.text, "the proxy shows its page, and does not sign in again by itself"
    assert world.user(ann).startswith("401")
    assert "digits-1" not in ann.page(world.page("runs")).text
    assert world.user(copied) == ANN.user, "as the page says of --cookie-expire"
    # The provider still knows her.
    again = ann.sign_in(world.page("runs"), ANN)
    assert "digits-1" in again.text
    assert "password" not in "".join(str(each.url) for each in again.history)


def test_an_expired_token_is_renewed_or_refused_with_the_way_out(world: World, tmp_path: Path) -> None:
    """The proxy does not look at the end of a token: it renews it in time, or passes it on for as long as it has it."""
    with Proxy(world.provider, world.upstream, tmp_path, cookie_refresh="1s") as renewing:
        kept = world.provider.browser()
        kept.sign_in(f"{renewing.address}/n/{world.team.namespace}/runs", BRIEF)
        stale = world.signed_in(BRIEF)
        assert world.user(stale) == BRIEF.user
        wait_for("the API server to refuse the token", lambda: world.user(stale).startswith("401"), every=0.5)
        assert kept.get(f"{renewing.address}/api/v1/me").json()["user"] == BRIEF.user
    assert "grant: refresh_token" in world.provider.log
    error = stale.get(f"{world.proxy.address}/api/v1/me").json()["error"]
    assert error["message"].startswith(REFUSED)
    assert "sign in again" in error["hint"]
    page = stale.page(world.page("runs"))
    assert page.status_code == 401
    assert REFUSED in page.text
    (link,) = html.fromstring(page.text).xpath("//a[@class='button']/@href")
    assert "/oauth2/start" in stale.page(f"{world.proxy.address}{link}").text
