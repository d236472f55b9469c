"""What the operator says of admission policies that are not as they were shipped."""

import copy
from typing import Any

import pytest
import yaml

from assay.api import names
from assay.planning import policy_guard
from assay.planning.policy_guard import BINDING, KINDS, POLICY, Fault
from tests import registry

pytestmark = pytest.mark.unit

Raw = dict[str, Any]


def shipped() -> list[Raw]:
    texts = [path.read_text() for path in sorted(registry.POLICIES.glob("*.yaml"))]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def stored() -> dict[str, list[Raw]]:
    """The shipped objects as the API server returns them: with its defaults, and with metadata of its own."""
    found: dict[str, list[Raw]] = {kind: [] for kind in KINDS}
    for each in copy.deepcopy(shipped()):
        each["metadata"] |= {"uid": "1", "labels": {"app.kubernetes.io/managed-by": "Helm"}}
        if "matchConstraints" in each["spec"]:
            match = each["spec"]["matchConstraints"]
            match |= {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
            for rule in match["resourceRules"]:
                rule["scope"] = "*"
        found[each["kind"]].append(each)
    return found


def of(found: dict[str, list[Raw]], kind: str, name: str) -> Raw:
    return next(each for each in found[kind] if each["metadata"]["name"] == name)


def test_defaults_added_by_the_api_server_are_not_changes() -> None:
    assert policy_guard.faults(shipped(), stored()) == []


def test_everything_is_missing_in_an_empty_cluster() -> None:
    found = policy_guard.faults(shipped(), {})
    assert [(each.kind, each.name, each.what) for each in found] == [
        (each["kind"], each["metadata"]["name"], "missing") for each in shipped()
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_one_object_that_is_missing_is_named(kind: str) -> None:
    for each in stored()[kind]:
        found = stored()
        found[kind].remove(of(found, kind, each["metadata"]["name"]))
        (fault,) = policy_guard.faults(shipped(), found)
        assert str(fault) == f"{kind} {each['metadata']['name']} is missing"


def test_a_policy_binding_being_deleted_counts_as_missing() -> None:
    found = stored()
    of(found, BINDING, "assay-aliases")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert policy_guard.faults(shipped(), found) == [Fault(BINDING, "assay-aliases", "missing")]


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        (POLICY, {"failurePolicy": "Ignore"}, "spec.failurePolicy"),
        (POLICY, {"validations": [{"expression": "true"}]}, "spec.validations"),
        (POLICY, {"matchConditions": [{"name": "never", "expression": "false"}]}, "spec.matchConditions"),
        (POLICY, {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}, "spec.paramKind"),
        (BINDING, {"validationActions": ["Audit"]}, "spec.validationActions"),
        (BINDING, {"policyName": "another"}, "spec.policyName"),
        (BINDING, {"matchResources": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}, "spec.matchResources"),
        (BINDING, {"paramRef": {"name": "a"}}, "spec.paramRef"),
    ],
)
def test_a_change_that_weakens_a_policy_is_reported(kind: str, change: Raw, field: str) -> None:
    found = stored()
    of(found, kind, "assay-aliases")["spec"].update(change)
    (fault,) = policy_guard.faults(shipped(), found)
    assert str(fault) == f"{kind} assay-aliases was changed ({field})"


@pytest.mark.parametrize(
    "change",
    [
        {"matchPolicy": "Exact"},
        {"namespaceSelector": {"matchLabels": {"gate": "on"}}},
        {"objectSelector": {"matchLabels": {"gate": "on"}}},
        {"excludeResourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]},
    ],
)
def test_narrowed_match_constraints_are_reported(change: Raw) -> None:
    found = stored()
    of(found, POLICY, "assay-aliases")["spec"]["matchConstraints"].update(change)
    assert [each.fields for each in policy_guard.faults(shipped(), found)] == [("spec.matchConstraints",)]


def test_without_a_file_every_policy_and_binding_must_exist() -> None:
    found = stored()
    assert policy_guard.faults(policy_guard.least(), found) == []
    found[BINDING].remove(of(found, BINDING, "assay-status"))
    of(found, BINDING, "assay-owner")["spec"]["validationActions"] = ["Warn"]
    assert {str(each) for each in policy_guard.faults(policy_guard.least(), found)} == {
        "ValidatingAdmissionPolicyBinding assay-status is missing",
        "ValidatingAdmissionPolicyBinding assay-owner was changed (spec.validationActions)",
    }
    assert len(policy_guard.faults(policy_guard.least(), {})) == 2 * len(names.ADMISSION_POLICIES)
