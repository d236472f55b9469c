"""Texts about experiments, reruns and resource usage."""

import io
from typing import Any

import pytest
from rich.console import Console

from assay.cli.errors import CliError
from assay.cli.runs import rerun, watch
from assay.kube.watches import Change, State, apply
from assay.planning.conditions import parse_time
from assay.queries.runs import active, experiments

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
NOW = parse_time("2026-03-01T12:01:00Z").timestamp()  # type: ignore[union-attr]


def run(name: str, phase: str, start: str = "", end: str = "", **status: Any) -> Raw:
    times = {"startTime": start or None, "completionTime": end or None}
    return {"metadata": {"name": name, "namespace": "team"}, "status": {"phase": phase, **times, **status}}


def experiment(**spec: Any) -> Raw:
    counts = {"total": 6, "pending": 1, "running": 2, "succeeded": 1, "failed": 1, "suspended": 0}
    best = {"run": "digits-0", "value": 0.9375, "parameters": {"depth": 3}}
    status = {"phase": "Running", "startTime": "2026-03-01T12:00:00Z", "runs": counts, "best": best}
    objective = {"metric": "score", "direction": "maximize"}
    return {
        "metadata": {"name": "digits"},
        "spec": {"objective": objective, "parallelism": 2, **spec},
        "status": status,
    }


RUNS = {
    name: run(name, *more)
    for name, *more in (
        ("digits-0", "Succeeded", "2026-03-01T12:00:00Z", "2026-03-01T12:00:20Z"),
        ("digits-1", "Failed", "2026-03-01T12:00:00Z", "2026-03-01T12:00:40Z"),
        ("digits-2", "Running", "2026-03-01T12:00:50Z"),
        ("digits-3", "Running", "2026-03-01T12:00:55Z"),
        ("digits-4", "Pending"),
    )
}


def test_an_experiment_as_one_line() -> None:
    seen = experiments.view(experiment(), RUNS, NOW)
    expected = "2/6 runs finished, 1 failed, 2 running, 1 pending, best score 0.9375 (digits-0: depth 3)"
    assert watch.line(seen) == expected
    # The mean is 30 s. One has 20 s left, the other one 25 s; two more begin then.
    assert (seen.rate, seen.left) == (2.0, 55.0)
    assert watch.pace(seen) == "2 runs/min, about 55s left"
    assert [each.name for each in seen.active] == ["digits-2", "digits-3", "digits-4"]


def test_the_end_of_a_suspended_or_new_experiment_is_unknown() -> None:
    assert experiments.view(experiment(suspend=True), RUNS, NOW).left is None
    begun = experiments.view({"metadata": {"name": "new"}, "spec": {}, "status": {}}, {}, NOW)
    assert (begun.phase, begun.left, begun.rate, watch.line(begun)) == ("Pending", None, None, "0/0 runs finished")
    assert watch.pace(begun) == ""


def test_the_display_fits_the_terminal() -> None:
    many = {f"r-{number:03d}": run(f"r-{number:03d}", "Running", "2026-03-01T12:00:50Z") for number in range(100)}
    console = Console(file=io.StringIO(), width=100, height=20, force_terminal=False)
    console.print(watch.drawn(experiments.view(experiment(), many, NOW), console.height))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 20
    assert lines[0].split()[:2] == ["digits", "Running"]
    assert "2/6" in lines[0]
    assert lines[1].strip() == "best score 0.9375 (digits-0: depth 3)"
    shown = [line for line in lines if line.startswith("r-")]
    assert lines[-1].strip() == f"and {100 - len(shown)} more"


def test_durations_have_two_units() -> None:
    spans = {0: "0s", 45.4: "45s", 60: "1m0s", 200: "3m20s", 7500: "2h5m", 86400 * 3 + 14400: "3d4h"}
    assert {seconds: watch.span(seconds) for seconds in spans} == spans


def test_changes_update_the_state() -> None:
    known: State = {}
    runs = ("/apis/assay.dev/v1alpha1", "runs")
    a, b = run("a", "Pending"), run("b", "Pending")
    apply(known, Change(runs, "SYNC", [a]))
    apply(known, Change(runs, "ADDED", [b]))
    assert set(known) == {("team", "a"), ("team", "b")}
    apply(known, Change(runs, "MODIFIED", [run("a", "Running")]))
    apply(known, Change(runs, "DELETED", [b]))
    assert [each["status"]["phase"] for each in known.values()] == ["Running"]
    apply(known, Change(runs, "SYNC", []))
    assert not known


def test_tolerances_are_parsed_by_metric() -> None:
    assert rerun.tolerances(["train_seconds=2", "a=b=0.5"]) == {"train_seconds": 2.0, "a=b": 0.5}
    for wrong in ("seconds", "=2", "seconds=x"):
        with pytest.raises(CliError, match="invalid --tolerance-of"):
            rerun.tolerances([wrong])


def test_usage_is_the_sum_of_the_last_points_of_containers() -> None:
    points = [
        {"container": "train", "metric": "system.cpu_cores", "value": 0.5},
        {"container": "train", "metric": "system.memory_bytes", "value": 10.0},
        {"container": "side", "metric": "system.memory_bytes", "value": 5.0},
        {"container": "train", "metric": "system.memory_bytes", "value": 20.0},
        {"container": "train", "metric": "system.cpu_seconds", "value": 99.0},
    ]
    assert active.now_used(points) == (0.5, 25)
    assert active.now_used([]) is None


def test_pending_runs_that_cannot_start_are_named_with_the_reason() -> None:
    stuck = {"digits-5": run("digits-5", "Pending", reason="ImagePullBackOff")}
    waiting = {"digits-4": run("digits-4", "Pending", reason="Starting")}
    line = watch.line(experiments.view(experiment(), RUNS | waiting | stuck, NOW))
    assert "1 pending (ImagePullBackOff: see `assay show digits-5`)" in line
    assert "(" not in watch.line(experiments.view(experiment(), RUNS | waiting, NOW)).partition(" pending")[2][:3]
