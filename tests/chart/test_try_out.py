"""The chart with a store of its own, as one tries it out: one value, and a run is recorded in it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.conftest import Release
from tests.cluster import charting, minio_image
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects, experiment

pytestmark = [pytest.mark.chart, pytest.mark.e2e]

Raw = dict[str, Any]
MINIO = {"enabled": True, "image": minio_image.IMAGE}


@pytest.fixture(scope="module")
def release(bare_release: Release, volume: None) -> Release:
    """The chart with its own store, on a volume as it has by default."""
    bare_release.install(store={}, minio=MINIO)
    return bare_release


@pytest.fixture(scope="module")
def volume(chart_cluster: LocalCluster) -> Iterator[None]:
    """A volume for whoever claims one: the cluster has no storage class that would make it."""
    path = "/var/lib/kubelet/assay-minio"
    chart_cluster.exec_in_namespaces("mkdir", "--parents", "--mode=777", path)
    spec = {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": path}}
    manifest = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "minio"}, "spec": spec}
    chart_cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    yield
    chart_cluster.kubectl("delete", "persistentvolume", "minio", "--wait=false")


def test_a_run_is_recorded_in_it(release: Release, objects: Objects) -> None:
    script = "artifacts.joinpath('model').write_text('m'); log(step=1, score=float(os.environ['PARAM_a']))"
    manifest = experiment("first", script, parameters=[{"name": "a", "values": [1, 2]}], register={"model": "digits"})
    manifest["spec"]["template"]["model"] = {"path": "model"}
    objects.apply(manifest)
    found = objects.wait_phase("experiment", "first", "Succeeded", "Failed")
    assert found["status"]["phase"] == "Succeeded", objects.get("run", "first-0")["status"]
    assert all(run["status"]["record"]["complete"] for run in objects.all("runs"))
    objects.wait_phase("mv", "digits.v1", "Ready")


def test_helm_test_passes(release: Release) -> None:
    said = release.helm.test(charting.NAME, timeout=120, logs=True)["logs"]
    assert f"store http://assay-minio.{release.namespace}.svc:9000: bucket assay answers" in said


def test_an_upgrade_keeps_the_key_and_the_data(release: Release, objects: Objects) -> None:
    before = release.kubectl("get", "secret", "assay-store", "-o", "jsonpath={.data}")
    release.upgrade(store={}, minio=MINIO, logLevel="DEBUG")
    assert release.kubectl("get", "secret", "assay-store", "-o", "jsonpath={.data}") == before
    objects.apply(experiment("second", "log(step=1, score=1.0)"))
    objects.wait_phase("experiment", "second", "Succeeded")


def test_uninstalling_removes_the_crds_on_request(release: Release, objects: Objects) -> None:
    """The last test of the module: there is no operator after it."""
    objects.apply(experiment("gone", "pass", suspend=True))
    release.upgrade(store={}, minio=MINIO, crds={"keep": False})
    release.uninstall()
    wait_for("the kinds to be gone", lambda: "assay" not in release.cluster.kubectl("get", "crds", "-o", "name"))
    wait_for("every pod to be gone", lambda: not release.kubectl("get", "pods", "-o", "name"))
