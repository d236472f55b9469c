"""The chart, installed by Helm on a real cluster: two operators, one of which works; and what uninstalling leaves."""

import json
import time

import pytest

from tests.chart.conftest import NAMESPACE, Release
from tests.cluster.waiting import wait_for
from tests.objects import Objects, experiment

pytestmark = [pytest.mark.chart, pytest.mark.e2e]

RUNS = 8


@pytest.fixture
def objects(release: Release) -> Objects:
    name = f"team-{time.monotonic_ns() % 10**9}"
    release.cluster.kubectl("create", "namespace", name)
    return Objects(release.cluster, name)


def test_both_are_ready_and_one_leads(release: Release) -> None:
    pods = json.loads(release.kubectl("get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", "json"))
    names = {pod["metadata"]["name"] for pod in pods["items"]}
    assert len(names) == 2
    assert release.leader() in names
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{release.leader()}:9095/proxy/readyz"
    said = release.cluster.kubectl("get", "--raw", path)
    assert said.splitlines() == ["lease: ok", "objects: ok", "store: ok", "policies: ok"]


def test_the_operator_is_never_refused_anything(release: Release, objects: Objects) -> None:
    objects.apply(experiment("allowed", "log(step=1, score=1.0)", parameters=[{"name": "a", "values": [1]}]))
    objects.wait_phase("experiment", "allowed", "Succeeded", seconds=90)
    log = release.kubectl("logs", release.leader())
    assert "forbidden" not in log.lower(), log


def test_another_takes_over_in_the_middle_of_a_sweep(release: Release, objects: Objects) -> None:
    script = "time.sleep(2); log(step=1, score=float(os.environ['PARAM_a']))"
    parameters = [{"name": "a", "values": list(range(RUNS))}]
    objects.apply(experiment("sweep", script, parameters=parameters, parallelism=2))
    objects.wait("experiment", "sweep", "half of it", lambda o: o["status"].get("progress", "0/").startswith("2/"), 90)
    leader = release.leader()
    began = time.monotonic()
    release.kubectl("delete", "pod", leader, "--grace-period=0", "--force")
    wait_for("another one to lead", lambda: release.leader() not in ("", leader), seconds=40, every=0.2)
    print(f"taken over after {time.monotonic() - began:.1f} s")
    found = objects.wait_phase("experiment", "sweep", "Succeeded", seconds=180)
    assert found["status"]["runs"]["succeeded"] == RUNS
    runs, jobs = objects.all("runs"), objects.all("jobs")
    assert sorted(run["spec"]["parameters"]["a"] for run in runs) == list(range(RUNS))
    assert len(jobs) == RUNS
    assert {len(run["status"]["attempts"]) for run in runs} == {1}


def test_an_upgrade_loses_nothing_that_goes_on(release: Release, objects: Objects) -> None:
    script = "time.sleep(6); log(step=1, score=1.0)"
    objects.apply(experiment("long", script, parameters=[{"name": "a", "values": [1, 2]}], parallelism=2))
    objects.wait("experiment", "long", "its runs", lambda o: o["status"].get("runs", {}).get("running") == 2, 60)
    release.upgrade(logLevel="DEBUG")
    found = objects.wait_phase("experiment", "long", "Succeeded", seconds=120)
    assert found["status"]["runs"]["succeeded"] == 2
    assert all(run["status"]["record"]["complete"] for run in objects.all("runs"))


def test_uninstalling_leaves_what_people_have_made(release: Release, objects: Objects) -> None:
    """The last test of the module: there is no operator after it."""
    objects.apply(experiment("kept", "pass", suspend=True))
    objects.wait_phase("experiment", "kept", "Suspended", seconds=30)
    release.uninstall()
    assert objects.get("experiment", "kept")["status"]["phase"] == "Suspended"
    assert "assay" not in release.cluster.kubectl("get", "validatingadmissionpolicies", "-o", "name")
