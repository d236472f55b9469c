"""What all commands have in common: who asks, where, and how it is said that something cannot be done."""

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


def test_a_person_without_a_cluster_is_told_how_to_name_one(tmp_path: Path) -> None:
    answer = run_process("runs", environment={"KUBECONFIG": str(tmp_path / "none")})
    assert answer.code == 2
    assert "cannot use the kubeconfig" in answer.err
    assert "--kubeconfig" in answer.err


def test_what_is_typed_wrongly_is_answered_with_what_is_near() -> None:
    answer = run_process("version", environment={})
    assert answer.code == 2
    assert "Did you mean" in answer.err


def test_a_person_sees_with_their_own_rights_alone(assay: Assay, governed: Cluster, namespace: str) -> None:
    governed.kubectl(
        "create", "-n", namespace, "-f", "-", stdin=json.dumps(registry.model_version("digits", 1, namespace=namespace))
    )
    assert assay("versions", "digits").lines[1].startswith("digits.v1")
    refused = assay("versions", "digits", "--as", "nobody")
    assert refused.code == 4
    assert "nobody" in refused.err
    assert "kubectl auth can-i" in refused.err


def test_a_kubeconfig_that_acts_as_somebody_does_so_here_too(
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


def test_a_cluster_that_does_not_answer_is_said_so(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, users: [{name: x, user: {}}],"
        " clusters: [{name: x, cluster: {server: 'http://127.0.0.1:9'}}],"
        " contexts: [{name: x, context: {cluster: x, user: x}}]}"
    )
    answer = run_process("runs", environment={"KUBECONFIG": str(config)})
    assert answer.code == 5
    assert "cannot reach" in answer.err
