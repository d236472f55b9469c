"""The attack table of docs/security.md and the attack tests say the same."""

import re
from collections import Counter

import pytest
import yaml

from tests.attackers import PERSONAS, SECURITY, table
from tests.registry import OPERATOR, POLICIES

pytestmark = pytest.mark.unit

SOURCES = "\n".join(path.read_text() for path in sorted(PERSONAS.parent.glob("test_*.py")))


def _policies() -> list[dict[str, object]]:
    return [found for path in sorted(POLICIES.glob("*.yaml")) for found in yaml.safe_load_all(path.read_text())]


def test_every_row_is_one_test_and_every_test_one_row() -> None:
    rows = re.findall(r"^\| ([A-Z]\d\d) \|", SECURITY.read_text(), re.MULTILINE)
    tests = [row.upper() for row in re.findall(r"^def test_([a-z]\d\d)_", SOURCES, re.MULTILINE)]
    assert Counter(rows) == Counter(tests)
    assert set(Counter(rows).values()) == {1}
    assert len(rows) >= 30


def test_every_message_of_the_table_is_tested() -> None:
    asked = set(re.findall(r'stopped\("([A-Z]\d\d)"', SOURCES))
    assert {row for row, message in table().items() if message != "—"} == asked


def test_every_policy_fails_closed_and_is_bound() -> None:
    found = _policies()
    policies = [item for item in found if str(item["kind"]).endswith("Policy")]
    bindings = [item for item in found if str(item["kind"]).endswith("PolicyBinding")]
    assert {item["spec"]["failurePolicy"] for item in policies} == {"Fail"}  # type: ignore[index]
    bound = {(item["kind"], item["spec"]["policyName"]) for item in bindings}  # type: ignore[index]
    assert bound == {(f"{item['kind']}Binding", item["metadata"]["name"]) for item in policies}  # type: ignore[index]


#: Controllers of Kubernetes, with accounts of their own or one for all: they write owner references, pods and Jobs.
CONTROLLERS = {
    "system:kube-controller-manager",
    *(
        f"system:serviceaccount:kube-system:{name}"
        for name in (
            "deployment-controller",
            "generic-garbage-collector",
            "job-controller",
            "replicaset-controller",
            "statefulset-controller",
        )
    ),
}
#: Components of Kubernetes: the accounts in kube-system, the scheduler, and the group of kubelets. They write
#: statuses of Jobs and pods and copy pod templates. docs/security.md says that Assay trusts them.
COMPONENTS = {"system:serviceaccount:kube-system:", "system:kube-scheduler", "system:nodes"}


def test_only_the_operator_and_kubernetes_are_exempt() -> None:
    text = "\n".join(path.read_text() for path in POLICIES.glob("*.yaml"))
    assert set(re.findall(r"system:[\w:-]+", text)) == {OPERATOR, "system:authenticated"} | CONTROLLERS | COMPONENTS
    assert not re.search(r"userInfo[.]groups", text)
    assert re.findall(r"(\S+) in request[.]userInfo", text) == ["'system:nodes'"]
