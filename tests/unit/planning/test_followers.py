"""The status of a workload that follows an alias."""

import pytest

from assay.api.modelalias import ServingStatus
from assay.planning.promotion import followers
from assay.planning.serving.rollout import Rollout

pytestmark = pytest.mark.unit

BEFORE = ServingStatus(kind="Deployment", name="server", version=1, ready=True, proven=1)


def test_a_ready_rollout_of_the_live_version_is_proven() -> None:
    found = followers.status(BEFORE, Rollout(2, "ready", "2 of 2 pods are ready", some_ready=True), 2)
    assert (found.version, found.ready, found.proven, found.message) == (2, True, 2, None)


def test_a_rollout_without_pods_proves_nothing() -> None:
    found = followers.status(BEFORE, Rollout(2, "ready", "no pods are requested", some_ready=False), 2)
    assert (found.ready, found.proven) == (True, 1)


def test_a_failed_rollout_keeps_the_proven_version_and_says_why() -> None:
    found = followers.status(BEFORE, Rollout(2, "failed", "pod server-1 crashes", some_ready=False), 2)
    assert (found.ready, found.failed, found.proven, found.message) == (False, True, 1, "pod server-1 crashes")


def test_a_rollout_of_another_version_is_neither_ready_nor_failed() -> None:
    for state in ("ready", "failed"):
        found = followers.status(BEFORE, Rollout(1, state, "of v1", some_ready=True), 2)
        assert (found.ready, found.failed, found.proven, found.message) == (False, False, 1, "of v1")


@pytest.mark.parametrize(("bound", "blocked"), [(2, True), (None, False)])
def test_a_workload_is_blocked_only_if_a_version_is_bound(bound: int | None, blocked: bool) -> None:
    found = followers.status(BEFORE, Rollout(1, "blocked", "the API server refused it", some_ready=False), bound)
    assert found.blocked == blocked
