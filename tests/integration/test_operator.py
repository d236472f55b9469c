"""The operator on a real API server without a node: many runs at once, and no needless word to the server."""

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests import operators
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects, experiment

pytestmark = pytest.mark.integration

#: Writes that replace a Secret.
KEYS = 3
RUNS = 500


@pytest.fixture
def objects(control_plane: LocalCluster, namespace: str) -> Objects:
    operators.install(control_plane)
    return Objects(control_plane, namespace)


def _writes(operator: operators.OperatorProcess) -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics_port}/metrics", timeout=10).read().decode()
    pattern = r'^assay_api_requests_total\{method="(?:POST|PATCH|PUT|DELETE)"\} (\S+)$'
    return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))


def test_five_hundred_runs_cause_no_writes_after_they_settle(
    objects: Objects, control_plane: LocalCluster, tmp_path: Path
) -> None:
    parameters = [{"name": "a", "values": list(range(RUNS))}]
    manifest = experiment("many", "pass", parameters=parameters, parallelism=RUNS, job={"suspend": True})
    environment = {"ASSAY_NAMESPACES": objects.namespace}
    with operators.OperatorProcess(control_plane, tmp_path / "first.log", environment) as operator:
        objects.apply(manifest)
        counts = {"total": RUNS, "pending": 0, "running": 0, "suspended": RUNS, "succeeded": 0, "failed": 0}
        objects.wait("experiment", "many", "500 suspended runs", lambda o: o["status"].get("runs") == counts, 120)
        # Three writes a run: the Run, its Job, its status. The rest is the experiment's own status and events.
        assert _writes(operator) < 3 * RUNS + 60
    runs = objects.all("runs")
    assert sorted(run["spec"]["parameters"]["a"] for run in runs) == list(range(RUNS))
    assert {run["status"]["phase"] for run in runs} == {"Suspended"}
    jobs = objects.all("jobs")
    assert sorted(job["metadata"]["name"] for job in jobs) == sorted(run["metadata"]["name"] for run in runs)

    with operators.OperatorProcess(control_plane, tmp_path / "second.log", environment) as operator:
        # Every object is looked at again after a start: the queue has been through them all when it is empty.
        wait_for("the operator has looked at every run", lambda: _reconciled(operator) >= RUNS, seconds=60)
        # A new operator issues new store keys for the people of the namespace: it replaces the Secret assay-read.
        assert _writes(operator) <= KEYS, operator.tail()


def _reconciled(operator: operators.OperatorProcess) -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics_port}/metrics", timeout=10).read().decode()
    found = re.search(r'^assay_reconcile_duration_seconds_count\{kind="Run"\} (\S+)$', text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def _run_operator(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "assay.controllers"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_an_operator_without_configuration_reports_what_is_missing() -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(operators.ROOT / "operator")}
    done = subprocess.run(
        [sys.executable, "-m", "assay.controllers"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert (
        done.stderr == "assay: ASSAY_IMAGE is not set: it is the image that the recorder in training pods runs from\n"
    )
    environment |= {"ASSAY_IMAGE": "x", "ASSAY_STORE_ENDPOINT": "nonsense"}
    done = _run_operator(environment)
    assert done.returncode == 2
    assert done.stderr.startswith("assay: ASSAY_STORE_ENDPOINT is 'nonsense'")
