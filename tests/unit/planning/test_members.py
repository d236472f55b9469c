"""Which pods a workload's rollout is judged by: those whose controller is its own, by UID."""

from typing import Any

import pytest

from assay.planning.serving.members import pods_of
from tests.unit.planning.objects import Raw
from tests.unit.planning.workloads import serving_version

pytestmark = pytest.mark.unit

SERVED = {"assay.dev/served-version": "1"}


def child(kind: str, uid: str, name: str = "web-1", *, marks: Raw | None = None, **owner: Any) -> Raw:
    """Return a ReplicaSet or pod that a controller of a kind with a UID is said to have made."""
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": uid, "controller": True, **owner}
    annotations = SERVED if marks is None else marks
    return {
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": f"uid-{name}",
            "annotations": annotations,
            "ownerReferences": [reference],
        },
        "spec": {"template": {"metadata": {"annotations": annotations}}},
    }


WEB = serving_version(1)
SET = child("Deployment", "uid-web", "web-rs")
FORGED = [
    child("ReplicaSet", "uid-other"),
    child("StatefulSet", "uid-web-rs"),
    child("Deployment", "uid-web"),
    child("ReplicaSet", "uid-web-rs", controller=False),
    child("ReplicaSet", "uid-web-rs", controller=None),
    child("ReplicaSet", "uid-web-rs", apiVersion="example.com/v1"),
    child("ReplicaSet", "uid-web-rs", marks={"assay.dev/served-version": "7"}),
    child("ReplicaSet", "uid-web-rs", marks={}),
    {"metadata": {"namespace": "team", "name": "bare", "annotations": SERVED}},
]


def test_pods_of_a_deployment_are_those_of_its_replica_sets() -> None:
    mine = child("ReplicaSet", "uid-web-rs")
    assert pods_of(WEB, [SET], [mine, *FORGED]) == [mine]


@pytest.mark.parametrize(
    "replica_set",
    [
        child("Deployment", "uid-other", "web-rs"),
        child("StatefulSet", "uid-web", "web-rs"),
        child("Deployment", "uid-web", "web-rs", controller=False),
        child("Deployment", "uid-web", "web-rs", apiVersion="extensions/v1beta1"),
    ],
)
def test_pods_of_a_foreign_replica_set_are_ignored(replica_set: Raw) -> None:
    assert pods_of(WEB, [replica_set], [child("ReplicaSet", "uid-web-rs")]) == []


def test_a_replica_set_of_another_namespace_brings_no_pods() -> None:
    elsewhere = child("Deployment", "uid-web", "web-rs")
    elsewhere["metadata"]["namespace"] = "other"
    assert pods_of(WEB, [elsewhere], [child("ReplicaSet", "uid-web-rs")]) == []


def test_pods_of_a_stateful_set_are_those_that_it_controls() -> None:
    mine = child("StatefulSet", "uid-web")
    others = [each for each in FORGED if each["metadata"].get("ownerReferences", [{}])[0].get("uid") != "uid-web-rs"]
    assert pods_of(serving_version(1, kind="StatefulSet"), [], [mine, *others]) == [mine]
