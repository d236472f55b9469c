"""The chart as Helm renders it: what is in it, and what it says about values that are wrong."""

import json
from typing import Any

import pytest
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

from assay.api import names
from assay.api.crd import KINDS
from tests.chart.conftest import CHART

pytestmark = pytest.mark.chart

Raw = dict[str, Any]
TRYING_OUT: Raw = {"minio": {"enabled": True}}


def rendered(values: Raw, namespace: str = "ml-platform") -> list[Raw]:
    """Return every object that Helm would apply."""
    files = Chart.load(CHART).render(values, namespace=namespace)
    found = [each for path, text in files.items() if path.endswith(".yaml") for each in yaml.safe_load_all(text)]
    return [each for each in found if each]


def named(objects: list[Raw], kind: str) -> dict[str, Raw]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def test_helm_finds_no_fault() -> None:
    assert lint(CHART)["errors"] == []


def test_everything_is_in_it() -> None:
    objects = rendered(TRYING_OUT)
    assert set(named(objects, "CustomResourceDefinition")) == {f"{kind.plural}.assay.dev" for kind in KINDS}
    assert set(named(objects, "ValidatingAdmissionPolicy")) == names.ADMISSION_POLICIES
    assert set(named(objects, "ValidatingAdmissionPolicyBinding")) == names.ADMISSION_POLICIES
    assert set(named(objects, "Deployment")) == {"assay-operator"}
    assert "Namespace" not in {each["kind"] for each in objects}, "Helm makes the release's namespace"


def test_nothing_is_left_of_the_default_namespace_and_bucket() -> None:
    values = {**TRYING_OUT, "store": {"bucket": "other-bucket"}}
    text = json.dumps(rendered(values))
    assert "assay-system" not in text
    assert "s3://assay/" not in text
    assert "system:serviceaccount:ml-platform:assay-operator" in text
    assert "'s3://other-bucket/runs/'" in text


def test_kinds_are_kept_or_not_as_one_likes() -> None:
    keep = "helm.sh/resource-policy"
    kinds = named(rendered(TRYING_OUT), "CustomResourceDefinition").values()
    assert all(each["metadata"]["annotations"][keep] == "keep" for each in kinds)
    kinds = named(rendered({**TRYING_OUT, "crds": {"keep": False}}), "CustomResourceDefinition").values()
    assert not any(keep in (each["metadata"].get("annotations") or {}) for each in kinds)
    assert not named(rendered({**TRYING_OUT, "crds": {"install": False}}), "CustomResourceDefinition")


def test_no_persona_has_a_verb_it_is_not_about() -> None:
    roles = named(rendered(TRYING_OUT), "ClusterRole")
    verbs = {
        name: {verb for each in role["rules"] if "aliases" in each["resources"] for verb in each["verbs"]}
        for name, role in roles.items()
    }
    assert {name: found for name, found in verbs.items() if found} == {
        "assay-approver": {"approve"},
        "assay-release-manager": {"bind", "rollback"},
    }
    assert not any(
        "*" in each["verbs"] or "*" in each["resources"] for role in roles.values() for each in role["rules"]
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "store.existingSecret: name a Secret"),
        ({"store": {"existingSecret": "s3"}}, "store.endpoint: say where the S3-compatible store is"),
        ({"stoer": {}}, "additional properties 'stoer' not allowed"),
        ({**TRYING_OUT, "store": {"endpoint": "s3.example.com"}}, "at '/store/endpoint'"),
        ({**TRYING_OUT, "replicas": -1}, "at '/replicas'"),
        ({**TRYING_OUT, "store": {"credentialsMode": "none"}}, "at '/store/credentialsMode'"),
    ],
)
def test_a_value_that_is_wrong_is_named(values: Raw, said: str) -> None:
    with pytest.raises(HelmError) as refusal:
        rendered(values)
    assert said in str(refusal.value)
