"""Attacks on what a rollout is judged by: pods and ReplicaSets that look like those of a served workload."""

import copy
import json
from typing import Any

import pytest

from tests.attackers import SCIENTIST, Realm, stopped
from tests.cluster.waiting import wait_for
from tests.registry import Raw

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

SERVED = {"assay.dev/served-version": "1"}


def _replica_set(realm: Realm, deployment: str) -> Raw:
    """Return the ReplicaSet that the Deployment's controller has made for what is served."""

    def found() -> Raw | None:
        items = json.loads(realm.admin("get", "replicasets", f"--selector=app={deployment}", "--output=json"))["items"]
        served = [each for each in items if _marks(each)]
        return served[0] if served else None

    return wait_for("the ReplicaSet of what is served", found, seconds=60)


def _marks(replica_set: Raw) -> Raw:
    annotations: Raw = replica_set["spec"]["template"]["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if key.startswith("assay.dev/served-")}


def _pod(realm: Realm, deployment: str) -> Raw:
    """Return a pod of a served Deployment, which its controller has made; nothing needs to run it."""
    realm.must(SCIENTIST, "scale", f"deployment/{deployment}", "--replicas=1")

    def found() -> Raw | None:
        items = json.loads(realm.admin("get", "pods", f"--selector=app={deployment}", "--output=json"))["items"]
        served = [each for each in items if SERVED.items() <= (each["metadata"].get("annotations") or {}).items()]
        return served[0] if served else None

    return wait_for("a pod of what is served", found, seconds=60)


def _forged(realm: Realm, name: str, **metadata: Any) -> Raw:
    """Return a pod that looks like one of the Deployment's, with an init container that fails."""
    replica_set = _replica_set(realm, name)
    template = copy.deepcopy(replica_set["spec"]["template"])
    init = {"name": "assay-fetch-model", "image": "mine", "command": ["false"]}
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": replica_set["metadata"]["name"],
        "uid": replica_set["metadata"]["uid"],
        "controller": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-forged",
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": [owner],
            **metadata,
        },
        "spec": {"initContainers": [init], "containers": [{"name": "server", "image": "server"}]},
    }


def test_r30_create_a_pod_that_mimics_a_server_pod(realm: Realm) -> None:
    realm.served("r30")
    stopped("R30", realm.create(SCIENTIST, _forged(realm, "r30")))


def test_r31_create_a_pod_that_mimics_a_server_pod_without_an_owner(realm: Realm) -> None:
    """The ReplicaSet's controller would adopt it."""
    realm.served("r31")
    stopped("R31", realm.create(SCIENTIST, _forged(realm, "r31", ownerReferences=[])))


def test_r32_add_a_served_version_to_an_existing_pod(realm: Realm) -> None:
    realm.served("r32")
    pod = _forged(realm, "r32", annotations={}, labels={"app": "other"}, ownerReferences=[])
    realm.created(SCIENTIST, pod)
    patch = {"metadata": {"annotations": SERVED}}
    stopped("R32", realm.merge(SCIENTIST, "pod", "r32-forged", patch))
    realm.must(SCIENTIST, "delete", "pod", "r32-forged", "--wait=false")


def test_r33_add_a_served_version_to_a_pod_through_the_status(realm: Realm) -> None:
    realm.served("r33")
    pod = _forged(realm, "r33", annotations={}, labels={"app": "other"}, ownerReferences=[])
    realm.created(SCIENTIST, pod)
    patch = {"metadata": {"annotations": SERVED}}
    stopped("R33", realm.merge(SCIENTIST, "pod", "r33-forged", patch, status=True))
    realm.must(SCIENTIST, "delete", "pod", "r33-forged", "--wait=false")


def test_r34_change_the_served_version_of_a_pod(realm: Realm) -> None:
    realm.served("r34")
    name = _pod(realm, "r34")["metadata"]["name"]
    patch = {"metadata": {"annotations": {"assay.dev/served-version": "7"}}}
    stopped("R34", realm.merge(SCIENTIST, "pod", name, patch))
    realm.must(SCIENTIST, "scale", "deployment/r34", "--replicas=0")


@pytest.mark.parametrize("owners", [[], None])
def test_r35_detach_a_pod_from_its_workload(realm: Realm, owners: list[Raw] | None) -> None:
    name = f"r35-{owners is None}".lower()
    realm.served(name)
    pod = _pod(realm, name)["metadata"]["name"]
    stopped("R35", realm.merge(SCIENTIST, "pod", pod, {"metadata": {"ownerReferences": owners}}))
    realm.must(SCIENTIST, "scale", f"deployment/{name}", "--replicas=0")


def test_r36_create_a_replica_set_that_mimics_that_of_a_deployment(realm: Realm) -> None:
    realm.served("r36")
    forged = _replica_set(realm, "r36")
    kept = ("labels", "annotations", "ownerReferences")
    forged["metadata"] = {"name": "r36-forged", **{key: forged["metadata"][key] for key in kept}}
    stopped("R36", realm.create(SCIENTIST, forged))


def test_r37_change_the_pod_template_of_the_replica_set(realm: Realm) -> None:
    realm.served("r37")
    name = _replica_set(realm, "r37")["metadata"]["name"]
    operation = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "mine"}
    stopped("R37", realm.json_patch(SCIENTIST, "replicaset", name, operation))


def test_r38_detach_the_replica_set_from_its_deployment(realm: Realm) -> None:
    realm.served("r38")
    name = _replica_set(realm, "r38")["metadata"]["name"]
    stopped("R38", realm.merge(SCIENTIST, "replicaset", name, {"metadata": {"ownerReferences": None}}))


def test_r39_create_a_serving_pod_without_an_owner(realm: Realm) -> None:
    """A copy, as `kubectl debug --copy-to` makes one."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "r39", "annotations": SERVED}}
    stopped("R39", realm.create(SCIENTIST, pod | {"spec": {"containers": [{"name": "server", "image": "server"}]}}))


def test_a_pod_that_serves_can_be_labelled_and_deleted(realm: Realm) -> None:
    realm.served("freely")
    name = _pod(realm, "freely")["metadata"]["name"]
    realm.must(SCIENTIST, "annotate", "pod", name, "example.com/note=seen")
    realm.must(SCIENTIST, "scale", "deployment/freely", "--replicas=0")
    realm.must(SCIENTIST, "delete", "pod", name, "--ignore-not-found", "--wait=false")
