"""The server in front of a real API server and store, and people with tokens of their own.

    as_user("dora").get("/api/v1/me")     a client of the application that sends Dora's token

The pages' tests use the same fixtures.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from assay.kube.bearer import ApiServer
from assay.server.app import Parts, create
from assay.server.entrance.bearer import BearerEntrance
from tests import registry
from tests.cli.stand_in import StandIn
from tests.cluster import store
from tests.conftest import Cluster
from tests.serving import served

Raw = dict[str, object]

_READ = {"apiGroups": ["assay.dev"], "resources": ["*"], "verbs": ["get", "list", "watch"]}
_KEYS = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["assay-store"], "verbs": ["get"]}
_LAUNCH = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}
_MAKE = {"apiGroups": ["assay.dev"], "resources": ["runs", "experiments"], "verbs": ["create", "patch", "delete"]}
_VERSIONS = {"apiGroups": ["assay.dev"], "resources": ["modelversions"], "verbs": ["patch"]}
_ALIASES = {"apiGroups": ["assay.dev"], "resources": ["modelaliases"], "verbs": ["create", "patch"]}


def _verbs(*verbs: str) -> dict[str, list[str]]:
    return {"apiGroups": ["assay.dev"], "resources": ["aliases"], "verbs": list(verbs)}


#: What each person may do in the team's namespace. Nobody may do anything anywhere.
RULES: dict[str, list[dict[str, list[str]]]] = {
    "dora": [_READ, _KEYS, _LAUNCH, _MAKE],
    "rita": [_READ, _KEYS, _VERSIONS, _verbs("approve")],
    "walter": [_READ, _KEYS, _ALIASES, _verbs("bind", "rollback")],
    "keyless": [_READ],
    "nobody": [],
}


@dataclass(frozen=True)
class Team:
    """One namespace with people. ``tokens`` are by name; a person's user name is that of their service account."""

    cluster: Cluster
    namespace: str
    tokens: dict[str, str]

    @property
    def objects(self) -> StandIn:
        """What makes objects as the operator would."""
        return StandIn(self.cluster, self.namespace)

    def user(self, person: str) -> str:
        """The name of a person in the cluster."""
        return f"system:serviceaccount:{self.namespace}:{person}"

    def add_reader_of_all(self, person: str) -> None:
        """Add a person who may list and get runs in the whole cluster, and nothing else."""
        role = f"{self.namespace}-{person}"
        account = f"--serviceaccount={self.namespace}:{person}"
        self.objects.kubectl("create", "serviceaccount", person)
        self.objects.kubectl("create", "clusterrole", role, "--verb=list,get", "--resource=runs.assay.dev")
        self.objects.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", account)
        self.tokens[person] = self.objects.kubectl("create", "token", person).strip()


@pytest.fixture(scope="session")
def governed(control_plane: Cluster) -> Cluster:
    """A cluster with the kinds and the admission policies in force, and no operator."""
    registry.install_policies(control_plane)
    return control_plane


@pytest.fixture(scope="module")
def team(governed: Cluster) -> Iterator[Team]:
    """A namespace with people, and a Secret with a key that reads the namespace's part of the store."""
    name = f"team-{secrets.token_hex(4)}"
    governed.create_namespace(name)
    _apply(governed, name, [manifest for person in RULES for manifest in _person(name, person)])
    with ThreadPoolExecutor() as clients:
        tokens = clients.map(lambda each: governed.kubectl("-n", name, "create", "token", each, "--duration=6h"), RULES)
        found = Team(governed, name, dict(zip(RULES, map(str.strip, tokens), strict=True)))
    found.objects.store.ensure_bucket()
    reader = store.create_reader(governed.store, name, secrets.token_urlsafe(24))
    keys = {"endpoint": reader.endpoint, "bucket": reader.bucket}
    keys |= {"accessKey": reader.access_key, "secretKey": reader.secret_key}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "assay-store"}, "stringData": keys}
    _apply(governed, name, [secret])
    yield found
    governed.delete_namespace(name)


@pytest.fixture(scope="module")
def app(governed: Cluster) -> Starlette:
    """The application of the Deployment, without an index."""
    entrance = BearerEntrance(ApiServer(str(governed.kubeconfig)), stores=frozenset({governed.store.endpoint}))
    return create(Parts(entrance))


@pytest.fixture(scope="module")
def as_user(app: Starlette, team: Team) -> Iterator[Callable[[str], TestClient]]:
    """A client of the application for each person."""
    clients: dict[str, TestClient] = {}

    def client(person: str) -> TestClient:
        if person not in clients:
            headers = {"Authorization": f"Bearer {team.tokens[person]}"}
            clients[person] = TestClient(app, base_url="http://127.0.0.1", headers=headers)
        return clients[person]

    yield client
    for each in clients.values():
        each.close()


@dataclass
class Site:
    """The server on a port of its own."""

    address: str
    namespace: str

    def page(self, path: str) -> str:
        """Return the address of a page of the team's namespace."""
        return f"{self.address}/n/{self.namespace}/{path}"


@pytest.fixture(scope="module")
def site(app: Starlette, team: Team) -> Iterator[Site]:
    with served(app) as address:
        yield Site(address, team.namespace)


def _person(namespace: str, person: str) -> Iterator[Raw]:
    """Yield a service account and its role."""
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": person}}
    group = "rbac.authorization.k8s.io"
    if rules := RULES[person]:
        yield {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": person}, "rules": rules}
        subject = {"kind": "ServiceAccount", "name": person, "namespace": namespace}
        reference = {"apiGroup": group, "kind": "Role", "name": person}
        binding: Raw = {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": {"name": person}}
        yield binding | {"roleRef": reference, "subjects": [subject]}


def _apply(cluster: Cluster, namespace: str, manifests: list[Raw]) -> None:
    """Create objects with one client process: it takes longer than what it asks for."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    cluster.kubectl(f"--namespace={namespace}", "apply", "--filename=-", stdin=text)
