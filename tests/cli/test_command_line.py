"""What all commands have in common: users, clusters, and errors."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import registry
from tests.cli.conftest import Answer, run_process
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Assay = Callable[..., Answer]


@pytest.fixture
def assay(governed: Cluster, namespace: str) -> Assay:
    """`assay …` as a process of its own, in the test's namespace, as the administrator."""
    environment = {"KUBECONFIG": str(governed.kubeconfig), **governed.store.environment()}
    return lambda *argv, **more: run_process(*argv, "-n", namespace, environment={**environment, **more})


def test_without_a_kubeconfig_the_error_explains_how_to_select_a_cluster(tmp_path: Path) -> None:
    answer = run_process("runs", environment={"KUBECONFIG": str(tmp_path / "none")})
    assert answer.code == 2
    assert "cannot use the kubeconfig" in answer.err
    assert "--kubeconfig" in answer.err


def test_a_misspelled_command_gets_suggestions() -> None:
    answer = run_process("version", environment={})
    assert answer.code == 2
    assert "Did you mean" in answer.err


def test_commands_use_only_the_users_own_rights(assay: Assay, governed: Cluster, namespace: str) -> None:
    governed.kubectl(
        "create", "-n", namespace, "-f", "-", stdin=json.dumps(registry.model_version("digits", 1, namespace=namespace))
    )
    assert assay("versions", "digits").lines[1].startswith("digits.v1")
    refused = assay("versions", "digits", "--as", "nobody")
    assert refused.code == 4
    assert "nobody" in refused.err
    assert "kubectl auth can-i" in refused.err


def test_impersonation_in_the_kubeconfig_is_honoured(
    assay: Assay, governed: Cluster, namespace: str, impersonate: Callable[..., Path]
) -> None:
    manifest = registry.model_version("digits", 1, namespace=namespace)
    governed.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))
    refused = assay("versions", "digits", KUBECONFIG=str(impersonate("jürgen")))
    assert refused.code == 4
    assert 'User "jürgen"' in refused.err
    assert assay("versions", "digits", KUBECONFIG=str(impersonate("dora", "system:masters"))).code == 0
    other = assay("versions", "digits", "--as", "nobody", KUBECONFIG=str(impersonate("dora")))
    assert 'User "nobody"' in other.err


def test_an_unreachable_cluster_is_reported(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, users: [{name: x, user: {}}],"
        " clusters: [{name: x, cluster: {server: 'http://127.0.0.1:9'}}],"
        " contexts: [{name: x, context: {cluster: x, user: x}}]}"
    )
    answer = run_process("runs", environment={"KUBECONFIG": str(config)})
    assert answer.code == 5
    assert "cannot reach" in answer.err
