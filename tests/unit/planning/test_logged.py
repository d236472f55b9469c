"""What the training code reports beside its spec: its objective, parameters and tags, and what is not finite."""

import math
from typing import Any

import pytest

from assay.api.experiment import ExperimentSpec, ExperimentStatus, Register
from assay.api.numbers import of_json, to_json
from assay.api.run import RerunOf
from assay.api.run_status import RunStatus
from assay.planning.models import registration
from assay.planning.promotion import expressions
from assay.planning.promotion.policies import AliasView, Gate, Policy, VersionView
from assay.planning.promotion.verdict import evaluate
from assay.planning.runs import facts, logged, outcome, reproduction, wanted
from assay.planning.search import sweep
from assay.store.records import Summary
from tests.unit.planning.objects import NOW, experiment_spec, run

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
MINIMIZE = {"metric": "loss", "direction": "minimize"}


def metric(last: float, low: float | None = 0.1, step: float = 3) -> Raw:
    return {"last": to_json(last), "min": low, "max": low, "step": step, "count": 2}


def summary(**fields: Any) -> Summary:
    return Summary.model_validate({"pod": "p", "updated": "2026-01-01T00:00:00Z"} | fields)


def diverged(last: float = math.nan, objective: Raw = MINIMIZE) -> Raw:
    """Return a succeeded run that reached 0.1 and then left the finite numbers."""
    found = summary(metrics={"loss": metric(last)})
    status = outcome.with_summary(RunStatus(phase="Succeeded"), objective, found).to_dict()
    record = {"complete": True, "uri": "s3://b/p/"}
    model = {"path": "m", "digest": "sha256:" + "a" * 64, "size": 1}
    return {**run(objective=objective), "status": {**status, "record": record, "model": model}}


@pytest.mark.parametrize(("last", "name"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")])
def test_a_run_that_has_diverged_has_no_value_of_its_objective(last: float, name: str) -> None:
    body = diverged(last)
    assert body["status"]["metrics"]["loss"] == {"last": name, "min": 0.1, "max": 0.1, "step": 3, "count": 2}
    assert body["status"]["objective"] == name
    assert facts.run_facts(body).value is None
    spec = ExperimentSpec.model_validate(experiment_spec(objective=MINIMIZE | {"target": 0.2}))
    plan = sweep.plan(spec, ExperimentStatus(), [facts.run_facts(body)], generation=1, now=NOW)
    assert plan.status.best is None


@pytest.mark.parametrize(
    "when",
    [
        "run.metrics.loss.last < 0.2",
        "run.metrics.loss.last >= 0.0 || run.metrics.loss.min < 0.2",
        "!(run.metrics.loss.last > 0.2)",
        "run.metrics['loss'].last != 5.0",
    ],
)
def test_a_run_with_nan_is_not_registered(when: str) -> None:
    assert registration.qualifies(Register(model="m", when=when), diverged()) == (
        False,
        "spec.register.when is not true: run.metrics.loss.last is NaN",
    )


def test_nan_does_not_affect_expressions_over_other_metrics() -> None:
    assert registration.qualifies(Register(model="m", when="run.metrics.loss.min < 0.2"), diverged())[0]


def test_nan_reaches_the_version_and_blocks_its_gate() -> None:
    found = registration.provenance_of(diverged())["metrics"]
    assert found == {"loss": {"last": "NaN", "min": 0.1, "max": 0.1, "step": 3}}
    view = VersionView("m.v1", "m", 1, "sha256:1", "o", metrics={"loss": {"last": math.nan}})
    policy = Policy("p", gates=(Gate("low", "candidate.metrics.loss.last < 0.2", ""),))
    verdict = evaluate(AliasView("m", "a"), view, None, [policy], NOW)
    messages = [each.message for each in verdict.requirements if each.requirement == "gate/low"]
    assert messages == ["gate low is not met: candidate.metrics.loss.last is NaN"]


@pytest.mark.parametrize(
    ("value", "direction", "expected"),
    [("best", "minimize", 0.1), ("best", "maximize", 0.9), ("last", "minimize", 0.5), ("last", "maximize", 0.5)],
)
def test_the_objective_counts_the_best_or_the_last_value(value: str, direction: str, expected: float) -> None:
    found = summary(metrics={"loss": {"last": 0.5, "min": 0.1, "max": 0.9, "step": 1, "count": 3}})
    objective = {"metric": "loss", "direction": direction, "value": value}
    status = outcome.with_summary(RunStatus(), objective, found).to_dict()
    assert (status["metrics"]["loss"]["best"], status["objective"]) == (expected, str(expected))


@pytest.mark.parametrize(
    ("found", "reason", "message"),
    [
        (
            {"metrics": {"val_accuracy": metric(0.9), "lr": metric(0.1)}},
            "ObjectiveMissing",
            "the run recorded no metric val_acc, its objective: did you mean val_accuracy?",
        ),
        (
            {"metrics": {"x": metric(0.9)}},
            "ObjectiveMissing",
            "the run recorded no metric val_acc, its objective: it recorded x",
        ),
        ({}, "ObjectiveMissing", "the run recorded no metrics, so it has no value of the objective val_acc"),
        (
            {"refused": {"val_acc": 'not a number: "0.5"'}},
            "ValuesRejected",
            'no value of the objective val_acc was recorded: not a number: "0.5": write numbers, not text',
        ),
        (
            {"metrics": {"val_acc": metric(math.nan, step=0.5)}},
            "NotFinite",
            "the last value of val_acc is NaN (step 0.5), so the run is not compared",
        ),
        ({"metrics": {"val_acc": metric(0.5)}}, "ObjectiveFound", ""),
    ],
)
def test_a_run_says_why_its_objective_has_no_value(found: Raw, reason: str, message: str) -> None:
    objective = {"metric": "val_acc", "direction": "maximize"}
    status = "True" if reason == "ObjectiveFound" else "False"
    assert logged.objective(objective, summary(**found)) == (status, reason, message)
    assert logged.objective(None, summary(**found)) is None


def test_the_experiment_reports_a_missing_objective_after_the_first_run() -> None:
    spec = ExperimentSpec.model_validate(experiment_spec(objective=MINIMIZE))
    good = facts.RunFacts(0, "sweep-0", "Succeeded", 0.5)
    bad = facts.RunFacts(1, "sweep-1", "Failed", None, "the run recorded no metric loss")

    def said(*runs: facts.RunFacts) -> tuple[str, str] | None:
        status = sweep.plan(spec, ExperimentStatus(), runs, generation=1, now=NOW).status
        return next(((c.status, c.message) for c in status.conditions if c.type == "ObjectiveRecorded"), None)

    assert said(facts.RunFacts(0, "sweep-0", "Running", None)) is None
    assert said(good) == ("True", "")
    assert said(bad) == ("False", "1 of 1 runs recorded no value of loss: the run recorded no metric loss")
    assert said(good, bad) == ("False", "1 of 2 runs recorded no value of loss: the run recorded no metric loss")


def test_metrics_read_by_expressions_are_listed_first() -> None:
    names = {f"m{at:04}": metric(1.0) for at in range(150)} | {"z/objective": metric(1.0), "z when": metric(1.0)}
    experiment = {"spec": {"register": {"model": "m", "when": "run.metrics['z when'].last > 0.5"}}}
    policy = {"spec": {"gates": [{"name": "g", "expression": "candidate.metrics.m0149.last > current.metrics.x.min"}]}}
    body = run(objective={"metric": "z/objective", "direction": "maximize"})
    needed = wanted.metrics(body, experiment, [policy, {"spec": {"gates": [{"expression": "oops ("}]}}])
    assert needed == ["z/objective", "z when", "m0149", "x"]
    status = outcome.with_summary(RunStatus(), body["spec"]["objective"], summary(metrics=names), needed).to_dict()
    assert list(status["metrics"])[:4] == ["z/objective", "z when", "m0149", "m0000"]
    assert (len(status["metrics"]), status["metricsOmitted"]) == (100, 52)


def test_omitted_metrics_are_reported_when_an_expression_needs_them() -> None:
    body = diverged()
    body["status"]["metricsOmitted"] = 51
    when = Register(model="m", when="run.metrics.rare.last > 0.5")
    assert registration.qualifies(when, body)[1] == (
        "spec.register.when is not true: run has no metric rare; 51 more metrics are in the run's record only, "
        "not in its status"
    )
    assert registration.provenance_of(body)["metricsOmitted"] == 51


def test_logged_parameters_and_tags_reach_the_status_with_their_types() -> None:
    texts = {"lr": "0.1", "n": "3", "big": "1" * 60, "on": "True", "name": "adam", "zero": "007", "e": "1e-05"}
    found = logged.logged(summary(parameters=texts, tags={"team": "vision"}))
    assert found is not None
    assert found.parameters == {
        "lr": 0.1, "n": 3, "big": "1" * 60, "on": True, "name": "adam", "zero": "007", "e": 1e-05,
    }  # fmt: skip
    assert found.tags == {"team": "vision"}
    many = logged.logged(summary(parameters={f"p{at:03}": "x" * 900 for at in range(120)}))
    assert many is not None
    assert (len(many.parameters), many.omitted, len(many.parameters["p000"])) == (100, 20, 250)
    assert logged.logged(summary()) is None


@pytest.mark.parametrize(
    ("declared", "text", "same"),
    [
        *[(0.1, "0.1", True), (1, "1.0", True), ("0.1", "0.10", True), (True, "True", True), ("a", "a", True)],
        *[(0.1, "0.2", False), (True, "1", False), ("a", "b", False)],
    ],
)
def test_a_logged_value_that_contradicts_the_spec_is_a_condition(declared: Any, text: str, same: bool) -> None:
    found = logged.contradiction({"p": declared, "other": 1}, summary(parameters={"p": text}))
    shown = str(declared).lower() if isinstance(declared, bool) else declared
    message = "" if same else f"the code logged p={text}, but spec.parameters.p is {shown}"
    assert found == (("True", "ParametersAgree", "") if same else ("False", "ParametersDiffer", message))
    assert logged.contradiction({"other": 1}, summary(parameters={"p": text})) is None


@pytest.mark.parametrize(("now", "said"), [("NaN", []), (0.5, ["loss.last is 0.5, was NaN"])])
def test_a_rerun_is_compared_by_what_is_not_finite_too(now: Any, said: list[str]) -> None:
    before = {"loss": {"last": "NaN", "step": 1}}
    reference = RerunOf(name="r", uid="u")
    assert list(reproduction._metrics(reference, before, {"loss": {"last": now, "step": 1}})) == said


@pytest.mark.parametrize("value", [0.0, -1.5, 3.0, 2.0**60, 1e308, math.nan, math.inf, -math.inf])
def test_every_double_survives_json(value: float) -> None:
    assert repr(of_json(to_json(value))) == repr(value)
    assert of_json("0.5") is of_json(True) is of_json(None) is None


def test_a_negation_over_nan_is_not_true() -> None:
    found = expressions.compile("!(run.loss < 0.2)", ("run",)).evaluate({"run": {"loss": math.nan}})
    assert (found.value, found.message) == (None, "run.loss is NaN")
