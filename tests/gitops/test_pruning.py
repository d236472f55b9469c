"""Files that are removed from Git: what stays, what blocks, and how to get out of it."""

from collections.abc import Callable

import pytest

from tests.argocd.stages import EXAMPLE, Stages
from tests.cluster.waiting import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.argocd]

BASE, ALIAS_FILE = "digits/base/kustomization.yaml", "digits/base/alias.yaml"
WITH, WITHOUT = "resources: [policy.yaml, alias.yaml]", "resources: [policy.yaml]"
PATCH = "- path: version.yaml\n"
VERSION = "digits/prod/version.yaml"
V1, V2 = "version: 1\n  reason: the first one", "version: 2\n  reason: more"


def remove(stages: Stages) -> None:
    """Take the alias out of Git."""
    stages.repository.change("digits/prod/kustomization.yaml", PATCH, "", "the alias goes")
    stages.repository.change(BASE, WITH, WITHOUT, "the alias is gone")
    stages.refresh()


def put_back(stages: Stages) -> None:
    """Bring it back."""
    stages.repository.change(
        "digits/prod/kustomization.yaml", "- path: policy.yaml\n", f"- path: policy.yaml\n{PATCH}", "back"
    )
    stages.repository.change(BASE, WITHOUT, WITH, "the alias is back")
    stages.refresh()


def live(stages: Stages, version: int) -> None:
    stages.refresh()
    stages.every(f"v{version} wanted", lambda stage: stage.alias()["spec"]["version"] == version)
    for stage in stages:
        stage.approve(version)
        stage.live(version)


def test_a_removed_alias_stays_and_blocks_no_later_commit(new_stages: Callable[..., Stages]) -> None:
    stages = new_stages(EXAMPLE)
    (stage,) = stages
    live(stages, 1)
    uid = stage.alias()["metadata"]["uid"]
    remove(stages)
    stage.application.wait(
        "the alias to be left over", lambda app: any(each.get("requiresPruning") for each in app["status"]["resources"])
    )
    # A later commit is applied.
    stages.repository.change("digits/base/policy.yaml", "last >= 0.9\n", "last >= 0.8\n", "another gate")
    stages.refresh()
    stages.every(
        "the other gate",
        lambda each: "0.8" in each.models.get("promotionpolicy", "digits-release")["spec"]["gates"][0]["expression"],
    )
    put_back(stages)
    stages.repository.change(VERSION, V1, V2, "digits: version 2")
    live(stages, 2)
    assert stage.alias()["metadata"]["uid"] == uid
    assert [each["version"] for each in stage.alias()["status"]["history"]] == [1, 2]


def test_a_confirmation_blocks_until_the_operation_is_ended(new_stages: Callable[..., Stages]) -> None:
    """Why the example has no Prune=confirm, and the way out that the page tells."""
    stages = new_stages(EXAMPLE)
    (stage,) = stages
    stages.repository.change(ALIAS_FILE, "Prune=false", "Prune=confirm", "ask first")
    live(stages, 1)
    remove(stages)
    stage.application.wait("waiting for a confirmation", waits_for_confirmation, seconds=60)
    put_back(stages)
    stages.repository.change(VERSION, V1, V2, "digits: version 2")
    stages.refresh()
    assert waits_for_confirmation(stage.application.get())
    stages.argo_cd.cli("app", "terminate-op", stage.application.name)
    live(stages, 2)
    assert [each["version"] for each in stage.alias()["status"]["history"]] == [1, 2]


def waits_for_confirmation(app: dict) -> bool:  # type: ignore[type-arg]
    state = app["status"].get("operationState", {})
    return state.get("phase") == "Running" and "confirm" in state.get("message", "")


def test_deleting_an_application_requires_confirmation_to_delete_the_alias(new_stages: Callable[..., Stages]) -> None:
    stages = new_stages(EXAMPLE)
    (stage,) = stages
    live(stages, 1)
    name = stage.application.name
    finalizer = '{"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}}'
    stages.argo_cd.kubectl("patch", "application", name, "--type=merge", "-p", finalizer)
    stages.argo_cd.kubectl("delete", "application", name, "--wait=false")
    stage.application.wait(
        "asking",
        lambda app: "confirm" in str(app["status"].get("conditions", "")) or app["metadata"].get("deletionTimestamp"),
    )
    assert stage.alias()["status"]["boundVersion"] == 1
    stages.argo_cd.cli("app", "confirm-deletion", name)
    stages.every("the alias to be gone", lambda each: not each.alias())
    asked = ("get", "application", name, "--ignore-not-found", "--output=name")
    wait_for("the Application to be gone", lambda: not stages.argo_cd.kubectl(*asked), seconds=30)
