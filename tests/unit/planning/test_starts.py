"""Which logs a pod has, by what its node reports of its containers."""

from typing import Any

import pytest

from assay.planning.runs.facts import pod_facts
from assay.planning.runs.starts import Start, starts
from tests.unit.planning.objects import container, pod

pytestmark = pytest.mark.unit

Raw = dict[str, Any]


def of(train: Raw, *, policy: str = "Never", **more: Any) -> list[Start]:
    """The starts of the container `train`, in a pod with this status of it."""
    found = pod("Running", train)
    found["spec"] = {"restartPolicy": policy, "containers": [{"name": "train", **more}], "initContainers": []}
    return list(starts(found))


def start(attempt: int, identity: str, *, running: bool = False, previous: bool = False, again: bool = False) -> Start:
    return Start("train", attempt, identity, running, previous, again)


def test_container_that_has_not_begun_has_no_log() -> None:
    assert of(container("waiting", reason="PodInitializing")) == []
    assert of({"name": "train"}) == []
    assert of(container("terminated", reason="Completed")) == []


def test_container_that_runs_or_has_ended_has_one() -> None:
    running = container("running") | {"containerID": "containerd://1"}
    assert of(running) == [start(0, "containerd://1", running=True)]
    assert of(container("terminated", containerID="containerd://1")) == [start(0, "containerd://1")]


def test_a_restarted_container_also_has_its_previous_log() -> None:
    running = container("running", last={"containerID": "containerd://1"}) | {"containerID": "containerd://2"}
    assert of(running | {"restartCount": 3}, policy="OnFailure") == [
        start(2, "containerd://1", previous=True, again=True),
        start(3, "containerd://2", running=True, again=True),
    ]


def test_container_that_waits_for_its_restart_has_the_last_one() -> None:
    waiting = container("waiting", last={"containerID": "containerd://2"}, reason="CrashLoopBackOff")
    assert of(waiting | {"restartCount": 1}, policy="OnFailure") == [
        start(1, "containerd://2", previous=True, again=True)
    ]


def test_container_that_its_node_has_lost_is_not_passed_over() -> None:
    assert of(container("terminated", reason="ContainerStatusUnknown", exitCode=137)) == [start(0, "")]


@pytest.mark.parametrize(
    ("policy", "more", "again"),
    [
        ("Never", {}, False),
        ("OnFailure", {}, True),
        ("OnFailure", {"restartPolicy": "Never"}, False),
        ("Never", {"restartPolicy": "Always"}, True),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}]}, True),
    ],
)
def test_restartable_follows_the_restart_policy(policy: str, more: Raw, again: bool) -> None:
    running = container("running") | {"containerID": "containerd://1"}
    assert [each.restartable for each in of(running, policy=policy, **more)] == [again]


def test_order_is_that_of_the_spec_with_init_containers_first() -> None:
    statuses = [container("running", name=name) | {"containerID": name} for name in ("b", "a")]
    found = pod("Running", *statuses, init=[container("running", name="sidecar") | {"containerID": "s"}])
    found["spec"] = {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "sidecar"}]}
    assert [each.container for each in starts(found)] == ["sidecar", "a", "b"]


def test_a_log_change_alone_does_not_requeue_the_run() -> None:
    before, after = pod("Running", container("running")), pod("Running", container("running"))
    after["spec"]["containers"] = before["spec"]["containers"] = [{"name": "train"}]
    after["status"]["containerStatuses"][0]["containerID"] = "containerd://1"
    assert pod_facts(before).starts != pod_facts(after).starts
    assert pod_facts(before) == pod_facts(after)
