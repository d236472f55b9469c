from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from assay.controllers.runtime.gauges import SHOWN, Gauges
from assay.controllers.runtime.model_cache import ModelCache
from assay.controllers.runtime.tracking_cache import TrackingCache
from tests.unit.controllers.registry_objects import alias, policy, seen, version
from tests.unit.planning.objects import NOW, at, container, ended, job, pod, run

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
APPROVALS = {"policy": "", "requirement": "approvals", "met": False, "message": "needs 1 more approval"}
LATER = NOW + timedelta(seconds=100)


def condition(kind: str, status: str, reason: str = "R", since: float = 0) -> Raw:
    return {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": at(since)}


def a_run(name: str, phase: str = "Pending", reason: str = "", **status: Any) -> Raw:
    body = run(name)
    body["metadata"]["creationTimestamp"] = at(0)
    body["status"] = {"phase": phase, "reason": reason, **status}
    return body


def values(*bodies: Raw, tracking: TrackingCache | None = None) -> dict[tuple[str, tuple[str, ...]], float]:
    registry, tracking = ModelCache(), tracking or TrackingCache()
    for body in bodies:
        assert tracking.upsert_run(body) if body["kind"] == "Run" else registry.upsert(body)
    return Gauges(tracking, registry, CollectorRegistry()).values(LATER)


def of(name: str, *bodies: Raw) -> dict[tuple[str, ...], float]:
    """Return the values of one gauge by its labels."""
    return {labels: value for (found, labels), value in values(*bodies).items() if found == name}


# Runs


def test_runs_are_counted_by_phase_and_a_phase_without_runs_is_zero() -> None:
    found = of("assay_runs", a_run("a"), a_run("b", "Running"), a_run("c", "Running"), a_run("d", "Failed"))
    assert found == {("Pending",): 1, ("Running",): 2, ("Suspended",): 0, ("Succeeded",): 0, ("Failed",): 1}


def test_waiting_runs_are_counted_by_reason_with_the_oldest_age() -> None:
    stuck = [
        a_run(name, reason="Unschedulable", conditions=[condition("Started", "False", "Unschedulable", since)])
        for name, since in (("a", 10), ("b", 60))
    ]
    bodies = (*stuck, a_run("c", reason="Starting"), a_run("d", "Running"), a_run("e", "Suspended"))
    assert of("assay_runs_waiting", *bodies) == {("Unschedulable",): 2, ("Starting",): 1}
    # Without a condition the age counts from the creation of the Run.
    assert of("assay_runs_waiting_oldest_seconds", *bodies) == {("Unschedulable",): 90, ("Starting",): 100}


def test_a_running_run_that_cannot_reach_the_store_is_counted() -> None:
    told = {"recorder": {"storeError": "connection refused"}}
    unreachable = {"conditions": [condition("Recorded", "Unknown", "StoreUnreachable")]}
    bodies = (
        a_run("a", "Running", **told),
        a_run("b", "Running", **unreachable),
        a_run("c", "Running"),
        a_run("d", "Failed", **told, credentials={"secret": "s"}),
    )
    assert of("assay_runs_without_store", *bodies) == {(): 2}


@pytest.mark.parametrize(
    ("containers", "lag"),
    [
        ([container("running")], 70),
        ([container("waiting")], 0),
        ([ended(0)], 0),
        ([ended(0), container("running", name="server")], 70),
    ],
)
def test_recorder_lag_counts_only_while_the_training_runs(containers: list[Raw], lag: float) -> None:
    tracking = TrackingCache()
    body = a_run("sweep-0", "Running", jobUid="uid-job")
    tracking.upsert_run(body)
    tracking.upsert_job(job())
    tracking.upsert_pod(pod("Running", *containers, name="first"))
    assert values(tracking=tracking)["assay_recorder_lag_seconds", ()] == 0, "nobody has asked yet"
    tracking.record_report(body, "first", NOW + timedelta(seconds=30), LATER)
    assert values(tracking=tracking)["assay_recorder_lag_seconds", ()] == lag
    tracking.upsert_pod(pod("Pending", name="second", created=50))
    assert values(tracking=tracking)["assay_recorder_lag_seconds", ()] == 0, "of the pod that counts"


def test_the_recorder_that_is_furthest_behind_counts() -> None:
    tracking = TrackingCache()
    for name, since in (("sweep-0", 90), ("other", 40), ("third", 99)):
        body = a_run(name, "Running", jobUid=f"job-{name}")
        own, its_pod = job(), pod("Running", container("running"), name=f"{name}-abcde")
        for child in (own, its_pod):
            child["metadata"]["labels"]["assay.dev/run-uid"] = f"uid-{name}"
        own["metadata"] |= {
            "uid": f"job-{name}",
            "ownerReferences": [{"kind": "Run", "uid": f"uid-{name}", "controller": True}],
        }
        its_pod["metadata"]["ownerReferences"][0]["uid"] = f"job-{name}"
        tracking.upsert_run(body)
        assert tracking.upsert_job(own)
        assert tracking.upsert_pod(its_pod)
        tracking.record_report(body, f"{name}-abcde", NOW + timedelta(seconds=since), LATER)
    assert values(tracking=tracking)["assay_recorder_lag_seconds", ()] == 60


def test_credentials_count_once_they_have_expired() -> None:
    def having(expires: float) -> Raw:
        return {"credentials": {"secret": "s", "expires": at(expires)}}

    bodies = (
        a_run("a", "Running", **having(100)),
        a_run("b", "Running", **having(101)),
        a_run("c", "Running", credentials={"secret": "s"}),
        a_run("d", "Succeeded", **having(0)),
        version(1, phase="Ready", **having(99)),
    )
    assert of("assay_credentials_expired", *bodies) == {("Run",): 1, ("ModelVersion",): 1}


def test_experiments_are_counted_by_phase() -> None:
    tracking = TrackingCache()
    for name, status in (("a", {"phase": "Running"}), ("b", {}), ("c", {"phase": "Running"})):
        tracking.upsert_experiment(seen({"metadata": {"name": name}, "spec": {}}, **status))
    found = {
        labels: value for (name, labels), value in values(tracking=tracking).items() if name == "assay_experiments"
    }
    assert found == {("Running",): 2, ("Pending",): 1}


# The registry


def test_alias_gauges_show_version_and_phase() -> None:
    bodies = (alias("champion", 3, phase="Held", boundVersion=2), alias("canary", 3, phase="Pending"))
    assert of("assay_alias_info", *bodies) == {("ml", "digits", "champion", "2"): 1}
    assert of("assay_alias_phase", *bodies) == {
        ("ml", "digits", "champion", "Held"): 1,
        ("ml", "digits", "canary", "Pending"): 1,
    }


def test_approvals_are_pending_when_only_they_block_an_alias() -> None:
    held = [condition("Held", "True", since=30)]
    met = {**APPROVALS, "met": True}
    gate = {**APPROVALS, "requirement": "gate/better"}
    bodies = (
        alias("champion", requirements=[gate, APPROVALS], conditions=held),
        alias("canary", requirements=[APPROVALS], conditions=[condition("Held", "True", since=70)]),
        alias("staging", requirements=[met, gate], conditions=held),
        alias("old", requirements=[APPROVALS], conditions=[condition("Held", "False")]),
    )
    assert of("assay_approvals_pending", *bodies) == {("ml",): 2}
    assert of("assay_approvals_pending_oldest_seconds", *bodies) == {("ml",): 70}


def test_unsigned_versions_are_counted_by_reason() -> None:
    bodies = (
        version(1, phase="Ready", conditions=[condition("Signed", "True", "Verified")]),
        version(2, phase="Ready", conditions=[condition("Signed", "False", "SignatureInvalid")]),
        version(3, phase="Pending"),
    )
    assert of("assay_model_versions_unsigned", *bodies) == {("SignatureInvalid",): 1}
    assert of("assay_model_versions", *bodies) == {("Ready",): 2, ("Pending",): 1}


@pytest.mark.parametrize(("status", "found"), [("False", {("ml",): 1}), ("True", {})])
def test_a_policy_that_cannot_be_read_is_counted(status: str, found: Raw) -> None:
    body = policy()
    body["status"] = {"conditions": [condition("Ready", status)]}
    assert of("assay_promotion_policies_unreadable", body) == found


# As Prometheus sees it


def test_gauges_are_exported_only_between_begin_and_end() -> None:
    shown_by = CollectorRegistry()
    gauges = Gauges(TrackingCache(), ModelCache(), shown_by)
    assert generate_latest(shown_by) == b""
    gauges.end()
    gauges.begin()
    assert b"assay_leading 1.0" in generate_latest(shown_by)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Gauges(TrackingCache(), ModelCache(), shown_by).begin()
    gauges.end()
    assert generate_latest(shown_by) == b""


def test_every_gauge_is_collected_with_the_labels_that_it_names() -> None:
    status = {"phase": "Held", "boundVersion": 1, "requirements": [APPROVALS]}
    broken = policy()
    broken["status"] = {"conditions": [condition("Ready", "False")]}
    bodies = (
        a_run("a", reason="Unschedulable"),
        alias(**status, conditions=[condition("Held", "True")]),
        version(1, phase="Ready", conditions=[condition("Signed", "False")]),
        broken,
    )
    tracking = TrackingCache()
    tracking.upsert_experiment(seen({"metadata": {"name": "a"}, "spec": {}}))
    found = values(*bodies, tracking=tracking)
    assert {name for name, _ in found} == set(SHOWN)
    assert all(len(labels) == len(SHOWN[name].labels) for name, labels in found)


def test_ten_thousand_runs_make_no_more_series_than_one() -> None:
    tracking = TrackingCache()
    for number in range(10_000):
        body = a_run(f"r-{number}", reason="Unschedulable")
        tracking.upsert_run(body)
    gauges = Gauges(tracking, ModelCache(), CollectorRegistry())
    assert len(gauges.values(datetime.now(UTC))) < 15
