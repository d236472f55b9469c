import copy
from datetime import datetime, timedelta
from typing import Any

import pytest

from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.tracking_cache import World, run_key
from tests.unit.planning.objects import NOW, container, ended, job, job_over, pod, run

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
PLACE = ("team", "sweep-0")


def seen(version: int, phase: str = "", *, uid: str = "uid-sweep-0", **status: Any) -> Raw:
    """Return the run `sweep-0` as it was at a resourceVersion."""
    body = run()
    body["metadata"] |= {"resourceVersion": str(version), "uid": uid}
    body["status"] = {**({"phase": phase} if phase else {}), **status}
    return body


def experiment(uid: str = "uid-sweep", version: int = 1) -> Raw:
    return {"metadata": {"namespace": "team", "name": "sweep", "uid": uid, "resourceVersion": str(version)}, "spec": {}}


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def phases(world: World) -> list[str]:
    return [facts.phase for facts in world.runs_of("uid-sweep")]


def test_a_run_that_goes_on_is_kept_whole_and_one_that_ended_as_facts() -> None:
    world = World()
    world.see_run(seen(1))
    assert world.active_runs[PLACE]["spec"]
    assert phases(world) == ["Pending"]
    world.see_run(seen(2, "Succeeded"))
    assert world.active_runs == {}
    assert phases(world) == world.phases() == ["Succeeded"]


def test_a_run_that_ended_is_kept_until_its_credentials_are_taken_back() -> None:
    world = World()
    world.see_run(seen(1, "Failed", credentials={"secret": "sweep-0-store"}))
    assert PLACE in world.active_runs
    world.see_run(seen(2, "Failed"))
    assert world.active_runs == {}


@pytest.mark.parametrize("late", ["", "Running"])
def test_an_event_older_than_what_is_known_changes_nothing(late: str) -> None:
    world = World()
    world.see_run(seen(10, "Running", message="new"))
    world.see_run(seen(9, late, message="old"))
    assert world.active_runs[PLACE]["status"]["message"] == "new"
    world.see_run(seen(11, "Succeeded"))
    world.see_run(seen(10, late))
    assert world.active_runs == {}, "a run that has ended has come to life again"
    assert phases(world) == ["Succeeded"]


def test_versions_are_numbers_and_where_they_are_not_everything_is_taken() -> None:
    world = World()
    world.see_run(seen(9, "Running"))
    world.see_run(seen(10, "Succeeded"))
    assert phases(world) == ["Succeeded"]
    for version in ("b", "a"):
        body = seen(0, "Running" if version == "b" else "Suspended")
        body["metadata"] |= {"resourceVersion": version, "uid": "other"}
        world.see_run(body)
    assert sorted(phases(world)) == ["Succeeded", "Suspended"]


def test_a_run_that_was_deleted_before_it_ended_is_remembered_for_its_record() -> None:
    world = World()
    world.see_run(seen(1, "Running"))
    world.lose_run(seen(2, "Running"))
    assert (world.active_runs, phases(world), world.phases()) == ({}, [], [])
    assert list(world.deleted_runs) == ["uid-sweep-0"]


def test_a_run_that_was_deleted_after_it_ended_is_forgotten() -> None:
    world = World()
    world.see_run(seen(1, "Succeeded"))
    world.lose_run(seen(2, "Succeeded"))
    assert (world.deleted_runs, phases(world)) == ({}, [])


def test_a_run_that_nobody_has_seen_can_be_lost() -> None:
    world = World()
    world.lose_run(seen(2, "Running"))
    assert world.deleted_runs == {}


def test_the_answer_to_a_late_write_does_not_bring_a_deleted_run_back() -> None:
    world = World()
    world.see_run(seen(1, "Running"))
    world.lose_run(seen(3, "Running"))
    world.see_run(seen(2, "Running"))
    assert (world.active_runs, phases(world)) == ({}, [])


def test_the_answer_to_a_late_write_does_not_bring_a_deleted_experiment_back() -> None:
    world = World()
    world.see_experiment(experiment())
    world.lose_experiment(experiment())
    world.see_experiment(experiment())
    assert (world.experiments, world.experiments_by_uid) == ({}, {})


def test_a_name_that_was_taken_again_belongs_to_the_new_object() -> None:
    world = World()
    world.see_run(seen(1, "Running"))
    world.see_run(seen(5, uid="new"))
    world.lose_run(seen(4, "Running"))
    assert world.active_runs[PLACE]["metadata"]["uid"] == "new"
    world.see_experiment(experiment("first"))
    world.see_experiment(experiment("second"))
    world.lose_experiment(experiment("first"))
    assert world.experiments["team", "sweep"]["metadata"]["uid"] == "second"
    assert list(world.experiments_by_uid) == ["second"]


def test_what_is_remembered_of_the_deleted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.controllers.runtime import seen_versions

    monkeypatch.setattr(seen_versions, "_TOMBSTONES", 3)
    world = World()
    for number in range(9):
        world.lose_run(seen(1, uid=f"uid-{number}"))
    assert list(world._seen._gone) == ["uid-6", "uid-7", "uid-8"]


def test_runs_of_their_own_belong_to_no_experiment() -> None:
    world = World()
    body = seen(1)
    del body["metadata"]["ownerReferences"]
    world.see_run(body)
    assert phases(world) == []
    assert world.phases() == ["Pending"]


def test_an_owner_that_does_not_control_is_not_the_experiment() -> None:
    world = World()
    body = seen(1)
    body["metadata"]["ownerReferences"][0]["controller"] = False
    world.see_run(body)
    assert phases(world) == []


def test_the_table_of_an_experiment_goes_when_its_runs_are_gone() -> None:
    world = World()
    world.see_run(seen(1))
    world.forget_experiment_runs("uid-sweep")
    assert phases(world) == ["Pending"]
    world.lose_run(seen(2))
    world.forget_experiment_runs("uid-sweep")
    assert world.runs_of("uid-sweep") == []
    assert world.runs_of("nobody") == []


# Children


def test_a_recorder_counts_from_its_last_word_and_before_the_first_from_when_it_was_asked() -> None:
    world = World()
    assert world.heard(run(), "a") is None
    world.hear(run(), "a", None, after(10))
    world.hear(run(), "a", None, after(20))
    assert world.heard(run(), "a") == after(10)
    world.hear(run(), "a", after(25), after(30))
    world.hear(run(), "a", None, after(40))
    assert world.heard(run(), "a") == after(25)
    world.hear(run(), "a", after(1000), after(50))
    assert world.heard(run(), "a") == after(50), "a clock that is ahead of ours"
    world.hear(run(), "b", None, after(60))
    assert (world.heard(run(), "a"), world.heard(run(), "b")) == (None, after(60))


@pytest.mark.parametrize("gone", ["ended", "deleted"])
def test_nobody_waits_for_the_recorder_of_a_run_that_is_over(gone: str) -> None:
    world = World()
    world.see_run(seen(1, "Running"))
    world.hear(seen(1), "a", after(0), after(0))
    if gone == "ended":
        world.see_run(seen(2, "Failed", credentials={"secret": "s"}))
    else:
        world.lose_run(seen(1))
    assert world.heard(seen(1), "a") is None


def test_jobs_and_pods_are_found_by_the_runs_uid() -> None:
    world = World()
    world.see_job(job(job_over("Complete")))
    world.see_pod(pod("Running", container("running"), name="second", created=20))
    world.see_pod(pod("Failed", ended(1), name="first", created=10))
    found = world.job(run())
    assert found is not None
    assert found.outcome == "Complete"
    assert [p.name for p in world.pods(run())] == ["first", "second"]
    other = seen(1, uid="other")
    assert world.job(other) is None
    assert world.pods(other) == []


def test_children_are_forgotten() -> None:
    world = World()
    world.see_job(job())
    world.see_pod(pod("Running"))
    world.lose_job(job())
    world.lose_pod(pod("Running"))
    world.lose_pod(pod("Running"))
    assert world.job(run()) is None
    assert world.pods(run()) == []


def test_the_job_of_the_same_name_that_came_after_stays() -> None:
    world = World()
    world.see_job(job())
    late = copy.deepcopy(job())
    late["metadata"]["uid"] = "an earlier one"
    world.lose_job(late)
    assert world.job(run()) is not None


def test_children_of_others_are_ignored() -> None:
    world = World()
    for stray in (job(), pod("Running")):
        stray["metadata"]["labels"] = {}
        (world.see_job if stray["kind"] == "Job" else world.see_pod)(stray)
        (world.lose_job if stray["kind"] == "Job" else world.lose_pod)(stray)
    assert world.job(run()) is None
    assert world.pods(run()) == []


def test_a_label_alone_makes_nobody_a_child() -> None:
    world = World()
    assert world.see_job(job())
    own = pod("Running", container("running"), name="own")
    world.see_pod(own)
    for forge in (
        lambda m: m.pop("ownerReferences"),
        lambda m: m["ownerReferences"][0].update(uid="another job"),
        lambda m: m.update(namespace="elsewhere"),
    ):
        stray = pod("Running", container("running"), name="stray")
        forge(stray["metadata"])
        world.see_pod(stray)
        assert [found.name for found in world.pods(run())] == ["own"]
        world.lose_pod(stray)
    forged = job(job_over("Complete"))
    forged["metadata"] |= {"uid": "forged", "ownerReferences": []}
    assert not world.see_job(forged)
    forged["metadata"] |= {"namespace": "elsewhere", "ownerReferences": job()["metadata"]["ownerReferences"]}
    world.see_job(forged)
    found = world.job(run())
    assert found is not None
    assert (found.uid, found.outcome) == ("uid-job", "")


def test_only_news_is_news() -> None:
    """A reconcile for every echo of our own writes would double the work."""
    world = World()
    assert world.see_run(seen(1))
    assert not world.see_run(seen(1))
    assert world.see_run(seen(2))
    assert world.see_experiment(experiment())
    assert not world.see_experiment(experiment())


def test_a_child_that_changed_in_nothing_that_matters_is_no_news() -> None:
    world = World()
    first, heartbeat, end = pod("Running"), pod("Running"), pod("Succeeded", ended(0))
    heartbeat["metadata"]["resourceVersion"], end["metadata"]["resourceVersion"] = "13", "14"
    heartbeat["status"]["hostIP"] = "10.0.0.1"
    assert [world.see_pod(body) for body in (first, heartbeat, end)] == [True, False, True]
    once, same = job(), job()
    same["metadata"]["resourceVersion"] = "13"
    assert [world.see_job(body) for body in (once, same)] == [True, False]


def test_a_child_names_the_run_to_reconcile() -> None:
    assert run_key(job()) == run_key(pod("Running")) == Key("Run", "team", "sweep-0")


def test_what_retention_needs_of_a_run_that_ended_is_kept_until_it_is_gone() -> None:
    world = World()
    done = {"completionTime": "2026-03-01T12:00:00Z", "record": {"uri": "s3://assay/runs/team/sweep/sweep-0/u/"}}
    world.see_run(seen(1, "Running"))
    world.see_run(seen(2, "Succeeded", credentials={"secret": "s"}, **done))
    assert world.ended_runs == {}
    world.see_run(seen(3, "Succeeded", **done))
    assert world.ended_runs["uid-sweep-0"].uri == done["record"]["uri"]
    world.lose_run(seen(4, "Succeeded", **done))
    assert world.ended_runs == {}


def test_runs_that_are_counted_elsewhere_can_be_left_out() -> None:
    world = World()
    world.see_run(seen(1, "Succeeded"))
    assert world.has_run("uid-sweep", "uid-sweep-0")
    assert [run.name for run in world.runs_of("uid-sweep", ["another"])] == ["sweep-0"]
    assert world.runs_of("uid-sweep", ["uid-sweep-0"]) == []
    assert not world.has_run("uid-sweep", "another")
    assert not world.has_run("another", "uid-sweep-0")
