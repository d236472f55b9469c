"""The progress of a promotion or a rollback, from the object of the alias."""

from typing import Any

import pytest

from assay.cli.errors import FAILED, NO, OK
from assay.cli.models import following

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
SINCE = "2026-03-02T10:00:00Z"


def alias(*, wanted: int = 2, generation: int = 3, asks: str = "", **status: Any) -> Raw:
    metadata: Raw = {"generation": generation}
    if asks:
        metadata["annotations"] = {"assay.dev/rollback-requested": asks}
    return {"metadata": metadata, "spec": {"version": wanted}, "status": {"observedGeneration": 3, **status}}


def follower(name: str, **more: Any) -> Raw:
    return {"kind": "Deployment", "name": name, "version": 2, **more}


def aside(generation: int) -> Raw:
    return {"version": 2, "generation": generation, "reason": "RolloutFailed", "message": "v2 failed", "at": SINCE}


@pytest.mark.parametrize(
    ("body", "state", "message", "code"),
    [
        (alias(generation=4, boundVersion=2), "unseen", "waiting for the operator", FAILED),
        (alias(wanted=9, boundVersion=1), "failed", "was pointed to v9 in the meantime", FAILED),
        (alias(boundVersion=1), "held", "v2 is blocked: not evaluated yet", NO),
        (
            alias(requirements=[{"policy": "p", "requirement": "soak", "met": False, "message": "too short"}]),
            "held",
            "v2 is blocked: p: too short",
            NO,
        ),
        (alias(boundVersion=1, setAside=aside(3)), "failed", "v2 failed", FAILED),
        (alias(boundVersion=1, setAside=aside(2)), "held", "not evaluated", NO),
        (alias(boundVersion=2), "done", "v2 is live; no workload follows", OK),
        (alias(boundVersion=2, serving=[follower("a", ready=True)]), "done", "served by Deployment a", OK),
        (
            alias(boundVersion=2, serving=[follower("a", ready=True), follower("b", message="1 of 3 pods ready")]),
            "rolling",
            "1 of 2 workloads ready; Deployment b: 1 of 3 pods ready",
            FAILED,
        ),
        (
            alias(boundVersion=2, serving=[follower("a"), follower("b", failed=True, message="exit code 1")]),
            "failed",
            "v2 is live but cannot be served: Deployment b: exit code 1",
            FAILED,
        ),
    ],
)
def test_the_progress_of_a_promotion_is_that_of_its_alias(body: Raw, state: str, message: str, code: int) -> None:
    found = following.promotion(body, 2)
    assert (found.state, found.code) == (state, code)
    assert message in found.message
    assert found.unsure == ("no workload follows" in message)


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (alias(boundVersion=1, asks="1 walter"), "unseen"),
        (alias(boundVersion=2, asks="1 walter"), "unseen"),
        (alias(boundVersion=1, setAside=aside(3)), "done"),
        (alias(boundVersion=2), "failed"),
        (alias(boundVersion=1, serving=[follower("a")]), "rolling"),
    ],
)
def test_a_rollback_has_ended_when_the_operator_removed_the_request(body: Raw, state: str) -> None:
    assert following.rollback(body, 1).state == state
