"""An operator for some namespaces: Roles in these, and nothing in the others."""

import functools
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import operators, registry
from tests.chart.conftest import CHART
from tests.chart.test_chart import TRYING_OUT, named, rendered
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects, run

pytestmark = pytest.mark.chart

Raw = dict[str, Any]
SERVED = ["team-a", "team-b"]


@functools.cache
def objects() -> list[Raw]:
    return rendered({**TRYING_OUT, "namespaces": SERVED})


def rules(kind: str, name: str) -> list[Raw]:
    """What a role of charts/assay/rbac allows."""
    every = [each for path in (CHART / "rbac").glob("*.yaml") for each in yaml.safe_load_all(path.read_text()) if each]
    found: list[Raw] = next(each["rules"] for each in every if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def of_the_operator(kind: str) -> list[Raw]:
    """The bindings of a kind whose subject is a service account of the operator's namespace."""
    found = [each for each in objects() if each["kind"] == kind]
    return [each for each in found if any(s.get("namespace") == "ml-platform" for s in each["subjects"])]


def test_cluster_wide_the_operator_may_only_list_admission_policies() -> None:
    (binding,) = of_the_operator("ClusterRoleBinding")
    (rule,) = named(objects(), "ClusterRole")[binding["roleRef"]["name"]]["rules"]
    assert rule["verbs"] == ["list"]
    assert rule["apiGroups"] == ["admissionregistration.k8s.io"]


@pytest.mark.parametrize("role", ["assay-operator", "assay-operator-delegate"])
def test_the_operator_has_the_same_rules_in_each_namespace(role: str) -> None:
    roles = [each for each in objects() if (each["kind"], each["metadata"]["name"]) == ("Role", f"{role}-served")]
    assert [each["metadata"]["namespace"] for each in roles] == SERVED
    assert all(each["rules"] == rules("ClusterRole", role) for each in roles)
    bindings = [each for each in of_the_operator("RoleBinding") if each["metadata"]["name"] == f"{role}-served"]
    assert [each["metadata"]["namespace"] for each in bindings] == SERVED
    assert {json.dumps(each["roleRef"]) for each in bindings} == {
        json.dumps({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": f"{role}-served"})
    }


def test_in_its_own_namespace_it_has_what_it_always_has() -> None:
    found = [each for each in objects() if (each["kind"], each["metadata"]["name"]) == ("Role", "assay-operator")]
    assert [each["rules"] for each in found] == [rules("Role", "assay-operator")]


def test_roles_are_not_split_without_namespaces() -> None:
    everywhere = rendered(TRYING_OUT)
    assert not [each for each in everywhere if each["metadata"]["name"].endswith("-served")]
    assert {"assay-operator", "assay-operator-cluster", "assay-operator-policies"} <= set(
        named(everywhere, "ClusterRole")
    )


# On a real API server


class Narrow:
    """An operator's service account with what the chart gives it for two namespaces."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        start = f"narrow-{secrets.token_hex(3)}"
        self.home, self.other = f"{start}-home", f"{start}-other"
        self.teams = [f"{start}-a", f"{start}-b"]
        self.user = f"system:serviceaccount:{self.home}:assay-operator"
        operators.install(cluster)
        for name in (self.home, self.other, *self.teams):
            cluster.create_namespace(name)
        for each in rendered({**TRYING_OUT, "namespaces": self.teams}, namespace=self.home):
            if each["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
                self._apply(each)
            elif (each["kind"], each["metadata"]["name"]) == ("ClusterRoleBinding", "assay-operator-policies"):
                each["metadata"]["name"] = self.home
                self._apply(each)

    def _apply(self, manifest: Raw) -> None:
        manifest["metadata"].setdefault("namespace", self.home)
        if manifest["kind"].startswith("Cluster"):
            del manifest["metadata"]["namespace"]
        self.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def may(self, verb: str, resource: str, *where: str) -> bool:
        try:
            return "yes" in self.cluster.kubectl("auth", "can-i", verb, resource, f"--as={self.user}", *where)
        except ClusterError:  # the answer no has an exit code of its own
            return False

    def remove(self) -> None:
        for name in (self.home, self.other, *self.teams):
            self.cluster.delete_namespace(name)
        self.cluster.kubectl("delete", "clusterrolebinding", self.home)


@pytest.fixture
def narrow(control_plane: LocalCluster) -> Iterator[Narrow]:
    narrow = Narrow(control_plane)
    yield narrow
    narrow.remove()


@pytest.mark.integration
def test_the_operator_serves_only_its_namespaces(narrow: Narrow, tmp_path: Path) -> None:
    for verb, resource in (("create", "secrets"), ("create", "jobs.batch"), ("list", "runs.assay.dev")):
        assert all(narrow.may(verb, resource, "-n", team) for team in narrow.teams)
        assert not any(narrow.may(verb, resource, *where) for where in (("-n", narrow.other), ("-A",)))
    environment = {
        "ASSAY_NAMESPACES": ",".join(narrow.teams),
        "ASSAY_NAMESPACE": narrow.home,
        "ASSAY_CAPTURE_IMAGE": "never",
        "KUBECONFIG": str(narrow.cluster.token_kubeconfig(narrow.home, "assay-operator")),
    }
    log = tmp_path / "operator.log"
    with ExitStack() as stack:
        # The policies of this cluster name another operator as the one that creates Jobs and Secrets of runs.
        for policy in ("assay-links", "assay-credentials", "assay-secrets"):
            stack.enter_context(registry.without_policy(narrow.cluster, policy))
        stack.enter_context(operators.OperatorProcess(narrow.cluster, log, environment))
        outside, *inside = (Objects(narrow.cluster, name) for name in (narrow.other, *narrow.teams))
        for each in (outside, *inside):
            each.apply(run("first", "pass"))
        for each in inside:
            wait_for("the run's Job", lambda each=each: each.all("jobs"), seconds=60)
        assert "status" not in outside.get("run", "first")
    # The policies of this cluster name another operator; what it asks for is what RBAC lets it ask for.
    assert not re.findall(r"cannot \w+ resource[^,]*", log.read_text())
