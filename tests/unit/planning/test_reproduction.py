import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.planning.runs import recipe, reproduction
from tests.unit.planning.test_recipe import COMMIT, DIGEST, OTHER, known

pytestmark = pytest.mark.unit

Raw = dict[str, Any]


def summary(value: float, step: int = 9) -> Raw:
    return {"last": value, "min": value, "max": value, "step": step, "count": 10}


def ended(body: Raw, metrics: Raw | None = None, model: str | None = DIGEST, phase: str = "Succeeded") -> Raw:
    status: Raw = {"phase": phase, "metrics": {name: summary(value) for name, value in (metrics or {}).items()}}
    if model:
        status["model"] = {"path": "model", "digest": model, "size": 1}
    return {**body, "status": body["status"] | status}


def again(original: Raw, *args: Any, **kwargs: Any) -> Raw:
    """Return the rerun of a run, ended; ``wanted`` are fields of its rerunOf."""
    wanted = kwargs.pop("wanted", {})
    body = recipe.rerun_body(original, "again")
    body["spec"]["rerunOf"] |= wanted
    return ended({**body, "status": {"images": copy.deepcopy(original["status"]["images"])}}, *args, **kwargs)


ORIGINAL = ended(known(), {"score": 0.5, "loss": 2.0})


def judged(rerun: Raw, original: Raw | None = ORIGINAL) -> tuple[str, str, str]:
    return reproduction.judge(rerun, original)


def test_the_same_metrics_and_the_same_model() -> None:
    assert judged(again(ORIGINAL, {"score": 0.5, "loss": 2.0})) == (
        "True",
        "SameModel",
        f"all metrics (2) agree with those of run sweep-0; the model is the same, {DIGEST}",
    )


def test_metrics_decide_and_a_different_model_is_reported() -> None:
    assert judged(again(ORIGINAL, {"score": 0.5, "loss": 2.0}, model=OTHER)) == (
        "True",
        "MetricsAgree",
        f"all metrics (2) agree with those of run sweep-0; the model's bytes differ: {OTHER}, was {DIGEST}",
    )


def test_differing_metrics_are_reported_with_their_values() -> None:
    rerun = again(ORIGINAL, {"score": 0.4, "loss": 2.0}, model=OTHER)
    rerun["status"]["metrics"]["score"] |= {"min": 0.5, "max": 0.5}
    assert judged(rerun) == (
        "False",
        "MetricsDiffer",
        "compared with run sweep-0: score.last is 0.4, was 0.5 (off by 0.2, tolerance 1e-06); "
        f"the model's bytes differ: {OTHER}, was {DIGEST}",
    )


def test_a_metric_in_only_one_run_is_a_difference() -> None:
    assert "loss is missing; new is new" in judged(again(ORIGINAL, {"score": 0.5, "new": 1}))[2]


def test_a_rerun_that_trained_longer_differs() -> None:
    rerun = again(ORIGINAL, {"score": 0.5, "loss": 2.0})
    rerun["status"]["metrics"]["loss"]["step"] = 10
    assert judged(rerun)[:2] == ("False", "MetricsDiffer")
    assert "loss.step is 10, was 9" in judged(rerun)[2]


def test_metrics_omitted_from_a_full_status_are_not_differences() -> None:
    many = {f"m{number:03d}": 1.0 for number in range(150)}
    original = ended(known(), many)
    first = dict(list(many.items())[:100])
    assert judged(again(original, first), original)[:2] == ("True", "SameModel")
    assert judged(again(original, dict(list(first.items())[1:])), original)[0] == "False"


@pytest.mark.parametrize(
    ("wanted", "off", "status"),
    [
        ({}, 1e-7, "True"),
        ({}, 1e-5, "False"),
        ({"tolerance": 0}, 1e-12, "False"),
        ({"tolerance": 0.01}, 0.005, "True"),
        ({"tolerance": 0, "tolerances": {"score": 0.01}}, 0.005, "True"),
        ({"tolerance": 0.01, "tolerances": {"score": 0.001}}, 0.005, "False"),
    ],
)
def test_the_tolerance_is_relative_and_each_metric_can_have_its_own(wanted: Raw, off: float, status: str) -> None:
    rerun = again(ORIGINAL, {"score": 0.5 * (1 + off), "loss": 2.0}, wanted=wanted)
    assert judged(rerun)[0] == status


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, finite, st.floats(0, 3))
def test_a_tolerance_works_for_all_numbers_in_both_directions(a: float, b: float, tolerance: float) -> None:
    def status(first: float, second: float) -> str:
        original = ended(known(), {"score": first})
        return judged(again(original, {"score": second}, wanted={"tolerance": tolerance}), original)[0]

    assert status(a, b) == status(b, a)
    assert status(a, a) == "True"
    if tolerance >= 2:
        assert status(a, b) == "True", "no two numbers are farther apart than that"


# Without metrics, without a model


def test_without_metrics_the_model_decides() -> None:
    original = ended(known())
    same = "True", "SameModel", f"no metrics; the model is the same, {DIGEST}"
    assert judged(again(original), original) == same
    assert judged(again(original, model=OTHER), original)[:2] == ("False", "ModelDiffers")
    assert judged(again(original, model=None), original) == (
        "False",
        "ModelDiffers",
        "no metrics; only the original produced a model",
    )


def test_without_a_model_only_metrics_are_compared() -> None:
    original = ended(known(), {"score": 1}, model=None)
    said = "all metrics (1) agree with those of run sweep-0; there is no model"
    assert judged(again(original, {"score": 1}, model=None), original) == ("True", "MetricsAgree", said)


def test_without_metrics_and_model_the_result_is_unknown() -> None:
    original = ended(known(), model=None)
    said = "neither run sweep-0 nor this run produced metrics or a model"
    assert judged(again(original, model=None), original) == ("Unknown", "NothingToCompare", said)


# Without two runs by one recipe


def test_a_missing_original_is_reported() -> None:
    said = "neither the Run sweep-0 with the UID uid-sweep-0 nor its record exists"
    assert judged(again(ORIGINAL), None) == ("Unknown", "OriginalMissing", said)


def test_only_what_has_succeeded_is_compared() -> None:
    failed = judged(again(ORIGINAL, phase="Failed"))
    assert failed == ("False", "NotSucceeded", "run sweep-0 succeeded, but this run did not")
    for phase, so in (("Failed", "has failed"), ("Running", "has not finished")):
        said = f"run sweep-0 {so}: it has no result to compare with"
        found = judged(again(ORIGINAL), ended(known(), phase=phase))
        assert found == ("Unknown", "OriginalNotSucceeded", said)


def test_a_run_with_another_recipe_is_not_a_reproduction() -> None:
    rerun = again(ORIGINAL, {"score": 0.5, "loss": 2.0})
    rerun["spec"]["parameters"]["lr"] = 0.2
    rerun["spec"]["source"]["revision"] = COMMIT[::-1]
    assert judged(rerun) == (
        "Unknown",
        "RecipeDiffers",
        f'the recipe differs from that of run sweep-0: spec.source.revision is "{COMMIT[::-1]}", was "{COMMIT}"; '
        "spec.parameters.lr is 0.2, was 0.1",
    )


def test_a_changed_image_digest_is_another_recipe() -> None:
    rerun = again(ORIGINAL, {"score": 0.5, "loss": 2.0})
    rerun["status"]["images"][0]["digest"] = f"registry.example.com/train@{OTHER}"
    assert judged(rerun)[:2] == ("Unknown", "RecipeDiffers")
    rerun["status"]["images"][0]["digest"] = f"mirror.example.com/train@{DIGEST}"
    assert judged(rerun)[:2] == ("True", "SameModel")


def test_more_or_other_hardware_is_the_same_recipe() -> None:
    rerun = again(ORIGINAL, {"score": 0.5, "loss": 2.0})
    pod = rerun["spec"]["job"]["template"]["spec"]
    pod["nodeSelector"] = {"gpu": "a100"}
    pod["containers"][0]["resources"] = {"requests": {"cpu": "2"}}
    rerun["spec"]["job"]["backoffLimit"] = 3
    assert judged(rerun)[0] == "True"
