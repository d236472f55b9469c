"""Attacks on the owner, and on the operator as somebody's deputy."""

import pytest

from tests import registry
from tests.attackers import APPROVER, INTERN, SCIENTIST, Outcome, Realm, stopped
from tests.cluster.waiting import wait_for

pytestmark = [pytest.mark.attacks, pytest.mark.integration]


def test_o01_register_in_the_name_of_an_approver(realm: Realm) -> None:
    manifest = registry.model_version("o01", 1, namespace=realm.namespace, owner=APPROVER)
    stopped("O01", realm.create(SCIENTIST, manifest))


def test_o02_register_with_an_empty_owner(realm: Realm) -> None:
    stopped("O02", realm.create(SCIENTIST, registry.model_version("o02", 1, namespace=realm.namespace, owner="")))


def test_o03_launch_a_run_in_another_name(realm: Realm) -> None:
    stopped("O03", realm.create(SCIENTIST, registry.run("o03", owner=APPROVER)))


def test_o04_launch_an_experiment_in_another_name(realm: Realm) -> None:
    stopped("O04", realm.create(SCIENTIST, registry.experiment("o04", owner=APPROVER)))


def test_o05_transfer_an_experiment_to_another_user(realm: Realm) -> None:
    realm.created(SCIENTIST, registry.experiment("o05"))
    stopped("O05", realm.merge(SCIENTIST, "experiment", "o05", {"spec": {"owner": APPROVER}}))


def test_o06_lose_the_owner_of_an_experiment_by_replacing_it(realm: Realm) -> None:
    realm.created(SCIENTIST, registry.experiment("o06"))
    realm.must(SCIENTIST, "replace", "--filename=-", stdin=registry.experiment("o06", parallelism=2))
    assert realm.get("experiment", "o06")["spec"]["owner"] == SCIENTIST


def test_o07_transfer_a_version_to_another_user(realm: Realm) -> None:
    name = realm.version("o07")
    stopped("O07", realm.merge(SCIENTIST, "mv", name, {"spec": {"owner": APPROVER}}))


def test_o08_create_an_experiment_without_the_right_to_create_jobs(realm: Realm) -> None:
    stopped("O08", realm.create(INTERN, registry.experiment("o08")))


def test_o09_create_a_run_without_the_right_to_create_jobs(realm: Realm) -> None:
    stopped("O09", realm.create(INTERN, registry.run("o09")))


def test_o10_raise_the_parallelism_of_an_experiment_of_another_user(realm: Realm) -> None:
    realm.created(SCIENTIST, registry.experiment("o10", parallelism=1))
    stopped("O10", realm.merge(INTERN, "experiment", "o10", {"spec": {"parallelism": 1000}}))


def test_o11_privileged_pod_with_a_host_path_in_a_guarded_namespace(realm: Realm) -> None:
    """The operator's Job is a Job like any other: the namespace's pod security holds for its pods."""
    label = "pod-security.kubernetes.io/enforce=restricted"
    realm.cluster.kubectl("label", "namespace", realm.other, label)
    container = {"name": "train", "image": "train", "securityContext": {"privileged": True}}
    volumes = [{"name": "host", "hostPath": {"path": "/"}}]
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "o11"},
        "spec": {"template": {"spec": pod}},
    }
    there = f"--namespace={realm.other}"
    realm.must(registry.OPERATOR, "create", there, "--filename=-", stdin=manifest)
    fields = "--field-selector=involvedObject.name=o11,reason=FailedCreate"

    def refusal() -> str:
        said = realm.admin("get", "events", there, fields, "--output=jsonpath={.items[*].message}")
        return said if "PodSecurity" in said else ""

    said = wait_for("the refusal of the Job's pod", refusal, seconds=60)
    stopped("O11", Outcome(False, said))
    assert realm.admin("get", "pods", there, "--output=name") == ""
