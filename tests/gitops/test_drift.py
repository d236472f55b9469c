"""A line that is removed from Git takes effect, whatever the settings of Argo CD's diff; and where Argo CD is blind."""

from collections.abc import Callable
from typing import Any

import pytest

from assay.api import names
from tests.argocd.stages import POLICY, Stage, Stages

pytestmark = [pytest.mark.integration, pytest.mark.argocd]

Raw = dict[str, Any]
FILE, CLOSED = "digits/prod/policy.yaml", "approvals: {required: 2}\n  evidence: {provenanceVerified: false}"
WARN = f"{CLOSED}\n  mode: Warn"
OPEN = "approvals: {required: 0, excludeOwner: false}\n  evidence: {artifactVerified: false, provenanceVerified: false}"
#: Argo CD compares by a field manager that has applied nothing. docs/gitops.md says not to combine these.
BLIND = "server-side diff, client-side apply"


def test_a_policy_blocks_again_when_its_open_lines_are_removed(new_stages: Callable[..., Stages]) -> None:
    stages = new_stages()
    opened = stages.repository.change(FILE, CLOSED, WARN, "only warn")
    stages.refresh()
    stages.every("mode Warn", lambda stage: in_force(stage)["mode"] == "Warn")
    closed = stages.repository.revert(opened)
    stages.refresh()
    stages.every("mode Enforce", lambda stage: stage.settings == BLIND or in_force(stage)["mode"] == "Enforce")
    for stage in stages:
        if stage.settings != BLIND:
            assert "mode" not in policy(stage)["spec"], stage.settings
            assert 'mode: "Enforce"' in policy(stage)["status"]["omitted"]
    blind = next(stage for stage in stages if stage.settings == BLIND)
    # If this fails, Argo CD has learnt to see it, and the page can say so. What is open can at least be seen.
    blind.application.synced(closed)
    assert in_force(blind)["mode"] == "Warn"
    said = blind.application.messages()[f"{names.PROMOTION_POLICY}/{POLICY}"]
    assert said == "mode Warn: unmet requirements do not block the alias"


def test_a_policy_blocks_again_when_all_of_its_lines_are_removed(new_stages: Callable[..., Stages]) -> None:
    stages = new_stages()
    stages.repository.change(FILE, CLOSED, OPEN, "open it")
    stages.refresh()
    stages.every("open policy", lambda stage: in_force(stage)["approvals"]["required"] == 0)
    base = "approvals: {required: 1, excludeOwner: true}"
    stages.repository.change("digits/base/policy.yaml", base, "approvals: {}", "the defaults will do")
    stages.repository.change(FILE, OPEN, "evidence: {}", "here too")
    stages.refresh()
    evidence = {"reproducible": False, "artifactVerified": True, "provenanceVerified": True, "signed": False}
    wanted = {"approvals": {"required": 1, "excludeOwner": True}, "evidence": evidence}
    stages.every("closed policy", lambda stage: wanted.items() <= in_force(stage).items())


def policy(stage: Stage) -> Raw:
    return stage.models.get("promotionpolicy", POLICY)


def in_force(stage: Stage) -> Raw:
    """What counts, once the operator has processed the spec."""
    found = policy(stage)
    if found["status"]["observedGeneration"] != found["metadata"]["generation"]:
        raise KeyError("not yet")
    required: Raw = found["status"]["inForce"]
    return required
