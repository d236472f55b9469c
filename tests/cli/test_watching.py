"""Experiments as they go on, and what runs at the moment."""

import os
import pty
import re
import select
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from assay.store import system
from tests import registry
from tests.cli.conftest import PROGRAM, Answer
from tests.cli.running import TIMEOUT_SECONDS
from tests.cli.stand_in import BEGUN, StandIn, metric
from tests.cluster.waiting import wait_for
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Assay = Callable[..., Answer]
OBJECTIVE = {"metric": "score", "direction": "maximize"}


@pytest.fixture
def stand_in(governed: Cluster, namespace: str) -> StandIn:
    return StandIn(governed, namespace)


def counts(**found: int) -> Raw:
    return {"total": 2, "pending": 0, "running": 0, "succeeded": 0, "failed": 0, **found}


def started(stand_in: StandIn) -> None:
    """An experiment of two runs, one of which goes on."""
    stand_in.create(registry.experiment("digits", objective=OBJECTIVE))
    stand_in.set_status("experiment", "digits", {"phase": "Running", "startTime": BEGUN, "runs": counts(running=1)})
    status = {"phase": "Running", "reason": "Training", "startTime": BEGUN, "metrics": {"score": metric(0.5, step=40)}}
    stand_in.run("digits-0", status, experiment="digits", objective=OBJECTIVE)


def finish(stand_in: StandIn, phase: str) -> None:
    """The first run ends, then the experiment."""
    best = {"run": "digits-0", "value": 0.75, "parameters": {"depth": 2}}
    stand_in.set_status("run", "digits-0", {"phase": "Succeeded", "completionTime": "2026-03-01T12:00:10Z"})
    stand_in.set_status("experiment", "digits", {"runs": counts(succeeded=1, pending=1), "best": best})
    stand_in.set_status(
        "experiment", "digits", {"phase": phase, "runs": counts(succeeded=1, failed=1), "message": "it is over"}
    )


@pytest.mark.parametrize(("phase", "code"), [("Succeeded", 0), ("Failed", 1)])
def test_watch_prints_a_line_for_each_change(stand_in: StandIn, phase: str, code: int) -> None:
    started(stand_in)
    environment = {"KUBECONFIG": str(stand_in.cluster.kubeconfig)}
    watching = subprocess.Popen(
        [PROGRAM, "watch", "digits", "-n", stand_in.namespace],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    first = watching.stdout.readline()
    assert re.fullmatch(r"\d\d:\d\d:\d\d  0/2 runs finished, 1 running\n", first)
    finish(stand_in, phase)
    rest = watching.stdout.read().splitlines()
    assert watching.wait(TIMEOUT_SECONDS) == code
    assert any(
        "1/2 runs finished, 1 pending, best score 0.75 (digits-0: depth 2), about 10s left" in each for each in rest
    )
    assert rest[-2].endswith("2/2 runs finished, 1 failed, best score 0.75 (digits-0: depth 2)")
    assert rest[-1] == f"digits: {phase}, it is over"


def test_on_a_terminal_watch_updates_in_place(stand_in: StandIn) -> None:
    started(stand_in)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "KUBECONFIG": str(stand_in.cluster.kubeconfig), "TERM": "xterm", "COLUMNS": "100"}
    argv = [PROGRAM, "watch", "digits", "-n", stand_in.namespace]
    watching = subprocess.Popen(argv, env=environment, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""

    def shows(text: bytes) -> bool:
        nonlocal seen
        while select.select([ours], [], [], 0)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:
                data = b""
            if not data:
                break
            seen += data
        return text in seen

    wait_for("the run that is still running", lambda: shows(b"digits-0") and shows(b"0.5"), saw=lambda: seen)
    assert b"40" in seen
    finish(stand_in, "Succeeded")
    wait_for("the end", lambda: shows(b"digits: Succeeded, it is over"), saw=lambda: seen)
    assert watching.wait(TIMEOUT_SECONDS) == 0
    os.close(ours)
    assert b"best score 0.75" in seen


def test_missing_and_deleted_experiments_are_reported(assay: Assay, stand_in: StandIn) -> None:
    missing = assay("watch", "digit")
    assert missing.code == 3
    started(stand_in)
    assert "did you mean digits?" in assay("watch", "digit").err
    stand_in.run("alone", {"phase": "Running"})
    assert "alone is a run: `assay show alone` shows it" in assay("watch", "alone").err
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(assay, "watch", "digits")
        stand_in.remove("experiment", "digits")
        assert watching.result(TIMEOUT_SECONDS).code == 3


def test_top_lists_running_runs_with_their_usage(assay: Assay, stand_in: StandIn) -> None:
    started(stand_in)
    attempts = [{"pod": "digits-0-x", "phase": "Running", "node": "node-1"}]
    run = stand_in.set_status("run", "digits-0", {"attempts": attempts, "recorder": {"points": 80}})
    stand_in.run("digits-1", {"phase": "Pending", "reason": "Unschedulable"}, experiment="digits")
    stand_in.run("over", {"phase": "Succeeded"})
    points = [
        {"container": container, "metric": f"system.{name}", "time": 1763700000.0 + at, "value": value * (at + 1)}
        for at in (0, 1)
        for container, name, value in (
            ("train", "cpu_cores", 0.5),
            ("train", "memory_bytes", 1e8),
            ("side", "cpu_cores", 0.25),
            ("side", "memory_bytes", 2e8),
        )
    ]
    system.append(stand_in.store, stand_in.prefix(run), "digits-0-x", None, points)
    head, first, second, *others = assay("top").lines
    assert head.split() == ["RUN", "OWNER", "PHASE", "NODE", "SINCE", "STEP", "OBJECTIVE", "CPU", "MEMORY"]
    cells = first.split()
    assert (cells[0], cells[2:4], cells[5:]) == (
        "digits-0",
        ["Running", "node-1"],
        ["40", "score=0.5", "1.50", "600", "MB"],
    )
    assert second.split()[0] == "digits-1"
    assert not others
    everywhere = assay("top", "-A", "-o", "json").json()["items"]
    [item] = [each for each in everywhere if (each["namespace"], each["name"]) == (stand_in.namespace, "digits-1")]
    assert (item["phase"], item["reason"], item["cpuCores"]) == ("Pending", "Unschedulable", None)
    blind = assay("top", ASSAY_STORE_ENDPOINT="")
    assert blind.lines[1].split()[0] == "digits-0"
    assert "the usage of CPU and memory is unknown" in blind.err
    assert "no running runs" in assay("top", "-e", "other").err
