"""A Deployment in Git that follows an alias: what the operator sets is no drift, under server-side apply."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import registry
from tests.argocd.real import Application
from tests.argocd.stages import ALIAS, EXAMPLE, SETTINGS, Stage, Stages

pytestmark = [pytest.mark.integration, pytest.mark.argocd]

Raw = dict[str, Any]
KINDS = [{"group": "apps", "kind": "Deployment"}]
RULES = [
    {
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
    }
]
CLIENT_SIDE = "default diff, client-side apply"


def deployment(**container: Any) -> Raw:
    body = registry.deployment("digits-server", annotations={"assay.dev/serve": ALIAS})
    body["spec"]["template"]["spec"]["containers"][0] |= container
    return body


def application(stages: Stages, stage: Stage) -> Application:
    """An Application of its own, as the page says, with the settings of the stage."""
    found = Application(stages.argo_cd, f"{stage.namespace}-server")
    options, sync = SETTINGS[stage.settings]
    more: Raw = {"project": stages.name, "options": options, "sync": sync}
    policy: Raw = {"automated": {"prune": True, "selfHeal": True}, "retry": {"limit": 1}}
    stages.argo_cd.apply(found.body(stages.repository, "server", stage.namespace, policy=policy, **more))
    stages.also(found)
    return found


def environment(stage: Stage) -> set[str]:
    found = stage.models.get("deployment", "digits-server")
    return {each["name"] for each in found["spec"]["template"]["spec"]["containers"][0].get("env", [])}


def test_removing_the_last_variable_keeps_those_of_the_operator(new_stages: Callable[..., Stages]) -> None:
    stages = new_stages(EXAMPLE, CLIENT_SIDE, kinds=KINDS, rules=RULES)
    stages.repository.write("the server", {"server/web.yaml": deployment(env=[{"name": "A", "value": "1"}])})
    stages.refresh()
    apps = {stage.settings: application(stages, stage) for stage in stages}
    for stage in stages:
        stage.models.alias(ALIAS, "wanted", lambda o: o["spec"]["version"] == 1, 60)
        stage.approve(1)
        stage.live(1)
    ours = {"MODEL_PATH", "MODEL_NAME", "MODEL_VERSION"}
    stages.every("the operator's variables", lambda stage: environment(stage) == {"A", *ours})
    for each in apps.values():
        each.refresh()
        each.wait("Synced", lambda app: app["status"]["sync"]["status"] == "Synced")

    removed = stages.repository.write("no variable", {"server/web.yaml": deployment()})
    for each in apps.values():
        each.ask_to_refresh()
    apps[EXAMPLE].synced(removed)
    example = next(stage for stage in stages if stage.settings == EXAMPLE)
    assert environment(example) == ours
    refused = apps[CLIENT_SIDE].wait("a refusal", lambda app: app["status"]["operationState"]["phase"] == "Failed")
    assert "assay-serving" in str(refused["status"]["operationState"]["syncResult"])

    empty = stages.repository.write("an empty list", {"server/web.yaml": deployment(env=[])})
    for each in apps.values():
        each.ask_to_refresh()
    apps[EXAMPLE].synced(empty)
    stages.every("only the operator's variables", lambda stage: environment(stage) == ours)
    apps[CLIENT_SIDE].refresh()
    apps[CLIENT_SIDE].wait("OutOfSync", lambda app: app["status"]["sync"]["status"] == "OutOfSync")
