"""Faults made on purpose: the operator and the recorder killed, the store gone. Nothing is lost, nothing doubled."""

import json
import time
from collections.abc import Callable

import pytest

from tests import registry
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects, experiment, run
from tests.operators import OperatorProcess

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

MOMENTS: dict[str, Callable[[Objects], bool]] = {
    "experiment-seen": lambda o: bool(o.get("exp", "sweep")),
    "first-run-created": lambda o: bool(o.all("runs")),
    "first-pod-runs": lambda o: any(pod["status"]["phase"] == "Running" for pod in o.all("pods")),
    "first-job-complete": lambda o: any(job["status"].get("completionTime") for job in o.all("jobs")),
    "first-run-succeeded": lambda o: any(r.get("status", {}).get("phase") == "Succeeded" for r in o.all("runs")),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_operator_killed_loses_and_doubles_nothing(moment: str, objects: Objects, operator: OperatorProcess) -> None:
    script = "log(step=0, score=float(os.environ['PARAM_a']))\ntime.sleep(2)\nlog(step=1, score=0.0)"
    values = [1, 2, 3, 4]
    objects.apply(experiment("sweep", script, parameters=[{"name": "a", "values": values}], parallelism=2))
    wait_for(moment, lambda: MOMENTS[moment](objects), seconds=60, every=0.02)
    operator.kill()
    operator.start()
    ended = objects.wait_phase("experiment", "sweep", "Succeeded", "Failed", seconds=180)
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert ended["status"]["progress"] == "4/4"
    runs = {r["metadata"]["name"]: r for r in objects.all("runs")}
    assert sorted(runs) == [f"sweep-{n}" for n in range(4)]
    assert sorted(job["metadata"]["name"] for job in objects.all("jobs")) == sorted(runs)
    assert len(objects.all("pods")) == 4, "a run had more than one pod"
    for index, value in enumerate(values):
        found = runs[f"sweep-{index}"]
        assert found["spec"]["parameters"] == {"a": value}
        assert objects.points(found) == [("score", 0, float(value)), ("score", 1, 0.0)]


def test_a_run_that_ends_while_the_operator_is_down_is_recorded_later(
    objects: Objects, operator: OperatorProcess
) -> None:
    objects.apply(run("alone", "log(step=0, score=1)\ntime.sleep(3)\nlog(step=1, score=2)"))
    objects.wait_phase("run", "alone", "Running")
    operator.kill()
    objects.kubectl("wait", "--for=condition=Complete", "job/alone", "--timeout=60s")
    operator.start()
    ended = objects.wait_phase("run", "alone", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert objects.points(ended) == [("score", 0, 1.0), ("score", 1, 2.0)]


def test_recorder_killed_loses_and_doubles_no_point(objects: Objects, installed: LocalCluster) -> None:
    # Long enough for the kubelet to bring the recorder back twice: the second time it waits for ten seconds.
    script = "for step in range(600):\n    log(step=step, score=step / 2)\n    time.sleep(0.05)"
    objects.apply(run("shot", script))
    started = objects.wait_phase("run", "shot", "Running")
    pod = started["status"]["attempts"][-1]["pod"]
    for kill in (1, 2):
        wait_for("the recorder runs", lambda: _recorder_runs(objects, pod), seconds=60)
        installed.kill(installed.container_pid(objects.namespace, pod, "assay-recorder"))
        wait_for("the kubelet restarts the recorder", lambda n=kill: _restarts(objects, pod) == n, seconds=60)
    ended = objects.wait_phase("run", "shot", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert _restarts(objects, pod) == 2
    assert objects.points(ended) == [("score", step, step / 2) for step in range(600)]


def test_a_recorder_killed_after_the_training_has_ended_fails_no_good_run(
    objects: Objects, installed: LocalCluster
) -> None:
    script = """
        for step in range(100):
            log(step=step, score=step / 2)
        time.sleep(15)
        log(step=100, score=50)
        artifacts.joinpath('model').write_text('late')
    """
    manifest = run("bereaved", script, model={"path": "model"})
    manifest["spec"]["job"]["template"]["spec"]["terminationGracePeriodSeconds"] = 120
    objects.apply(manifest)
    started = objects.wait_phase("run", "bereaved", "Running")
    pod = started["status"]["attempts"][-1]["pod"]
    installed.stop_component("minio")  # so that the recorder cannot finish before it is killed
    try:
        wait_for("the training ends", lambda: _trained(objects, "bereaved"), seconds=60)
        installed.kill(installed.container_pid(objects.namespace, pod, "assay-recorder"))
    finally:
        installed.start_component("minio")
    ended = objects.wait_phase("run", "bereaved", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert objects.points(ended) == [("score", step, step / 2) for step in range(101)]
    assert ended["status"]["model"]["size"] == len("late")
    assert "the standby completed it" in str(ended["status"]["recorder"]["warnings"])


def _recorder(objects: Objects, pod: str) -> dict:
    statuses = objects.get("pod", pod)["status"].get("initContainerStatuses", [])
    return next(s for s in statuses if s["name"] == "assay-recorder")


def _restarts(objects: Objects, pod: str) -> int:
    count: int = _recorder(objects, pod)["restartCount"]
    return count


def _recorder_runs(objects: Objects, pod: str) -> bool:
    return "running" in _recorder(objects, pod)["state"]


def test_store_down_for_thirty_seconds_costs_nothing(objects: Objects, installed: LocalCluster) -> None:
    script = "for step in range(40):\n    log(step=step, score=step)\n    time.sleep(0.2)"
    objects.apply(run("patient", script))
    objects.wait_phase("run", "patient", "Running")
    installed.stop_component("minio")
    try:
        down_until = time.monotonic() + 30
        # The training ends while the store is away, and is not slowed by it.
        wait_for("the training ends", lambda: _trained(objects, "patient"), seconds=25)
        seen = objects.wait(
            "run",
            "patient",
            "its condition names the store",
            lambda o: "StoreUnreachable" in str(o["status"].get("conditions")),
            seconds=40,
        )
        assert seen["status"]["phase"] == "Running"
        wait_for("thirty seconds are over", lambda: time.monotonic() > down_until, seconds=40)
    finally:
        installed.start_component("minio")
    ended = objects.wait_phase("run", "patient", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert objects.points(ended) == [("score", step, float(step)) for step in range(40)]


def _trained(objects: Objects, name: str) -> bool:
    pods = objects.all("pods", f"assay.dev/run={name}")
    return any("terminated" in c["state"] for pod in pods for c in pod["status"].get("containerStatuses", []))


def test_credentials_are_refreshed_before_they_expire(objects: Objects) -> None:
    objects.apply(run("long", "log(step=0, score=1)\ntime.sleep(20)\nlog(step=1, score=2)"))
    started = objects.wait_phase("run", "long", "Running")
    secret = started["status"]["credentials"]["secret"]
    before = objects.get("secret", secret)["data"]
    # What the status says is all that the operator knows of the time that is left: it was not always so late.
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    patch = json.dumps({"status": {"credentials": {"expires": soon}}})
    objects.kubectl("patch", "run", "long", *registry.AS_OPERATOR, "--subresource=status", "--type=merge", "-p", patch)
    refreshed = objects.wait(
        "run", "long", "later credentials", lambda o: o["status"].get("credentials", {}).get("expires", "") > soon
    )
    assert objects.get("secret", secret)["data"] != before
    assert refreshed["status"]["credentials"]["expires"] >= started["status"]["credentials"]["expires"]
    ended = objects.wait_phase("run", "long", "Succeeded", "Failed")
    assert objects.points(ended) == [("score", 0, 1.0), ("score", 1, 2.0)]
    objects.kubectl("wait", "--for=delete", f"secret/{secret}", "--timeout=30s")
