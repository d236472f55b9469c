"""Why a recorder left no complete record: the pod's status tells, and the message says what to do."""

from typing import Any

import pytest

from assay.planning.runs.facts import pod_facts
from tests.unit.planning.objects import at, container, pod

pytestmark = pytest.mark.unit

Raw = dict[str, Any]


def ended(name: str, seconds: float, code: int = 0, **more: Any) -> Raw:
    return container("terminated", name=name, exitCode=code, finishedAt=at(seconds), **more)


def end_of(*init: Raw, grace: int | None = 30) -> str:
    found = pod("Succeeded", ended("train", 100), init=[*init])
    sidecars = [{"name": each["name"], "restartPolicy": "Always"} for each in init]
    found["spec"] |= {"initContainers": sidecars}
    if grace is not None:
        found["spec"]["terminationGracePeriodSeconds"] = grace
    return pod_facts(found).recorder_end


def test_a_recorder_that_ended_as_it_should_needs_no_explanation() -> None:
    assert end_of(ended("assay-recorder", 101)) == ""
    assert end_of(container("running", name="assay-recorder")) == ""
    assert end_of() == ""


@pytest.mark.parametrize(
    ("init", "grace", "said"),
    [
        ([ended("assay-recorder", 102, 137)], 30, "container assay-recorder ended with exit code 137"),
        (
            [ended("assay-recorder", 102, 137, reason="OOMKilled")],
            30,
            "container assay-recorder ended with exit code 137 (OOMKilled)",
        ),
        (
            [ended("assay-recorder", 129, 137)],
            30,
            "container assay-recorder ended with exit code 137: the pod's grace period of 30 s was over; "
            "set terminationGracePeriodSeconds in the template to 60 or more",
        ),
        (
            [ended("assay-recorder", 129, 1)],
            None,
            "container assay-recorder ended with exit code 1: the pod's grace period of 30 s was over; "
            "set terminationGracePeriodSeconds in the template to 60 or more",
        ),
        (
            [ended("assay-recorder", 222, 137), ended("proxy", 220, 137)],
            120,
            "container assay-recorder ended with exit code 137: container proxy needed 120 s of the pod's grace "
            "period of 120 s to stop; let it end at SIGTERM, or set terminationGracePeriodSeconds in the template to "
            "240 or more",
        ),
        (
            [container("waiting", name="assay-recorder", reason="CrashLoopBackOff", last={"exitCode": 137})],
            30,
            "container assay-recorder ended with exit code 137",
        ),
    ],
)
def test_how_the_recorder_ended(init: list[Raw], grace: int | None, said: str) -> None:
    assert end_of(*init, grace=grace) == said
