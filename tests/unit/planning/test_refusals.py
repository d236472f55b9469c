"""From the events of a Job without pods to the words on its Run, and how often they are asked for."""

from datetime import timedelta
from typing import Any

import pytest

from assay.planning.runs import refusals
from assay.planning.runs.phases import Verdict
from tests.unit.planning.objects import NOW, Raw, at

pytestmark = pytest.mark.unit

WAITING = Verdict("Pending", "WaitingForPod", "the Job has no pod yet")
SECURITY = 'violates PodSecurity "restricted:latest": privileged (container "train" must not set it)'


def event(message: str, seconds: float = 1, **fields: Any) -> Raw:
    """Return an event that the Job controller posted so many seconds after the Job began."""
    return {
        "metadata": {"name": "sweep-0.1", "creationTimestamp": at(seconds)},
        "reason": "FailedCreate",
        "message": message,
        "lastTimestamp": at(seconds),
        "eventTime": None,
        **fields,
    }


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (f'Error creating: pods "sweep-0-k6vkm" is forbidden: {SECURITY}', SECURITY),
        (
            f'(combined from similar events): Error creating: pods "sweep-0-x2b9d" is forbidden: {SECURITY}',
            SECURITY,
        ),
        (
            'Error creating: pods "sweep-0-k6vkm" is forbidden: exceeded quota: gpus, requested: cpu=2, used: cpu=7',
            "exceeded quota: gpus, requested: cpu=2, used: cpu=7",
        ),
        ('Error creating: Pod "sweep-0-k6vkm" is invalid: spec.x: Required value', "spec.x: Required value"),
        (
            'Error creating: admission webhook "images.example.com" denied the request: unsigned',
            'admission webhook "images.example.com" denied the request: unsigned',
        ),
        ("quite another text", "quite another text"),
    ],
)
def test_the_refusal_message_omits_the_pod_name(message: str, words: str) -> None:
    """Every attempt has a pod of another name: with it, every look would be a write."""
    expected = Verdict("Pending", "PodsRefused", f"the Job's pods are refused: {words}")
    assert refusals.explain(WAITING, [event(message)], NOW) == expected


def test_the_latest_event_counts_in_any_order() -> None:
    events = [event("first", 1), event("last", 9), event("second", 4)]
    for order in (events, events[::-1]):
        assert refusals.explain(WAITING, order, NOW).message == "the Job's pods are refused: last"


def test_a_time_is_found_in_every_form_of_an_event() -> None:
    forms = [
        event("series", 1, series={"lastObservedTime": at(9).replace("Z", ".000001Z")}),
        event("new", lastTimestamp=None, eventTime=at(8).replace("Z", ".500000Z")),
        event("created", 7, lastTimestamp=None),
    ]
    while forms:
        assert refusals.explain(WAITING, forms, NOW).message == f"the Job's pods are refused: {forms.pop(0)['message']}"


def test_refusals_before_the_job_started_are_ignored() -> None:
    """A Job that was suspended begins again when it is resumed."""
    assert refusals.explain(WAITING, [event("earlier", -1)], NOW) == WAITING
    assert refusals.explain(WAITING, [], NOW) == WAITING


def test_a_long_word_is_cut() -> None:
    assert len(refusals.explain(WAITING, [event("x" * 5000)], NOW).message) == 2000


def test_events_are_polled_with_increasing_intervals() -> None:
    waited, looks = 0.0, []
    while waited < timedelta(hours=1).total_seconds():
        waited += refusals.next_look(waited)
        looks.append(waited)
    assert looks[:4] == [5, 10, 20, 40]
    assert len(looks) < 20
    assert looks[-1] - looks[-2] == 600


def test_a_slow_clock_does_not_delay_the_next_poll() -> None:
    assert refusals.next_look(-3600) == refusals.PATIENCE


STARTING = Verdict("Pending", "Starting", "pod sweep-0-x is starting")


def test_a_mount_failure_is_reported_while_the_kubelet_reports_it() -> None:
    missing = event('MountVolume.SetUp failed for volume "settings" : configmap "settings" not found', 20)
    found = refusals.explain_start(STARTING, [event("older", 10), missing], NOW)
    assert (found.phase, found.reason) == ("Pending", "FailedMount")
    assert found.message == (
        'pod sweep-0-x is starting: MountVolume.SetUp failed for volume "settings" : configmap "settings" not found'
    )
    assert refusals.explain_start(STARTING, [missing], NOW + timedelta(seconds=21)) == STARTING
    assert refusals.explain_start(STARTING, [], NOW) == STARTING
