"""What the API server shows of a Job and its pods, and what a Run makes of it."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from assay.api import names
from assay.api.run_status import Attempt
from assay.planning.runs import facts, phases
from assay.planning.runs.phases import Verdict
from tests.unit.planning.objects import Raw, at, container, ended, job, job_over, pod, recorder, run

pytestmark = pytest.mark.unit

UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
}
PULL = 'Back-off pulling image "nowhere/train:1": ErrImagePull: not found'
ACTIVE: Raw = {"active": 1, "startTime": at(0)}


@dataclass(frozen=True)
class Case:
    """A world and the verdict on it."""

    name: str
    expected: Verdict
    job: Raw | None = field(default_factory=lambda: job(ACTIVE))
    pods: tuple[Raw, ...] = ()
    held: bool = False


WAITING = [
    Case("no Job yet", Verdict("Pending", "WaitingForJob", "the Job is being created"), job=None),
    Case(
        "no Job, and the experiment is suspended",
        Verdict("Suspended", "SuspendedBySpec", "the experiment is suspended"),
        job=None,
        held=True,
    ),
    Case("no pod yet", Verdict("Pending", "WaitingForPod", "the Job has no pod yet"), job=job({"startTime": at(0)})),
    Case(
        "no node fits",
        Verdict(
            "Pending", "Unschedulable", "pod sweep-0-abcde: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
        ),
        pods=(pod("Pending", conditions=[UNSCHEDULABLE], init=[]),),
    ),
    Case(
        "the image cannot be pulled",
        Verdict("Pending", "ImagePullBackOff", f"pod sweep-0-abcde: container train: {PULL}"),
        pods=(pod("Pending", container("waiting", reason="ImagePullBackOff", message=PULL)),),
    ),
    Case(
        "the recorder's image cannot be pulled",
        Verdict("Pending", "ErrImageNeverPull", "pod sweep-0-abcde: container assay-recorder: ErrImageNeverPull"),
        pods=(
            pod(
                "Pending",
                container("waiting", reason="PodInitializing"),
                init=[container("waiting", name="assay-recorder", reason="ErrImageNeverPull")],
            ),
        ),
    ),
    Case(
        "a Secret that the user's container needs is missing",
        Verdict(
            "Pending",
            "CreateContainerConfigError",
            'pod sweep-0-abcde: container train: secret "token" not found',
        ),
        pods=(
            pod(
                "Pending",
                container("waiting", reason="CreateContainerConfigError", message='secret "token" not found'),
            ),
        ),
    ),
    Case(
        "the containers are being made",
        Verdict("Pending", "Starting", "pod sweep-0-abcde is starting"),
        pods=(pod("Pending", container("waiting", reason="PodInitializing"), init=[recorder()]),),
    ),
    Case(
        "a pod that the kubelet has not seen",
        Verdict("Pending", "Starting", "pod sweep-0-abcde is starting"),
        pods=({"metadata": {"name": "sweep-0-abcde", "uid": "u"}},),
    ),
    Case(
        "the experiment suspended the Job",
        Verdict("Suspended", "SuspendedBySpec", "the experiment is suspended"),
        job=job({}, annotations={"assay.dev/suspended-by": "Experiment"}, suspend=True),
    ),
    Case(
        "somebody else resumed the Job of a suspended experiment",
        Verdict(
            "Suspended",
            "JobResumed",
            "the experiment is suspended; its Job was resumed outside of Assay, and was suspended again: "
            "resume the experiment, or stop what resumes the Job",
        ),
        job=job({}, annotations={"assay.dev/suspended-by": "Experiment-Again"}, suspend=True),
    ),
    Case(
        "somebody else suspended the Job, a queue for example",
        Verdict("Suspended", "JobSuspended", "the Job was suspended outside of Assay; resume it there"),
        job=job({}, suspend=True),
    ),
]

GOING = [
    Case("it trains", Verdict("Running", "Training"), pods=(pod("Running", container("running")),)),
    Case(
        "one pod trains, another still starts",
        Verdict("Running", "Training"),
        pods=(pod("Pending", name="sweep-0-0-a"), pod("Running", container("running"), name="sweep-0-1-b")),
    ),
    Case(
        "the training has ended and the recorder has not",
        Verdict("Running", "Recording", "training has ended; the recorder is uploading the rest"),
        pods=(pod("Running", ended(0)),),
    ),
    Case(
        "the pod has succeeded and the Job does not know yet",
        Verdict("Running", "Recording", "the pod has ended; waiting for the Job to complete"),
        pods=(pod("Succeeded", ended(0)),),
    ),
    Case(
        "a pod failed, and the next one is not there yet",
        Verdict("Running", "Retrying", "retried: container train ended with exit code 3"),
        pods=(pod("Failed", ended(3)),),
    ),
    Case(
        "a pod failed, and the next one starts",
        Verdict("Pending", "Starting", "retried: container train ended with exit code 3"),
        pods=(pod("Failed", ended(3)), pod("Pending", name="sweep-0-next", created=20)),
    ),
    Case(
        "a pod failed, and the next one trains",
        Verdict("Running", "Training", "retried: container train ended with exit code 3"),
        pods=(pod("Failed", ended(3)), pod("Running", container("running"), name="sweep-0-next", created=20)),
    ),
    Case(
        "the newest failure is the one that is told",
        Verdict("Running", "Retrying", "retried: container train ended with exit code 2"),
        pods=(pod("Failed", ended(1), name="z", created=1), pod("Failed", ended(2), name="a", created=20)),
    ),
    Case(
        "a container is between two attempts (restartPolicy OnFailure)",
        Verdict("Running", "Retrying", "container train ended with exit code 1"),
        pods=(
            pod(
                "Running",
                container("waiting", reason="CrashLoopBackOff", last={"exitCode": 1, "reason": "Error"}),
            ),
        ),
    ),
    Case(
        "a container has been restarted in its pod (restartPolicy OnFailure)",
        Verdict("Running", "Training"),
        pods=(pod("Running", container("running", last={"exitCode": 1, "reason": "Error"})),),
    ),
    Case(
        "the only pod is being deleted: the Job will make another",
        Verdict(
            "Pending",
            "WaitingForPod",
            "pod sweep-0-abcde is being deleted on node node-1; the Job has no other pod yet",
        ),
        pods=(pod("Running", container("running"), deleting=True),),
    ),
    Case(
        "the last of several pods is being deleted, and no node had it",
        Verdict("Pending", "WaitingForPod", "pod sweep-0-b is being deleted; the Job has no other pod yet"),
        pods=(
            pod("Running", container("running"), name="sweep-0-a", deleting=True),
            {**pod("Pending", name="sweep-0-b", created=20, deleting=True), "spec": {}},
        ),
    ),
]

ENDED = [
    Case(
        "it is complete",
        Verdict("Succeeded", "JobComplete", ended=True),
        job=job(job_over("Complete", "CompletionsReached")),
        pods=(pod("Succeeded", ended(0)),),
    ),
    Case(
        "it is complete, and its pods are gone",
        Verdict("Succeeded", "JobComplete", ended=True),
        job=job(job_over("Complete")),
    ),
    Case(
        "it is over, and a pod still stops",
        Verdict("Running", "Recording", "the Job has finished; its last pods are terminating"),
        job=job(job_over("Failed", "DeadlineExceeded")),
        pods=(pod("Running", container("running"), deleting=True),),
    ),
    Case(
        "an exit code",
        Verdict("Failed", "NonZeroExit", "container train ended with exit code 3", ended=True),
        job=job(job_over("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")),
        pods=(pod("Failed", ended(3)),),
    ),
    Case(
        "an exit code with the container's last words",
        Verdict("Failed", "NonZeroExit", "container train ended with exit code 1: no such data set", ended=True),
        job=job(job_over("Failed", "BackoffLimitExceeded")),
        pods=(pod("Failed", ended(1, message="no such data set\n")),),
    ),
    Case(
        "out of memory",
        Verdict("Failed", "OOMKilled", "container train exceeded its memory limit and was killed", ended=True),
        job=job(job_over("Failed", "BackoffLimitExceeded")),
        pods=(pod("Failed", ended(137, "OOMKilled")),),
    ),
    Case(
        "evicted: the reason of the pod explains the exit code of its container",
        Verdict("Failed", "Evicted", "The node was low on resource: memory.", ended=True),
        job=job(job_over("Failed", "BackoffLimitExceeded")),
        pods=(pod("Failed", ended(137), reason="Evicted", message="The node was low on resource: memory."),),
    ),
    Case(
        "the pod failed and nothing says why",
        Verdict("Failed", "PodLost", "the pod failed", ended=True),
        job=job(job_over("Failed", "BackoffLimitExceeded")),
        pods=(pod("Failed"),),
    ),
    Case(
        "the pod is gone with its node",
        Verdict("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit", ended=True),
        job=job(job_over("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")),
    ),
    Case(
        "the Job failed without a word",
        Verdict("Failed", "JobFailed", ended=True),
        job=job(job_over("Failed")),
    ),
    Case(
        "the deadline of the Job, whatever its pods died of",
        Verdict("Failed", "DeadlineExceeded", "Job was active longer than specified deadline", ended=True),
        job=job(job_over("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")),
        pods=(pod("Failed", ended(143)),),
    ),
    Case(
        "three attempts",
        Verdict("Failed", "NonZeroExit", "container train ended with exit code 5 (3 pods failed)", ended=True),
        job=job(job_over("Failed", "BackoffLimitExceeded")),
        pods=(
            pod("Failed", ended(3), name="c", created=1),
            pod("Failed", ended(137, "OOMKilled"), name="b", created=20),
            pod("Failed", ended(5), name="a", created=40),
        ),
    ),
    Case(
        "the second of two containers failed",
        Verdict("Failed", "NonZeroExit", "container helper ended with exit code 9", ended=True),
        job=job(job_over("Failed", "BackoffLimitExceeded")),
        pods=(pod("Failed", ended(0), ended(9, name="helper")),),
    ),
    Case(
        "a user's init container failed",
        Verdict("Failed", "NonZeroExit", "container fetch ended with exit code 4", ended=True),
        job=job(job_over("Failed", "BackoffLimitExceeded")),
        pods=(
            pod(
                "Failed",
                container("waiting", reason="PodInitializing"),
                init=[ended(0, name="assay-recorder"), ended(4, name="fetch")],
            ),
        ),
    ),
    Case(
        "it succeeded at the second attempt",
        Verdict("Succeeded", "JobComplete", ended=True),
        job=job(job_over("Complete")),
        pods=(pod("Failed", ended(3)), pod("Succeeded", ended(0), name="next", created=20)),
    ),
    Case(
        "a suspended Job that is over has ended",
        Verdict("Failed", "DeadlineExceeded", "", ended=True),
        job=job(job_over("Failed", "DeadlineExceeded"), suspend=True),
    ),
]


@pytest.mark.parametrize("case", [*WAITING, *GOING, *ENDED], ids=lambda case: case.name)
def test_the_verdict(case: Case) -> None:
    found = phases.judge(
        facts.job_facts(case.job) if case.job else None,
        sorted((facts.pod_facts(p) for p in case.pods), key=lambda p: (p.created, p.name)),
        held=case.held,
    )
    assert found == case.expected


def test_messages_are_bounded() -> None:
    shout = "x" * 100_000
    worlds: list[tuple[Raw, Raw]] = [
        (job(ACTIVE), pod("Pending", container("waiting", reason="ErrImagePull", message=shout))),
        (job(ACTIVE), pod("Failed", ended(1, message=shout))),
        (job(job_over("Failed", "BackoffLimitExceeded")), pod("Failed", ended(1, message=shout))),
        (job(job_over("Failed", "DeadlineExceeded", shout)), pod("Failed", ended(1))),
    ]
    for found_job, found_pod in worlds:
        found = phases.judge(facts.job_facts(found_job), [facts.pod_facts(found_pod)], held=False)
        assert len(found.message) <= 2000


# Attempts


def attempts(known: list[Attempt], *pods: Raw) -> list[dict[str, Any]]:
    return [attempt.to_dict() for attempt in phases.attempts(known, [facts.pod_facts(p) for p in pods])]


def test_an_attempt_records_the_outcome_of_its_pod() -> None:
    assert attempts([], pod("Failed", ended(137, "OOMKilled"))) == [
        {
            "pod": "sweep-0-abcde",
            "phase": "Failed",
            "node": "node-1",
            "reason": "OOMKilled",
            "exitCode": 137,
            "startTime": at(2),
        }
    ]


def test_a_deleted_pod_keeps_its_last_state_and_position() -> None:
    known = phases.attempts([], [facts.pod_facts(pod("Failed", ended(3), name="first"))])
    found = attempts(known, pod("Running", container("running"), name="second", created=20))
    assert [(a["pod"], a["phase"]) for a in found] == [("first", "Failed"), ("second", "Running")]


def test_only_the_newest_attempts_are_kept() -> None:
    pods = [pod("Failed", ended(1), name=f"pod-{n:02}", created=n) for n in range(15)]
    known = phases.attempts([], [facts.pod_facts(p) for p in pods[:12]])
    found = attempts(known, *reversed(pods[5:]))
    assert [a["pod"] for a in found] == [f"pod-{n:02}" for n in range(5, 15)]


# Facts of Runs, which people can write labels on


@pytest.mark.parametrize(("label", "index"), [("0", 0), ("17", 17), ("", -1), ("x", -1), ("-3", -1), ("²", -1)])
def test_a_run_with_an_invalid_index_label_has_no_index(label: str, index: int) -> None:
    found = run()
    found["metadata"]["labels"]["assay.dev/index"] = label
    assert facts.run_facts(found).index == index


def test_a_run_without_labels_and_status_has_facts() -> None:
    found = run()
    del found["metadata"]["labels"]
    assert facts.run_facts(found) == facts.RunFacts(-1, "sweep-0", "Pending", None)


def test_the_value_of_a_run_is_the_best_of_its_objective() -> None:
    found = run(objective={"metric": "loss", "direction": "minimize"})
    found["status"] = {
        "phase": "Succeeded",
        "metrics": {"loss": {"last": 3, "min": 1, "max": 4, "best": 1}, "other": {"last": 1, "min": 1, "max": 1}},
    }
    assert facts.run_facts(found).value == 1
    found["spec"]["objective"]["metric"] = "other"
    assert facts.run_facts(found).value is None


def test_the_index_of_a_pod() -> None:
    assert facts.pod_facts(pod("Running", index="4")).index == 4
    assert facts.pod_facts(pod("Running", index="four")).index == 0
    assert facts.pod_facts(pod("Running")).index == 0


def test_reasons_are_the_constants() -> None:
    """The table above spells reasons as people see them; they must be those of assay.api.names, or Kubernetes' own."""
    own = {value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}
    foreign = {"Evicted", "ImagePullBackOff", "ErrImageNeverPull", "CreateContainerConfigError", "BackoffLimitExceeded"}
    assert {case.expected.reason for case in [*WAITING, *GOING, *ENDED]} <= own | foreign


def test_a_container_still_running_after_the_training_is_reported() -> None:
    found = pod("Running", ended(0, name="train"), container("running", name="proxy"))
    found["spec"]["containers"] = [{"name": "train"}, {"name": "proxy"}]
    verdict = phases.judge(facts.job_facts(job({"active": 1})), [facts.pod_facts(found)], held=False)
    assert (verdict.phase, verdict.reason) == ("Running", "Training")
    assert verdict.message == "container train has ended; the pod runs until these end too: proxy"
