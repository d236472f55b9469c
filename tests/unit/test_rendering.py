"""What `make demo` prints, from the objects that the API server returns."""

import copy
from typing import Any

import pytest

from tests.cluster import rendering

pytestmark = pytest.mark.unit

EXPERIMENT: dict[str, Any] = {
    "spec": {
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "parameters": [{"name": "learning_rate", "values": [0.3, 0.1]}, {"name": "depth", "values": [2]}],
    },
    "status": {
        "phase": "Running",
        "progress": "2/4",
        "runs": {"total": 4, "pending": 1, "running": 1, "succeeded": 1, "failed": 1, "suspended": 0},
        "best": {"run": "digits-1", "value": 0.968512, "parameters": {"depth": 2, "learning_rate": 0.1}},
    },
}


def _run(name: str, phase: str, value: float | None = None, **parameters: object) -> dict[str, Any]:
    metrics = {} if value is None else {"val_accuracy": {"last": value - 0.1, "best": value}}
    status = {"phase": phase, "duration": "9s", "metrics": metrics}
    return {"metadata": {"name": name}, "spec": {"parameters": parameters}, "status": status}


def test_progress_counts_runs_and_names_the_best_run() -> None:
    expected = (
        "2/4 runs finished, 1 running, 1 pending, 1 failed, best val_accuracy 0.9685 (learning_rate 0.1, depth 2)"
    )
    assert rendering.progress(EXPERIMENT) == expected


def test_progress_without_a_status_is_reported() -> None:
    for status in ({}, {"status": {}}):
        text = rendering.progress({"spec": EXPERIMENT["spec"], **status})
        assert text == "waiting for the operator"


def test_the_best_run_comes_first_and_runs_without_a_result_come_last() -> None:
    fresh = {"metadata": {"name": "digits-3"}, "spec": {}}
    runs = [
        _run("digits-2", "Failed", learning_rate=0.03),
        fresh,
        _run("digits-0", "Succeeded", 0.9, learning_rate=0.3),
        _run("digits-1", "Succeeded", 0.95, learning_rate=0.1),
    ]
    objective = EXPERIMENT["spec"]["objective"]
    names = [run["metadata"]["name"] for run in rendering.sort_runs(runs, objective)]
    assert names == ["digits-1", "digits-0", "digits-2", "digits-3"]


def test_less_is_better_when_the_objective_is_minimized() -> None:
    objective = {"metric": "val_accuracy", "direction": "minimize"}
    runs = [_run("a", "Succeeded", 0.9), _run("b", "Failed"), _run("c", "Succeeded", 0.0)]
    assert [run["metadata"]["name"] for run in rendering.sort_runs(runs, objective)] == ["c", "a", "b"]


def test_result_is_the_best_value_or_else_the_last() -> None:
    run = _run("a", "Succeeded", 0.5)
    assert rendering.result(run, "val_accuracy") == 0.5
    assert rendering.result(run, "loss") is None
    without_best = copy.deepcopy(run)
    del without_best["status"]["metrics"]["val_accuracy"]["best"]
    assert rendering.result(without_best, "val_accuracy") == pytest.approx(0.4)


def test_next_steps_are_indented_and_name_the_trainer() -> None:
    spec = {"model": "digits", "owner": "admin", "version": 2, "run": {"name": "digits-3", "experiment": "digits"}}
    version = {"metadata": {"name": "digits.v2"}, "spec": spec}
    text = rendering.next_steps(["export A=b"], version, "champion", "digits-3", "digits-4")
    commands = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    assert commands[0] == "export A=b"
    assert commands[-1] == "assay ui digits", "the demonstration ends with the experiment's page"
    assert "assay compare digits-3 digits-4" in commands
    assert "assay approve digits.v2 --for champion --as rita --yes" in commands
    assert "assay pull digits.v2 digits-v2" in commands
    assert "You (admin) trained digits.v2, so somebody else has to approve it" in text
    assert max(map(len, text.splitlines())) <= 100
