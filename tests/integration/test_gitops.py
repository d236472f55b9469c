"""Argo CD's rights as the example gives them, and what its actions write, on a real API server without Argo CD.

tests/gitops has a real one.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api import names
from assay.controllers.runtime import statuses
from tests import operators, registry
from tests.argocd import lua
from tests.argocd.checkout import TRACKING
from tests.argocd.customizations import Customization
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.integration.test_registry import Models, open_policy
from tests.objects import run

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
GITOPS = Path(__file__).resolve().parents[2] / "examples/gitops"
ALIAS = "digits.champion"
ARGO_CD = """\
apiVersion: v1
kind: Namespace
metadata: {name: argocd}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: argocd-application-controller, namespace: argocd}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: argocd-server, namespace: argocd}
---
# Of the ClusterRole that Argo CD brings for its API server, what actions write with.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: argocd-server}
rules:
- {apiGroups: ["*"], resources: ["*"], verbs: [delete, get, patch]}
- {apiGroups: [batch], resources: [jobs], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: argocd-server}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: argocd-server}
subjects: [{kind: ServiceAccount, name: argocd-server, namespace: argocd}]
"""
#: Who runs actions.
SERVER = "system:serviceaccount:argocd:argocd-server"


@pytest.fixture(scope="module")
def operator(
    control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    control_plane.kubectl("apply", "-f", "-", stdin=ARGO_CD)
    with registry.operator(control_plane, tmp_path_factory) as process:
        yield process


@pytest.fixture
def models(control_plane: LocalCluster, operator: operators.OperatorProcess, namespace: str) -> Models:
    """A namespace with two versions of digits, both good enough."""
    assert operator.running, operator.tail()
    models = Models(control_plane, namespace)
    models.store.ensure_bucket()
    for version, accuracy in ((1, 0.95), (2, 0.97)):
        provenance = {"metrics": {"val_accuracy": {"last": accuracy}}}
        models.registered("digits", version, b"v%d" % version, provenance=provenance)
    return models


@dataclass(frozen=True)
class Controller:
    """Argo CD's application controller, with its own token and with no rights but those of rbac.yaml."""

    cluster: LocalCluster
    namespace: str
    kubeconfig: Path

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl(f"--kubeconfig={self.kubeconfig}", "-n", self.namespace, *argv, stdin=stdin)

    @property
    def as_account(self) -> str:
        """What has kubectl write as the account of the AppProject."""
        return f"--as=system:serviceaccount:{self.namespace}:assay-deployer"


@pytest.fixture
def controller(models: Models) -> Controller:
    cluster, namespace = models.cluster, models.namespace
    cluster.kubectl("apply", "-f", "-", stdin=(GITOPS / "rbac.yaml").read_text().replace("ml-prod", namespace))
    return Controller(cluster, namespace, cluster.token_kubeconfig("argocd", "argocd-application-controller"))


@pytest.mark.parametrize("impersonating", [True, False], ids=["account", "controller"])
def test_argo_cd_can_only_move_its_own_alias(controller: Controller, impersonating: bool) -> None:
    argo_cd = controller
    who = [argo_cd.as_account] if impersonating else []
    may = {verb: _can_i(argo_cd, verb, *who) for verb in ("bind", "approve", "rollback", "revoke")}
    assert may == {"bind": True, "approve": False, "rollback": False, "revoke": False}
    with pytest.raises(ClusterError, match=r"may not move digits\.shadow: this requires the verb bind"):
        argo_cd.kubectl(
            "create", *who, "--validate=false", "-f", "-", stdin=json.dumps(registry.model_alias("digits", "shadow", 1))
        )
    approval = "champion.approval.assay.dev/1=sha256:… argocd"
    with pytest.raises(ClusterError, match="forbidden"):
        argo_cd.kubectl("annotate", *who, "modelversion", "digits.v1", approval)


def test_argo_cd_can_impersonate_only_its_service_account(controller: Controller, models: Models) -> None:
    argo_cd = controller
    said = argo_cd.kubectl("auth", "whoami", argo_cd.as_account, "--output=jsonpath={.status.userInfo.username}")
    assert said == f"system:serviceaccount:{models.namespace}:assay-deployer"
    for other in (registry.OPERATOR, f"system:serviceaccount:{models.namespace}:default", "rita"):
        with pytest.raises(ClusterError, match="cannot impersonate"):
            argo_cd.kubectl("get", "modelaliases", f"--as={other}")


def _can_i(argo_cd: Controller, verb: str, *who: str) -> bool:
    """Ask the API server: `kubectl auth can-i` forgets the group of a resource that exists as no objects."""
    asked = {"group": names.GROUP, "resource": names.VIRTUAL_ALIASES, "name": ALIAS, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**asked, "namespace": argo_cd.namespace}},
    }
    said = argo_cd.kubectl(
        "create", *who, "--validate=false", "--filename=-", "--output=json", stdin=json.dumps(review)
    )
    return bool(json.loads(said)["status"]["allowed"])


class Server:
    """Argo CD's API server, which writes what an action returns."""

    def __init__(self, models: Models) -> None:
        self._models = models
        token = models.cluster.token_kubeconfig("argocd", "argocd-server")
        self._argv = (f"--kubeconfig={token}", "-n", models.namespace)

    def may(self, name: str) -> None:
        """Give it one of the Roles of the page."""
        role = next(each for each in page_roles() if each["metadata"]["name"] == name)
        role["metadata"]["namespace"] = self._models.namespace
        self._models.kubectl("apply", "-f", "-", stdin=json.dumps(role))
        binding = ("create", "rolebinding", name, f"--role={name}", "--serviceaccount=argocd:argocd-server")
        self._models.kubectl(*binding)

    def act(self, kind: str, name: str, action: str) -> Raw:
        """Change an object as an action does, by a merge patch of what it changes, and return the object."""
        live = self._models.get(kind, name)
        changed = lua.act(Customization(live["kind"]).actions[action], live)
        patch = json.dumps(statuses.difference(live, changed))
        return self._done("patch", kind, name, "--type=merge", f"--patch={patch}")

    def create(self, kind: str, name: str, action: str) -> Raw:
        """Create what an action makes of an object, and return it; first as a dry run, as Argo CD does."""
        live = self._models.get(kind, name)
        (made,) = lua.create(Customization(live["kind"]).actions[action], live)
        self._done("create", "--validate=false", "--filename=-", "--dry-run=server", stdin=json.dumps(made))
        return self._done("create", "--validate=false", "--filename=-", stdin=json.dumps(made))

    def _done(self, *argv: str, stdin: str | None = None) -> Raw:
        said = self._models.cluster.kubectl(*self._argv, *argv, "--output=json", stdin=stdin)
        found: Raw = json.loads(said)
        return found


def page_roles() -> list[Raw]:
    """Return the Roles that docs/gitops.md shows."""
    blocks = re.findall(r"```yaml\n(.*?)```", (GITOPS.parents[1] / "docs/gitops.md").read_text(), re.DOTALL)
    return [body for block in blocks if "kind: Role" in block for body in yaml.safe_load_all(block)]


def test_an_action_reruns_a_run(models: Models) -> None:
    server = Server(models)
    models.kubectl("apply", "-f", "-", stdin=json.dumps(tried("first")))
    models.wait("job", "first", "to be launched", lambda o: o["metadata"]["uid"])
    with pytest.raises(lua.ScriptError, match="run first has not finished"):
        server.create("run", "first", "rerun")
    image = "registry.example.com/train@sha256:" + "7" * 64
    ended = {"phase": "Succeeded", "images": [{"container": "train", "image": "train:1", "digest": image}]}
    patch = json.dumps({"status": ended})
    models.kubectl(
        "patch", "run", "first", "--subresource=status", "--type=merge", f"-p={patch}", *registry.AS_OPERATOR
    )

    with pytest.raises(ClusterError, match=r'cannot create resource "runs"'):
        server.create("run", "first", "rerun")
    server.may("argocd-reruns")
    rerun = server.create("run", "first", "rerun")
    assert rerun["metadata"]["name"].startswith("first-rerun-")
    assert rerun["spec"]["owner"] == SERVER
    assert (
        rerun["spec"]["rerunOf"].items()
        >= {"name": "first", "uid": models.get("run", "first")["metadata"]["uid"]}.items()
    )
    job = models.wait("job", rerun["metadata"]["name"], "to be launched", lambda o: o["metadata"]["uid"])
    pod = job["spec"]["template"]["spec"]
    assert [each["image"] for each in pod["containers"]] == [image]
    assert next(each for each in pod["volumes"] if each["name"] == "scratch")["emptyDir"] == {}


def tried(name: str) -> Raw:
    """Return a Run whose pod no node takes, with a volume that is empty in every sense."""
    body = run(name, "pass")
    pod = body["spec"]["job"]["template"]["spec"]
    pod |= {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}, "volumes": [{"name": "scratch", "emptyDir": {}}]}
    return body


def test_an_action_rolls_an_alias_back_for_users_with_the_rollback_verb(models: Models) -> None:
    server = Server(models)
    models.apply(open_policy())
    models.apply(registry.model_alias("digits", "champion", 1))
    models.bound(ALIAS, 1)
    models.want(ALIAS, 2)
    models.bound(ALIAS, 2)
    with pytest.raises(
        ClusterError, match=f"{SERVER} may not roll digits.champion back: this requires the verb rollback"
    ):
        server.act("modelalias", ALIAS, "rollback")
    server.may("argocd-rollbacks")
    server.act("modelalias", ALIAS, "rollback")
    said = f"rolled back from v2 to v1 by {SERVER}: asked for in Argo CD"
    found = models.alias(ALIAS, "Suspended", lambda o: _health(o) == {"status": "Suspended", "message": said})
    assert [(each["version"], each["actor"]) for each in found["status"]["history"]][-1] == (1, SERVER)
    assert lua.actions(Customization(names.MODEL_ALIAS).discovery, found)["rollback"]["disabled"] is True


def test_children_of_an_experiment_in_git_carry_no_tracking_marks(models: Models) -> None:
    tracked = {
        "annotations": {TRACKING: "x:assay.dev/Experiment:x/sweep"},
        "labels": {"app.kubernetes.io/instance": "x"},
    }
    parameters = [{"name": "lr", "values": [0.1, 0.2]}]
    git = registry.experiment("sweep", parameters=parameters)
    git["metadata"] |= tracked
    models.apply(git)
    run = models.wait("run", "sweep-0", "its health", lambda o: _health(o)["status"] == "Progressing")
    job = models.wait("job", "sweep-0", "to be there", lambda o: o["metadata"]["ownerReferences"])
    for child, owner in ((run, names.EXPERIMENT), (job, names.RUN)):
        metadata = child["metadata"]
        assert [each["kind"] for each in metadata["ownerReferences"] if each["controller"]] == [owner]
        marks = [*metadata.get("annotations", {}), *metadata.get("labels", {})]
        assert [mark for mark in marks if mark.startswith(names.TRACKING_PREFIXES)] == []


def _health(body: Raw) -> Raw:
    return lua.health(Customization(body["kind"]).health, body)
