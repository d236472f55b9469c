"""What the operator says when admission policies of a real API server are not as they were shipped."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assay.controllers.runtime import policy_watch
from assay.controllers.runtime.policy_watch import PolicyWatch
from assay.kube.aio import Kube
from assay.store.config import ConfigError
from tests import operators, registry
from tests.registry import Cluster

pytestmark = pytest.mark.integration

BINDING = "validatingadmissionpolicybinding"


@pytest.fixture(scope="module")
def look(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Ask what is wrong with the policies, as the operator's own service account."""
    registry.install_policies(control_plane)
    file = tmp_path_factory.mktemp("shipped") / "policies.yaml"
    known = registry.stamps(control_plane)
    texts = [path.read_text() for path in sorted(registry.POLICIES.glob("*.yaml")) if path != registry.STAMPS or known]
    file.write_text("\n---\n".join(texts))
    kubeconfig = control_plane.token_kubeconfig(operators.NAMESPACE, operators.SERVICE_ACCOUNT)

    async def ask() -> str:
        kube = Kube(4)
        await kube.connect(str(kubeconfig))
        try:
            return await PolicyWatch(kube, str(file), required=True).look()
        finally:
            await kube.close()

    return lambda: asyncio.run(ask())


@contextmanager
def changed(cluster: Cluster, kind: str, name: str, patch: str) -> Iterator[None]:
    """Change a policy or a binding, and put it back as it was."""
    before = json.loads(cluster.kubectl("get", kind, name, "--output=json"))
    cluster.kubectl("patch", kind, name, "--type=json", f"--patch={patch}")
    try:
        yield
    finally:
        for key in ("resourceVersion", "managedFields"):
            before["metadata"].pop(key, None)
        cluster.kubectl("replace", "--filename=-", stdin=json.dumps(before))


def test_policies_as_shipped_are_in_order(look: Callable[[], str]) -> None:
    assert look() == ""


def test_a_deleted_binding_is_named(look: Callable[[], str], control_plane: Cluster) -> None:
    with registry.without_policy(control_plane, "assay-approvals"):
        assert look() == "ValidatingAdmissionPolicyBinding assay-approvals is missing"
    assert look() == ""


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("validatingadmissionpolicy", "/spec/failurePolicy", "Ignore"),
        ("validatingadmissionpolicy", "/spec/validations/0/expression", "true"),
        ("validatingadmissionpolicy", "/spec/matchConstraints/namespaceSelector", {"matchLabels": {"gate": "on"}}),
        (BINDING, "/spec/validationActions", ["Audit"]),
        (BINDING, "/spec/matchResources", {"namespaceSelector": {"matchLabels": {"gate": "on"}}}),
    ],
)
def test_a_change_is_named(
    look: Callable[[], str], control_plane: Cluster, kind: str, path: str, value: object
) -> None:
    patch = json.dumps([{"op": "add", "path": path, "value": value}])
    with changed(control_plane, kind, "assay-owner", patch):
        assert re.fullmatch(rf"(?i){kind} assay-owner was changed \({path[1:].split('/')[0]}\..*\)", look()), look()
    assert look() == ""


@pytest.mark.parametrize("text", ["", "a: b", "- a", "kind: ConfigMap\nmetadata: {name: a}", "{"])
def test_a_file_without_policies_is_refused_with_the_setting_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="ASSAY_POLICIES_FILE"):
        policy_watch.read(str(file))
