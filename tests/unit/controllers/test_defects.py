"""What is said of an object that cannot be reconciled."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from assay.api import names
from assay.controllers.operator import RECONCILERS
from assay.controllers.runtime import defects
from assay.controllers.runtime.model_cache import ModelCache
from assay.controllers.runtime.queue import Key, Requeue
from assay.kube.errors import ApiError
from assay.store.errors import StoreDenied, StoreUnavailable
from tests import registry

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)


def run(status: Raw | None = None) -> Raw:
    body = registry.run("r")
    body["metadata"] |= {"namespace": "ml", "uid": "u", "generation": 3}
    return body | ({"status": status} if status else {})


def test_an_object_without_a_status_gets_one() -> None:
    status = defects.stalled(run(), ValueError("no such thing"), NOON)
    assert status["phase"] == "Pending"
    assert status["message"] == "reconcile failed, retrying: no such thing"
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        names.STALLED,
        "True",
        names.CANNOT_BE_RECONCILED,
    )
    assert condition["observedGeneration"] == 3


def test_existing_conditions_are_kept_and_a_repeated_failure_changes_nothing() -> None:
    known = {"type": "Ready", "status": "False", "reason": "a", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    first = defects.stalled(run({"phase": "Running", "conditions": [known]}), KeyError("x"), NOON)
    assert first["phase"] == "Running"
    assert [each["type"] for each in first["conditions"]] == ["Ready", names.STALLED]
    assert defects.stalled(run(first), KeyError("x"), LATER) == first


def test_error_messages_are_never_empty_and_are_bounded() -> None:
    assert defects.stalled(run(), AssertionError(), NOON)["message"].endswith(": AssertionError")
    assert len(defects.stalled(run(), ValueError("x" * 9999), NOON)["message"]) == 1000


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (Requeue(1, "later"), True),
        (StoreUnavailable("down"), True),
        (ApiError(503, "", "busy"), True),
        (ApiError(409, "Conflict", "changed"), True),
        (ApiError(403, "Forbidden", "no"), False),
        (StoreDenied("no"), False),
        (ValueError("x"), False),
    ],
)
def test_transient_errors_are_not_defects(error: Exception, passes: bool) -> None:
    assert defects.passes(error) is passes


@pytest.mark.parametrize("kind", sorted(RECONCILERS))
@pytest.mark.parametrize("error", [Requeue(1, "the pods of a deleted run are still stopping"), ValueError("x")])
async def test_a_report_never_replaces_the_error_of_an_object_that_is_gone(kind: str, error: Exception) -> None:
    nothing: Any = SimpleNamespace(active_runs={}, experiments={})
    context: Any = SimpleNamespace(tracking=nothing, models=ModelCache())
    await defects.report(context, Key(kind, "ml", "gone", "uid"), error)
