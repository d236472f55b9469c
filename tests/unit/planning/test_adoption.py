"""Which records of an earlier Experiment count as runs of a new one."""

from typing import Any

import pytest

from assay.api.experiment import ExperimentSpec, ExperimentStatus
from assay.planning.search import adoption
from assay.planning.search.belonging import run_body
from tests.unit.planning.objects import experiment_spec

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
BODY: Raw = {
    "apiVersion": "assay.dev/v1alpha1",
    "kind": "Experiment",
    "metadata": {"name": "sweep", "namespace": "team", "uid": "new"},
    "spec": experiment_spec(
        owner="dora",
        objective={"metric": "score", "direction": "maximize"},
        parameters=[{"name": "lr", "values": [0.1, 0.2, 0.3]}],
        adoptRecords=True,
    ),
}
SPEC = ExperimentSpec.model_validate(BODY["spec"])


def record(index: int, phase: str = "Succeeded", *, value: float = 0.5, ended: str = "2027-01-02T00:00:00Z") -> Raw:
    """A record of a run of an earlier experiment of this name, as the store has it."""
    body = run_body({**BODY, "metadata": {**BODY["metadata"], "uid": "old"}}, SPEC, index)
    metrics = {"score": {"last": value, "min": value, "max": value, "best": value, "step": 1, "count": 1}}
    return {**body, "status": {"phase": phase, "completionTime": ended, "metrics": metrics}}


def changed(body: Raw, **spec: Any) -> Raw:
    return {**body, "spec": {**body["spec"], **spec}}


def test_the_newest_equal_record_counts() -> None:
    older, newer = record(1, value=0.1, ended="2027-01-01T00:00:00Z"), record(1, value=0.9)
    assert adoption.choose(BODY, SPEC, 1, [newer, older]) == newer
    assert adoption.choose(BODY, SPEC, 1, []) is None


@pytest.mark.parametrize(
    "other",
    [
        record(2),
        changed(record(1), owner="mallory"),
        changed(record(1), seed=7),
        changed(record(1), datasets=[{"name": "d", "uri": "s3://other/"}]),
        changed(record(1), objective=None),
        changed(record(1), job={}),
        record(1, "Running"),
        {"metadata": {}},
    ],
    ids=["parameters", "owner", "seed", "data", "objective", "job", "unfinished", "no spec"],
)
def test_a_record_of_something_else_does_not_count(other: Raw) -> None:
    assert adoption.choose(BODY, SPEC, 1, [other]) is None


def test_irrelevant_differences_do_not_prevent_adoption() -> None:
    assert adoption.choose(BODY, SPEC, 1, [changed(record(1), retention={"jobs": "1h"})]) is not None
    # An operator that let the API server store defaults.
    assert adoption.choose(BODY, SPEC, 1, [changed(record(1), datasets=[])]) is not None


def test_adopted_runs_count_and_are_not_launched() -> None:
    runs = [adoption.facts(record(0, value=0.4), 0), adoption.facts(record(1, "Failed", value=0.9), 1)]
    status = adoption.adopted(SPEC, ExperimentStatus(), runs)
    assert (status.adopted, status.launched) == (2, 2)
    assert status.archived is not None
    assert (status.archived.succeeded, status.archived.failed) == (1, 1)
    assert status.archived.best is not None
    assert (status.archived.best.run, status.archived.best.value) == ("sweep-0", 0.4)


def test_records_are_adopted_once_and_only_if_the_experiment_asks_for_it() -> None:
    assert adoption.due(SPEC, ExperimentStatus())
    assert not adoption.due(SPEC, adoption.adopted(SPEC, ExperimentStatus(), []))
    assert not adoption.due(SPEC, ExperimentStatus(launched=1))
    assert not adoption.due(SPEC.model_copy(update={"adopt_records": False}), ExperimentStatus())
    # Nothing to adopt: every run is launched.
    assert adoption.adopted(SPEC, ExperimentStatus(), []).launched is None
