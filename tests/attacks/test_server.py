"""Attacks on the web application, and by way of it: it has rights of its own that nobody may borrow."""

import html
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from assay.kube.bearer import ApiServer
from assay.kube.sync import Kube
from assay.server.app import Parts, create
from assay.server.entrance.sealing import COOKIE, Seal
from assay.server.entrance.session import SessionEntrance
from assay.server.index.feed import Feed
from assay.server.index.objects import KINDS, ObjectFeed, ObjectsOfIndex
from assay.server.index.runs import RunsOfIndex
from assay.server.rights import Rights
from assay.server.state import State
from assay.server.streams import streams
from assay.store import archive, layout
from tests import registry
from tests.attackers import Outcome, Realm, stopped
from tests.cli.stand_in import StandIn
from tests.cluster import store as stores
from tests.cluster.waiting import wait_for

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

HOST = "assay.example.com"
GROUP = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Site:
    """The application with an index of the whole cluster, and people's tokens by name."""

    client: TestClient
    seal: Seal
    tokens: dict[str, str]

    def get(self, path: str, person: str = "", **headers: str) -> Outcome:
        """Ask as a person, or as nobody."""
        signed = {"Authorization": f"Bearer {self.tokens[person]}"} if person else {}
        return outcome(self.client.get(path, headers={**signed, **headers}))


def outcome(answer: Any) -> Outcome:
    """What programs see, or people: pages escape what they quote."""
    return Outcome(answer.status_code < 400, html.unescape(answer.text).replace('\\"', '"'))


@pytest.fixture(scope="module")
def site(realm: Realm) -> Iterator[Site]:
    """Petra may read the namespace and write Secrets in it; Otto may do nothing."""
    rules = [
        {"apiGroups": ["assay.dev"], "resources": ["*"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create"]},
    ]
    role = {"apiVersion": f"{GROUP}/v1", "kind": "Role", "metadata": {"name": "petra"}, "rules": rules}
    subject = {"kind": "ServiceAccount", "name": "petra", "namespace": realm.namespace}
    reference = {"apiGroup": GROUP, "kind": "Role", "name": "petra"}
    binding = {"apiVersion": f"{GROUP}/v1", "kind": "RoleBinding", "metadata": {"name": "petra"}}
    for name in ("petra", "otto"):
        realm.admin("create", "serviceaccount", name)
    realm.admin("create", "-f", "-", stdin=role)
    realm.admin("create", "-f", "-", stdin=binding | {"roleRef": reference, "subjects": [subject]})
    tokens = {name: realm.admin("create", "token", name).strip() for name in ("petra", "otto")}
    kubeconfig, seal = str(realm.cluster.kubeconfig), Seal(b"s" * 32)
    feed = Feed(Kube(kubeconfig))
    feed.start()
    wait_for("the index to be complete", lambda: feed.synced, seconds=60, saw=lambda: feed.problem)
    store = realm.cluster.store.endpoint
    entrance = SessionEntrance(ApiServer(kubeconfig), seal, stores=frozenset({store}))
    others = {kind: ObjectFeed(Kube(kubeconfig), kind) for kind in KINDS}
    for each in others.values():
        each.start()
    wait_for("the index of others to be complete", lambda: all(each.synced for each in others.values()), seconds=60)
    rights = Rights()
    lists = ObjectsOfIndex({kind: lambda _, each=each: each for kind, each in others.items()}, rights)  # type: ignore[misc]
    parts = Parts(entrance, {HOST}, State(RunsOfIndex(lambda _: feed, rights), lists))
    with TestClient(create(parts), base_url=f"https://{HOST}") as client:
        yield Site(client, seal, tokens)
    for each in (feed, *others.values()):
        each.stop()


def test_w01_another_sites_page_writes_with_the_session_of_its_visitor(site: Site) -> None:
    cookies, _ = site.seal.close(site.tokens["petra"])
    session = "; ".join(f"{name}={value}" for name, value in cookies.items())
    headers = {"Cookie": session, "Sec-Fetch-Site": "cross-site"}
    stopped("W01", outcome(site.client.post("/sign-out", headers=headers)))
    headers["Sec-Fetch-Site"] = "same-origin"
    assert site.client.post("/sign-out", headers=headers, follow_redirects=False).status_code == 303


def test_w02_rebind_a_name_to_the_servers_address(site: Site) -> None:
    stopped("W02", site.get("/api/v1/me", "petra", Host="evil.example"))


def test_w03_plant_a_session(site: Site) -> None:
    foreign, _ = Seal(b"o" * 32).close(site.tokens["petra"])
    stopped("W03", site.get("/api/v1/me", Cookie=f"{COOKIE}={foreign[COOKIE]}"))


def test_w04_claim_an_identity_in_a_proxy_header(site: Site) -> None:
    names = {"X-Forwarded-User": "petra", "X-Remote-User": "petra", "X-Forwarded-Access-Token": site.tokens["petra"]}
    stopped("W04", site.get("/api/v1/me", **names))


def test_w05_send_two_tokens(site: Site) -> None:
    headers = [("Authorization", f"Bearer {site.tokens[name]}") for name in ("petra", "otto")]
    stopped("W05", outcome(site.client.get("/api/v1/me", headers=headers)))


def test_w06_impersonate_through_the_server(site: Site, realm: Realm) -> None:
    found = site.get("/api/v1/me", "otto", **{"Impersonate-User": "admin", "Impersonate-Group": "system:masters"})
    assert json.loads(found.said)["user"] == f"system:serviceaccount:{realm.namespace}:otto"


def test_w07_climb_from_a_namespace_to_another_kind(site: Site) -> None:
    stopped("W07", site.get("/api/v1/namespaces/%2e%2e/models", "petra"))
    assert not site.get("/api/v1/namespaces/x%2fsecrets%3f/models", "petra").done


def test_w08_make_the_server_connect_to_a_chosen_address(site: Site, realm: Realm) -> None:
    keys = {"endpoint": "http://169.254.169.254", "accessKey": "a", "secretKey": "b"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "assay-store"}, "stringData": keys}
    realm.admin("create", "-f", "-", stdin=secret)
    try:
        stopped("W08", site.get(f"/api/v1/namespaces/{realm.namespace}/audit", "petra"))
    finally:
        realm.admin("delete", "secret", "assay-store")


def test_w09_read_another_namespaces_curves(site: Site, realm: Realm) -> None:
    stopped("W09", site.get(f"/api/v1/namespaces/{realm.other}/curves?run=r-1", "petra"))


def test_w10_read_runs_from_the_index_without_the_right_to_list(site: Site, realm: Realm) -> None:
    stopped("W10", site.get(f"/api/v1/namespaces/{realm.namespace}/runs", "otto"))
    assert site.get(f"/api/v1/namespaces/{realm.namespace}/runs", "petra").done
    for kind, path in (("experiments", "experiments"), ("modelversions", "models"), ("modelaliases", "aliases")):
        refused = site.get(f"/api/v1/namespaces/{realm.namespace}/{path}", "otto")
        assert (refused.done, f'cannot list resource "{kind}"' in refused.said) == (False, True)
        found = site.get(f"/api/v1/namespaces/{realm.namespace}/{path}", "petra")
        assert (found.done, '"source":"index"' in found.said) == (True, True)


def test_w11_read_secrets_with_the_servers_rights(site: Site, realm: Realm) -> None:
    stopped("W11", site.get(f"/api/v1/namespaces/{realm.namespace}/audit", "otto"))


def test_w12_watch_another_namespaces_runs(site: Site, realm: Realm) -> None:
    stopped("W12", site.get(f"/api/v1/namespaces/{realm.other}/events/runs", "petra", **{"Last-Event-ID": "runs=1"}))


def test_w13_open_streams_until_nobody_else_gets_one(site: Site, realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_OF_ONE", 0)
    stopped("W13", site.get(f"/api/v1/namespaces/{realm.namespace}/events/runs", "petra"))


# Artifacts, which training code writes and other people look at

POD = "files-x"
SCRIPT = "<script>alert(1)</script>"
NAMED = '<img src=x onerror=alert(1)>";filename=x.html'
#: By name: whether a browser may show the file when it asks for that, and as what.
ARTIFACTS = {"page.html": "", "image.svg": "", "image.png": "", "page.txt": "text/plain; charset=utf-8", NAMED: ""}


def test_w24_read_archived_runs_from_memory(site: Site, realm: Realm) -> None:
    """The keys in the Secret are of a reader of this namespace first, then of one of another."""
    path = f"/api/v1/namespaces/{realm.namespace}/runs?archived=1&where=name=='w24'"
    store = StandIn(realm.cluster, realm.namespace).store
    body = registry.run("w24")
    body["metadata"] |= {"namespace": realm.namespace, "uid": "w24"}
    prefix = layout.prefix_of(body)
    store.put_bytes(f"{prefix}/{layout.MANIFEST}", b"{}")
    archive.write_archived(store, prefix, body)
    with _store_keys(realm, realm.namespace):
        found = site.get(path, "petra")
        assert (found.done, json.loads(found.said)["total"]) == (True, 1)
    with _store_keys(realm, realm.other):
        stopped("W24", site.get(path, "petra"))
    assert not site.get(path, "petra").done, "there are no keys at all"


@contextmanager
def _store_keys(realm: Realm, namespace: str) -> Iterator[None]:
    """The Secret of the realm's namespace, with the keys of a reader of a namespace."""
    reader = stores.create_reader(realm.cluster.store, namespace, secrets.token_urlsafe(24))
    keys = {"endpoint": reader.endpoint, "bucket": reader.bucket}
    keys |= {"accessKey": reader.access_key, "secretKey": reader.secret_key}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "assay-store"}, "stringData": keys}
    realm.admin("create", "-f", "-", stdin=secret)
    try:
        yield
    finally:
        realm.admin("delete", "secret", "assay-store")


@pytest.fixture(scope="module")
def artifacts(site: Site, realm: Realm) -> Iterator[str]:
    """The page of a run whose artifacts attack their readers. Petra may read the namespace's part of the store."""
    objects = StandIn(realm.cluster, realm.namespace)
    run = objects.run("files", {"phase": "Failed", "attempts": [{"pod": POD, "phase": "Failed"}]})
    for name in ARTIFACTS:
        objects.store.put_bytes(f"{objects.prefix(run)}/intake/{POD}/artifacts/{name}", SCRIPT.encode())
    reader = stores.create_reader(realm.cluster.store, realm.namespace, secrets.token_urlsafe(24))
    keys = {"endpoint": reader.endpoint, "bucket": reader.bucket}
    keys |= {"accessKey": reader.access_key, "secretKey": reader.secret_key}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "assay-store"}, "stringData": keys}
    realm.admin("create", "-f", "-", stdin=secret)
    yield f"/n/{realm.namespace}/runs/files"
    realm.admin("delete", "secret", "assay-store")


def test_w14_have_a_browser_run_an_artifact(site: Site, artifacts: str) -> None:
    signed = {"Authorization": f"Bearer {site.tokens['petra']}"}
    for name, kind in ARTIFACTS.items():
        for inline in ("", "?inline=1"):
            path = f"{artifacts}/files/intake/{POD}/artifacts/{quote(name, safe='')}{inline}"
            found = site.client.get(path, headers=signed)
            assert (found.status_code, found.text) == (200, SCRIPT), path
            # A sandbox without allow-scripts and allow-same-origin: no script, and no origin to act from.
            assert found.headers["content-security-policy"] == "sandbox; default-src 'none'"
            assert found.headers["x-content-type-options"] == "nosniff"
            shown = kind if inline else ""
            assert found.headers["content-type"] == (shown or "application/octet-stream"), path
            assert found.headers["content-disposition"].startswith("inline;" if shown else "attachment;"), path


def test_w15_break_out_of_a_page_or_a_header_with_a_name(site: Site, artifacts: str) -> None:
    signed = {"Authorization": f"Bearer {site.tokens['petra']}"}
    for path in ("", *(f"/show/intake/{POD}/artifacts/{quote(name, safe='')}" for name in ARTIFACTS)):
        page = site.client.get(artifacts + path, headers=signed)
        assert page.status_code == 200, path
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
    file = site.client.get(f"{artifacts}/files/intake/{POD}/artifacts/{quote(NAMED, safe='')}", headers=signed)
    assert file.headers["content-disposition"] == f"attachment; filename*=UTF-8''{quote(NAMED, safe='')}"


@pytest.mark.parametrize("what", ["files", "show"])
def test_w16_climb_out_of_a_runs_files(site: Site, artifacts: str, what: str) -> None:
    stopped("W16", site.get(f"{artifacts}/{what}/..%2F..%2Frun.json", "petra"))
    for path in ("%2Fetc%2Fpasswd", "intake%2F..%2F..%2Frun.json", f"intake/{POD}/artifacts%2F..%2Fmetrics"):
        assert not site.get(f"{artifacts}/{what}/{path}", "petra").done


@pytest.mark.parametrize("what", ["files", "show"])
def test_w17_read_an_artifact_of_another_namespace(site: Site, realm: Realm, artifacts: str, what: str) -> None:
    path = f"runs/files/{what}/intake/{POD}/artifacts/page.txt"
    stopped("W17", site.get(f"/n/{realm.other}/{path}", "petra"))
    # The record of another namespace lies beside this one in the store.
    assert not site.get(f"/n/{realm.namespace}/runs/..%2F..%2F{realm.other}%2F_%2Ffiles/{what}/page.txt", "petra").done


def test_w23_search_the_runs_of_all_namespaces(site: Site, realm: Realm) -> None:
    for namespace in (realm.namespace, realm.other):
        manifest = registry.run("w23", parameters={f"secret-of-{namespace}": 1})
        manifest["metadata"]["namespace"] = namespace
        manifest = registry.owned(realm.cluster, manifest, ())
        created = realm.cluster.kubectl(f"--namespace={namespace}", "create", "-f", "-", stdin=json.dumps(manifest))
        assert "created" in created
    stopped("W23", site.get("/api/v1/runs", "otto"))
    here = site.get("/api/v1/runs?fresh=now&where=name=='w23'", "petra")
    found = json.loads(here.said.replace('\\"', '"'))
    assert (found["total"], found["names"]["keys"]["parameters"]) == (1, [f"secret-of-{realm.namespace}"])
    assert realm.other not in here.said
    unknown = site.get(f"/api/v1/runs?where=params['secret-of-{realm.other}'] == 1", "petra")
    assert not unknown.done
    assert f"known names: secret-of-{realm.namespace}" in unknown.said or "known names" not in unknown.said
