"""Each approval is one record in the audit trail, wherever the operator stops between the record and the status."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from assay.api.resources import MODEL_VERSIONS
from assay.controllers.registry import versions
from assay.kube.errors import ApiError
from tests.registry import digest
from tests.unit.controllers.fakes import Parts
from tests.unit.controllers.registry_objects import version
from tests.unit.planning.objects import NOW

pytestmark = pytest.mark.unit

Raw = dict[str, Any]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every reading of the clock be another second."""
    seconds: Iterator[int] = count()

    def now() -> datetime:
        return NOW + timedelta(seconds=next(seconds))

    monkeypatch.setattr(versions, "now", now)


def annotate(parts: Parts, **values: str | None) -> None:
    annotations = {f"champion.approval.assay.dev/{who}": value for who, value in values.items()}
    parts.models.upsert(
        parts.kube.change(MODEL_VERSIONS, "ml", "digits.v1", {"metadata": {"annotations": annotations}})
    )


async def take_in(parts: Parts) -> None:
    await versions.take_in_approvals(parts, parts.kube.all(MODEL_VERSIONS)[0])


def recorded(parts: Parts) -> list[tuple[str, str]]:
    """Return the records as the trail keeps them: one for each event name."""
    return sorted({each.event: (str(each.action), each.actor) for each in parts.audit.recorded}.values())


async def test_an_approval_whose_status_could_not_be_written_is_recorded_once() -> None:
    parts = Parts()
    parts.know(MODEL_VERSIONS, version(1, 7))
    annotate(parts, rita=f"{digest()} rita", ruth=f"{digest()} ruth")
    for _ in range(3):
        parts.kube.refusals["patch", "modelversions"] = ApiError(500, "InternalError", "gone")
        with pytest.raises(ApiError):
            await take_in(parts)
    await take_in(parts)
    await take_in(parts)
    assert recorded(parts) == [("ApprovalGiven", "rita"), ("ApprovalGiven", "ruth")]


async def test_an_approval_that_is_given_again_after_it_was_revoked_is_recorded_again() -> None:
    parts = Parts()
    parts.know(MODEL_VERSIONS, version(1, 7))
    for value in (f"{digest()} rita", None, f"{digest()} rita"):
        annotate(parts, rita=value)
        await take_in(parts)
    assert [action for action, _ in recorded(parts)] == ["ApprovalGiven", "ApprovalGiven", "ApprovalRevoked"]
