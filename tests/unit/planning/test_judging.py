"""What no policy can waive: bytes that are registered, and a live version to compare with."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from assay.planning.promotion import judging
from assay.planning.promotion.judging import Live
from assay.planning.promotion.policies import AliasView, Approvals, Held, Policy, VersionView

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CHAMPION = AliasView("digits", "champion")
FREE = Policy("free", approvals=Approvals(required=0), evidence=frozenset())
VIEW = VersionView("digits.v2", "digits", 2, "sha256:" + "2" * 64, "ana")
REGISTERED = {"metadata": {"name": "digits.v2"}, "status": {"registered": "2026-11-20T12:00:00Z", "phase": "Ready"}}


def judge(candidate: dict[str, Any], live: Live | None = None) -> list[str]:
    judged = judging.judge(CHAMPION, candidate, VIEW, live, [FREE], NOW, open_by_default=False)
    unmet = [each.message for each in judged.requirements if not each.met]
    assert judged.allowed == (not unmet)
    return unmet


def test_a_version_with_its_bytes_may_be_bound() -> None:
    assert judge(REGISTERED) == []
    assert judge(REGISTERED, Live(1, replace(VIEW, version=1))) == []


def test_no_policy_allows_a_version_without_registered_bytes() -> None:
    status = {"phase": "Failed", "message": "other bytes"}
    assert judge({"metadata": {"name": "digits.v2"}, "status": status}) == ["digits.v2 is Failed: other bytes"]
    assert judge({"metadata": {"name": "digits.v2"}}) == ["digits.v2 is Pending: its bytes are not registered yet"]


def test_a_live_version_that_is_gone_cannot_be_compared_with() -> None:
    (message,) = judge(REGISTERED, Live(1, None))
    assert message.startswith("the live version v1 no longer exists")


def test_a_rollback_needs_the_bytes_too() -> None:
    held = replace(VIEW, held=(Held("champion", NOW, NOW),))
    assert judging.judge_rollback(CHAMPION, REGISTERED, held).allowed
    assert not judging.judge_rollback(CHAMPION, REGISTERED, VIEW).allowed
    assert not judging.judge_rollback(CHAMPION, {"metadata": {"name": "digits.v2"}}, held).allowed


def test_a_version_that_is_missing_is_named() -> None:
    judged = judging.missing(CHAMPION, 7)
    assert not judged.allowed
    assert judged.requirements[0].message == "digits.v7 does not exist: register it, or choose another version"
