"""Which versions count as an experiment's own: what a version says of its run is no evidence."""

from types import SimpleNamespace
from typing import Any

import pytest

from assay.api.experiment import Register
from assay.controllers.registry import enrolment
from assay.controllers.runtime.model_cache import ModelCache
from assay.controllers.runtime.tracking_cache import TrackingCache

pytestmark = pytest.mark.unit

Raw = dict[str, Any]

BEFORE, NOW = "2026-11-21T11:00:00Z", "2026-11-21T12:00:00Z"
EXPERIMENT: Raw = {
    "metadata": {"namespace": "team", "name": "sweep", "uid": "uid-sweep", "creationTimestamp": NOW},
    "spec": {"owner": "dora"},
}
RUN: Raw = {
    "kind": "Run",
    "metadata": {
        "namespace": "team",
        "name": "sweep-0",
        "uid": "uid-run",
        "resourceVersion": "1",
        "creationTimestamp": NOW,
        "labels": {"assay.dev/experiment": "sweep", "assay.dev/index": "0"},
        "ownerReferences": [{"kind": "Experiment", "name": "sweep", "uid": "uid-sweep", "controller": True}],
    },
    "spec": {"owner": "dora"},
    "status": {"phase": "Succeeded", "experimentUid": "uid-sweep"},
}


def version(
    number: int, *, uid: str = "uid-run", owner: str = "dora", phase: str | None = None, verified: str = "", **more: Any
) -> Raw:
    conditions = [{"type": "ProvenanceVerified", "status": verified}] if verified else []
    metadata = {
        "namespace": "team",
        "name": f"digits.v{number}",
        "uid": f"uid-v{number}",
        "resourceVersion": "1",
        "creationTimestamp": more.get("created", NOW),
    }
    run = {"name": "sweep-0", "uid": uid, "experiment": more.get("experiment", "sweep")}
    return {
        "kind": "ModelVersion",
        "metadata": metadata,
        "spec": {"model": "digits", "version": number, "owner": owner, "run": run},
        "status": {"conditions": conditions, **({"phase": phase} if phase else {})},
    }


COUNTING = [
    version(1),
    version(1, phase="Pending"),
    version(1, phase="Ready", verified="True"),
    version(1, phase="Archived", verified="True", owner="rita"),
    version(1, uid="uid-run-that-is-gone", phase="Ready", verified="True"),
]
FORGED = [
    version(1, owner="mallory"),
    version(1, uid="uid-of-no-run"),
    version(1, phase="Failed"),
    version(1, phase="Ready", verified="False"),
    version(1, phase="Ready", uid="uid-of-no-run", verified="False"),
    version(1, phase="Ready", uid="uid-of-another", verified="True", experiment="other"),
    version(1, phase="Ready", verified="True", created=BEFORE),
]


def made(found: Raw) -> list[Raw]:
    registry, tracking = ModelCache(), TrackingCache()
    tracking.upsert_run(RUN)
    registry.upsert(found)
    context: Any = SimpleNamespace(models=registry, tracking=tracking)
    return enrolment._made(context, EXPERIMENT, Register(model="digits", pick="every"))


@pytest.mark.parametrize("found", COUNTING)
def test_versions_of_the_runs_belong_to_the_experiment(found: Raw) -> None:
    assert made(found) == [found]


@pytest.mark.parametrize("found", FORGED)
def test_the_claims_of_a_version_do_not_make_it_a_version_of_the_run(found: Raw) -> None:
    assert made(found) == []
