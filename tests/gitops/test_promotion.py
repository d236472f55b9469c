"""Promotions, reverts and rollbacks through a real Argo CD that syncs by itself, under every setting of its diff."""

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from assay.api import names
from tests import operators
from tests.argocd.stages import ALIAS, POLICY, Stage, Stages
from tests.cluster.argocd import ArgoCd
from tests.objects import condition

pytestmark = [pytest.mark.integration, pytest.mark.argocd]

Raw = dict[str, Any]
VERSION = "digits/prod/version.yaml"
V1, V2, V99 = (
    f"version: {number}\n  reason: {why}" for number, why in ((1, "the first one"), (2, "more"), (99, "a slip"))
)
HELD = f"{POLICY}: needs 2 more approvals for champion: has 0 of 2"


@pytest.fixture(scope="module")
def stages(
    argo_cd: ArgoCd, operator: operators.OperatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stages]:
    """One stage for each setting. Version 1 is live at the beginning and at the end of every test."""
    stages = Stages(argo_cd, tmp_path_factory.mktemp("promotion") / "models")
    stages.refresh()
    stages.every("v1 held", held(1))
    for stage in stages:
        stage.approve(1)
    stages.every("v1 live", settled(1))
    yield stages
    stages.close()


def held(version: int) -> Callable[[Stage], bool]:
    """The alias waits for approvals, and says for which."""
    return lambda stage: stage.alias()["status"]["message"] == f"v{version} is blocked: {HELD}"


def settled(version: int) -> Callable[[Stage], bool]:
    """A version is live, and Argo CD shows that nothing is to do."""

    def holds(stage: Stage) -> bool:
        status = stage.application.get()["status"]
        shown = (status["sync"]["status"], status["health"]["status"])
        return stage.alias()["status"]["boundVersion"] == version and shown == ("Synced", "Healthy")

    return holds


def is_shown(health: str) -> Callable[[Stage], bool]:
    """Argo CD has nothing to apply, and shows a health."""

    def holds(stage: Stage) -> bool:
        status = stage.application.get()["status"]
        return (status["sync"]["status"], status["health"]["status"]) == ("Synced", health)

    return holds


def history(stage: Stage) -> list[tuple[int, str]]:
    """Return the versions of the alias and who moved it, without the namespace of the account."""
    return [(each["version"], each["actor"].rpartition(":")[2]) for each in stage.alias()["status"]["history"]]


def test_a_promotion_is_blocked_until_approved_and_a_revert_moves_back(
    stages: Stages, record_property: Callable[[str, object], None]
) -> None:
    promotion = stages.repository.change(VERSION, V1, V2, "digits: version 2")
    stages.refresh()
    stages.every("v2 held", held(2))
    record_property("argocd: push to held in all stages, seconds", f"{time.monotonic() - stages.repository.pushed:.1f}")
    stages.every("v2 shown as Suspended", is_shown("Suspended"))
    assert {stage.alias()["status"]["boundVersion"] for stage in stages} == {1}

    delays = []
    for stage in stages:
        stage.approve(2)
        began = time.monotonic()
        stage.live(2)
        delays.append(f"{time.monotonic() - began:.1f}")
    record_property("argocd: approval to bound, seconds", " ".join(delays))
    stages.every("v2 live", settled(2))

    stages.repository.revert(promotion)
    stages.refresh()
    stages.every("v1 live again", settled(1))
    for stage in stages:
        assert history(stage)[-2:] == [(2, "assay-deployer"), (1, "assay-deployer")], stage.settings
        moved_by = stage.alias()["metadata"]["annotations"][names.ANNOTATION_MOVED_BY]
        assert moved_by == f"system:serviceaccount:{stage.namespace}:assay-deployer"
        assert stage.application.difference() == {}, stage.settings


def test_a_manual_rollback_survives_automated_syncs(stages: Stages) -> None:
    promotion = stages.repository.change(VERSION, V1, V2, "digits: version 2")
    stages.refresh()
    stages.every("v2 wanted", lambda stage: stage.alias()["spec"]["version"] == 2)
    for stage in stages:
        stage.approve(2)
        stage.live(2)
        stage.models.roll_back(ALIAS, 1, "walter", "latency")
    stages.every("rolled back", lambda stage: history(stage)[-1] == (1, "walter"))
    stages.refresh()
    stages.every("still rolled back", is_shown("Suspended"))
    for stage in stages:
        assert history(stage)[-1] == (1, "walter"), stage.settings
        said = {f"{names.MODEL_ALIAS}/{ALIAS}": "rolled back from v2 to v1 by walter: latency"}
        assert said.items() <= stage.application.messages().items()

    stages.repository.revert(promotion)
    stages.refresh()
    stages.every("v1 wanted and live", settled(1))
    assert {history(stage)[-1] for stage in stages} == {(1, "walter")}


def test_a_missing_version_is_blocked_and_its_revert_is_not(stages: Stages) -> None:
    slip = stages.repository.change(VERSION, V1, V99, "digits: version 99")
    stages.refresh()
    stages.every("v99 held", lambda stage: condition(stage.alias(), names.HELD)["reason"] == names.VERSION_MISSING)
    stages.repository.revert(slip)
    stages.refresh()
    stages.every("v1 live", settled(1))


def test_a_commit_waits_for_an_operator_that_is_replaced(stages: Stages, operator: operators.OperatorProcess) -> None:
    operator.kill(signal.SIGTERM)
    try:
        promotion = stages.repository.change(VERSION, V1, V2, "digits: version 2")
        stages.refresh()
        stages.every("v2 wanted and shown as Progressing", is_shown("Progressing"))
    finally:
        operator.start().wait_ready()
    for stage in stages:
        stage.approve(2)
    stages.every("v2 live", settled(2))
    stages.repository.revert(promotion)
    stages.refresh()
    stages.every("v1 live", settled(1))


def test_a_change_by_hand_is_reverted(stages: Stages) -> None:
    for stage in stages:
        stage.models.want(ALIAS, 99)
    stages.every("v1 wanted again", lambda stage: stage.alias()["spec"]["version"] == 1)
    stages.every("v1 live", settled(1))


def test_an_invalid_policy_keeps_the_alias_and_its_fix_applies_at_once(
    stages: Stages, record_property: Callable[[str, object], None]
) -> None:
    policy = "digits/base/policy.yaml"
    stages.repository.change(policy, ".last >= 0.9\n", ".last >=\n", "a slip")
    stages.repository.change(VERSION, V1, V2, "digits: version 2")
    stages.refresh()
    stages.every("invalid policy", is_degraded)
    for stage in stages:
        stage.approve(2)
    assert {stage.alias()["spec"]["version"] for stage in stages} == {1}
    for stage in stages:
        said = stage.application.messages()[f"{names.PROMOTION_POLICY}/{POLICY}"]
        assert said.startswith("invalid policy; matching aliases stay blocked: gate accurate:")

    stages.repository.change(policy, ".last >=\n", ".last >= 0.9\n", "mend it")
    stages.refresh()
    stages.every("v2 live", settled(2), seconds=90)
    took = time.monotonic() - stages.repository.pushed
    record_property("argocd: fix of an invalid policy to live, seconds", f"{took:.1f}")
    stages.repository.change(VERSION, V2, V1, "digits: version 1")
    stages.refresh()
    stages.every("v1 live", settled(1))


def is_degraded(stage: Stage) -> bool:
    """The sync fails at the policy."""
    return bool(stage.application.get()["status"]["health"]["status"] == "Degraded")
