"""People read what their namespace recorded with keys that the operator hands out: nobody makes any by hand."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from assay.api.objects import Raw
from assay.kube.bearer import ApiServer
from assay.kube.sync import Kube
from assay.queries import store_access
from assay.server.app import Parts, create
from assay.server.entrance.bearer import BearerEntrance
from assay.store.client import ObjectStore
from assay.store.errors import StoreDenied
from tests import operators, registry
from tests.cli.conftest import run
from tests.cli.stand_in import StandIn
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for

pytestmark = pytest.mark.integration

READ = {"apiGroups": ["assay.dev"], "resources": ["*"], "verbs": ["get", "list", "watch"]}
#: What the chart's roles give to everyone who may read runs.
KEYS = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["assay-read"], "verbs": ["get"]}
POINTS = [("loss", step, 1000.0 + step, 1.0 / (step + 1)) for step in range(5)]


@pytest.fixture(scope="module")
def operator(
    control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    with registry.operator(control_plane, tmp_path_factory, {"ASSAY_STORE_STS_SECONDS": "900"}) as process:
        yield process


class Team:
    """A namespace with a run that has points, and people: reader has the chart's rights, nora reads objects alone."""

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        self.cluster, self.namespace, self.objects = cluster, namespace, StandIn(cluster, namespace)
        manifest = registry.run("trained", owner="olga")
        manifest["spec"]["job"]["suspend"] = True
        self.objects.kubectl("create", "-f", "-", *registry.AS_OPERATOR, stdin=json.dumps(manifest))
        body = json.loads(self.objects.kubectl("get", "run.assay.dev", "trained", "-o", "json"))
        self.objects.streamed(body, "pod-1", [POINTS])
        self.kubeconfigs = {
            name: self._enrol(name, rules) for name, rules in {"reader": [READ, KEYS], "nora": [READ]}.items()
        }

    def _enrol(self, name: str, rules: list[Raw]) -> str:
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name},
            "rules": rules,
        }
        self.objects.kubectl("create", "serviceaccount", name)
        self.objects.kubectl("create", "-f", "-", stdin=json.dumps(role))
        account = f"--serviceaccount={self.namespace}:{name}"
        self.objects.kubectl("create", "rolebinding", name, f"--role={name}", account)
        return str(self.cluster.token_kubeconfig(self.namespace, name))

    def secret(self) -> Raw | None:
        """The Secret, as the administrator sees it."""
        found = self.objects.kubectl("get", "secret", "assay-read", "--ignore-not-found", "-o", "json")
        return json.loads(found) if found else None

    def address(self, name: str = "reader") -> store_access.StoreAddress:
        """What a person finds."""
        return store_access.from_secrets(Kube(self.kubeconfigs[name]), self.namespace)


@pytest.fixture(scope="module")
def teams(control_plane: LocalCluster, operator: operators.OperatorProcess) -> Iterator[list[Team]]:
    """Two namespaces."""
    names = ["readers-a", "readers-b"]
    for name in names:
        control_plane.create_namespace(name)
    found = [Team(control_plane, name) for name in names]
    for team in found:
        wait_for("the keys", lambda team=team: team.secret(), seconds=60, saw=operator.tail)
    yield found
    for name in names:
        control_plane.delete_namespace(name)


def test_the_command_line_reads_curves(teams: list[Team]) -> None:
    team = teams[0]
    argv = ("curves", "trained", "--metric", "loss", "-o", "json", "--namespace", team.namespace)
    found = run(*argv, environment={"KUBECONFIG": team.kubeconfigs["reader"]})
    assert found.code == 0, found.err
    assert "0.2" in found.out
    refused = run(*argv, environment={"KUBECONFIG": team.kubeconfigs["nora"]})
    assert 'cannot get resource "secrets"' in refused.err


def test_an_address_of_ones_own_is_used_with_those_keys(teams: list[Team], monkeypatch: pytest.MonkeyPatch) -> None:
    """The store may have another address for laptops than inside of the cluster."""
    kube, namespace = Kube(teams[0].kubeconfigs["reader"]), teams[0].namespace
    monkeypatch.setenv("ASSAY_STORE_ENDPOINT", "https://outside.example.com/")
    found = store_access.of_namespace(kube, namespace, own_machine=True)
    assert found.config.endpoint == "https://outside.example.com"
    assert found.config.session_token
    assert store_access.of_namespace(kube, namespace, own_machine=False) == teams[0].address()


def test_the_server_reads_curves_of_those_who_may(teams: list[Team]) -> None:
    team = teams[0]
    entrance = BearerEntrance(ApiServer(str(team.cluster.kubeconfig)), stores=frozenset({team.cluster.store.endpoint}))
    with TestClient(create(Parts(entrance)), base_url="http://127.0.0.1") as client:

        def ask(name: str) -> Any:
            headers = {"Authorization": f"Bearer {Kube(team.kubeconfigs[name]).token()}"}
            path = f"/api/v1/namespaces/{team.namespace}/curves?run=trained&metric=loss"
            return client.get(path, headers=headers)

        assert ask("reader").json()["items"][0]["points"] == len(POINTS)
        assert ask("nora").status_code == 403


def _list(store: ObjectStore, prefix: str) -> object:
    return list(store.list(prefix))


def _read(store: ObjectStore, prefix: str) -> object:
    return store.get_bytes(f"{prefix}there", 100)


def _write(store: ObjectStore, prefix: str) -> object:
    return store.put_bytes(f"{prefix}there", b"")


def _delete(store: ObjectStore, prefix: str) -> object:
    return store.delete(f"{prefix}there")


@pytest.mark.parametrize("folder", ["runs", "models", "audit"])
@pytest.mark.parametrize("do", [_list, _read, _write, _delete])
def test_the_keys_read_their_own_namespace_and_do_nothing_else(
    teams: list[Team], do: Callable[[ObjectStore, str], object], folder: str
) -> None:
    mine, other = teams
    store = ObjectStore(mine.address().config)
    own, foreign = f"{folder}/{mine.namespace}/", f"{folder}/{other.namespace}/"
    for prefix in (own, foreign):
        mine.objects.store.put_bytes(f"{prefix}there", b"")
    if do in (_list, _read):
        do(store, own)
    else:
        with pytest.raises(StoreDenied):
            do(store, own)
    for prefix in (foreign, f"{folder}/", "", f"{folder}/{mine.namespace}", f"{folder}/{mine.namespace}x/"):
        with pytest.raises(StoreDenied):
            do(store, prefix)


def test_a_new_operator_replaces_the_keys(teams: list[Team], operator: operators.OperatorProcess) -> None:
    """It does not read Secrets, so it cannot know the keys that are there."""
    before = teams[0].address()
    assert before.expires is not None
    operator.kill()
    operator.start().wait_ready()
    wait_for("new keys", lambda: teams[0].address() != before, seconds=60, saw=operator.tail)
    assert list(ObjectStore(before.config).list(f"runs/{teams[0].namespace}/")), (
        "the earlier keys are valid to their end"
    )
