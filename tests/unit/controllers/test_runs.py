from typing import Any

import pytest

from assay.api.resources import JOBS, RUNS, SECRETS
from assay.controllers.runtime.handlers import DELETED_RUN
from assay.controllers.runtime.queue import BackOff, Key, Requeue
from assay.controllers.tracking import runs
from assay.controllers.tracking.records import Closed
from assay.kube.errors import ApiError
from assay.store.credentials import Credentials
from assay.store.errors import StoreDenied, StoreUnavailable
from tests.registry import digest
from tests.unit.controllers.fakes import Parts
from tests.unit.planning.objects import container, experiment_spec, job, pod, run

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
RUN, SWEEP = Key("Run", "team", "sweep-0"), Key("Experiment", "team", "sweep")
#: A Secret that never expires: the store is not asked for another one.
SECRET = {"credentials": {"secret": "run-sweep-0"}}
CREDENTIALS = Credentials("http://store:9000", "assay", "us-east-1", "key", "secret", None, None)


def world(**status: Any) -> Parts:
    """Return the parts where the run exists."""
    parts = Parts()
    body = {**run(), "status": {**SECRET, **status}}
    parts.tracking.upsert_run(parts.kube.put(RUNS, body))
    return parts


async def reconcile(parts: Parts) -> Raw:
    """Reconcile the run, and return its status."""
    await runs.reconcile(parts, RUN)
    status: Raw = parts.kube.all(RUNS)[0]["status"]
    return status


def jobs_made(parts: Parts) -> list[str]:
    return [line for line in parts.journal if line.startswith("create jobs")]


async def test_a_run_gets_exactly_one_job_and_its_status_names_the_uid() -> None:
    parts = world()
    status = await reconcile(parts)
    assert status["jobUid"] == parts.kube.all(JOBS)[0]["metadata"]["uid"]
    await reconcile(parts)
    await reconcile(parts)
    assert jobs_made(parts) == ["create jobs sweep-0"]


async def test_a_job_that_the_watch_has_not_shown_yet_is_not_created_again() -> None:
    """The operator was restarted: its cache has the run alone."""
    parts = world(jobUid="uid-job", phase="Pending")
    parts.kube.put(JOBS, job())
    status = await reconcile(parts)
    assert status["jobUid"] == "uid-job"
    assert jobs_made(parts) == []


async def test_a_job_with_another_uid_is_ignored() -> None:
    """Somebody has deleted the Job, and created one of that name that says it has succeeded."""
    parts = world(jobUid="uid-first", phase="Running")
    parts.store.answers["close_record"] = Closed("Failed", None, digest(), 0, 0, "", None)
    forged = job({"conditions": [{"type": "Complete", "status": "True"}]})
    parts.tracking.upsert_job(parts.kube.put(JOBS, forged))
    status = await reconcile(parts)
    assert (status["phase"], status["reason"]) == ("Failed", "JobDeleted")


async def test_an_unrecorded_job_with_the_same_name_is_replaced() -> None:
    parts = world()
    parts.kube.put(JOBS, job())
    with pytest.raises(Requeue):
        await reconcile(parts)
    assert parts.kube.all(JOBS) == []
    assert (await reconcile(parts))["jobUid"] == "uid-jobs-sweep-0"


def suspend(parts: Parts, suspended: bool) -> None:
    """Suspend or resume the experiment, as a person does."""
    version = str(1 + len(parts.journal))
    metadata = {"name": "sweep", "namespace": "team", "uid": "uid-sweep", "resourceVersion": version}
    body = {"kind": "Experiment", "metadata": metadata, "spec": experiment_spec(suspend=suspended)}
    assert parts.tracking.upsert_experiment(body)


def resume_job(parts: Parts) -> None:
    """Resume the Job, as a queue does."""
    parts.tracking.upsert_job(parts.kube.change(JOBS, "team", "sweep-0", {"spec": {"suspend": False}}))


def job_is(parts: Parts) -> tuple[bool, str | None]:
    """Return whether the Job is suspended, and by whom."""
    found = parts.kube.all(JOBS)[0]
    return found["spec"]["suspend"], (found["metadata"].get("annotations") or {}).get("assay.dev/suspended-by")


async def test_a_job_resumed_by_a_user_is_suspended_again_and_reported() -> None:
    parts = world(jobUid="uid-job", phase="Running", experimentUid="uid-sweep")
    parts.tracking.upsert_job(parts.kube.put(JOBS, job({"active": 1})))
    suspend(parts, True)
    assert (await reconcile(parts))["reason"] == "SuspendedBySpec"
    for _ in range(2):
        resume_job(parts)
        for _ in range(2):  # it remains until the conflict is resolved
            status = await reconcile(parts)
            assert (status["phase"], status["reason"]) == ("Suspended", "JobResumed")
            assert job_is(parts) == (True, "Experiment-Again")
    [found] = [each for each in status["conditions"] if each["type"] == "Suspended"]
    assert (found["status"], found["reason"]) == ("True", "JobResumed")
    assert "resumed outside of Assay" in found["message"]
    suspend(parts, False)
    assert (await reconcile(parts))["reason"] == "WaitingForPod"
    assert job_is(parts) == (False, None)
    suspend(parts, True)
    assert (await reconcile(parts))["reason"] == "SuspendedBySpec"


async def test_a_job_resumed_before_its_experiment_causes_no_conflict() -> None:
    parts = world(jobUid="uid-job", phase="Suspended", experimentUid="uid-sweep")
    parts.kube.put(JOBS, job({}, annotations={"assay.dev/suspended-by": "Experiment"}, suspend=True))
    suspend(parts, False)
    resume_job(parts)
    await reconcile(parts)
    assert job_is(parts) == (False, None)
    suspend(parts, True)
    assert (await reconcile(parts))["reason"] == "SuspendedBySpec"


async def test_a_foreign_job_is_not_modified() -> None:
    parts = world()
    foreign = job()
    foreign["metadata"] |= {"labels": {}, "ownerReferences": []}
    parts.kube.put(JOBS, foreign)
    status = await reconcile(parts)
    assert (status["phase"], status["reason"]) == ("Failed", "NameTaken")
    assert parts.kube.all(JOBS) == [foreign]


async def test_a_template_refused_by_the_api_server_fails_the_run_with_its_message() -> None:
    parts = world()
    parts.kube.refusals["create", "jobs"] = ApiError(422, "Invalid", "spec.template: no such field")
    status = await reconcile(parts)
    assert (status["phase"], status["reason"]) == ("Failed", "InvalidTemplate")
    assert "no such field" in status["message"]


async def test_an_overloaded_api_server_does_not_fail_a_run() -> None:
    parts = world()
    parts.kube.refusals["create", "jobs"] = ApiError(503, "ServiceUnavailable", "try again")
    with pytest.raises(ApiError):
        await reconcile(parts)
    assert parts.journal == []


async def test_a_conflict_updates_the_cache_and_is_retried() -> None:
    parts = world(jobUid="uid-job", phase="Pending")
    parts.kube.put(JOBS, job())
    label = {"metadata": {"labels": {"team": "a"}}}
    parts.kube.before["patch", "runs"] = lambda: parts.kube.change(RUNS, "team", "sweep-0", label)
    with pytest.raises(Requeue):
        await reconcile(parts)
    assert (await reconcile(parts))["phase"]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_finished_run_is_not_touched(phase: str) -> None:
    parts = world(phase=phase, jobUid="uid-job")
    parts.tracking.active_runs["team", "sweep-0"] = {**run(), "status": {"phase": phase, "jobUid": "uid-job"}}
    await reconcile(parts)
    assert parts.journal == []
    assert parts.events.posted == []


async def test_a_run_that_is_being_deleted_gets_no_job() -> None:
    parts = world()
    body = parts.kube.change(RUNS, "team", "sweep-0", {"metadata": {"deletionTimestamp": "2026-03-01T12:00:00Z"}})
    parts.tracking.upsert_run(body)
    await reconcile(parts)
    assert parts.journal == []


async def test_a_run_that_is_deleted_while_its_keys_are_issued_gets_no_secret() -> None:
    """Its namespace may be gone as well, and be created again for others."""
    parts = world(credentials=None)
    (body,) = parts.kube.all(RUNS)
    parts.store.answers |= {"open_record": None, "issue_run_credentials": CREDENTIALS}
    parts.store.before["issue_run_credentials"] = lambda: parts.tracking.forget_run(body)
    with pytest.raises(Requeue):
        await reconcile(parts)
    assert parts.kube.all(SECRETS) == parts.kube.all(JOBS) == []


REFUSALS = {
    "rights that an API server is still loading": 'jobs.batch is forbidden: User "a" cannot create resource "jobs"',
    "a quota": 'jobs.batch "sweep-0" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: 3',
}
POLICIES = {
    "an admission policy": "is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
    "a webhook": 'admission webhook "w.example.com" denied the request: not today',
}


@pytest.mark.parametrize("needed", [JOBS, SECRETS], ids=["jobs", "secrets"])
@pytest.mark.parametrize(
    ("status", "message"),
    [(403, said) for said in REFUSALS.values()] + [(code, said) for said in POLICIES.values() for code in (400, 422)],
    ids=[*REFUSALS, *(f"{who} ({code})" for who in POLICIES for code in (400, 422))],
)
async def test_a_refusal_that_may_change_waits_and_is_tried_again(needed: Any, status: int, message: str) -> None:
    parts = world(credentials=None)
    parts.store.answers |= {"open_record": None, "issue_run_credentials": CREDENTIALS}
    parts.kube.refusals["create", needed[1]] = ApiError(status, "Forbidden", message)
    with pytest.raises(BackOff):
        await reconcile(parts)
    (body,) = parts.kube.all(RUNS)
    assert (body["status"]["phase"], body["status"]["reason"]) == ("Pending", "LaunchRefused")
    assert message in body["status"]["message"]
    assert (await reconcile(parts))["jobUid"] == parts.kube.all(JOBS)[0]["metadata"]["uid"]


async def test_a_refused_request_does_not_end_a_run_whose_job_runs() -> None:
    """The API server has just started, and its RBAC is not loaded yet."""
    parts = world(jobUid="uid-job", phase="Running", credentials={"secret": "s", "expires": "2020-01-01T00:00:00Z"})
    parts.store.answers |= {"open_record": None, "issue_run_credentials": CREDENTIALS}
    parts.tracking.upsert_job(parts.kube.put(JOBS, job({"active": 1})))
    parts.kube.refusals["create", "secrets"] = ApiError(403, "Forbidden", "secrets is forbidden")
    with pytest.raises(ApiError):
        await reconcile(parts)
    assert parts.kube.all(RUNS)[0]["status"]["phase"] == "Running"


@pytest.mark.parametrize("error", [StoreDenied("the key is unknown"), StoreUnavailable("cannot be reached")], ids=type)
async def test_an_unreachable_store_before_the_launch_is_reported_in_the_status(error: Exception) -> None:
    parts = world(credentials=None)
    parts.store.answers["open_record"] = error
    with pytest.raises(BackOff):
        await reconcile(parts)
    (body,) = parts.kube.all(RUNS)
    assert (body["status"]["phase"], body["status"]["reason"]) == ("Pending", "StoreUnreachable")
    assert str(error) in body["status"]["message"]
    assert jobs_made(parts) == []


async def test_a_run_whose_deletion_no_watch_has_shown_has_its_record_closed() -> None:
    """The listing that finds it shows what is known of the run, and the run itself no more."""
    parts = world(jobUid="uid-job", phase="Running")
    (gone,) = parts.tracking.known("Run").values()
    parts.tracking.forget_run(gone)
    parts.store.answers["close_record"] = Closed("Deleted", None, digest(), 0, 0, "", None)
    await runs.close_deleted(parts, Key(DELETED_RUN, "team", "sweep-0", "uid-sweep-0"))
    assert parts.audit.actions == ["RunEnded"]
    assert parts.tracking.deleted_runs == {}


async def test_a_run_that_is_deleted_before_its_status_is_written_is_deleted_like_any_other() -> None:
    parts = world(jobUid="uid-job", phase="Running", experimentUid="uid-sweep")
    suspend(parts, False)
    parts.tracking.upsert_job(parts.kube.put(JOBS, job({"active": 1})))
    parts.tracking.upsert_pod(pod("Running", container("running")))
    body = parts.kube.all(RUNS)[0]
    await parts.kube.delete(RUNS, "team", "sweep-0")
    await runs.reconcile(parts, RUN)
    assert SWEEP in parts.queue.added, "its place in the search is free"
    parts.tracking.forget_run(body)  # the watch shows it too
    gone = Key(DELETED_RUN, "team", "sweep-0", "uid-sweep-0")
    assert gone in parts.queue.added
    with pytest.raises(Requeue, match="the pods of a deleted run are still stopping"):
        await runs.close_deleted(parts, gone)


async def test_nothing_is_to_be_observed_of_a_run_that_has_ended() -> None:
    """The observer asks for its summary while its logs are still being read."""
    parts = world(jobUid="uid-job", phase="Running")
    parts.tracking.upsert_job(parts.kube.put(JOBS, job({"conditions": [{"type": "Complete", "status": "True"}]})))
    parts.store.answers["close_record"] = Closed("Succeeded", None, digest(), 0, 0, "", None)
    parts.pods.observe.add("uid-sweep-0")
    assert (await reconcile(parts))["phase"] == "Succeeded"
    assert parts.pods.observe == set()
