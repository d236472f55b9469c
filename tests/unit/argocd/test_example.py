"""examples/gitops and docs/gitops.md, as far as they can be held to something without a cluster."""

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api import names
from assay.api.modelalias import ModelAliasSpec
from assay.api.promotionpolicy import PromotionPolicySpec
from assay.planning.promotion import verdict
from assay.planning.promotion.policies import AliasView, policy_view
from tests.argocd.checkout import WAVE
from tests.argocd.customizations import CHART, customizations

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
ROOT = CHART.parents[1]
GITOPS = ROOT / "examples/gitops"
DIGITS = GITOPS / "models/digits"
DOCS = (ROOT / "docs/gitops.md").read_text()


def read(path: Path) -> Raw:
    found: Raw = yaml.safe_load(path.read_text())
    return found


def patched(name: str, patch: str) -> Raw:
    """Return a spec of the base as production's patch leaves it; the patches here are one level deep."""
    spec, change = read(DIGITS / "base" / name)["spec"], read(DIGITS / "prod" / patch)["spec"]
    deeper = {key: {**spec[key], **value} for key, value in change.items() if isinstance(value, dict)}
    return {**spec, **change, **deeper}


def test_production_has_a_complete_alias_and_a_matching_policy() -> None:
    alias = ModelAliasSpec.model_validate(patched("alias.yaml", "version.yaml"))
    spec = PromotionPolicySpec.model_validate(patched("policy.yaml", "policy.yaml"))
    policy = policy_view("digits-release", spec)
    assert verdict.matches(policy, AliasView(alias.model, alias.alias))
    assert verdict.problems(policy) == []
    assert (spec.approvals.required, spec.approvals.exclude_owner) == (2, True)
    assert "version" not in read(DIGITS / "base/alias.yaml")["spec"]
    assert read(DIGITS / "base/alias.yaml")["metadata"]["name"] == f"{alias.model}.{alias.alias}"


def test_the_alias_comes_last_and_the_policy_before_it() -> None:
    waves = {path.stem: int(read(path)["metadata"]["annotations"][WAVE]) for path in DIGITS.glob("base/[ap]*.yaml")}
    assert waves == {"policy": 0, "alias": 1}


def test_every_patch_is_of_an_object_of_the_base() -> None:
    base = {(body["kind"], body["metadata"]["name"]) for body in map(read, DIGITS.glob("base/[ap]*.yaml"))}
    overlay = read(DIGITS / "prod/kustomization.yaml")
    patches = [read(DIGITS / "prod" / patch["path"]) for patch in overlay["patches"]]
    assert {(body["kind"], body["metadata"]["name"]) for body in patches} == base
    assert {path.name for path in (DIGITS / "prod").iterdir()} == {
        "kustomization.yaml",
        *(patch["path"] for patch in overlay["patches"]),
    }


def test_argo_cd_has_only_the_bind_verb() -> None:
    roles = [body for body in yaml.safe_load_all((GITOPS / "rbac.yaml").read_text()) if body["kind"] == "Role"]
    rules = [rule for role in roles for rule in role["rules"]]
    virtual = [rule for rule in rules if names.VIRTUAL_ALIASES in rule["resources"]]
    assert [(rule["resourceNames"], rule["verbs"]) for rule in virtual] == [(["digits.champion"], ["bind"])]
    assert not [rule for rule in rules if "*" in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])]
    verbs = {verb for rule in rules for verb in rule["verbs"]}
    assert not verbs & {"approve", "revoke", "rollback", "delegate", "escalate"}


def test_the_application_set_finds_the_stages_and_writes_as_the_account() -> None:
    generators = read(GITOPS / "argocd/applicationset.yaml")["spec"]["generators"]
    directories = generators[0]["git"]["directories"]
    # The folder `models` is the root of the repository.
    stages = [str(path.relative_to(GITOPS / "models")) for path in GITOPS.glob("models/*/*")]
    found = {
        stage: [bool(each.get("exclude")) for each in directories if fnmatch(stage, each["path"])] for stage in stages
    }
    assert found == {"digits/prod": [False], "digits/base": [False, True]}
    project = read(GITOPS / "argocd/project.yaml")["spec"]
    account = next(body for body in yaml.safe_load_all((GITOPS / "rbac.yaml").read_text()))["metadata"]
    assert [(each["namespace"], each["defaultServiceAccount"]) for each in project["destinationServiceAccounts"]] == [
        (account["namespace"], account["name"])
    ]
    kinds = {(each["group"], each["kind"]) for each in project["namespaceResourceWhitelist"]}
    assert kinds == {("assay.dev", read(path)["kind"]) for path in DIGITS.glob("base/[ap]*.yaml")}


def test_every_manifest_of_the_example_is_explained() -> None:
    told = set(re.findall(r"\]\(([a-z/]+\.yaml)\)", (GITOPS / "README.md").read_text()))
    manifests = {str(path.relative_to(GITOPS)) for path in GITOPS.rglob("*.yaml")}
    assert told == {path for path in manifests if not path.endswith("kustomization.yaml")}


# The page


def test_every_kind_is_in_the_table_of_healths() -> None:
    told = re.findall(r"^\| ([A-Z][A-Za-z]+) \|", DOCS, re.MULTILINE)
    assert sorted(told) == sorted(each.kind for each in customizations())


def test_the_commands_of_the_page_are_those_that_tests_run() -> None:
    """tests/gitops/test_page.py, test_settings.py and test_pruning.py follow them with a real Argo CD."""
    told = [
        line for each in re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL) for line in each.split("\n") if line.strip()
    ]
    assert [line.split()[0] for line in told] == [
        "kubectl",
        "kubectl",
        "argocd",
        "digest=$(kubectl",
        "kubectl",
        "kubectl",
        "git",
    ]
