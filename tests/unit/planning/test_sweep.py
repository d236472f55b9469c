import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api import names
from assay.api.experiment import ExperimentSpec, ExperimentStatus
from assay.api.run import Objective
from assay.planning.conditions import flag
from assay.planning.models import registration
from assay.planning.runs.facts import RunFacts
from assay.planning.search import space, sweep
from tests.unit.planning.objects import NOW, experiment_spec

pytestmark = pytest.mark.unit

MAXIMIZE = {"metric": "score", "direction": "maximize"}
MINIMIZE = {"metric": "score", "direction": "minimize"}


def spec(runs: int = 10, **fields: Any) -> ExperimentSpec:
    parameters = [{"name": "a", "values": list(range(runs))}]
    return ExperimentSpec.model_validate(experiment_spec(parameters=parameters, objective=MAXIMIZE) | fields)


def fact(index: int, phase: str = "Running", value: float | None = None) -> RunFacts:
    return RunFacts(index, f"sweep-{index}", phase, value)


def plan(of: ExperimentSpec, *runs: RunFacts, status: ExperimentStatus | None = None, seconds: int = 0) -> sweep.Plan:
    return sweep.plan(of, status or ExperimentStatus(), runs, generation=3, now=NOW + timedelta(seconds=seconds))


def condition(status: ExperimentStatus, kind: str) -> tuple[str, str, str]:
    found = next(c for c in status.conditions if c.type == kind)
    return found.status, found.reason, found.message


# A whole experiment, simulated with everything that may happen to it


class Simulation:
    """A cluster that holds Runs, and an operator that forgets everything but what it has written."""

    def __init__(self, of: ExperimentSpec, chance: random.Random, crashes: bool, deletions: bool) -> None:
        self.spec, self.chance = of, chance
        self.crashes, self.deletions = crashes, deletions
        self.runs: dict[int, RunFacts] = {}
        self.written = ExperimentStatus()
        self.created: list[int] = []
        self.deleted: set[int] = set()

    def plan(self) -> sweep.Plan:
        return sweep.plan(self.spec, self.written, list(self.runs.values()), generation=1, now=NOW)

    def reconcile(self) -> None:
        """Do what the operator does: create, plan again, write. A crash may come at any point in between."""
        found = self.plan()
        while found.launch:
            for index in self.chance.sample(found.launch, len(found.launch)):
                if self.crashes and self.chance.random() < 0.2:
                    return
                self.create(index)
            found = self.plan()
        if not (self.crashes and self.chance.random() < 0.2):
            self.written = found.status

    def create(self, index: int) -> None:
        assert index not in self.runs, f"run {index} is launched, and exists"
        assert index >= (self.written.launched or 0), f"run {index} is launched again"
        assert index not in self.created or index in self.deleted, f"run {index} is launched twice"
        self.created.append(index)
        self.runs[index] = fact(index, "Pending")
        active = sum(run.active for run in self.runs.values())
        assert active <= self.spec.parallelism, f"{active} runs are active"

    def advance(self) -> None:
        """Let the world move on: runs start and end in any order, and people delete some."""
        for index in [i for i, run in self.runs.items() if run.active]:
            phase = self.chance.choice(["Pending", "Running", "Suspended", "Succeeded", "Failed"])
            self.runs[index] = fact(index, phase, self.chance.random() if phase == "Succeeded" else None)
        if self.deletions and self.runs and self.chance.random() < 0.2:
            gone = self.chance.choice(sorted(self.runs))
            del self.runs[gone]
            self.deleted.add(gone)

    def over(self) -> bool:
        return self.written.phase in ("Succeeded", "Failed")

    def until_over(self) -> None:
        for _ in range(2000):
            self.reconcile()
            if self.over():
                return
            self.advance()
        raise AssertionError(f"never over: {self.written}, {self.runs}")


runs, parallelisms = st.integers(1, 30), st.integers(1, 8)
# Seeds, and not st.randoms(): hypothesis would choose a world in which no run ever ends.
chances = st.builds(random.Random, st.integers(0, 2**32))


@given(runs, parallelisms, chances, st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_run_is_launched_once_and_never_too_many_at_a_time(
    total: int, parallelism: int, chance: random.Random, crashes: bool, deletions: bool
) -> None:
    simulation = Simulation(spec(total, parallelism=parallelism), chance, crashes, deletions)
    simulation.until_over()
    assert sorted(set(simulation.created)) == list(range(total))
    again = [index for index in simulation.created if simulation.created.count(index) > 1]
    assert set(again) <= simulation.deleted
    assert simulation.written.launched == total


@given(runs, runs, parallelisms, chances)
@settings(max_examples=50, deadline=None)
def test_a_raised_max_runs_continues_where_it_ended(
    first: int, more: int, parallelism: int, chance: random.Random
) -> None:
    simulation = Simulation(spec(60, maxRuns=first, parallelism=parallelism), chance, crashes=True, deletions=False)
    simulation.until_over()
    assert sorted(simulation.created) == list(range(first))
    simulation.spec = spec(60, maxRuns=first + more, parallelism=parallelism)
    simulation.written = simulation.plan().status
    assert not simulation.over()
    assert simulation.written.completion_time is None
    simulation.until_over()
    assert sorted(simulation.created) == list(range(first + more))


@given(st.integers(5, 30), st.integers(0, 4), parallelisms, chances)
@settings(max_examples=50, deadline=None)
def test_too_many_failures_stop_launching(total: int, allowed: int, parallelism: int, chance: random.Random) -> None:
    simulation = Simulation(spec(total, maxFailedRuns=allowed, parallelism=parallelism), chance, True, False)
    while not simulation.over():
        before, failed = len(simulation.created), sum(r.phase == "Failed" for r in simulation.runs.values())
        simulation.reconcile()
        assert failed <= allowed or len(simulation.created) == before
        simulation.advance()
    failed = simulation.written.runs.failed if simulation.written.runs else 0
    if failed > allowed:
        assert condition(simulation.written, names.FAILED)[:2] == ("True", names.TOO_MANY_FAILED_RUNS)
    else:
        assert sorted(simulation.created) == list(range(total))


# Single decisions


def test_the_first_step_launches_as_many_as_fit() -> None:
    found = plan(spec(10, parallelism=3))
    assert found.launch == (0, 1, 2)
    assert (found.status.phase, found.status.progress) == ("Running", "0/10")


def test_every_unfinished_run_counts_against_parallelism() -> None:
    found = plan(spec(10, parallelism=4), fact(0, "Pending"), fact(1, "Suspended"), fact(2), fact(3, "Failed"))
    assert found.launch == (4,)


def test_lowered_parallelism_launches_nothing_and_stops_nothing() -> None:
    assert plan(spec(10, parallelism=1), fact(0), fact(1), fact(2)).launch == ()


def test_gaps_are_filled_and_deleted_runs_are_not_made_again() -> None:
    assert plan(spec(6, parallelism=9), fact(1), fact(3)).launch == (0, 2, 4, 5)
    launched = ExperimentStatus(launched=4)
    assert plan(spec(6, parallelism=9), fact(1), fact(3), status=launched).launch == (4, 5)


def test_one_step_is_bounded() -> None:
    found = plan(spec(1000, parallelism=10_000))
    assert found.launch == tuple(range(sweep.MAX_LAUNCH))


def test_a_suspended_experiment_launches_nothing_and_reports_it() -> None:
    found = plan(spec(10, parallelism=3, suspend=True), fact(0))
    assert found.launch == ()
    assert found.status.phase == "Suspended"
    assert condition(found.status, names.SUSPENDED)[:2] == ("True", names.SUSPENDED_BY_SPEC)


def test_jobs_resumed_by_users_are_reported_while_the_experiment_is_suspended() -> None:
    resumed = [replace(fact(index, "Suspended"), reason=names.JOB_RESUMED) for index in range(7)]
    held, going = spec(10, parallelism=9, suspend=True), spec(10, parallelism=9)
    found = plan(held, fact(8, "Suspended"), *resumed[:2])
    assert condition(found.status, names.SUSPENDED) == (
        "True",
        names.JOB_RESUMED,
        "Jobs were resumed outside of Assay, and were suspended again: sweep-0, sweep-1: resume the experiment, or "
        "stop what resumes the Jobs",
    )
    assert "sweep-4 and 2 more: resume" in condition(plan(held, *resumed).status, names.SUSPENDED)[2]
    ended = [replace(each, phase="Failed") for each in resumed]
    assert condition(plan(held, *ended, status=found.status).status, names.SUSPENDED)[1:] == ("SuspendedBySpec", "")
    assert condition(plan(going, *resumed, status=found.status).status, names.SUSPENDED)[0] == "False"


def test_a_finished_experiment_stays_finished_when_suspended() -> None:
    assert plan(spec(1, suspend=True), fact(0, "Succeeded", 1.0)).status.phase == "Succeeded"


@pytest.mark.parametrize(
    ("objective", "values", "reached"),
    [
        (MAXIMIZE | {"target": 0.9}, [0.9], True),
        (MAXIMIZE | {"target": 0.9}, [0.89, 0.5], False),
        (MINIMIZE | {"target": 0.1}, [0.5, 0.1], True),
        (MINIMIZE | {"target": 0.1}, [0.11], False),
        (MAXIMIZE | {"target": 0}, [0.0], True),
        (MAXIMIZE, [99.0], False),
    ],
)
def test_a_target_that_is_reached_stops_the_search(
    objective: dict[str, Any], values: list[float], reached: bool
) -> None:
    over = [fact(index, "Succeeded", value) for index, value in enumerate(values)]
    found = plan(spec(9, objective=objective, parallelism=2), *over)
    assert (found.launch == ()) == reached
    assert (found.status.phase == "Succeeded") == reached


def test_a_target_waits_for_the_runs_that_still_run() -> None:
    found = plan(
        spec(9, objective=MAXIMIZE | {"target": 0.9}, parallelism=3), fact(0, "Succeeded", 0.912345678), fact(1)
    )
    assert (found.launch, found.status.phase) == ((), "Running")
    assert found.status.message == "sweep-0 reached score 0.912346; the target is 0.9"
    ended = plan(spec(9, objective=MAXIMIZE | {"target": 0.9}), fact(0, "Succeeded", 0.95), fact(1, "Failed"))
    assert condition(ended.status, names.COMPLETE) == (
        "True",
        names.TARGET_REACHED,
        "sweep-0 reached score 0.95; the target is 0.9",
    )


def test_a_value_of_a_failed_run_reaches_no_target() -> None:
    found = plan(spec(9, objective=MAXIMIZE | {"target": 0.9}, parallelism=1), fact(0, "Failed", 0.99))
    assert found.launch == (1,)
    assert found.status.best is None


def test_failed_runs_beyond_the_limit_fail_the_experiment_once_the_others_have_ended() -> None:
    of = spec(9, maxFailedRuns=1, parallelism=3)
    assert plan(of, fact(0, "Failed")).launch == (1, 2, 3)
    going = plan(of, fact(0, "Failed"), fact(1, "Failed"), fact(2))
    assert (going.launch, going.status.phase) == ((), "Running")
    assert condition(going.status, names.FAILED) == (
        "True",
        names.TOO_MANY_FAILED_RUNS,
        "2 runs failed; maxFailedRuns is 1",
    )
    assert plan(of, fact(0, "Failed"), fact(1, "Failed"), fact(2, "Succeeded", 1)).status.phase == "Failed"


def test_an_experiment_whose_runs_all_failed_has_failed() -> None:
    found = plan(spec(2), fact(0, "Failed"), fact(1, "Failed")).status
    assert found.phase == "Failed"
    assert condition(found, names.FAILED) == ("True", names.ALL_RUNS_FINISHED, "0 of 2 runs succeeded")
    assert condition(found, names.COMPLETE)[0] == "False"


def test_one_success_is_enough_for_an_experiment() -> None:
    found = plan(spec(2), fact(0, "Failed"), fact(1, "Succeeded", 1.0)).status
    assert found.phase == "Succeeded"
    assert condition(found, names.COMPLETE) == ("True", names.ALL_RUNS_FINISHED, "1 of 2 runs succeeded")


def test_the_counts_say_where_every_run_is() -> None:
    phases = ["Pending", "Running", "Running", "Suspended", "Succeeded", "Failed"]
    found = plan(spec(9), *(fact(index, phase) for index, phase in enumerate(phases))).status
    assert found.runs is not None
    assert found.runs.to_dict() == {
        "total": 9, "pending": 1, "running": 2, "suspended": 1, "succeeded": 1, "failed": 1,
    }  # fmt: skip
    assert found.progress == "2/9"
    assert found.observed_generation == 3


def test_a_too_large_search_fails_the_experiment_until_it_is_fixed() -> None:
    parameters = [{"name": name, "values": list(range(1000))} for name in "ab"]
    found = plan(spec(parameters=parameters))
    assert (found.launch, found.status.phase) == ((), "Failed")
    status, reason, message = condition(found.status, names.FAILED)
    assert (status, reason, message) == ("True", names.INVALID_SEARCH, found.status.message)
    mended = plan(spec(parameters=parameters, maxRuns=5, parallelism=2), status=found.status)
    assert mended.launch == (0, 1)
    assert condition(mended.status, names.FAILED)[0] == "False"
    assert mended.status.message is None


def test_an_invalid_job_template_fails_the_experiment() -> None:
    found = plan(spec(template={"job": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}}))
    assert (found.launch, found.status.phase) == ((), "Failed")
    assert condition(found.status, names.FAILED)[1] == names.INVALID_TEMPLATE
    assert found.status.message == ("spec.template.job.template.spec: restartPolicy is missing: use Never or OnFailure")


def test_after_one_run_with_an_invalid_template_no_other_is_launched() -> None:
    refused = RunFacts(0, "sweep-0", "Failed", None, reason=names.INVALID_TEMPLATE)
    assert plan(spec(10, parallelism=1), refused).launch == ()
    assert plan(spec(10, parallelism=2), refused, fact(1)).launch == ()
    over = plan(spec(10, parallelism=1), refused).status
    assert condition(over, names.FAILED) == (
        "True",
        names.INVALID_TEMPLATE,
        "sweep-0 cannot start, and every run has the same template",
    )
    assert plan(spec(10, parallelism=1), fact(0, "Failed")).launch == (1,)


def test_times_are_those_of_the_first_launch_and_the_last_end() -> None:
    of = spec(1)
    first = plan(of, seconds=0).status
    assert first.start_time == NOW
    over = plan(of, fact(0, "Succeeded", 1.0), status=first, seconds=3723).status
    assert (over.completion_time, over.duration) == (NOW + timedelta(seconds=3723), "1h2m3s")
    later = plan(of, fact(0, "Succeeded", 1.0), status=over, seconds=9999).status
    assert later == over


def test_planning_an_unchanged_sweep_changes_nothing() -> None:
    of, tracking = spec(9, parallelism=2), [fact(0, "Succeeded", 0.5), fact(1), fact(2, "Pending")]
    first = plan(of, *tracking).status
    assert plan(of, *tracking, status=first, seconds=60).status == first


@pytest.mark.parametrize("situation", ["goes on", "is over", "is invalid", "is suspended"])
def test_planning_keeps_the_registered_condition(situation: str) -> None:
    told = registration.told(
        plan(spec(1)).status, flag(True, names.REGISTERED, "digits.v3"), "digits.v3", generation=2, now=NOW
    )
    of = spec(1, suspend=situation == "is suspended")
    if situation == "is invalid":
        of = spec(parameters=[{"name": name, "values": list(range(1000))} for name in "ab"])
    seen = [fact(0, "Succeeded", 1.0) if situation == "is over" else fact(0)]
    found = plan(of, *seen, status=told, seconds=60).status
    assert found.registered == "digits.v3"
    ours = ["Complete", "Failed", "Suspended", *(["ObjectiveRecorded"] if situation == "is over" else [])]
    assert [each.type for each in found.conditions] == [*ours, "Registered"]
    assert found.conditions[-1] == told.conditions[-1]


def test_without_registration_there_is_no_registered_condition() -> None:
    assert names.REGISTERED not in {each.type for each in plan(spec(1), fact(0)).status.conditions}


# The best run


@given(st.permutations(range(5)), st.sampled_from([MAXIMIZE, MINIMIZE]))
def test_the_first_of_equal_runs_is_the_best_in_any_order(order: list[int], objective: dict[str, str]) -> None:
    values = [0.5, 0.7, 0.7, 0.3, 0.3]
    found = sweep.best_run(Objective.model_validate(objective), [fact(i, "Succeeded", values[i]) for i in order])
    assert found is not None
    assert found.index == (1 if objective is MAXIMIZE else 3)


def test_runs_that_have_not_succeeded_or_have_no_value_are_not_the_best() -> None:
    objective = Objective.model_validate(MAXIMIZE)
    others = [fact(0, "Failed", 9), fact(1, "Running", 9), fact(2, "Succeeded", None)]
    assert sweep.best_run(objective, others) is None
    assert sweep.best_run(objective, [*others, fact(3, "Succeeded", 0.0)]) == fact(3, "Succeeded", 0.0)
    assert sweep.best_run(None, [fact(0, "Succeeded", 1)]) is None


def test_the_best_run_comes_with_its_parameters() -> None:
    best = plan(spec(5), fact(0, "Succeeded", 0.25), fact(3, "Succeeded", 0.123456789e-4)).status.best
    assert best is not None
    assert best.to_dict() == {"run": "sweep-0", "value": 0.25, "display": "0.25", "parameters": {"a": 0}}


def test_a_run_outside_of_the_search_can_be_the_best_and_has_no_parameters_here() -> None:
    best = plan(spec(5), fact(-1, "Succeeded", 1.0)).status.best
    assert best is not None
    assert best.parameters == {}


def test_a_random_search_over_values_repeats_nothing_while_others_are_untried() -> None:
    parameters = [{"name": "a", "values": [1, 2, 3]}, {"name": "b", "values": [True, False]}]
    for seed in range(20):
        found = ExperimentSpec.model_validate(
            experiment_spec(parameters=parameters, search={"strategy": "random", "seed": seed}, maxRuns=12)
        )
        drawn = [tuple(space.parameters_of(found, index).values()) for index in range(12)]
        assert len(set(drawn[:6])) == len(set(drawn[6:])) == 6
        assert drawn == [tuple(space.parameters_of(found, index).values()) for index in range(12)]


def test_deleted_runs_still_count_for_the_experiment() -> None:
    """Somebody deletes the best run, then all of them."""
    found = ExperimentSpec.model_validate(
        experiment_spec(
            objective={"metric": "loss", "direction": "minimize"}, parameters=[{"name": "a", "values": [1, 2, 3]}]
        )
    )
    ended = [
        RunFacts(0, "sweep-0", "Succeeded", 0.3),
        RunFacts(1, "sweep-1", "Succeeded", 0.1),
        RunFacts(2, "sweep-2", "Failed", None),
    ]
    status = ExperimentStatus()
    for runs in (ended, [ended[0], ended[2]], []):
        status = sweep.plan(found, status, runs, generation=1, now=NOW).status
        assert status.progress == "3/3"
        assert status.runs is not None
        assert (status.runs.succeeded, status.runs.failed) == (2, 1)
        assert status.best is not None
        assert (status.best.run, status.best.value, status.best.parameters) == ("sweep-1", 0.1, {"a": 2})
        assert status.phase == "Succeeded"


def test_an_experiment_whose_runs_cannot_start_names_the_reason() -> None:
    def pending(index: int, reason: str) -> RunFacts:
        return RunFacts(index, f"sweep-{index}", "Pending", None, reason=reason)

    stuck = [pending(1, "ErrImagePull"), pending(0, "ImagePullBackOff")]
    status = plan(spec(parallelism=2), *stuck).status
    assert (status.phase, status.message) == ("Running", "no run can start: ImagePullBackOff: see run sweep-0")
    assert condition(status, "Complete") == ("False", "RunsActive", "")
    for healthy in (fact(2), pending(2, "Starting"), pending(2, "")):
        assert plan(spec(parallelism=3), *stuck, healthy).status.message is None
    assert plan(spec(parallelism=2, suspend=True), *stuck).status.message is None
