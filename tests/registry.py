"""The registry's half for tests: the admission policies, put in force, and objects of its kinds."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import operators
from tests.cluster.calls import MASTERS, Who
from tests.cluster.errors import ClusterError
from tests.cluster.external import ExternalCluster
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for

Raw = dict[str, Any]
Cluster = LocalCluster | ExternalCluster
POLICIES = Path(__file__).resolve().parent.parent / "charts/assay/policies"
STAMPS = POLICIES / "stamps.yaml"
OPERATOR = f"system:serviceaccount:{operators.NAMESPACE}:{operators.SERVICE_ACCOUNT}"
#: To write what only the operator may: its name, which the policies go by, and an administrator's rights.
OPERATOR_AS_MASTER = Who(OPERATOR, MASTERS)
#: The same for kubectl.
AS_OPERATOR = OPERATOR_AS_MASTER.flags
#: For kubectl, to write what only components of Kubernetes may, such as the status of a run's pod.
AS_COMPONENT = ("--as=system:serviceaccount:kube-system:a-component", "--as-group=system:masters")
PROBE = "assay-probe"
#: For a policy about what only those may write who may also create Jobs.
LAUNCHER = "assay-probe-launcher"

# May write what the policies then have to refuse, and none of the verbs that would make them agree.
_PROBE_ROLE = textwrap.dedent(
    f"""
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata: {{name: {PROBE}}}
    rules:
    - {{apiGroups: [assay.dev, apps, ""], resources: ["*"], verbs: [get, create, patch]}}
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRoleBinding
    metadata: {{name: {PROBE}}}
    roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {PROBE}}}
    subjects: [{{kind: User, name: {PROBE}}}, {{kind: User, name: {LAUNCHER}}}]
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata: {{name: {LAUNCHER}}}
    rules:
    - {{apiGroups: [batch], resources: [jobs], verbs: [create]}}
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRoleBinding
    metadata: {{name: {LAUNCHER}}}
    roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {LAUNCHER}}}
    subjects: [{{kind: User, name: {LAUNCHER}}}]
    """
)


def digest(character: str = "1") -> str:
    """Return a digest that consists of one hexadecimal digit."""
    return "sha256:" + character * 64


def model_version(model: str, version: int, *, namespace: str, metadata: Raw | None = None, **spec: Any) -> Raw:
    """Return a self-contained ModelVersion manifest whose bytes lie in the namespace's own runs."""
    artifact = {"uri": f"s3://assay/runs/{namespace}/_/r/u/pods/p/artifacts/model/", "digest": digest()}
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": f"{model}.v{version}", **(metadata or {})},
        "spec": {"model": model, "version": version, "artifact": artifact, **spec},
    }


def model_alias(model: str, alias: str, version: int, *, metadata: Raw | None = None, **spec: Any) -> Raw:
    """Return a ModelAlias manifest."""
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "ModelAlias",
        "metadata": {"name": f"{model}.{alias}", **(metadata or {})},
        "spec": {"model": model, "alias": alias, "version": version, **spec},
    }


def run(name: str, **spec: Any) -> Raw:
    """Return a Run manifest that nobody is meant to execute."""
    job = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "train", "image": "train"}]}}}
    metadata = {"name": name}
    return {"apiVersion": "assay.dev/v1alpha1", "kind": "Run", "metadata": metadata, "spec": {"job": job, **spec}}


def experiment(name: str, **spec: Any) -> Raw:
    """Return an Experiment manifest that nobody is meant to execute."""
    template = {"job": run(name)["spec"]["job"]}
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {"template": template, **spec},
    }


def deployment(name: str, *, kind: str = "Deployment", annotations: Raw | None = None, **pod: Any) -> Raw:
    """Return a Deployment (or StatefulSet) without replicas; ``pod`` are fields of the pod's spec."""
    labels = {"app": name}
    more = {"serviceName": name} if kind == "StatefulSet" else {}
    spec = {"containers": [{"name": "server", "image": "server"}], **pod}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            **more,
        },
    }


def install_policies(cluster: Cluster) -> None:
    """Apply the CRDs, the operator's RBAC and the admission policies; return when every policy is in force.

    A MutatingAdmissionPolicy about a kind that the API server has just learnt of answers 503 until it has
    discovered it; every policy takes about a second.
    """
    operators.install(cluster)  # type: ignore[arg-type]
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=_PROBE_ROLE)
    files = [path for path in sorted(POLICIES.glob("*.yaml")) if path != STAMPS or stamps(cluster)]
    cluster.kubectl("apply", "--server-side", "--force-conflicts", *[f"--filename={path}" for path in files])
    if stamps(cluster):
        wait_for("the owner to be filled in", partial(_owner_is_filled_in, cluster), seconds=60)
        wait_for("the mover to be filled in", partial(_mover_is_filled_in, cluster), seconds=60)
        wait_for("the author of a policy to be filled in", partial(_changer_is_filled_in, cluster), seconds=60)
    for policy, manifest in _refused().items():
        wait_for(f"the policy {policy} to be in force", partial(_refuses, cluster, policy, manifest), seconds=60)


@contextmanager
def operator(
    cluster: LocalCluster, folders: pytest.TempPathFactory, environment: Mapping[str, str] | None = None
) -> Iterator[operators.OperatorProcess]:
    """Run an operator in a cluster with the admission policies."""
    install_policies(cluster)
    log = folders.mktemp("operator") / "operator.log"
    with operators.OperatorProcess(cluster, log, environment or {}) as process:
        yield process


@contextmanager
def without_policy(cluster: Cluster, policy: str) -> Iterator[None]:
    """Take one policy out of force, if it is, and put it back: for tests of what the operator does without it."""
    bindings = cluster.kubectl("get", "validatingadmissionpolicybindings", "--output=name").split()
    if not any(each.endswith(f"/{policy}") for each in bindings):
        yield
        return
    manifest = _refused()[policy]
    saved = cluster.kubectl("get", "validatingadmissionpolicybinding", policy, "--output=json")
    binding = json.loads(saved)
    binding["metadata"] = {"name": policy}
    cluster.kubectl("delete", "validatingadmissionpolicybinding", policy)
    wait_for(f"the policy {policy} to be out of force", lambda: not _refuses(cluster, policy, manifest), seconds=30)
    try:
        yield
    finally:
        cluster.kubectl("create", "--filename=-", stdin=json.dumps(binding))
        wait_for(f"the policy {policy} to be in force", partial(_refuses, cluster, policy, manifest), seconds=60)


_stamps: dict[str, bool] = {}


def stamps(cluster: Cluster) -> bool:
    """Whether the API server knows MutatingAdmissionPolicy, so that owners and movers are filled in."""
    key = str(cluster.kubeconfig)
    if key not in _stamps:
        known = cluster.kubectl("api-resources", "--api-group=admissionregistration.k8s.io", "--output=name")
        _stamps[key] = "mutatingadmissionpolicies" in known
    return _stamps[key]


#: What has an owner, and whom kubectl speaks for when nobody is named.
_OWNED, ADMINISTRATOR = ("Experiment", "Run", "ModelVersion"), "assay-admin"


def owned(cluster: Cluster, manifest: Raw, argv: Sequence[str]) -> Raw:
    """Return a manifest that names its creator as the owner, where the API server does not fill that in.

    ``argv`` are the arguments of kubectl, which may act as somebody else.
    """
    if manifest.get("kind") not in _OWNED or "owner" in manifest.get("spec", {}) or stamps(cluster):
        return manifest
    users = [word.removeprefix("--as=") for word in argv if word.startswith("--as=")]
    return {**manifest, "spec": {**manifest.get("spec", {}), "owner": (users or [ADMINISTRATOR])[-1]}}


#: A pod that is nobody's.
PLAIN_POD: Raw = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "probe"},
    "spec": {"containers": [{"name": "probe", "image": "probe"}]},
}


#: What they refuse takes the right to create Jobs.
_OF_LAUNCHERS = ("assay-datasets", "assay-pod-security", "assay-templates")


def _labelled(kind: str) -> Raw:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "probe", "labels": {"assay.dev/run": "probe"}}}


def _refused() -> dict[str, Raw]:
    """For each policy something that the probe may write, and that this policy alone refuses."""
    marked = {"annotations": {"champion.approval.assay.dev/probe": "x"}}
    namespaced = partial(model_version, "probe", 1, namespace="default")
    return {
        "assay-owner": namespaced(owner="somebody-else"),
        "assay-nobodys-deputy": run("probe"),
        "assay-datasets": run("probe", datasets=[{"name": "probe", "uri": "s3://somebody-elses/"}]),
        "assay-pod-security": _on_the_host(),
        "assay-templates": _always_restarted(),
        "assay-approvals": namespaced(metadata=marked),
        "assay-versions": namespaced(metadata={"labels": {"assay.dev/bound": "true"}}),
        "assay-aliases": model_alias("probe", "champion", 1),
        "assay-deletion": namespaced(metadata={"finalizers": ["example.com/probe"]}),
        "assay-rollouts": {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "probe", "annotations": {"assay.dev/served-version": "1"}},
            "spec": {"containers": [{"name": "probe", "image": "probe"}]},
        },
        "assay-serving": deployment("probe", annotations={"assay.dev/served-version": "1"}),
        "assay-links": _labelled("ConfigMap"),
        "assay-credentials": {
            **PLAIN_POD,
            "spec": {**PLAIN_POD["spec"], "imagePullSecrets": [{"name": "assay-run-probe"}]},
        },
        "assay-secrets": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "assay-run-probe"}},
        "assay-namespaces": {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "assay-probe", "annotations": {"assay.dev/allowed-prefixes": "s3://x/"}},
        },
    }


def _on_the_host() -> Raw:
    manifest = run("probe")
    manifest["spec"]["job"]["template"]["spec"]["hostNetwork"] = True
    return manifest


def _always_restarted() -> Raw:
    manifest = run("probe")
    del manifest["spec"]["job"]["template"]["spec"]["restartPolicy"]
    return manifest


def _create(cluster: Cluster, manifest: Raw, *more: str) -> str:
    argv = ("create", "--dry-run=server", "--output=json", "--filename=-", *more)
    return cluster.kubectl(*argv, stdin=json.dumps(owned(cluster, manifest, argv)))


def _owner_is_filled_in(cluster: Cluster) -> bool:
    manifests = (run("probe"), experiment("probe"), model_version("probe", 1, namespace="default"))
    return all(json.loads(_create(cluster, manifest))["spec"].get("owner") for manifest in manifests)


def _mover_is_filled_in(cluster: Cluster) -> bool:
    alias = json.loads(_create(cluster, model_alias("probe", "champion", 1)))
    return "assay.dev/moved-by" in alias["metadata"].get("annotations", {})


def _changer_is_filled_in(cluster: Cluster) -> bool:
    metadata = {"name": "probe"}
    policy = {"apiVersion": "assay.dev/v1alpha1", "kind": "PromotionPolicy", "metadata": metadata, "spec": {}}
    return "assay.dev/changed-by" in json.loads(_create(cluster, policy))["metadata"].get("annotations", {})


def _refuses(cluster: Cluster, policy: str, manifest: Raw) -> bool:
    try:
        _create(cluster, manifest, f"--as={LAUNCHER if policy in _OF_LAUNCHERS else PROBE}")
    except ClusterError as error:
        if f"'{policy}'" in str(error):
            return True
        raise
    return False
