"""Actions from Argo CD's menu, its API and its command line, and what its own RBAC has to allow for them."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.argocd.stages import ALIAS, EXAMPLE, GITOPS, Stage, Stages
from tests.cluster.argocd import ArgoCd
from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.argocd]

Raw = dict[str, Any]
PAGE = (GITOPS.parents[1] / "docs/gitops.md").read_text()
VERSION = "digits/prod/version.yaml"
V1, V2 = "version: 1\n  reason: the first one", "version: 2\n  reason: more"


@pytest.fixture
def ann(argo_cd: ArgoCd) -> Iterator[str]:
    """A user of Argo CD without any right."""
    argo_cd.kubectl("patch", "configmap", "argocd-cm", "--type=merge", "-p", '{"data": {"accounts.ann": "apiKey"}}')
    yield "ann"
    rights(argo_cd, [])


def rights(argo_cd: ArgoCd, lines: list[str]) -> None:
    """Give ann a role with these rights."""
    csv = "\n".join([*lines, "g, ann, role:data-scientist"])
    argo_cd.kubectl(
        "patch", "configmap", "argocd-rbac-cm", "--type=merge", "-p", yaml.safe_dump({"data": {"policy.csv": csv}})
    )


def menu(stage: Stage, kind: str, name: str, user: str = "admin") -> dict[str, Raw]:
    """Return the actions that the menu of an object shows."""
    argo_cd = stage.application.argo_cd
    query = {
        "namespace": stage.namespace,
        "resourceName": name,
        "version": "v1alpha1",
        "group": "assay.dev",
        "kind": kind,
    }
    path = f"/api/v1/applications/{stage.application.name}/resource/actions?{urlencode(query)}"
    return {each["name"]: each for each in argo_cd.request("GET", path, token=argo_cd.token(user))["actions"]}


def roll_back(stage: Stage, user: str = "admin") -> str:
    """Run the action on the command line."""
    what = ("--kind", "ModelAlias", "--resource-name", ALIAS)
    return stage.application.argo_cd.cli("app", "actions", "run", stage.application.name, "rollback", *what, user=user)


def test_the_menu_shows_the_rollback_version_and_requires_documented_rights(
    new_stages: Callable[..., Stages], ann: str
) -> None:
    stages = new_stages(EXAMPLE)
    (stage,) = stages
    stages.refresh()
    stage.models.alias(ALIAS, "wanted", lambda o: o["spec"]["version"] == 1, 60)
    stage.approve(1)
    stage.live(1)
    assert menu(stage, "ModelAlias", ALIAS)["rollback"]["disabled"]
    promotion = stages.repository.change(VERSION, V1, V2, "digits: version 2")
    stages.refresh()
    stage.models.alias(ALIAS, "wanted", lambda o: o["spec"]["version"] == 2, 60)
    stage.approve(2)
    stage.live(2)
    offers(stage, "Roll back to v1")

    # After a revert, the version before is the newer one.
    stages.repository.revert(promotion)
    stages.refresh()
    stage.live(1)
    offers(stage, "Roll back to v2")

    lines = [line.replace("Experiment", "ModelAlias").replace("ml/", f"{stages.name}/") for line in page_lines()]
    assert len(lines) == 2
    for some in ([], lines[1:]):
        rights(stages.argo_cd, some)
        with pytest.raises(ClusterError, match="permission denied"):
            roll_back(stage, ann)
    rights(stages.argo_cd, lines)
    wait_for("the rights to be known", lambda: menu(stage, "ModelAlias", ALIAS, ann), seconds=30)
    with pytest.raises(ClusterError, match="verb rollback"):
        roll_back(stage, ann)
    (role,) = [each for each in page_roles() if each["metadata"]["name"] == "argocd-rollbacks"]
    role["metadata"]["namespace"] = stage.namespace
    stage.models.apply(role)
    name = role["metadata"]["name"]
    stage.models.kubectl("create", "rolebinding", name, f"--role={name}", "--serviceaccount=argocd:argocd-server")
    roll_back(stage, ann)
    stage.live(2)


def offers(stage: Stage, title: str) -> None:
    wait_for(title, lambda: menu(stage, "ModelAlias", ALIAS)["rollback"].get("displayName") == title, seconds=30)


def page_lines() -> list[str]:
    """Return the lines of argocd-rbac-cm that the page shows."""
    return re.findall(r"^p, .*$", PAGE, re.MULTILINE)


def page_roles() -> list[Raw]:
    """Return the Roles that the page shows."""
    found = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return [body for block in found if "kind: Role" in block for body in yaml.safe_load_all(block)]
