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


def test_progress_counts_what_is_there_and_names_the_best_run_so_far() -> None:
    expected = (
        "2/4 runs finished, 1 running, 1 pending, 1 failed, best val_accuracy 0.9685 (learning_rate 0.1, depth 2)"
    )
    assert rendering.progress(EXPERIMENT) == expected


def test_progress_before_the_first_status_says_so() -> None:
    for status in ({}, {"status": {}}):
        text = rendering.progress({"spec": EXPERIMENT["spec"], **status})
        assert text == "the operator has not seen the experiment yet"


def test_table_has_the_best_run_first_and_runs_without_a_result_last() -> None:
    failed = _run("digits-2", "Failed", learning_rate=0.03, depth=2)
    failed["status"]["reason"] = "OOMKilled"
    fresh = {"metadata": {"name": "digits-3"}, "spec": {}}
    runs = [
        failed,
        fresh,
        _run("digits-0", "Succeeded", 0.9, learning_rate=0.3, depth=2),
        _run("digits-1", "Succeeded", 0.95, learning_rate=0.1, depth=2),
    ]
    assert rendering.run_table(EXPERIMENT, runs).splitlines() == [
        "RUN       LEARNING_RATE  DEPTH  VAL_ACCURACY  DURATION  PHASE",
        "digits-1  0.1            2      0.9500        9s        Succeeded",
        "digits-0  0.3            2      0.9000        9s        Succeeded",
        "digits-2  0.03           2                    9s        Failed (OOMKilled)",
        "digits-3                                                Pending",
    ]


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


@pytest.mark.parametrize(("count", "text"), [(999, "999 B"), (52_600, "53 kB"), (3_400_000, "3.4 MB")])
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert rendering.size(count) == text
