"""The chart, installed by Helm on a real cluster: two operators, one of which works; and what uninstalling leaves."""

import json
import time

import pytest
from helm_python.errors import HelmError

from tests.chart.conftest import Release
from tests.cluster import charting
from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for
from tests.objects import Objects, experiment

pytestmark = [pytest.mark.chart, pytest.mark.e2e]

RUNS = 8


@pytest.fixture(scope="module")
def release(bare_release: Release) -> Release:
    """The chart, installed by one call with two replicas and all that guards them."""
    bare_release.install(replicas=2, podDisruptionBudget={"enabled": True}, networkPolicy={"enabled": True})
    return bare_release


def test_both_are_ready_and_one_leads(release: Release) -> None:
    names = release.operators()
    assert len(names) == 2
    assert release.leader() in names
    assert release.readiness() == ["lease: ok", "objects: ok", "store: ok", "policies: ok"]


def test_a_drain_evicts_one_replica_at_a_time(release: Release) -> None:
    def allowed() -> int:
        found = json.loads(release.kubectl("get", "poddisruptionbudget", charting.DEPLOYMENT, "-o", "json"))
        return int(found["status"].get("disruptionsAllowed", 0))

    wait_for("the budget to count both", lambda: allowed() == 1, seconds=30)
    evicted, other = release.operators()
    _evict(release, evicted)
    with pytest.raises(ClusterError, match="violate the pod's disruption budget"):
        _evict(release, other)
    release.wait_ready()
    release.kubectl("wait", "--for=delete", f"pod/{evicted}", "--timeout=30s")


def _evict(release: Release, pod: str) -> None:
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": release.namespace},
    }
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod}/eviction"
    release.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def test_helm_test_reports_a_healthy_release(release: Release) -> None:
    endpoint = release.cluster.store.endpoint
    said = release.helm.test(charting.NAME, timeout=120, logs=True)["logs"]
    assert f"store {endpoint}: bucket assay answers, issues temporary credentials" in said
    lines = said.splitlines()
    operators = [line for line in lines if "operator " in line]
    assert len(operators) == 2
    assert sum("lease, objects, store, policies ok" in line for line in operators) == 1
    assert "checkup" not in release.kubectl("get", "pods", "-o", "name"), "what tested is left"


def test_helm_test_reports_a_broken_store(release: Release) -> None:
    release.cluster.stop_component("minio")
    try:
        with pytest.raises(HelmError):
            release.helm.test(charting.NAME, timeout=120)
        said = release.kubectl("logs", "assay-checkup")
    finally:
        release.cluster.start_component("minio")
    assert f"the store does not work: {release.cluster.store.endpoint}" in said


def test_another_replica_takes_over_during_a_sweep(release: Release, objects: Objects) -> None:
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


def test_uninstalling_keeps_user_objects(release: Release, objects: Objects) -> None:
    """The last test of the module: there is no operator after it."""
    objects.apply(experiment("kept", "pass", suspend=True))
    objects.wait_phase("experiment", "kept", "Suspended", seconds=30)
    release.uninstall()
    assert objects.get("experiment", "kept")["status"]["phase"] == "Suspended"
    assert "assay" not in release.cluster.kubectl("get", "validatingadmissionpolicies", "-o", "name")
