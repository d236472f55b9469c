"""What the operator sets in a workload, on a real API server: it stays, it goes, and it comes back the same."""

import asyncio
import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from assay.api.resources import DEPLOYMENTS, STATEFUL_SETS
from assay.kube.aio import Kube
from assay.kube.errors import ApiError
from assay.planning.serving import injection
from assay.planning.serving.injection import Served, ServingSettings
from tests import operators, registry
from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Raw = dict[str, Any]

SETTINGS = ServingSettings(image="localhost/assay:dev")
KINDS = ["Deployment", "StatefulSet"]
SIDES = pytest.mark.parametrize("how", [[], ["--server-side"]], ids=["client-side", "server-side"])
RBAC = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "serving"},
            "rules": [{"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["get", "patch"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "serving"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "serving"},
            "subjects": [
                {"kind": "ServiceAccount", "name": operators.SERVICE_ACCOUNT, "namespace": operators.NAMESPACE}
            ],
        },
    ],
}
# What PodSecurity asks of a container in its profile `restricted`.
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(scope="module", autouse=True)
def _policy_out_of_force(control_plane: Cluster) -> Iterator[None]:
    """The policy refuses people what is done to workloads here; the attack tests show that."""
    with registry.without_policy(control_plane, "assay-serving"):
        yield


@dataclass(frozen=True)
class Space:
    """A namespace with two parties: the team as administrator, and the operator with its own token."""

    cluster: Cluster
    namespace: str
    token: str

    def kubectl(self, *argv: str, stdin: Raw | None = None) -> str:
        text = None if stdin is None else json.dumps(stdin)
        return self.cluster.kubectl(f"--namespace={self.namespace}", *argv, stdin=text)

    def refusal(self, *argv: str, stdin: Raw) -> str:
        try:
            said = self.kubectl(*argv, stdin=stdin)
        except ClusterError as error:
            return re.sub(r"\s+", " ", str(error))
        pytest.fail(f"it was accepted: {said}")

    def theirs(self, manifest: Raw, *how: str) -> Raw:
        """Have the team apply its manifest."""
        self.kubectl("apply", *how, "--filename=-", stdin=manifest)
        return self.get(manifest)

    def get(self, manifest: Raw) -> Raw:
        what = f"{manifest['kind']}/{manifest['metadata']['name']}"
        found: Raw = json.loads(self.kubectl("get", what, "--output=json", "--show-managed-fields"))
        return found

    def serve(self, manifest: Raw, version: int | None, file: str = "") -> Raw:
        """Have the operator set a version in a workload as it is now, or (None) give it back; return the outcome."""
        found = self.get(manifest)
        return self.apply(injection.applied(found, served(self, version, file) if version else None, SETTINGS))

    def apply(self, body: Raw) -> Raw:
        """Have the operator apply a body. Raises ApiError."""
        return asyncio.run(self._apply(body))

    def strategic(self, patch: Raw, kind: str) -> Raw:
        """Have the operator patch the workload by the keys of its lists."""
        return asyncio.run(self._strategic(patch, kind))

    async def _strategic(self, patch: Raw, kind: str) -> Raw:
        kube = Kube(1)
        await kube.connect(self.token)
        try:
            resource = DEPLOYMENTS if kind == "Deployment" else STATEFUL_SETS
            return await kube.strategic_patch(resource, self.namespace, "web", patch)
        finally:
            await kube.close()

    async def _apply(self, body: Raw) -> Raw:
        kube = Kube(1)
        await kube.connect(self.token)
        try:
            resource = DEPLOYMENTS if body["kind"] == "Deployment" else STATEFUL_SETS
            return await kube.apply(resource, self.namespace, body["metadata"]["name"], body)
        finally:
            await kube.close()

    def in_order(self, found: Raw, version: int | None) -> bool:
        """Whether the operator would leave a workload alone."""
        what = served(self, version) if version else None
        return injection.up_to_date(found, injection.applied(found, what, SETTINGS))


@pytest.fixture(scope="module")
def token(control_plane: Cluster) -> str:
    """A kubeconfig of the operator, once what it may do is installed."""
    operators.install(control_plane)  # type: ignore[arg-type]
    return str(control_plane.token_kubeconfig(operators.NAMESPACE, operators.SERVICE_ACCOUNT))


@pytest.fixture
def space(control_plane: Cluster, token: str, namespace: str) -> Space:
    found = Space(control_plane, namespace, token)
    found.kubectl("apply", "--server-side", "--filename=-", stdin=RBAC)
    operator = f"--as=system:serviceaccount:{operators.NAMESPACE}:{operators.SERVICE_ACCOUNT}"
    may = ("auth", "can-i", "patch", "statefulsets.apps", operator)
    wait_for("the operator's role to be in force", lambda: found.kubectl(*may).strip() == "yes", seconds=30)
    return found


def served(space: Space, version: int, file: str = "") -> Served:
    return Served(
        model="digits",
        alias="champion",
        version=version,
        digest=f"sha256:{version:064x}",
        manifest_digest="sha256:" + "a" * 64,
        prefix=f"models/{space.namespace}/digits/v{version}",
        secret=f"assay-model-digits-v{version}",
        file=file,
    )


def manifest(kind: str = "Deployment", **pod: Any) -> Raw:
    """Return a workload with two containers, an init container, a volume, and an annotation of their own."""
    labels = {"app": "web"}
    server = {"name": "server", "image": "s:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}]}
    spec: Raw = {
        "initContainers": [{"name": "prepare", "image": "p:1"}],
        "containers": [
            {**server, "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            {"name": "side", "image": "x:1"},
        ],
        "volumes": [{"name": "data", "emptyDir": {}}],
        **pod,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web", "annotations": {"assay.dev/serve": "digits.champion"}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels, "annotations": {"team": "a"}}, "spec": spec},
            **({"serviceName": "web"} if kind == "StatefulSet" else {}),
        },
    }


def template(found: Raw) -> Raw:
    return dict(found["spec"]["template"])


def named(found: Raw, part: str) -> list[str]:
    return [each["name"] for each in template(found)["spec"].get(part, [])]


@SIDES
@pytest.mark.parametrize("kind", KINDS)
def test_a_version_that_is_served_again_gets_the_same_template(space: Space, kind: str, how: list[str]) -> None:
    space.theirs(manifest(kind), *how)
    first = space.serve(manifest(kind), 1)
    assert injection.in_template(first) == 1
    assert named(first, "initContainers") == ["assay-fetch-model", "prepare"]
    assert space.in_order(first, 1)
    second = space.serve(manifest(kind), 2)
    assert injection.in_template(second) == 2
    assert space.in_order(second, 2)
    assert not space.in_order(second, 1)
    again = space.serve(manifest(kind), 1)
    assert template(again) == template(first)


def test_a_deployment_that_is_rolled_back_reuses_its_replica_set(space: Space) -> None:
    def revisions() -> int:
        items = json.loads(space.kubectl("get", "replicasets", "--output=json"))["items"]
        return len(
            [
                each
                for each in items
                if "assay.dev/served-version" in each["spec"]["template"]["metadata"]["annotations"]
            ]
        )

    space.theirs(manifest())
    for version, wanted in ((1, 1), (2, 2), (1, 2)):
        found = space.serve(manifest(), version)
        generation = found["metadata"]["generation"]
        wait_for(
            "the Deployment's controller",
            lambda: space.get(manifest())["status"].get("observedGeneration") == generation,  # noqa: B023
        )
        assert revisions() == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_applying_an_up_to_date_workload_writes_nothing(space: Space, kind: str) -> None:
    space.theirs(manifest(kind))
    generation = space.serve(manifest(kind), 1)["metadata"]["generation"]
    settled = wait_for(
        "the controller to have written its status",
        lambda: next(
            (w for w in [space.get(manifest(kind))] if w["status"].get("observedGeneration") == generation), None
        ),
    )
    again = space.serve(manifest(kind), 1)
    assert again["metadata"]["resourceVersion"] == settled["metadata"]["resourceVersion"]


@SIDES
@pytest.mark.parametrize("kind", KINDS)
def test_a_released_workload_has_its_original_template(space: Space, kind: str, how: list[str]) -> None:
    before = space.theirs(manifest(kind), *how)
    space.serve(manifest(kind), 1)
    after = space.serve(manifest(kind), None)
    assert template(after) == template(before)
    assert after["metadata"]["annotations"].keys() - before["metadata"]["annotations"].keys() <= {
        "deployment.kubernetes.io/revision"
    }
    assert space.in_order(after, None)


@SIDES
@pytest.mark.parametrize("kind", KINDS)
def test_reapplying_the_users_manifest_keeps_the_operators_fields(space: Space, kind: str, how: list[str]) -> None:
    space.theirs(manifest(kind), *how)
    ours = space.serve(manifest(kind), 1)
    assert template(space.theirs(manifest(kind), *how)) == template(ours)
    changed = manifest(kind)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "s:2"
    changed["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "C", "value": "3"})
    found = space.theirs(changed, *how)
    assert template(found)["spec"]["containers"][0]["image"] == "s:2"
    assert space.in_order(found, 1)


@SIDES
def test_containers_added_by_the_user_get_the_model(space: Space, how: list[str]) -> None:
    space.theirs(manifest(), *how)
    space.serve(manifest(), 1)
    more = manifest()
    pod = more["spec"]["template"]["spec"]
    pod["containers"].insert(0, {"name": "front", "image": "f:1"})
    pod["initContainers"].insert(0, {"name": "first", "image": "f:1"})
    assert not space.in_order(space.theirs(more, *how), 1)
    found = space.serve(more, 1)
    assert space.in_order(found, 1)
    assert named(found, "initContainers") == ["assay-fetch-model", "first", "prepare"]
    for each in template(found)["spec"]["containers"]:
        assert {"MODEL_PATH", "MODEL_NAME", "MODEL_VERSION"} <= {variable["name"] for variable in each["env"]}


def test_restarting_and_scaling_cause_no_write(space: Space) -> None:
    space.theirs(manifest())
    space.serve(manifest(), 1)
    space.kubectl("rollout", "restart", "deployment/web")
    space.kubectl("scale", "deployment/web", "--replicas=1")
    space.kubectl("scale", "deployment/web", "--replicas=0")
    assert space.in_order(space.get(manifest()), 1)


def test_a_changed_order_is_reverted(space: Space) -> None:
    space.theirs(manifest())
    found = space.get(space.serve(manifest(), 1))
    pod = template(found)["spec"]
    for items in (pod["volumes"], pod["initContainers"], *(each["env"] for each in pod["containers"])):
        items.reverse()
    for of_one_moment in ("managedFields", "resourceVersion"):  # the controller writes a status in the meantime
        del found["metadata"][of_one_moment]
    space.kubectl("replace", "--filename=-", stdin=found)
    assert not space.in_order(space.get(manifest()), 1)
    assert space.in_order(space.serve(manifest(), 1), 1)


# Containers that they take away


def without_side(**changes: Any) -> Raw:
    found = manifest(**changes)
    del found["spec"]["template"]["spec"]["containers"][1]
    return found


def test_a_container_removed_by_kubectl_apply_is_gone(space: Space) -> None:
    space.theirs(manifest())
    space.serve(manifest(), 1)
    found = space.theirs(without_side())
    assert named(found, "containers") == ["server"]
    assert space.in_order(found, 1)


def test_a_container_dropped_by_server_side_apply_must_be_removed_by_a_patch(space: Space) -> None:
    """docs/serving.md says so: what the operator has set in it belongs to the operator, so the container stays."""
    how = "--server-side"
    space.theirs(manifest(), how)
    space.serve(manifest(), 1)
    said = space.refusal("apply", how, "--force-conflicts", "--filename=-", stdin=without_side())
    assert "spec.template.spec.containers[1].image: Required value" in said
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}}
    space.kubectl("patch", "deployment/web", f"--patch={json.dumps(patch)}")
    found = space.theirs(without_side(), how)
    assert named(found, "containers") == ["server"]
    assert space.in_order(found, 1)


def test_a_just_removed_container_is_not_recreated(space: Space) -> None:
    found = space.theirs(manifest())
    stale = injection.applied(found, served(space, 1), SETTINGS)
    space.theirs(without_side())
    with pytest.raises(ApiError, match=r"containers\[1\]\.image: Required value") as caught:
        space.apply(stale)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("empty", "kept"), [(False, False), (True, True)], ids=["the list is left out", "the list is empty"]
)
def test_removing_the_users_last_variable_also_removes_the_operators_variables(
    space: Space, empty: bool, kept: bool
) -> None:
    """docs/serving.md says so: for `kubectl apply`, a list that is gone from the manifest is deleted whole."""
    space.theirs(manifest())
    space.serve(manifest(), 1)
    changed = manifest()
    server = changed["spec"]["template"]["spec"]["containers"][0]
    del server["env"]
    if empty:
        server["env"] = []
    assert space.in_order(space.theirs(changed), 1) is kept


# What is in the way


def test_a_deleted_workload_is_not_recreated(space: Space) -> None:
    found = space.theirs(manifest())
    bodies = [injection.applied(found, served(space, 1), SETTINGS), injection.applied(found, None, SETTINGS)]
    space.kubectl("delete", "deployment/web")
    for body in bodies:
        with pytest.raises(ApiError, match="uid mismatch") as caught:
            space.apply(body)
        assert caught.value.status == 409
    space.theirs(manifest())
    for body in bodies:
        with pytest.raises(ApiError, match=r"metadata\.uid.*field is immutable") as caught:
            space.apply(body)
        assert caught.value.status == 422


def test_an_operator_field_changed_by_another_manager_is_reverted(space: Space) -> None:
    space.theirs(manifest())
    space.serve(manifest(), 1)
    space.kubectl("set", "env", "deployment/web", "--containers=server", "MODEL_PATH=/tmp")
    assert not space.in_order(space.get(manifest()), 1)
    assert space.in_order(space.serve(manifest(), 1), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_workload_without_managed_fields_is_updated_and_released(space: Space, kind: str) -> None:
    before = space.theirs(manifest(kind))
    space.serve(manifest(kind), 1)
    emptied = json.dumps({"metadata": {"managedFields": [{}]}})
    space.kubectl("patch", f"{kind}/web", "--type=merge", "-p", emptied)
    found = space.serve(manifest(kind), 2)
    assert injection.in_template(found) == 2
    assert space.in_order(found, 2)
    space.kubectl("patch", f"{kind}/web", "--type=merge", "-p", emptied)
    left = injection.removal(space.serve(manifest(kind), None))
    assert left is not None
    after = space.strategic(left, kind)
    assert template(after) == template(before)
    assert space.in_order(after, None)


def test_user_variables_are_distinguished_from_operator_variables(space: Space) -> None:
    other = manifest()
    other["spec"]["template"]["spec"]["containers"][1]["env"] = [{"name": "MODEL_NAME", "value": "digits"}]
    space.theirs(other)
    with pytest.raises(injection.CannotServe, match="container side sets MODEL_NAME"):
        space.serve(other, 1)
    space.theirs(manifest())
    assert space.in_order(space.serve(manifest(), 1), 1)


def test_quantities_are_compared_in_canonical_notation(space: Space) -> None:
    found = space.theirs(manifest())
    amounts = {"requests": {"cpu": "0.5", "memory": "0.5Gi"}, "limits": {"cpu": "1000m", "memory": "1024Mi"}}
    body = injection.applied(found, served(space, 1), ServingSettings("assay:1", resources=amounts))
    assert injection.up_to_date(space.apply(body), body)


# What the pods are


def test_a_served_pod_passes_the_restricted_pod_security_standard(space: Space) -> None:
    level = "pod-security.kubernetes.io/enforce=restricted"
    space.kubectl("label", "namespace", space.namespace, level)
    containers = [{"name": "server", "image": "s:1", "securityContext": RESTRICTED}]
    bare = manifest(initContainers=[], containers=containers, volumes=[])
    space.theirs(bare)
    found = space.serve(bare, 1)
    metadata = {**template(found)["metadata"], "name": "p"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template(found)["spec"]}
    # Nobody but a controller of Kubernetes may create a pod with the operator's Secret.
    create = (
        "create",
        "--dry-run=server",
        "--filename=-",
        "--as=system:serviceaccount:kube-system:replicaset-controller",
    )
    space.kubectl(*create, stdin=pod)
    loose = copy.deepcopy(pod)
    del loose["spec"]["initContainers"][0]["securityContext"]
    said = space.refusal(*create, stdin=loose)
    assert 'violates PodSecurity "restricted' in said
    assert "assay-fetch-model" in said
