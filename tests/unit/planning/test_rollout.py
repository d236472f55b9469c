"""What the API server shows of a workload and its pods, and how far the version in its template is."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from assay.planning.serving.rollout import MAX_MESSAGE, Rollout, blocking, judge
from tests.unit.planning.objects import NOW, Raw, at
from tests.unit.planning.workloads import (
    BEFORE_INIT,
    container,
    ended,
    fetched,
    looping,
    pod,
    serving_version,
    workload,
)

pytestmark = pytest.mark.unit

PATIENCE = timedelta(minutes=5)
DONE = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
GOING = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2, "availableReplicas": 2}
REVISIONS = {"currentRevision": "web-1", "updateRevision": "web-2"}
CHANGED = (
    "models/team/digits/v1/artifact/weights.bin was changed: expected the sha256 " + "1" * 64 + ", found " + "2" * 64
)
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient memory.",
}


def deadline(seconds: float) -> Raw:
    """Return the condition that a Deployment's progress deadline was over at that time."""
    return {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": 'ReplicaSet "web-7d9f" has timed out progressing.',
        "lastUpdateTime": at(seconds),
        "lastTransitionTime": at(seconds),
    }


def seen(status: Raw, *pods: Raw, seconds: float = 60, kind: str = "Deployment", **spec: Any) -> Rollout:
    """Judge a workload with version 1, so many seconds after that came into its template."""
    found = serving_version(1, kind=kind, status=status, **spec)
    return judge(found, list(pods), NOW + timedelta(seconds=seconds), NOW, PATIENCE)


# Through, or not


@dataclass(frozen=True)
class Case:
    """A workload's status, and whether its rollout is through."""

    name: str
    status: Raw
    state: str
    message: str = ""
    kind: str = "Deployment"
    spec: Raw = field(default_factory=dict)


CASES = [
    Case("all pods are new and available", DONE, "ready"),
    Case("the controller has not looked", DONE | {"observedGeneration": 1}, "progressing", "to see the new template"),
    Case("no status yet", {}, "progressing", "controller to see the new template"),
    Case("not all are new", DONE | {"updatedReplicas": 1}, "progressing", "created so far: 1"),
    Case("old ones are left", DONE | {"replicas": 3}, "progressing", "pods of the previous revision still stopping: 1"),
    Case("not yet available", DONE | {"availableReplicas": 1}, "progressing", "the last pods are not available yet"),
    Case("none are wanted", {"observedGeneration": 2}, "ready", "the workload is scaled to zero", spec={"replicas": 0}),
    Case("one is wanted where nobody says", DONE | {"replicas": 1}, "progressing", spec={"replicas": 3}),
    Case(
        "a deadline of an earlier template",
        GOING | {"conditions": [deadline(-10)]},
        "progressing",
        "created so far: 1",
    ),
    Case("all pods of a StatefulSet", DONE | REVISIONS | {"currentRevision": "web-2"}, "ready", kind="StatefulSet"),
    Case("its controller has not looked", DONE | {"observedGeneration": 1}, "progressing", kind="StatefulSet"),
    Case("one is not ready", DONE | REVISIONS | {"readyReplicas": 1}, "progressing", kind="StatefulSet"),
    Case(
        "one is old",
        DONE | REVISIONS | {"updatedReplicas": 1},
        "progressing",
        "pods of the previous revision: 1",
        kind="StatefulSet",
    ),
    Case(
        "one is of a version that was left half-way",
        DONE | REVISIONS | {"updateRevision": "web-1", "updatedReplicas": 1},
        "progressing",
        "pods of the previous revision: 1",
        kind="StatefulSet",
    ),
    Case(
        "as many as the partition allows",
        DONE | REVISIONS | {"updatedReplicas": 1},
        "ready",
        kind="StatefulSet",
        spec={"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}},
    ),
    Case(
        "fewer than the partition allows",
        DONE | REVISIONS | {"updatedReplicas": 0},
        "progressing",
        "pods of the previous revision: 1",
        kind="StatefulSet",
        spec={"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}},
    ),
    Case("no pods of a StatefulSet", {"observedGeneration": 2}, "ready", kind="StatefulSet", spec={"replicas": 0}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_rollout_is_complete_when_kubectl_reports_it(case: Case) -> None:
    found = seen(case.status, kind=case.kind, **case.spec)
    assert found.state == case.state, found
    assert case.message in found.message
    assert found.version == 1
    assert not found.some_ready


def test_pods_of_this_version_that_are_ready_are_counted() -> None:
    pods = [pod("a", ready=True), pod("b"), pod("c", version=2, ready=True), pod("d", ready=True, deleting=True)]
    found = seen(GOING, *pods)
    assert found.state == "progressing"
    assert found.some_ready
    assert found.message.startswith("1 of 2 pods ready; pod b: container server is running but not ready")


def test_a_ready_pod_of_another_model_with_the_same_number_does_not_count() -> None:
    other = pod("other", ready=True)
    other["metadata"]["annotations"]["assay.dev/served-model"] = "iris"
    assert not seen(GOING, other).some_ready


def test_a_workload_without_any_version_is_judged_by_its_pods_without_one() -> None:
    found = judge(workload(status=GOING), [pod(version=None, ready=True), pod(ready=True)], NOW, None, PATIENCE)
    assert found == Rollout(None, "progressing", "1 of 2 pods ready; created so far: 1", True)


# Failed, for certain


@pytest.mark.parametrize("code", [1, 2])
@pytest.mark.parametrize("again", [False, True], ids=["for the first time", "again and again"])
def test_a_model_that_differs_from_the_approved_one_fails_the_rollout(code: int, again: bool) -> None:
    fetch = container("assay-fetch-model", terminated=ended(code, CHANGED))
    if again:
        fetch = looping("assay-fetch-model", code, CHANGED, restarts=1)
    found = seen(GOING, pod("web-x", BEFORE_INIT, init=[fetch], phase="Pending"), seconds=3)
    assert found.state == "failed"
    assert found.message == f'pod web-x: the model could not be fetched: "{CHANGED}"'


def test_an_unreachable_store_fails_the_rollout_only_after_the_timeout() -> None:
    said = "gave up after 120 s: cannot reach the store"
    silent = pod("web-x", BEFORE_INIT, init=[looping("assay-fetch-model", 3, said, restarts=5)], phase="Pending")
    found = seen(GOING, silent, seconds=299)
    assert found.state == "progressing"
    assert found.message == f'0 of 2 pods ready; pod web-x: the model could not be fetched: "{said}"'
    found = seen(GOING, silent, seconds=301)
    assert found.state == "failed"
    assert found.message == f'0 of 2 pods ready after 5m1s: pod web-x: the model could not be fetched: "{said}"'


def test_a_fetch_that_succeeded_on_retry_is_not_a_failure() -> None:
    late = fetched() | {"restartCount": 1, "lastState": {"terminated": ended(1, CHANGED)}}
    assert seen(GOING, pod(init=[late])).state == "progressing"


def test_a_repeatedly_killed_fetch_fails_the_rollout() -> None:
    killed = looping("assay-fetch-model", 137, restarts=3, reason="OOMKilled")
    found = seen(GOING, pod("web-x", BEFORE_INIT, init=[killed], phase="Pending"))
    assert found.state == "failed"
    assert "container assay-fetch-model exceeded its memory limit and was killed" in found.message


@dataclass(frozen=True)
class Crash:
    """A container's status, and what is made of it."""

    name: str
    container: Raw
    failed: bool
    message: str = ""


CRASHES = [
    Crash("once", looping("server", 1, restarts=1), False, "container server ended with exit code 1"),
    Crash(
        "twice, and the kubelet waits",
        looping("server", 7, "no weights", restarts=2),
        True,
        'pod web-x: container server ended with exit code 7, restarted 2 times: it wrote "no weights"',
    ),
    Crash("twice, and it runs", container(restarts=2, last=ended(1), running={}), False),
    Crash("three times", container(restarts=3, last=ended(1), running={}), True, "exit code 1, restarted 3 times"),
    Crash("three times, but it is ready now", container(restarts=3, last=ended(1), running={}, ready=True), False),
    Crash("three times, before", looping("server", 1, restarts=3, seconds=-5), False),
    Crash(
        "out of memory",
        looping("server", 137, restarts=2, reason="OOMKilled"),
        True,
        "container server exceeded its memory limit and was killed",
    ),
    Crash("a server that just ends", looping("server", 0, restarts=2), True, "container server ended with exit code 0"),
    Crash(
        "a program that is not there",
        looping("server", 128, 'exec: "serve": not found', restarts=2, reason="StartError"),
        True,
        "exit code 128 (StartError), restarted 2 times: it wrote \"exec: 'serve': not found\"",
    ),
]


@pytest.mark.parametrize("case", CRASHES, ids=lambda case: case.name)
def test_a_container_that_ends(case: Crash) -> None:
    found = seen(GOING, pod("web-x", case.container))
    assert found.state == ("failed" if case.failed else "progressing"), found
    assert case.message in found.message


def test_a_crashing_user_init_container_is_reported_and_fails_at_the_deadline() -> None:
    """It may wait for something that comes later: nothing is taken back before progressDeadlineSeconds."""
    crashing = pod("web-x", BEFORE_INIT, init=[fetched(), looping("warm", 1, restarts=9)], phase="Pending")
    found = seen(GOING, crashing)
    assert found.state == "progressing"
    assert "container warm ended with exit code 1" in found.message
    found = seen(GOING | {"conditions": [deadline(40)]}, crashing)
    assert found.state == "failed"
    assert "container warm ended with exit code 1" in found.message


@pytest.mark.parametrize("what", [{"version": 2}, {"version": None}, {"deleting": True}], ids=str)
def test_crashes_of_other_versions_or_terminating_pods_are_ignored(what: Raw) -> None:
    assert seen(GOING, pod("web-x", looping("server", 1, restarts=9), **what)).state == "progressing"


def test_crashes_after_a_complete_rollout_are_ignored() -> None:
    crashed = container(restarts=7, last=ended(1), running={}, ready=True)
    assert seen(DONE, pod("a", crashed, ready=True), pod("b", ready=True)).state == "ready"


def test_a_progress_deadline_fails_with_what_the_pods_wait_for() -> None:
    waiting = pod("web-x", BEFORE_INIT, init=[], phase="Pending", conditions=[UNSCHEDULABLE], node="")
    found = seen(GOING | {"conditions": [deadline(40)]}, waiting)
    assert found.state == "failed"
    assert found.message == (
        "0 of 2 pods ready when the Deployment's progressDeadlineSeconds expired: "
        "pod web-x: it cannot be scheduled: 0/1 nodes are available: 1 Insufficient memory."
    )
    assert seen(GOING | {"conditions": [deadline(40)], "observedGeneration": 1}, waiting).state == "progressing"


# Failed, for lack of patience: what it waits for


REFUSED = {
    "type": "ReplicaFailure",
    "status": "True",
    "reason": "FailedCreate",
    "message": 'pods "web-7d9f-" is forbidden: exceeded quota: compute, requested: limits.cpu=1',
}
PULL = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nowhere/serve:1": ErrImagePull: not found'}
NO_CONFIG = {"reason": "CreateContainerConfigError", "message": 'configmap "no" not found'}
WAITS = [
    ("unscheduled", {"init": [], "phase": "Pending", "conditions": [UNSCHEDULABLE]}, [], "it cannot be scheduled: 0/1"),
    ("not looked at", {"init": [], "phase": "Pending", "node": ""}, [BEFORE_INIT], "not scheduled yet"),
    ("image", {}, [container(waiting=PULL)], "container server waits: ImagePullBackOff: Back-off pulling image"),
    ("configuration", {}, [container(waiting=NO_CONFIG)], 'CreateContainerConfigError: configmap "no" not found'),
    ("not ready", {}, [], "container server is running but not ready: its readiness probe has not succeeded"),
    ("fetching", {"init": [container("assay-fetch-model", running={})]}, [BEFORE_INIT], "the model is being fetched"),
    (
        "volumes",
        {"init": [container("assay-fetch-model", waiting={"reason": "PodInitializing"})], "phase": "Pending"},
        [BEFORE_INIT],
        "its volumes or containers are being prepared",
    ),
    ("gates", {}, [container(running={}, ready=True)], "its containers are ready, but its readiness gates are not"),
    (
        "evicted",
        {"phase": "Failed", "status": {"reason": "Evicted", "message": "low on disk"}},
        [],
        "Evicted: low on disk",
    ),
]


@pytest.mark.parametrize(("more", "containers", "message"), [case[1:] for case in WAITS], ids=[c[0] for c in WAITS])
def test_what_a_pod_waits_for_is_reported_before_and_after_the_timeout(
    more: Raw, containers: list[Raw], message: str
) -> None:
    waiting = pod("web-x", *containers, **more)
    found = seen(GOING, waiting, seconds=299)
    assert found.state == "progressing"
    assert found.message.startswith("0 of 2 pods ready; pod web-x: ")
    assert message in found.message
    found = seen(GOING, waiting, seconds=301)
    assert found.state == "failed"
    assert found.message.startswith("0 of 2 pods ready after 5m1s: pod web-x: ")
    assert message in found.message


def test_a_rollout_without_a_start_time_never_times_out() -> None:
    found = judge(serving_version(1, status=GOING), [pod()], NOW + timedelta(days=9), None, PATIENCE)
    assert found.state == "progressing"


def test_pods_that_cannot_be_created_are_reported() -> None:
    found = seen(GOING | {"conditions": [REFUSED]})
    assert found.message.startswith('0 of 2 pods ready; no pod can be created: pods "web-7d9f-" is forbidden: exceeded')


def test_an_evicted_pod_does_not_hide_what_the_others_wait_for() -> None:
    evicted = pod("a", phase="Failed", status={"reason": "Evicted", "message": "low on disk"})
    found = seen(GOING, evicted, pod("b", container(waiting=PULL), created=9))
    assert "pod b: container server waits: ImagePullBackOff" in found.message


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        ("Deployment", {"paused": True}, "the Deployment is paused"),
        ("StatefulSet", {"updateStrategy": {"type": "OnDelete"}}, "the update strategy is OnDelete"),
    ],
)
def test_a_deliberately_paused_rollout_does_not_time_out(kind: str, spec: Raw, words: str) -> None:
    found = seen(GOING | REVISIONS, pod("old", version=2), seconds=9999, kind=kind, **spec)
    assert found.state == "progressing"
    assert words in found.message
    assert seen(GOING, pod("new", looping("server", 1, restarts=3)), kind=kind, **spec).state == "failed"


def test_a_message_is_one_line_of_bounded_length() -> None:
    found = seen(GOING, pod("web-x", looping("server", 1, "Traceback\n  weights\n" * 500, restarts=3)))
    assert len(found.message) < MAX_MESSAGE
    assert "\n" not in found.message
    assert found.message.endswith('Tra…"')


@pytest.mark.parametrize("written", ["Bound v9\r\x1b[2J; all is well", 'no" v9 is live: "', "\u202elive\u2028next"])
def test_container_output_is_quoted(written: str) -> None:
    found = seen(GOING, pod("web-x", looping("server", 1, written, restarts=3)))
    before, quoted, after = found.message.split('"')
    assert before.endswith("it wrote ")
    assert quoted.isprintable()
    assert after == ""


def test_other_pod_messages_are_bounded() -> None:
    condition = {**UNSCHEDULABLE, "message": "x" * 5000}
    found = seen(GOING, pod("web-x", conditions=[condition]))
    assert len(found.message) == MAX_MESSAGE


# A StatefulSet that stands still


def _of_revision(revision: str, **more: Any) -> Raw:
    return pod("web-1", version=2, labels={"controller-revision-hash": revision}, **more)


def test_a_stateful_set_is_blocked_by_a_pod_of_the_rolled_back_version() -> None:
    """As seen: back from version 2, whose pod never got ready, to version 1."""
    status = GOING | REVISIONS | {"updateRevision": "web-1", "readyReplicas": 1}
    stuck, fine = _of_revision("web-2"), pod("web-0", ready=True)
    found = seen(status, stuck, fine, kind="StatefulSet")
    assert found.state == "progressing"
    assert found.message == (
        "1 of 2 pods ready; pod web-1 of the previous revision is not ready, which blocks the StatefulSet's rollout: "
        "delete that pod"
    )
    assert blocking(serving_version(1, kind="StatefulSet", status=status), [stuck, fine]) == ["web-1"]


@pytest.mark.parametrize(
    ("spec", "revision", "more"),
    [
        ({"podManagementPolicy": "Parallel"}, "web-9", {}),
        ({}, "web-1", {}),  # would be created again as it was
        ({}, "web-2", {}),
        ({}, "web-9", {"ready": True}),
        ({}, "web-9", {"deleting": True}),
    ],
    ids=["parallel", "current revision", "new revision", "ready", "going"],
)
def test_no_other_pod_blocks_a_stateful_set(spec: Raw, revision: str, more: Raw) -> None:
    found = serving_version(1, kind="StatefulSet", status=GOING | REVISIONS, **spec)
    assert blocking(found, [_of_revision(revision, **more)]) == []


def test_a_pod_never_blocks_a_deployment() -> None:
    assert blocking(serving_version(1, status=GOING), [_of_revision("web-9")]) == []
