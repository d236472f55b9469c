"""The cluster is lost and the store is not: what was there is rebuilt, applied, approved anew and bound again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.api import names
from assay.controllers.tracking import records
from assay.store import audit
from assay.store.restore.__main__ import main
from tests import operators, registry
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.integration.test_recorded import close, leave
from tests.integration.test_registry import Models
from tests.objects import condition

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
UID = "0b5c5a2e-6f0e-4c1b-8f5e-0d6f3c2b1a90"


@pytest.fixture(scope="module")
def operator(
    control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    with registry.operator(control_plane, tmp_path_factory) as process:
        yield process


@pytest.fixture
def models(
    control_plane: LocalCluster,
    operator: operators.OperatorProcess,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Models:
    for name, value in control_plane.store.environment().items():
        monkeypatch.setenv(name, value)
    models = Models(control_plane, namespace)
    models.store.ensure_bucket()
    return models


def policy(alias: str, **spec: Any) -> Raw:
    metadata = {"name": f"for-{alias}"}
    spec = {"match": {"aliases": [alias]}, "approvals": {"required": 1}, **spec}
    return {"apiVersion": names.API_VERSION, "kind": names.PROMOTION_POLICY, "metadata": metadata, "spec": spec}


def record_of_a_run(models: Models) -> Raw:
    """Leave in the store what a run leaves that has made a model; return the version's reference to it."""
    metadata = {
        "name": "sweep-1",
        "namespace": models.namespace,
        "uid": UID,
        "labels": {names.LABEL_EXPERIMENT: "sweep"},
    }
    template = {"spec": {"containers": [{"name": "train", "image": "train:1"}]}}
    spec = {"parameters": {"lr": 0.1}, "model": {"path": "model"}, "job": {"template": template}}
    run = {"apiVersion": names.API_VERSION, "kind": names.RUN, "metadata": metadata, "spec": spec}
    records.open_record(models.store, run)
    leave(models.store, run, "p", 0.9)
    closed = close(models.store, run, "p")
    artifact = {
        "digest": closed.model_digest,
        "uri": f"s3://{models.store.config.bucket}/{records.prefix_of(run)}/pods/p/artifacts/model",
    }
    return {"run": {"name": "sweep-1", "uid": UID, "experiment": "sweep"}, "artifact": artifact}


def lose_the_cluster(models: Models, operator: operators.OperatorProcess) -> None:
    """What becomes of a namespace when etcd is lost: nothing is left, and nobody was told."""
    operator.kill()
    cluster = models.cluster
    cluster.kubectl("delete", "namespace", models.namespace, "--timeout=60s")
    heads = ("delete", "configmap", "assay-audit-heads", f"--namespace={operators.NAMESPACE}", "--ignore-not-found")
    cluster.kubectl(*heads)
    # Where the registered bytes were copied from was kept no longer.
    for info in list(models.store.list(f"runs/{models.namespace}/")):
        if "/artifacts/" in info.key or "/given/" in info.key:
            models.store.delete(info.key)


def ready(models: Models, name: str) -> Raw:
    return models.wait("modelversion", name, "Ready", lambda o: o["status"]["phase"] == "Ready", 30)


def test_restored_objects_are_blocked_until_approved_again(
    models: Models, operator: operators.OperatorProcess, tmp_path: Path
) -> None:
    models.apply(policy("champion"))
    models.apply(policy("canary", evidence={"provenanceVerified": False}))
    models.registered("digits", 1, b"one")
    named = record_of_a_run(models)
    models.apply(registry.model_version("digits", 2, namespace=models.namespace, owner="dora", **named))
    assert condition(ready(models, "digits.v2"), "ProvenanceVerified")["reason"] == "FromRun"
    models.registered("digits", 3, b"three")
    models.kubectl("delete", "modelversion", "digits.v3")
    models.register("digits", 4, b"four", archived=True)
    models.wait("modelversion", "digits.v4", "Archived", lambda o: o["status"]["phase"] == "Archived", 20)
    for alias, version in (("champion", 2), ("canary", 1)):
        models.approve(f"digits.v{version}", alias, "rita")
        models.apply(registry.model_alias("digits", alias, version))
        models.bound(f"digits.{alias}", version)
    wait_for("the deletion to be recorded", lambda: "VersionDeleted" in models.actions("digits.v3"), seconds=10)
    before = {name: models.get("modelversion", name)["spec"] for name in ("digits.v1", "digits.v2", "digits.v4")}
    head = audit.verify_store(models.store, models.namespace).head

    lose_the_cluster(models, operator)
    where = tmp_path / "restored.yaml"
    assert main([models.namespace, f"--to={where}", f"--expect={head}"]) == 0
    models.cluster.create_namespace(models.namespace)
    # The namespace is another one: what the old one had recorded is handed over.
    prefixes = f"s3://assay/runs/{models.namespace}/ s3://assay/models/{models.namespace}/"
    models.cluster.kubectl("annotate", "namespace", models.namespace, f"assay.dev/allowed-prefixes={prefixes}")
    operator.start().wait_ready()
    models.cluster.kubectl("apply", f"--filename={where}")

    for name in ("digits.v1", "digits.v2"):
        found = ready(models, name)
        assert found["spec"]["owner"] == "dora"
        assert found["spec"]["artifact"]["digest"] == before[name]["artifact"]["digest"]
        assert found["status"]["artifact"]["digest"] == before[name]["artifact"]["digest"]
    assert models.get("modelversion", "digits.v2")["spec"]["run"] == before["digits.v2"]["run"]
    origin = condition(models.get("modelversion", "digits.v2"), "ProvenanceVerified")
    assert (origin["status"], origin["reason"]) == ("True", "FromRun")
    assert models.get("modelversion", "digits.v3") == {}
    models.wait("modelversion", "digits.v4", "Archived", lambda o: o["status"]["phase"] == "Archived", 20)

    for alias, version in (("champion", 2), ("canary", 1)):
        name = f"digits.{alias}"
        missing = f"needs 1 more approval for {alias}"
        models.alias(name, missing, lambda o, missing=missing: missing in (o["status"].get("message") or ""))
        models.approve(f"digits.v{version}", alias, "rita")
        models.bound(name, version)

    # The number of a version that was deleted, and is not rebuilt, stays taken.
    models.register("digits", 3, b"something else")
    refused = models.wait("modelversion", "digits.v3", "Failed", lambda o: o["status"]["phase"] == "Failed", 20)
    assert "numbers are never reused" in refused["status"]["message"]

    report = audit.verify_store(models.store, models.namespace, [head])
    assert report.intact, report.findings
    assert report.head.sequence > head.sequence
    assert models.actions("digits.champion") == ["AliasBound", "BindingRefused", "AliasBound"]
