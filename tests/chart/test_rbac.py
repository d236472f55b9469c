"""What the operator may do is what it needs: each rule is used, none is missing, and says who needs it.

The API server's audit log tells what an operator has asked for that was installed by the chart, while all that an
operator has to do happens once.
"""

import json
import os
import re
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import pytest
import yaml

from assay.planning.runs.job import secret_name
from tests import operators, registry
from tests.attackers import Realm
from tests.chart.conftest import CHART, Release
from tests.cluster import audit, charting
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import TRAINING_IMAGE, Objects, experiment, run

pytestmark = pytest.mark.chart

Raw = dict[str, Any]
FILE = CHART / "rbac/operator.yaml"
OWN = (
    ("ClusterRole", charting.DEPLOYMENT),
    ("ClusterRole", f"{charting.DEPLOYMENT}-cluster"),
    ("ClusterRole", f"{charting.DEPLOYMENT}-policies"),
    ("Role", charting.DEPLOYMENT),
    ("ClusterRole", f"{charting.DEPLOYMENT}-metrics"),
)
MOVER, APPROVER = "walter", "rita"
EVERYTHING = "--as-group=system:masters"
#: So that nobody has to wait for what is done now and then.
OFTEN = {"ASSAY_LOG_SECONDS": "1", "ASSAY_SYSTEM_SECONDS": "1", "ASSAY_RETENTION_SECONDS": "1"}


class Right(NamedTuple):
    """One verb on one resource; the resource has its subresource behind a slash."""

    verb: str
    group: str
    resource: str


#: Rights that no request of the story shows: why, and the test that does.
UNSEEN: dict[str, tuple[set[Right], str]] = {
    "blockOwnerDeletion is asked about by the API server itself, where OwnerReferencesPermissionEnforcement is on": (
        {Right("update", "assay.dev", f"{kind}/finalizers") for kind in ("experiments", "runs", "modelversions")},
        "tests/chart/test_rbac.py::test_the_operator_may_set_block_owner_deletion",
    ),
    "the Job of a run whose pods cannot be created with an image mounted": (
        {Right("delete", "batch", "jobs")},
        "tests/e2e/test_capture_refused.py::test_a_run_succeeds_and_reports_what_was_not_captured",
    ),
    "who reads metrics is asked about only when somebody does": (
        {
            Right("create", "authentication.k8s.io", "tokenreviews"),
            Right("create", "authorization.k8s.io", "subjectaccessreviews"),
        },
        "tests/integration/test_scrapers.py::test_metrics_require_the_right_to_get_them",
    ),
    "the object is read again when a status was written by two at once": (
        {Right("get", "assay.dev", "experiments"), Right("get", "assay.dev", "promotionpolicies")},
        "tests/unit/controllers/test_statuses.py::test_a_conflict_returns_the_current_object_and_requeues",
    ),
}


def granted() -> set[Right]:
    """Return what the operator's own roles allow."""
    texts = [file.read_text() for file in FILE.parent.glob("*.yaml")]
    objects = [each for text in texts for each in yaml.safe_load_all(text) if each]
    rules = [rule for each in objects if (each["kind"], each["metadata"]["name"]) in OWN for rule in each["rules"]]
    return {Right(*each) for rule in rules for each in product(rule["verbs"], rule["apiGroups"], rule["resources"])}


def test_every_rule_says_who_needs_it() -> None:
    lines = FILE.read_text().splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("- apiGroups:")]
    objects = [each for each in yaml.safe_load_all(FILE.read_text()) if each]
    assert len(rules) == sum(len(each.get("rules", [])) for each in objects)
    assert [lines[number : number + 2] for number in rules if not lines[number - 1].startswith("# ")] == []


def test_every_unobserved_right_has_its_own_test() -> None:
    root = CHART.parents[1]
    for _, test in UNSEEN.values():
        path, name = test.split("::")
        assert re.search(rf"^(async )?def {name}\(", (root / path).read_text(), re.MULTILINE), test
    assert set().union(*(rights for rights, _ in UNSEEN.values())) <= granted()


# The story: everything that an operator has to do, once.


class Story:
    """A namespace in which all of it happens."""

    def __init__(self, release: Release, objects: Objects) -> None:
        self.release = release
        self.objects = objects
        self.realm = Realm(objects.cluster, objects.namespace, "")

    def tell(self) -> None:
        self.a_data_set_is_allowed()
        self.runs_train_and_the_best_is_registered()
        self.a_secret_is_there_already()
        self.a_job_is_deleted()
        self.pods_are_refused()
        self.an_alias_moves_and_goes_back()
        self.workloads_are_not_taken_as_they_are_to_be()
        self.runs_are_archived()

    def a_data_set_is_allowed(self) -> None:
        self.objects.store.put_bytes(f"shared/{self.objects.namespace}/train.csv", b"1,2\n")
        allowed = f"assay.dev/allowed-prefixes=s3://assay/shared/{self.objects.namespace}/"
        self.objects.cluster.kubectl("annotate", "namespace", self.objects.namespace, allowed)

    def runs_train_and_the_best_is_registered(self) -> None:
        script = """
            artifacts.joinpath('model').write_bytes(pathlib.Path('/assay/data/train/train.csv').read_bytes())
            print('trained', flush=True)
            time.sleep(4)
            log(step=1, score=float(os.environ['PARAM_a']))
        """
        parameters = [{"name": "a", "values": [1, 2]}]
        manifest = experiment("sweep", script, parameters=parameters, parallelism=2, register={"model": "digits"})
        dataset = {"name": "train", "uri": f"s3://assay/shared/{self.objects.namespace}/"}
        manifest["spec"]["template"] |= {"datasets": [dataset], "model": {"path": "model"}}
        self.objects.apply(manifest)
        found = self.objects.wait_phase("experiment", "sweep", "Succeeded", "Failed")
        assert found["status"]["phase"] == "Succeeded", self.objects.get("run", "sweep-0")["status"]
        self.objects.wait("experiment", "sweep", "registered", lambda o: o["status"].get("registered"))
        self.objects.wait_phase("mv", "digits.v1", "Ready")
        keep = json.dumps({"spec": {"retention": {"jobs": "0s"}}})
        self.objects.kubectl("patch", "experiment", "sweep", "--type=merge", "-p", keep)

    def a_secret_is_there_already(self) -> None:
        """As after a crash between two steps: it is written over."""
        operator = f"deployment/{charting.DEPLOYMENT}"
        self.release.kubectl("scale", operator, "--replicas=0")
        wait_for("the operator to be gone", lambda: "operator" not in self.release.seen(), seconds=60)
        self.objects.apply(run("lost", "time.sleep(600)"))
        secret = secret_name(self.objects.get("run", "lost"))
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}}
        self.objects.kubectl("create", "-f", "-", f"--as={self.release.user}", EVERYTHING, stdin=json.dumps(manifest))
        self.release.kubectl("scale", operator, "--replicas=1")
        self.release.wait_ready()

    def a_job_is_deleted(self) -> None:
        self.objects.wait_phase("run", "lost", "Running")
        self.objects.kubectl("delete", "job", "lost", "--wait=false")
        self.objects.wait_phase("run", "lost", "Failed")

    def pods_are_refused(self) -> None:
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
        self.objects.apply({**quota, "spec": {"hard": {"pods": "0"}}})
        self.objects.apply(run("refused", "pass"))
        self.objects.wait("run", "refused", "says why", lambda o: "quota" in o.get("status", {}).get("message", ""), 60)
        self.objects.kubectl("delete", "run/refused", "resourcequota/none", "--wait=false")

    def an_alias_moves_and_goes_back(self) -> None:
        self.objects.apply(_policy())
        self.register(2, "sweep-0")
        self.approve(1)
        self.approve(2)
        self.want(1)
        for kind in ("Deployment", "StatefulSet"):
            self.objects.apply(_server(f"follows-{kind.lower()}", kind))
        self.bound(1)
        self.want(2)
        self.bound(2)
        request = f"assay.dev/rollback-requested=1 {MOVER}\nlatency"
        self.realm.must(MOVER, EVERYTHING, "annotate", "alias", "digits.live", request)
        self.bound(1)
        self.objects.wait(
            "alias", "digits.live", "done", lambda o: "assay.dev/rollback-requested" not in o["metadata"]["annotations"]
        )

    def register(self, number: int, trained: str) -> None:
        found = self.objects.get("run", trained)
        manifest = registry.model_version("digits", number, namespace=self.objects.namespace)
        model = {"digest": found["status"]["model"]["digest"], "path": found["status"]["model"]["path"]}
        manifest["spec"] |= {"run": {"name": trained, "uid": found["metadata"]["uid"]}, "artifact": model}
        self.objects.apply(manifest)
        self.objects.wait_phase("mv", f"digits.v{number}", "Ready")

    def approve(self, number: int) -> None:
        found = self.realm.get("mv", f"digits.v{number}")
        value = f"{found['spec']['artifact']['digest']} {APPROVER}"
        name = found["metadata"]["name"]
        self.realm.must(APPROVER, EVERYTHING, "annotate", "mv", name, f"live.approval.assay.dev/a={value}")

    def want(self, number: int) -> None:
        manifest = registry.model_alias("digits", "live", number)
        self.realm.must(MOVER, EVERYTHING, "apply", "--filename=-", stdin=manifest)

    def bound(self, number: int) -> None:
        def holds(found: Raw) -> bool:
            status = found.get("status", {})
            serving = status.get("serving", [])
            followed = len(serving) == 2 and all(each["version"] == number and each["ready"] for each in serving)
            return status.get("boundVersion") == number and followed

        self.objects.wait("alias", "digits.live", f"version {number} is served", holds, 90)

    def workloads_are_not_taken_as_they_are_to_be(self) -> None:
        """What the API server refuses is looked at again: it may be another workload by now."""
        for kind in ("Deployment", "StatefulSet"):
            # Nothing on Windows may have the security context that fetches the model.
            self.objects.apply(_server(f"windows-{kind.lower()}", kind, replicas=0, os={"name": "windows"}))
            self.objects.wait(
                "alias", "digits.live", "says so", lambda o, kind=kind: f"windows-{kind.lower()}" in str(o["status"])
            )

    def runs_are_archived(self) -> None:
        archive = json.dumps({"spec": {"retention": {"archiveAfter": "0s"}}})
        self.objects.kubectl("patch", "experiment", "sweep", "--type=merge", "-p", archive)
        wait_for("the runs to be archived", lambda: not self.objects.all("runs", "assay.dev/experiment"), seconds=60)


def _policy() -> Raw:
    metadata = {"name": "release"}
    spec = {"match": {"models": ["digits"], "aliases": ["live"]}, "approvals": {"required": 1}}
    return {"apiVersion": "assay.dev/v1alpha1", "kind": "PromotionPolicy", "metadata": metadata, "spec": spec}


def _server(name: str, kind: str, *, replicas: int = 1, **pod: Any) -> Raw:
    """Return a workload that follows the alias."""
    script = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"
    server = {"name": "server", "image": TRAINING_IMAGE, "command": ["python", "-c", script]}
    manifest = registry.deployment(
        name, kind=kind, annotations={"assay.dev/serve": "digits.live"}, containers=[server], **pod
    )
    manifest["spec"]["replicas"] = replicas
    if kind == "StatefulSet":
        # Else it replaces no pod while another one is not ready, and one without a model never is.
        manifest["spec"]["podManagementPolicy"] = "Parallel"
    return manifest


@pytest.fixture(scope="module")
def asked(bare_release: Release, chart_cluster: LocalCluster) -> list[audit.Request]:
    """Return what the operator has asked the API server for, from its installation to the end of the story."""
    bare_release.prepare()
    # What an operator makes where none has been before.
    bare_release.kubectl("delete", "lease/assay-operator", "configmap/assay-audit-heads", "--ignore-not-found")
    began = audit.end(chart_cluster.folder)
    bare_release.install(extraEnv=[{"name": name, "value": value} for name, value in OFTEN.items()])
    chart_cluster.create_namespace("story")
    Story(bare_release, Objects(chart_cluster, "story")).tell()
    found = audit.read(chart_cluster.folder, bare_release.user, began)
    chart_cluster.delete_namespace("story")
    return found


# What no request shows


@pytest.fixture(scope="module")
def strict_cluster() -> Iterator[LocalCluster]:
    """A cluster whose API server asks who blocks the deletion of owners, as OpenShift's does."""
    admission = ("OwnerReferencesPermissionEnforcement",)
    with LocalCluster(f"owners-{os.getpid()}", with_node=False, admission=admission) as cluster:
        operators.install(cluster)
        cluster.kubectl("create", "clusterrole", "maker", "--verb=create", "--resource=secrets")
        cluster.kubectl("create", "clusterrolebinding", "maker", "--clusterrole=maker", "--user=maker")
        yield cluster


@pytest.mark.integration
def test_the_operator_may_set_block_owner_deletion(strict_cluster: LocalCluster) -> None:
    owners = [
        registry.experiment("blocked"),
        registry.run("blocked"),
        registry.model_version("blocked", 1, namespace="default"),
    ]
    made = [json.loads(strict_cluster.kubectl("create", "-f", "-", "-ojson", stdin=json.dumps(o))) for o in owners]
    for owner in made:
        child = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "ownerReferences": [_blocking(owner)]}}
        ask = partial(strict_cluster.kubectl, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(child))
        ask(f"--as={registry.OPERATOR}")
        # Who may create Secrets too, but not touch the owner's finalizers.
        with pytest.raises(ClusterError, match="cannot set blockOwnerDeletion"):
            ask("--as=maker")


def _blocking(owner: Raw) -> Raw:
    kept = {key: owner["metadata"][key] for key in ("name", "uid")}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **kept, "blockOwnerDeletion": True}


@pytest.mark.e2e
def test_the_operator_is_never_refused_anything(asked: list[audit.Request]) -> None:
    assert [request for request in asked if request.status in (401, 403)] == []


@pytest.mark.e2e
def test_every_right_is_used(asked: list[audit.Request]) -> None:
    used = {Right(request.verb, request.group, request.resource) for request in asked}
    unseen = set().union(*(rights for rights, _ in UNSEEN.values()))
    assert granted() - used - unseen == set(), "nobody needs it"
    assert unseen & used == set(), "it is seen by now"
