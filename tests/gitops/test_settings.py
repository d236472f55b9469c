"""Settings of argocd-cm that hold for all of Argo CD: messages that are heeded, and objects known by a label."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.argocd.stages import ALIAS, EXAMPLE, POLICY, Stage, Stages
from tests.cluster.argocd import ArgoCd

pytestmark = [pytest.mark.integration, pytest.mark.argocd]

Raw = dict[str, Any]


@contextmanager
def setting(argo_cd: ArgoCd, key: str, value: str) -> Iterator[None]:
    """Set an entry of argocd-cm for a while."""
    set_entry(argo_cd, key, value)
    try:
        yield
    finally:
        set_entry(argo_cd, key, None)


def set_entry(argo_cd: ArgoCd, key: str, value: str | None) -> None:
    patch = json.dumps({"data": {key: value}})
    argo_cd.kubectl("patch", "configmap", "argocd-cm", "--type=merge", "-p", patch)


def needs(stage: Stage, count: str) -> bool:
    said = f"v1 is blocked: {POLICY}: needs {count} for champion"
    return stage.application.messages()[f"ModelAlias/{ALIAS}"].startswith(said)


def test_messages_are_current_with_the_documented_setting(argo_cd: ArgoCd, new_stages: Callable[..., Stages]) -> None:
    with setting(argo_cd, "resource.ignoreResourceUpdatesEnabled", "false"):
        stages = new_stages(EXAMPLE)
        (stage,) = stages
        stages.refresh()
        stages.every("two missing", lambda each: needs(each, "2 more approvals"))
        stage.approve(1, "rita")
        stages.every("one missing", lambda each: needs(each, "1 more approval"))


def test_objects_may_be_known_by_a_label(argo_cd: ArgoCd, new_stages: Callable[..., Stages]) -> None:
    with setting(argo_cd, "application.resourceTrackingMethod", "label"):
        stages = new_stages(EXAMPLE)
        (stage,) = stages
        stages.refresh()
        stage.models.alias(ALIAS, "wanted", lambda o: o["spec"]["version"] == 1, 60)
        stage.approve(1)
        stage.live(1)
        stage.application.healthy("Healthy")
        assert stage.application.refresh()["status"]["sync"]["status"] == "Synced"
        assert stage.alias()["metadata"]["labels"]["app.kubernetes.io/instance"] == stage.application.name
