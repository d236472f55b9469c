"""A namespace that was deleted and made again is another tenant: what bears its name in the store is not its own."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from assay.api import names
from assay.controllers.tracking import records
from assay.store.errors import NotFound
from tests import operators, registry
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.integration.test_recorded import close, leave
from tests.integration.test_registry import Models

pytestmark = pytest.mark.integration

Raw = dict[str, Any]


@pytest.fixture(scope="module")
def operator(
    control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    with registry.operator(control_plane, tmp_path_factory, {"ASSAY_STORE_STS_SECONDS": "900"}) as process:
        yield process


class Old:
    """What an earlier tenant has left: a run with a model, and a registered version of it."""

    def __init__(self, models: Models) -> None:
        manifest = registry.run("trained", owner="olga", model={"path": "model"})
        manifest["spec"]["job"]["suspend"] = True
        models.apply(manifest)
        self.run = models.wait("run", "trained", "its Job", lambda o: o["status"]["phase"] == "Suspended", 60)
        records.open_record(models.store, self.run)  # as the operator does before the first pod
        leave(models.store, self.run, "p", 0.9)
        self.digest = close(models.store, self.run, "p").model_digest
        self.prefix = f"s3://assay/{records.prefix_of(self.run)}/"
        self.artifact = f"{self.prefix}pods/p/artifacts/model/"
        version = registry.model_version("digits", 1, namespace=models.namespace, owner="olga")
        version["spec"]["artifact"] = {"uri": self.artifact, "digest": self.digest}
        models.apply(version)
        models.wait("mv", "digits.v1", "Ready", lambda o: o["status"]["phase"] == "Ready", 60)
        self.model = f"s3://assay/models/{models.namespace}/digits/v1/"
        self.reference = {"name": "trained", "uid": self.run["metadata"]["uid"]}


@pytest.fixture
def models(control_plane: LocalCluster, operator: operators.OperatorProcess, namespace: str) -> Models:
    models = Models(control_plane, namespace)
    models.store.ensure_bucket()
    return models


@pytest.fixture
def old(models: Models, control_plane: LocalCluster) -> Old:
    """What is left of the namespace of before. The one that the test has was made after it."""
    found = Old(models)
    control_plane.delete_namespace(models.namespace)
    there = ("get", "namespace", models.namespace, "--ignore-not-found", "--output=name")
    wait_for("the namespace to be gone", lambda: not control_plane.kubectl(*there), seconds=90)
    control_plane.create_namespace(models.namespace)
    return found


def read(models: Models, name: str, uri: str) -> Raw:
    """Have a run read a data set; return its status once it is launched or refused."""
    manifest = registry.run(name, owner="nina", datasets=[{"name": "old", "uri": uri}])
    manifest["spec"]["job"]["suspend"] = True
    models.apply(manifest)
    found = models.wait("run", name, "judged", lambda o: o["status"]["phase"] in ("Failed", "Suspended"), 60)
    status: Raw = found["status"]
    return status


def register(models: Models, model: str, number: int, **spec: Any) -> Raw:
    manifest = registry.model_version(model, number, namespace=models.namespace, owner="nina")
    manifest["spec"] |= spec
    models.apply(manifest)
    name = f"{model}.v{number}"
    found = models.wait("mv", name, "judged", lambda o: o["status"]["phase"] in ("Failed", "Ready"), 60)
    status: Raw = found["status"]
    return status


def test_old_records_are_out_of_reach_of_a_new_namespace_of_that_name(models: Models, old: Old) -> None:
    addresses = [old.prefix, old.artifact, f"s3://assay/runs/{models.namespace}/", old.model]
    addresses.append(f"s3://assay/models/{models.namespace}/digits/")
    for number, uri in enumerate(addresses):
        status = read(models, f"reads-{number}", uri)
        assert (status["phase"], status["reason"]) == ("Failed", names.NOT_ENTITLED), uri
        assert "is older than this namespace" in status["message"]
    for number, artifact in enumerate(
        [
            {"artifact": {"uri": old.artifact, "digest": old.digest}},
            {"artifact": {"uri": old.model, "digest": old.digest}},
            {"artifact": {"digest": old.digest}, "run": old.reference},
        ],
        start=1,
    ):
        status = register(models, "stolen", number, **artifact)
        assert status["phase"] == "Failed", artifact
        assert "is older than this namespace" in status["message"], status["message"]
        with pytest.raises(NotFound):
            models.store.get_bytes(f"models/{models.namespace}/stolen/v{number}/manifest.json", 1 << 20)


def test_the_number_of_an_old_version_does_not_hand_out_its_bytes(models: Models, old: Old) -> None:
    """Who knows the digest would otherwise get what is registered already, whatever the source is."""
    key = f"runs/{models.namespace}/_/x/y/given"
    models.store.put_bytes(key, b"something else", "application/octet-stream")
    status = register(models, "digits", 1, artifact={"uri": f"s3://assay/{key}", "digest": old.digest})
    assert status["phase"] == "Failed"
    assert "is older than this namespace" in status["message"]


def _read_keys(models: Models) -> dict[str, str]:
    """The texts of the Secret with keys for readers, {} without one."""
    found = models.kubectl("get", "secret", names.READ_SECRET, "--ignore-not-found", "-o", "json")
    data = json.loads(found)["data"] if found else {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def test_readers_of_a_new_namespace_get_no_keys_for_old_records(
    models: Models, old: Old, operator: operators.OperatorProcess
) -> None:
    models.apply(registry.experiment("of-the-new-tenant"))
    wait_for("the reason", lambda: _read_keys(models), seconds=60, saw=operator.tail)
    assert list(found := _read_keys(models)) == ["problem"]
    assert "records of an earlier namespace" in found["problem"]
    prefixes = f"s3://assay/runs/{models.namespace}/ s3://assay/models/{models.namespace}/"
    models.cluster.kubectl("annotate", "namespace", models.namespace, f"assay.dev/allowed-prefixes={prefixes}")
    operator.kill()
    operator.start().wait_ready()
    wait_for("keys", lambda: "sessionToken" in _read_keys(models), seconds=60, saw=operator.tail)


def test_the_platform_team_can_hand_them_over(models: Models, old: Old) -> None:
    """As after a disaster, when the namespaces of a new cluster are those of the old one."""
    prefixes = f"s3://assay/runs/{models.namespace}/ s3://assay/models/{models.namespace}/"
    models.cluster.kubectl("annotate", "namespace", models.namespace, f"assay.dev/allowed-prefixes={prefixes}")
    assert read(models, "reads", old.prefix)["phase"] == "Suspended"
    assert register(models, "digits", 1, artifact={"uri": old.artifact, "digest": old.digest})["phase"] == "Ready"


def test_a_tenant_s_own_records_are_in_reach(models: Models) -> None:
    own = Old(models)
    for number, uri in enumerate((own.prefix, f"s3://assay/runs/{models.namespace}/", own.model)):
        assert read(models, f"reads-{number}", uri)["phase"] == "Suspended", uri
    models.kubectl("delete", "run", "trained", "--wait=false")
    body = {"artifact": {"digest": own.digest}, "run": own.reference}
    status = register(models, "again", 1, **body)
    assert "older than" not in json.dumps(status)
