"""Argo CD's part on a real API server: a promotion and its revert from Git, and no drift after any step."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api import names
from assay.controllers.runtime import statuses
from tests import operators, registry
from tests.argocd import diffing, lua
from tests.argocd.customizations import Customization
from tests.argocd.syncing import TRACKING, Application, Apply, Checkout, SyncFailed
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.integration.test_registry import Models, open_policy
from tests.objects import run

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
GITOPS = Path(__file__).resolve().parents[2] / "examples/gitops"
ALIAS, POLICY = "digits.champion", "digits-release"
WAYS = ("three-way", "server-side", "server-side with mutations")
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
V1, V2 = "version: 1\n  reason: the first one", "version: 2\n  reason: more of the night"


@pytest.fixture(scope="module")
def operator(
    control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    registry.install_policies(control_plane)
    control_plane.kubectl("apply", "-f", "-", stdin=ARGO_CD)
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    with operators.OperatorProcess(control_plane, log) as process:
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


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """The example's repository. Its policy trusts what versions say of themselves: no run has made those of a test."""
    checkout = Checkout(tmp_path / "models", GITOPS / "models")
    required = "approvals: {required: 2}"
    trusting = f"{required}\n  evidence: {{provenanceVerified: false}}"
    checkout.change("digits/prod/policy.yaml", required, trusting, "these versions come from elsewhere")
    return checkout


@pytest.fixture
def application(models: Models, checkout: Checkout) -> Callable[[Apply], Application]:
    """The example's Application, with Argo CD's rights as rbac.yaml gives them."""
    cluster, namespace = models.cluster, models.namespace
    cluster.kubectl("apply", "-f", "-", stdin=(GITOPS / "rbac.yaml").read_text().replace("ml-prod", namespace))
    token = cluster.token_kubeconfig("argocd", "argocd-application-controller")
    source = checkout.folder / "digits/prod"

    def make(apply_by: Apply) -> Application:
        return Application("digits-prod", cluster, namespace, token, "assay-deployer", source, apply_by)

    return make


def approved(models: Models, version: int) -> None:
    """Two people agree, outside of Git."""
    for user in ("rita", "rolf"):
        models.approve(f"digits.v{version}", "champion", user, user)


def is_live(version: int) -> Callable[[Raw], bool]:
    return lambda health: health == {"status": "Healthy", "message": f"v{version} is live"}


def waits_for_approvals(version: int) -> Callable[[Raw], bool]:
    said = f"v{version} is blocked: {POLICY}: needs 2 more approvals for champion: none is there"
    return lambda health: health == {"status": "Suspended", "message": said}


def moves(application: Application, models: Models, version: int) -> None:
    """Sync, and have the alias follow as soon as two people agree; Git and live are the same all the while."""
    application.sync()
    application.wait(names.MODEL_ALIAS, ALIAS, waits_for_approvals(version))
    assert application.drift() == {}
    approved(models, version)
    application.wait(names.MODEL_ALIAS, ALIAS, is_live(version))
    assert application.drift() == {}


@pytest.mark.parametrize("apply_by", ["server-side", "client-side"])
def test_a_promotion_and_its_revert_leave_no_drift(
    application: Callable[[Apply], Application], checkout: Checkout, models: Models, apply_by: Apply
) -> None:
    argo_cd = application(apply_by)
    moves(argo_cd, models, 1)
    assert argo_cd.health(names.PROMOTION_POLICY, POLICY) == {"status": "Healthy"}

    promotion = checkout.change("digits/prod/version.yaml", V1, V2, "digits: version 2")
    change = {"spec.version": (2, 1), "spec.reason": ("more of the night", "the first one")}
    seen = argo_cd.drift()
    assert set(seen) == {f"{way} {ALIAS}" for way in WAYS}
    assert seen[f"three-way {ALIAS}"] == seen[f"server-side {ALIAS}"] == change
    moves(argo_cd, models, 2)

    checkout.revert(promotion)
    assert argo_cd.drift()[f"server-side {ALIAS}"]["spec.version"] == (1, 2)
    argo_cd.sync()
    argo_cd.wait(names.MODEL_ALIAS, ALIAS, is_live(1))
    assert argo_cd.drift() == {}

    alias = argo_cd.live(names.MODEL_ALIAS, ALIAS)
    account = f"system:serviceaccount:{models.namespace}:assay-deployer"
    assert alias["metadata"]["annotations"][names.ANNOTATION_MOVED_BY] == account
    history = alias["status"]["history"]
    assert [(each["version"], each["actor"]) for each in history] == [(1, account), (2, account), (1, account)]


def test_a_rollback_is_no_drift_and_git_follows_it(
    application: Callable[[Apply], Application], checkout: Checkout, models: Models
) -> None:
    """In an emergency a person goes back first, in seconds; nothing that Argo CD does meanwhile undoes it."""
    argo_cd = application("server-side")
    moves(argo_cd, models, 1)
    promotion = checkout.change("digits/prod/version.yaml", V1, V2, "digits: version 2")
    moves(argo_cd, models, 2)

    models.roll_back(ALIAS, 1, "walter", "latency")
    rolled_back = {"status": "Suspended", "message": "rolled back from v2 to v1 by walter: latency"}
    argo_cd.wait(names.MODEL_ALIAS, ALIAS, lambda health: health == rolled_back)
    models.alias(
        ALIAS, "the wish to be cleared", lambda o: names.ANNOTATION_ROLLBACK not in o["metadata"]["annotations"]
    )
    assert argo_cd.drift() == {}
    argo_cd.sync()
    assert argo_cd.health(names.MODEL_ALIAS, ALIAS) == rolled_back

    checkout.revert(promotion)
    argo_cd.sync()
    argo_cd.wait(names.MODEL_ALIAS, ALIAS, is_live(1))
    assert argo_cd.drift() == {}
    history = argo_cd.live(names.MODEL_ALIAS, ALIAS)["status"]["history"]
    assert [(each["version"], each["actor"].rpartition(":")[2]) for each in history] == [
        (1, "assay-deployer"),
        (2, "assay-deployer"),
        (1, "walter"),
    ]


def test_a_policy_that_cannot_be_read_ends_the_sync_before_the_alias(
    application: Callable[[Apply], Application], checkout: Checkout, models: Models
) -> None:
    argo_cd = application("server-side")
    argo_cd.sync()
    checkout.change("digits/base/policy.yaml", ".last >= 0.9", ".last >=", "a slip")
    checkout.change("digits/prod/version.yaml", V1, V2, "digits: version 2")
    with pytest.raises(SyncFailed, match=f"PromotionPolicy {POLICY}: invalid policy; matching aliases"):
        argo_cd.sync()
    assert argo_cd.live(names.MODEL_ALIAS, ALIAS)["spec"]["version"] == 1


@pytest.mark.parametrize("impersonating", [True, False], ids=["account", "controller"])
def test_argo_cd_moves_its_alias_and_neither_another_one_nor_approves_nor_takes_back(
    application: Callable[[Apply], Application], models: Models, impersonating: bool
) -> None:
    argo_cd = application("server-side")
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


def test_argo_cd_is_its_account_and_no_other_one(application: Callable[[Apply], Application], models: Models) -> None:
    argo_cd = application("server-side")
    said = argo_cd.kubectl("auth", "whoami", argo_cd.as_account, "--output=jsonpath={.status.userInfo.username}")
    assert said == f"system:serviceaccount:{models.namespace}:assay-deployer"
    for other in (registry.OPERATOR, f"system:serviceaccount:{models.namespace}:default", "rita"):
        with pytest.raises(ClusterError, match="cannot impersonate"):
            argo_cd.kubectl("get", "modelaliases", f"--as={other}")


def _can_i(argo_cd: Application, verb: str, *who: str) -> bool:
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


def test_a_run_is_done_again_by_an_action(models: Models) -> None:
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


def test_an_alias_goes_back_by_an_action_of_whom_may_roll_it_back(models: Models) -> None:
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


def test_a_pause_by_an_action_is_no_drift_and_children_are_nobodys(models: Models) -> None:
    tracked = {
        "annotations": {TRACKING: "x:assay.dev/Experiment:x/sweep"},
        "labels": {"app.kubernetes.io/instance": "x"},
    }
    parameters = [{"name": "lr", "values": [0.1, 0.2]}]
    git = registry.experiment("sweep", parameters=parameters)
    git["metadata"] |= tracked
    _apply(models, git)
    run = models.wait("run", "sweep-0", "its health", lambda o: _health(o)["status"] == "Progressing")
    job = models.wait("job", "sweep-0", "to be there", lambda o: o["metadata"]["ownerReferences"])
    for child, owner in ((run, names.EXPERIMENT), (job, names.RUN)):
        metadata = child["metadata"]
        assert [each["kind"] for each in metadata["ownerReferences"] if each["controller"]] == [owner]
        marks = [*metadata.get("annotations", {}), *metadata.get("labels", {})]
        assert [mark for mark in marks if mark.startswith(names.TRACKING_PREFIXES)] == []

    live = models.get("experiment", "sweep")
    customization = Customization(names.EXPERIMENT)
    assert lua.actions(customization.discovery, live)["suspend"]["disabled"] is False
    paused = lua.act(customization.actions["suspend"], live)
    models.kubectl("patch", "experiment", "sweep", "--type=merge", f"--patch={json.dumps({'spec': paused['spec']})}")
    found = models.wait("experiment", "sweep", "Suspended", lambda o: _health(o)["status"] == "Suspended")
    assert diffing.three_way(git, found) == {}
    assert _server_side(models, git) == {}


def _health(body: Raw) -> Raw:
    return lua.health(Customization(body["kind"]).health, body)


def _apply(models: Models, body: Raw, *more: str) -> str:
    argv = ("apply", "--server-side", "--force-conflicts", f"--field-manager={diffing.MANAGER}", "--filename=-")
    return models.kubectl(*argv, *more, stdin=json.dumps(body))


def _server_side(models: Models, git: Raw) -> diffing.Differences:
    live = json.loads(models.kubectl("get", "experiment", "sweep", "--output=json", "--show-managed-fields"))
    predicted = json.loads(_apply(models, git, "--dry-run=server", "--output=json", "--show-managed-fields"))
    return diffing.server_side(predicted, live)
