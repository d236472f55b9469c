import copy
from datetime import datetime, timedelta
from typing import Any

import pytest

from assay.api.experiment import ExperimentSpec
from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.tracking_cache import TrackingCache, run_key
from assay.planning.runs.facts import job_facts
from assay.planning.search import belonging
from tests.unit.planning.objects import NOW, container, ended, experiment_spec, job, job_over, job_spec, pod, run

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
PLACE = ("team", "sweep-0")


def seen(version: int, phase: str = "", *, uid: str = "uid-sweep-0", **status: Any) -> Raw:
    """Return the run `sweep-0` as it was at a resourceVersion, noted as made for the experiment `sweep`."""
    body = run()
    body["metadata"] |= {"resourceVersion": str(version), "uid": uid}
    body["status"] = {**({"phase": phase} if phase else {}), "experimentUid": "uid-sweep", **status}
    return body


def launched() -> TrackingCache:
    """Return a world in which the run `sweep-0` has the Job `uid-job`, which is not seen yet."""
    tracking = TrackingCache()
    tracking.upsert_run(seen(1, "Running", jobUid="uid-job"))
    return tracking


def experiment(uid: str = "uid-sweep", version: int = 1) -> Raw:
    return {"metadata": {"namespace": "team", "name": "sweep", "uid": uid, "resourceVersion": str(version)}, "spec": {}}


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def phases(tracking: TrackingCache) -> list[str]:
    return [facts.phase for facts in tracking.runs_of("uid-sweep")]


def test_a_running_run_is_cached_in_full_and_a_finished_run_as_facts() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1))
    assert tracking.active_runs[PLACE]["spec"]
    assert phases(tracking) == ["Pending"]
    tracking.upsert_run(seen(2, "Succeeded"))
    assert tracking.active_runs == {}
    assert phases(tracking) == tracking.phases() == ["Succeeded"]


def test_a_finished_run_is_cached_until_its_credentials_are_revoked() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1, "Failed", credentials={"secret": "sweep-0-store"}))
    assert PLACE in tracking.active_runs
    tracking.upsert_run(seen(2, "Failed"))
    assert tracking.active_runs == {}


@pytest.mark.parametrize("late", ["", "Running"])
def test_an_outdated_event_changes_nothing(late: str) -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(10, "Running", message="new"))
    tracking.upsert_run(seen(9, late, message="old"))
    assert tracking.active_runs[PLACE]["status"]["message"] == "new"
    tracking.upsert_run(seen(11, "Succeeded"))
    tracking.upsert_run(seen(10, late))
    assert tracking.active_runs == {}, "a run that has ended has come to life again"
    assert phases(tracking) == ["Succeeded"]


def test_non_numeric_resource_versions_are_always_accepted() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(9, "Running"))
    tracking.upsert_run(seen(10, "Succeeded"))
    assert phases(tracking) == ["Succeeded"]
    for version in ("b", "a"):
        body = seen(0, "Running" if version == "b" else "Suspended")
        body["metadata"] |= {"resourceVersion": version, "uid": "other"}
        tracking.upsert_run(body)
    assert sorted(phases(tracking)) == ["Succeeded", "Suspended"]


def test_a_run_that_was_deleted_before_it_ended_is_remembered_for_its_record() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1, "Running"))
    tracking.forget_run(seen(2, "Running"))
    assert (tracking.active_runs, phases(tracking), tracking.phases()) == ({}, [], [])
    assert list(tracking.deleted_runs) == ["uid-sweep-0"]


def test_a_run_that_was_deleted_after_it_ended_is_forgotten() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1, "Succeeded"))
    tracking.forget_run(seen(2, "Succeeded"))
    assert (tracking.deleted_runs, phases(tracking)) == ({}, [])


def test_deleting_an_unknown_run_is_ignored() -> None:
    tracking = TrackingCache()
    tracking.forget_run(seen(2, "Running"))
    assert tracking.deleted_runs == {}


def test_the_answer_to_a_late_write_does_not_bring_a_deleted_run_back() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1, "Running"))
    tracking.forget_run(seen(3, "Running"))
    tracking.upsert_run(seen(2, "Running"))
    assert (tracking.active_runs, phases(tracking)) == ({}, [])


def test_the_answer_to_a_late_write_does_not_bring_a_deleted_experiment_back() -> None:
    tracking = TrackingCache()
    tracking.upsert_experiment(experiment())
    tracking.forget_experiment(experiment())
    tracking.upsert_experiment(experiment())
    assert (tracking.experiments, tracking.experiments_by_uid) == ({}, {})


def test_a_reused_name_belongs_to_the_new_object() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1, "Running"))
    tracking.upsert_run(seen(5, uid="new"))
    tracking.forget_run(seen(4, "Running"))
    assert tracking.active_runs[PLACE]["metadata"]["uid"] == "new"
    tracking.upsert_experiment(experiment("first"))
    tracking.upsert_experiment(experiment("second"))
    tracking.forget_experiment(experiment("first"))
    assert tracking.experiments["team", "sweep"]["metadata"]["uid"] == "second"
    assert list(tracking.experiments_by_uid) == ["second"]


def test_the_number_of_tombstones_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.controllers.runtime import seen_versions

    monkeypatch.setattr(seen_versions, "_TOMBSTONES", 3)
    tracking = TrackingCache()
    for number in range(9):
        tracking.forget_run(seen(1, uid=f"uid-{number}"))
    assert list(tracking._seen._gone) == ["uid-6", "uid-7", "uid-8"]


def test_runs_of_their_own_belong_to_no_experiment() -> None:
    tracking = TrackingCache()
    body = seen(1, experimentUid=None)
    del body["metadata"]["ownerReferences"]
    tracking.upsert_run(body)
    assert phases(tracking) == []
    assert tracking.phases() == ["Pending"]


def test_an_owner_that_does_not_control_is_not_the_experiment() -> None:
    tracking = TrackingCache()
    body = seen(1, experimentUid=None)
    body["metadata"]["ownerReferences"][0]["controller"] = False
    tracking.upsert_run(body)
    assert phases(tracking) == []


def test_the_table_of_an_experiment_goes_when_its_runs_are_gone() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1))
    tracking.forget_experiment_runs("uid-sweep")
    assert phases(tracking) == ["Pending"]
    tracking.forget_run(seen(2))
    tracking.forget_experiment_runs("uid-sweep")
    assert tracking.runs_of("uid-sweep") == []
    assert tracking.runs_of("nobody") == []


# Children


def test_recorder_age_counts_from_its_last_report_or_the_first_query() -> None:
    tracking = TrackingCache()
    assert tracking.last_report(run(), "a") is None
    tracking.record_report(run(), "a", None, after(10))
    tracking.record_report(run(), "a", None, after(20))
    assert tracking.last_report(run(), "a") == after(10)
    tracking.record_report(run(), "a", after(25), after(30))
    tracking.record_report(run(), "a", None, after(40))
    assert tracking.last_report(run(), "a") == after(25)
    tracking.record_report(run(), "a", after(1000), after(50))
    assert tracking.last_report(run(), "a") == after(50), "a clock that is ahead of ours"
    tracking.record_report(run(), "b", None, after(60))
    assert (tracking.last_report(run(), "a"), tracking.last_report(run(), "b")) == (None, after(60))


@pytest.mark.parametrize("gone", ["ended", "deleted"])
def test_recorder_reports_of_finished_runs_are_dropped(gone: str) -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1, "Running"))
    tracking.record_report(seen(1), "a", after(0), after(0))
    if gone == "ended":
        tracking.upsert_run(seen(2, "Failed", credentials={"secret": "s"}))
    else:
        tracking.forget_run(seen(1))
    assert tracking.last_report(seen(1), "a") is None


def test_jobs_and_pods_are_found_by_the_runs_uid() -> None:
    tracking = launched()
    tracking.upsert_job(job(job_over("Complete")))
    tracking.upsert_pod(pod("Running", container("running"), name="second", created=20))
    tracking.upsert_pod(pod("Failed", ended(1), name="first", created=10))
    found = tracking.job(run())
    assert found is not None
    assert found.outcome == "Complete"
    assert [p.name for p in tracking.pods(run())] == ["first", "second"]
    other = seen(1, uid="other")
    assert tracking.job(other) is None
    assert tracking.pods(other) == []


def test_a_job_missing_from_the_run_status_is_ignored() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1, "Pending"))
    tracking.upsert_job(job(job_over("Complete")))
    tracking.upsert_pod(pod("Succeeded", ended(0)))
    assert tracking.job(run()) is None
    assert tracking.pods(run()) == []


def test_a_job_counts_from_its_creation_until_it_is_abandoned() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1, "Pending"))
    tracking.launched(seen(1), job())
    tracking.upsert_pod(pod("Running", container("running"), name="own"))
    assert tracking.job(run()) == job_facts(job())
    assert [found.name for found in tracking.pods(run())] == ["own"]
    tracking.abandon_job(run())
    assert tracking.job(run()) is None
    assert tracking.pods(run()) == []


def test_the_pods_of_a_deleted_run_are_known_until_its_record_is_closed() -> None:
    tracking = launched()
    tracking.upsert_pod(pod("Running", container("running"), name="own"))
    tracking.forget_run(seen(2, "Running", jobUid="uid-job"))
    assert [found.name for found in tracking.pods(run())] == ["own"]
    tracking.close_run("uid-sweep-0")
    assert (tracking.pods(run()), tracking.deleted_runs) == ([], {})


# Whose a run is


def made_for(experiment: Raw, **changes: Any) -> Raw:
    """Return run 0 of an experiment as the operator makes it, without a status."""
    spec = ExperimentSpec.model_validate(experiment["spec"])
    body = belonging.run_body(experiment, spec, 0)
    body["metadata"] |= {"uid": "uid-sweep-0", "resourceVersion": "5", "generation": 1, **changes.pop("metadata", {})}
    body["spec"] |= changes
    return body


def an_experiment(namespace: str = "team", uid: str = "uid-sweep", **spec: Any) -> Raw:
    body = experiment(uid)
    body["metadata"]["namespace"] = namespace
    found = {"owner": "alice", "parameters": [{"name": "a", "values": [1, 2]}], **spec}
    return {"apiVersion": "assay.dev/v1alpha1", "kind": "Experiment", **body, "spec": experiment_spec(**found)}


def test_a_run_as_the_operator_makes_it_belongs_to_its_experiment() -> None:
    tracking = TrackingCache()
    tracking.upsert_experiment(an_experiment(retention={"artifactsAfter": "1d"}))
    tracking.upsert_run(made_for(an_experiment()))
    assert phases(tracking) == ["Pending"], "also when its retention has been changed since"


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": "mallory"},
        {"parameters": {"a": 2}},
        {"job": job_spec(nodeName="mine")},
        {"metadata": {"name": "another"}},
        {"metadata": {"labels": {"assay.dev/index": "1"}}},
        {"metadata": {"labels": {"assay.dev/index": "7"}}},
        {"metadata": {"namespace": "mallorys"}},
    ],
    ids=["owner", "parameters", "job", "name", "index", "no such index", "namespace"],
)
def test_a_run_that_differs_from_its_experiment_is_not_one_of_its_runs(changes: Raw) -> None:
    tracking = TrackingCache()
    tracking.upsert_experiment(an_experiment())
    stuffed = made_for(an_experiment(), **changes)
    tracking.upsert_run(stuffed)
    assert phases(tracking) == []
    assert tracking.experiment_of(stuffed) is None


def test_retention_ignores_a_foreign_experiment() -> None:
    """Retention asks the world whose a run is."""
    tracking = TrackingCache()
    tracking.upsert_experiment(an_experiment(uid="mallorys", retention={"artifactsAfter": "0s"}))
    done = {"completionTime": "2026-03-01T12:00:00Z", "record": {"uri": "s3://assay/runs/team/_/sweep-0/u/"}}
    victim = seen(1, "Succeeded", **{**done, "experimentUid": None})
    victim["metadata"]["ownerReferences"][0]["uid"] = "mallorys"
    tracking.upsert_run(victim)
    assert tracking.ended_runs["uid-sweep-0"].experiment == ""


def test_children_are_forgotten() -> None:
    tracking = launched()
    tracking.upsert_job(job())
    tracking.upsert_pod(pod("Running"))
    tracking.forget_job(job())
    tracking.forget_pod(pod("Running"))
    tracking.forget_pod(pod("Running"))
    assert tracking.job(run()) is None
    assert tracking.pods(run()) == []


def test_deleting_an_old_job_keeps_the_new_job_of_the_same_name() -> None:
    tracking = launched()
    tracking.upsert_job(job())
    late = copy.deepcopy(job())
    late["metadata"]["uid"] = "an earlier one"
    tracking.forget_job(late)
    assert tracking.job(run()) is not None


def test_children_of_others_are_ignored() -> None:
    tracking = launched()
    for stray in (job(), pod("Running")):
        stray["metadata"]["labels"] = {}
        (tracking.upsert_job if stray["kind"] == "Job" else tracking.upsert_pod)(stray)
        (tracking.forget_job if stray["kind"] == "Job" else tracking.forget_pod)(stray)
    assert tracking.job(run()) is None
    assert tracking.pods(run()) == []


def test_a_label_alone_does_not_make_a_job_or_pod_a_child() -> None:
    tracking = launched()
    assert tracking.upsert_job(job())
    own = pod("Running", container("running"), name="own")
    tracking.upsert_pod(own)
    for forge in (
        lambda m: m.pop("ownerReferences"),
        lambda m: m["ownerReferences"][0].update(uid="another job"),
        lambda m: m.update(namespace="elsewhere"),
    ):
        stray = pod("Running", container("running"), name="stray")
        forge(stray["metadata"])
        tracking.upsert_pod(stray)
        assert [found.name for found in tracking.pods(run())] == ["own"]
        tracking.forget_pod(stray)
    forged = job(job_over("Complete"))
    forged["metadata"] |= {"uid": "forged", "ownerReferences": []}
    assert not tracking.upsert_job(forged)
    forged["metadata"] |= {"ownerReferences": job()["metadata"]["ownerReferences"]}
    tracking.upsert_job(forged)
    assert tracking.job(run()) == job_facts(job()), "a second Job that says it is this run's"
    forged["metadata"] |= {"uid": "elsewhere", "namespace": "elsewhere"}
    tracking.upsert_job(forged)
    found = tracking.job(run())
    assert found is not None
    assert (found.uid, found.outcome) == ("uid-job", "")


def test_only_changed_objects_are_reported_as_changed() -> None:
    """A reconcile for every echo of our own writes would double the work."""
    tracking = TrackingCache()
    assert tracking.upsert_run(seen(1))
    assert not tracking.upsert_run(seen(1))
    assert tracking.upsert_run(seen(2))
    assert tracking.upsert_experiment(experiment())
    assert not tracking.upsert_experiment(experiment())


def test_irrelevant_changes_of_a_child_are_ignored() -> None:
    tracking = TrackingCache()
    first, heartbeat, end = pod("Running"), pod("Running"), pod("Succeeded", ended(0))
    heartbeat["metadata"]["resourceVersion"], end["metadata"]["resourceVersion"] = "13", "14"
    heartbeat["status"]["hostIP"] = "10.0.0.1"
    assert [tracking.upsert_pod(body) for body in (first, heartbeat, end)] == [True, False, True]
    once, same = job(), job()
    same["metadata"]["resourceVersion"] = "13"
    assert [tracking.upsert_job(body) for body in (once, same)] == [True, False]


def test_a_child_names_the_run_to_reconcile() -> None:
    assert run_key(job()) == run_key(pod("Running")) == Key("Run", "team", "sweep-0")


def test_retention_data_of_a_finished_run_is_cached_until_deletion() -> None:
    tracking = TrackingCache()
    done = {"completionTime": "2026-03-01T12:00:00Z", "record": {"uri": "s3://assay/runs/team/sweep/sweep-0/u/"}}
    tracking.upsert_run(seen(1, "Running"))
    tracking.upsert_run(seen(2, "Succeeded", credentials={"secret": "s"}, **done))
    assert tracking.ended_runs == {}
    tracking.upsert_run(seen(3, "Succeeded", **done))
    assert tracking.ended_runs["uid-sweep-0"].uri == done["record"]["uri"]
    tracking.forget_run(seen(4, "Succeeded", **done))
    assert tracking.ended_runs == {}


def test_runs_that_are_counted_elsewhere_can_be_left_out() -> None:
    tracking = TrackingCache()
    tracking.upsert_run(seen(1, "Succeeded"))
    assert tracking.has_run("uid-sweep", "uid-sweep-0")
    assert [run.name for run in tracking.runs_of("uid-sweep", ["another"])] == ["sweep-0"]
    assert tracking.runs_of("uid-sweep", ["uid-sweep-0"]) == []
    assert not tracking.has_run("uid-sweep", "another")
    assert not tracking.has_run("another", "uid-sweep-0")
