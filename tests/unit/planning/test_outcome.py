from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from assay.api import names
from assay.api.run_status import RunStatus
from assay.planning.conditions import counted
from assay.planning.runs import facts, outcome
from assay.planning.runs.outcome import Record
from assay.planning.runs.phases import Verdict
from tests.unit.planning.objects import NOW, at, container, ended, job, job_over, pod, recorder

pytestmark = pytest.mark.unit

DIGEST = "sha256:" + "a" * 64
RECORD = Record(
    succeeded=True,
    problem=None,
    uri="s3://assay/runs/team/sweep/sweep-0/uid/",
    artifacts="s3://assay/runs/team/sweep/sweep-0/uid/pods/p/artifacts/",
    pod="p",
    manifest_digest=DIGEST,
    files=7,
    bytes=1234,
    model_path="model",
    model_digest=DIGEST,
    model_size=99,
)
MISSING = ("ManifestMissing", "no pod has left a complete record in the store")


@dataclass
class Metric:
    last: float = 1.0
    min: float = 0.5
    max: float = 2.0
    step: int = 9
    count: int = 10


@dataclass
class Summary:
    points: int = 20
    children: int = 0
    rejected: int = 0
    warnings: list[str] = field(default_factory=list)
    store_error: str = ""
    metrics: dict[str, Metric] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)


def follow(verdict: Verdict, old: RunStatus | None = None, *, seconds: int = 0, over: bool = False) -> RunStatus:
    found = facts.job_facts(job(job_over("Complete") if over else {"active": 1, "startTime": at(0)}))
    return outcome.follow(old or RunStatus(), verdict, found, [], generation=1, now=NOW + timedelta(seconds=seconds))


def end(status: RunStatus, record: Record | None, kind: str = "Complete") -> RunStatus:
    found = facts.job_facts(job(job_over(kind)))
    return outcome.end(status, record, found, generation=1, now=NOW + timedelta(seconds=100))


def conditions(status: RunStatus) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in status.conditions}


TRAINING = Verdict("Running", names.TRAINING)
SUCCEEDED = Verdict("Succeeded", names.JOB_COMPLETE, ended=True)
FAILED = Verdict("Failed", names.OOM_KILLED, "container train was killed", ended=True)


def test_a_run_that_trains() -> None:
    status = follow(TRAINING)
    assert (status.phase, status.reason, status.message) == ("Running", "Training", None)
    assert (status.start_time, status.job_uid) == (NOW, "uid-job")
    assert conditions(status) == {
        "Suspended": ("False", "NotSuspended"),
        "Started": ("True", "Training"),
        "Recorded": ("Unknown", "NotYet"),
        "Complete": ("False", "Training"),
        "Failed": ("False", "Training"),
    }


@pytest.mark.parametrize("phase", ["Pending", "Suspended"])
def test_a_run_that_waits_has_not_started(phase: Any) -> None:
    status = follow(Verdict(phase, "Because", "of this"))
    assert conditions(status)["Started"] == ("False", "Because")
    assert conditions(status)["Suspended"][0] == str(phase == "Suspended")
    assert status.message == "of this"


def test_reconciling_an_unchanged_run_changes_nothing() -> None:
    first = follow(TRAINING)
    assert follow(TRAINING, first, seconds=60) == first


def test_the_start_is_that_of_the_first_attempt() -> None:
    started = follow(TRAINING)
    resumed = outcome.follow(
        started,
        TRAINING,
        facts.job_facts(job({"startTime": at(500)})),
        [],
        generation=1,
        now=NOW + timedelta(seconds=501),
    )
    assert resumed.start_time == NOW


def test_known_status_fields_are_kept_when_the_job_is_deleted() -> None:
    status = outcome.follow(
        follow(TRAINING), Verdict("Failed", names.JOB_DELETED, "x"), None, [], generation=1, now=NOW
    )
    assert (status.job_uid, status.start_time) == ("uid-job", NOW)


def test_a_condition_keeps_the_time_at_which_its_status_changed() -> None:
    waiting = follow(Verdict("Pending", names.STARTING))
    trains = follow(TRAINING, waiting, seconds=10)
    times = {c.type: c.last_transition_time for c in trains.conditions}
    assert times["Started"] == NOW + timedelta(seconds=10)
    assert times["Recorded"] == times["Failed"] == NOW
    reasons = {c.type: c.reason for c in trains.conditions}
    assert reasons["Failed"] == "Training", "a new reason does not wait for a new status"


# The end


def test_a_complete_job_with_its_record_is_a_success() -> None:
    status = end(follow(SUCCEEDED, over=True), RECORD)
    assert (status.phase, status.reason) == ("Succeeded", "JobComplete")
    assert (status.completion_time, status.duration) == (NOW + timedelta(seconds=80), "1m20s")
    assert conditions(status) == {
        "Suspended": ("False", "NotSuspended"),
        "Started": ("True", "JobComplete"),
        "Recorded": ("True", "Verified"),
        "Complete": ("True", "JobComplete"),
        "Failed": ("False", "JobComplete"),
    }
    assert status.record is not None
    assert status.record.to_dict() == {
        "uri": RECORD.uri,
        "artifacts": RECORD.artifacts,
        "pod": RECORD.pod,
        "complete": True,
        "manifestDigest": DIGEST,
        "files": 7,
        "bytes": 1234,
    }
    assert status.model is not None
    assert status.model.to_dict() == {"path": "model", "digest": DIGEST, "size": 99}


def test_uncaptured_data_is_reported_and_does_not_fail_the_run() -> None:
    lost = replace(RECORD, missing=("logs/p/train: rotated",))
    ended = end(follow(Verdict("Succeeded", names.JOB_COMPLETE, ended=True)), lost)
    assert ended.phase == "Succeeded"
    said = next(each.message for each in ended.conditions if each.type == names.RECORDED)
    assert said is not None
    assert said.endswith("bytes; not captured: logs/p/train: rotated")
    ended = end(ended, replace(RECORD, missing=("logs/p/train: rotated", "logs/p/b: x" * 9000, "logs/p/c: x")))
    said = next(each.message for each in ended.conditions if each.type == names.RECORDED)
    assert said is not None
    assert said.endswith("not captured: logs/p/train: rotated, and 2 more")


def test_a_complete_job_without_its_record_is_a_failure() -> None:
    record = replace(RECORD, succeeded=False, problem=MISSING, model_digest="")
    status = end(follow(SUCCEEDED, over=True), record)
    assert (status.phase, status.reason, status.message) == ("Failed", "RecordIncomplete", MISSING[1])
    found = conditions(status)
    assert found["Recorded"] == ("False", "ManifestMissing")
    assert (found["Complete"][0], found["Failed"]) == ("False", ("True", "RecordIncomplete"))
    assert status.record is not None
    assert status.record.complete is False
    assert status.model is None


def test_a_failed_job_keeps_its_reason_whatever_the_record_says() -> None:
    for record in (RECORD, replace(RECORD, succeeded=False, problem=MISSING)):
        status = end(follow(FAILED), record, "Failed")
        assert (status.phase, status.reason, status.message) == ("Failed", "OOMKilled", FAILED.message)
        assert status.completion_time == NOW + timedelta(seconds=90), "a failed Job has no completionTime"
        assert conditions(status)["Failed"] == ("True", "OOMKilled")


def test_a_run_that_was_never_launched_has_no_record() -> None:
    verdict = Verdict("Failed", names.INVALID_TEMPLATE, "every container needs a name", ended=True)
    begun = outcome.follow(RunStatus(), verdict, None, [], generation=1, now=NOW)
    status = outcome.end(begun, None, None, generation=1, now=NOW)
    assert (status.phase, status.record, status.start_time, status.duration) == ("Failed", None, None, None)
    assert conditions(status)["Started"][0] == "False"
    assert conditions(status)["Recorded"] == ("False", "ManifestMissing")
    assert status.completion_time == NOW


def test_ending_a_run_twice_changes_nothing() -> None:
    once = end(follow(SUCCEEDED, over=True), RECORD)
    assert end(follow(SUCCEEDED, once, over=True), RECORD) == once


def test_attempts_are_part_of_the_status() -> None:
    found = facts.pod_facts(pod("Failed", ended(3)))
    status = outcome.follow(RunStatus(), TRAINING, None, [found], generation=1, now=NOW)
    assert [(a.pod, a.exit_code) for a in status.attempts] == [("sweep-0-abcde", 3)]


# Images


HEX = "a" * 64
PULLED, MOVED = f"registry/train@sha256:{HEX}", "registry/train@sha256:" + "b" * 64


def pod_of(phase: str, *, created: float = 1, name: str = "sweep-0-abcde", **pulled: str) -> facts.PodFacts:
    """Return a pod with the containers train, set-up (of the init containers) and ours."""
    state = "running" if phase == "Running" else "terminated"
    of = {"train": container(state), "set-up": container("terminated", name="set-up"), "assay-recorder": recorder()}
    for each, image_id in pulled.items():
        of[each.replace("_", "-")]["imageID"] = image_id
    found = pod(phase, of["train"], init=[of["assay-recorder"], of["set-up"]], name=name, created=created)
    found["spec"]["containers"] = [{"name": "train", "image": "train:1"}]
    found["spec"]["initContainers"] = [{"name": "assay-recorder", "image": "ours"}, {"name": "set-up", "image": "up"}]
    return facts.pod_facts(found)


def images(old: RunStatus, *pods: facts.PodFacts) -> list[tuple[str, str, str | None]]:
    status = outcome.follow(old, TRAINING, None, pods, generation=1, now=NOW)
    return [(each.container, each.image, each.digest) for each in status.images]


@pytest.mark.parametrize(
    ("image_id", "expected"),
    [
        (f"images.example.com/ml/train@sha256:{HEX}", f"images.example.com/ml/train@sha256:{HEX}"),
        (
            f"docker-pullable://images.example.com:5000/train@sha256:{HEX}",
            f"images.example.com:5000/train@sha256:{HEX}",
        ),
        (f"sha256:{HEX}", f"sha256:{HEX}"),
        (f"docker://sha256:{HEX}", f"sha256:{HEX}"),
        (HEX, f"sha256:{HEX}"),
        ("registry/train@sha512:" + HEX * 2, "registry/train@sha512:" + HEX * 2),
        ("images.example.com/ml/train:latest", ""),
        (f"a b@sha256:{HEX}", ""),
        (f"{'x' * 1024}@sha256:{HEX}", ""),
        ("", ""),
    ],
)
def test_the_image_digest_is_taken_from_the_image_id(image_id: str, expected: str) -> None:
    assert facts.image_digest(image_id) == expected


def test_the_images_are_those_of_the_users_containers() -> None:
    found = pod_of("Running", train=PULLED, set_up=f"sha256:{HEX}", assay_recorder=MOVED)
    assert found.images == (("train", "train:1", PULLED), ("set-up", "up", f"sha256:{HEX}"))
    assert images(RunStatus(), found) == [("train", "train:1", PULLED), ("set-up", "up", f"sha256:{HEX}")]


def test_images_of_a_starting_pod_are_not_recorded() -> None:
    assert images(RunStatus(), pod_of("Pending", set_up=f"sha256:{HEX}")) == []
    begun = outcome.follow(RunStatus(), TRAINING, None, [pod_of("Failed", train=PULLED)], generation=1, now=NOW)
    retried = pod_of("Pending", created=9, name="sweep-0-zzzzz")
    assert images(begun, pod_of("Failed", train=PULLED), retried)[0] == ("train", "train:1", PULLED)


def test_the_newest_started_pod_counts_in_any_order() -> None:
    first = pod_of("Failed", train=PULLED, created=1, name="sweep-0-zzzzz")
    second = pod_of("Running", train=MOVED, created=2, name="sweep-0-aaaaa")
    assert images(RunStatus(), second, first)[0] == images(RunStatus(), first, second)[0] == ("train", "train:1", MOVED)


def test_a_digest_that_was_known_is_not_forgotten() -> None:
    known = outcome.follow(RunStatus(), TRAINING, None, [pod_of("Running", train=PULLED)], generation=1, now=NOW)
    assert images(known, pod_of("Failed"))[0] == ("train", "train:1", PULLED)
    assert [each[2] for each in images(known)] == [PULLED, None], "also when the pod is gone"
    renamed = replace(pod_of("Failed"), images=(("train", "train:2", ""),))
    assert images(known, renamed) == [("train", "train:2", None)], "of another image it says nothing"


def test_images_are_bounded_and_can_be_read_back() -> None:
    many = tuple((f"c{n}", "x" * 1024, PULLED) for n in range(40))
    status = outcome.follow(
        RunStatus(), TRAINING, None, [replace(pod_of("Running"), images=many)], generation=1, now=NOW
    )
    assert [each.container for each in status.images] == [f"c{n}" for n in range(32)]
    assert RunStatus.model_validate(status.to_dict()) == status


# What the recorder says


@pytest.mark.parametrize(("direction", "best"), [("maximize", 2.0), ("minimize", 0.5)])
def test_the_best_value_of_the_objective(direction: str, best: float) -> None:
    summary = Summary(metrics={"loss": Metric(), "score": Metric()})
    status = outcome.with_summary(RunStatus(), {"metric": "score", "direction": direction}, summary)
    assert status.objective == f"{best:g}"
    assert status.metrics is not None
    assert status.metrics["score"].best == best
    assert status.metrics["loss"].best is None


@pytest.mark.parametrize("objective", [None, {}, {"metric": "nothing", "direction": "maximize"}])
def test_a_missing_objective_value_is_omitted(objective: Any) -> None:
    status = outcome.with_summary(RunStatus(), objective, Summary(metrics={"loss": Metric()}))
    assert status.objective is None
    assert list(status.metrics or {}) == ["loss"]


@pytest.mark.parametrize("wanted", [[], ["z"], ["z", "m0003"], ["absent", "z"]])
def test_the_objective_is_kept_when_metrics_are_omitted(wanted: list[str]) -> None:
    """It is usually among the metrics that others want, too."""
    summary = Summary(metrics={f"m{n:04}": Metric() for n in range(1000)} | {"z": Metric(max=7)})
    status = outcome.with_summary(RunStatus(), {"metric": "z", "direction": "maximize"}, summary, wanted)
    assert status.metrics is not None
    assert len(status.metrics) == outcome.MAX_METRICS
    assert status.metrics["z"].best == 7
    assert "m0098" in status.metrics
    assert "m0099" not in status.metrics


def test_recorder_warnings_and_errors_in_the_status_are_bounded() -> None:
    summary = Summary(rejected=3, children=2, warnings=["w" * 5000] * 50, store_error="e" * 5000)
    status = outcome.with_summary(RunStatus(), None, summary)
    assert status.recorder is not None
    assert (status.recorder.points, status.recorder.rejected, status.recorder.child_runs) == (20, 3, 2)
    assert [len(w) for w in status.recorder.warnings] == [600] * 20
    assert len(status.recorder.store_error or "") == 1024
    RunStatus.model_validate(status.to_dict())


def test_an_unreachable_store_changes_one_condition() -> None:
    before = follow(TRAINING)
    status = outcome.store_trouble(before, "no answer" * 1000, generation=1, now=NOW + timedelta(seconds=9))
    found = conditions(status)
    assert found["Recorded"] == ("Unknown", "StoreUnreachable")
    others = {c.type: c for c in before.conditions if c.type != "Recorded"}
    assert {c.type: c for c in status.conditions if c.type != "Recorded"} == others
    assert follow(TRAINING, status, seconds=20) == before, "and it is forgotten when the store answers"


def test_a_status_can_be_read_back() -> None:
    status = end(
        outcome.with_summary(follow(SUCCEEDED, over=True), {"metric": "a", "direction": "minimize"}, Summary()), RECORD
    )
    assert RunStatus.model_validate(status.to_dict()) == status


def test_updating_one_condition_keeps_the_others_and_its_transition_time() -> None:
    found = ("False", "RecipeIncomplete", "a")
    status = outcome.with_condition(end(follow(SUCCEEDED), RECORD), "Reproducible", found, generation=1, now=NOW)  # type: ignore[arg-type]
    again = outcome.with_condition(
        status, "Reproducible", ("False", "RecipeIncomplete", "b"), generation=1, now=NOW + timedelta(hours=1)
    )
    assert conditions(again) == conditions(end(follow(SUCCEEDED), RECORD)) | {
        "Reproducible": ("False", "RecipeIncomplete")
    }
    assert [(c.message, c.last_transition_time) for c in again.conditions if c.type == "Reproducible"] == [("b", NOW)]


def test_a_run_of_two_attempts_names_the_pod_that_has_the_other_points() -> None:
    record = replace(RECORD, pod="sweep-0-b", elsewhere=(("sweep-0-a", 40),))
    [message] = [c.message for c in end(follow(SUCCEEDED), record).conditions if c.type == "Recorded"]
    assert message.endswith(
        "metrics and curves show pod sweep-0-b only: other attempts or workers recorded points too: "
        "sweep-0-a (points: 40)"
    )


def test_an_attempt_deleted_while_the_operator_was_down_is_reported() -> None:
    known = follow(SUCCEEDED)
    over = facts.job_facts(job({**job_over("Complete"), "failed": 1}))
    ended = outcome.end(known, RECORD, over, generation=1, now=NOW)
    [message] = [each.message for each in ended.conditions if each.type == names.RECORDED]
    assert message is not None
    assert "attempts that were deleted while no operator was running: 1" in message
    over = facts.job_facts(job({**job_over("Complete"), "failed": 0}))
    assert "deleted" not in str(outcome.end(known, RECORD, over, generation=1, now=NOW).conditions)


def test_a_run_that_waits_is_not_suspended_for_that_reason() -> None:
    waiting = follow(Verdict("Pending", "ImagePullBackOff", "pod p: no such image"))
    [found] = [each for each in waiting.conditions if each.type == names.SUSPENDED]
    assert (found.status, found.reason, found.message) == ("False", names.NOT_SUSPENDED, "")
    suspended = follow(Verdict("Suspended", names.SUSPENDED_BY_SPEC, "the experiment is suspended"))
    [found] = [each for each in suspended.conditions if each.type == names.SUSPENDED]
    assert (found.status, found.reason) == ("True", names.SUSPENDED_BY_SPEC)


@pytest.mark.parametrize(("files", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_numbers_agree_with_their_nouns(files: int, text: str) -> None:
    assert counted(files, "file") == text
