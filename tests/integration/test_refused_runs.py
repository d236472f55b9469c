"""Runs that cannot be launched, and objects that cannot be reconciled, say so themselves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import operators, pod_templates, registry
from tests.cluster.local import LocalCluster
from tests.objects import Objects

pytestmark = pytest.mark.integration

Raw = dict[str, Any]


@pytest.fixture
def objects(control_plane: LocalCluster, namespace: str, tmp_path: Path) -> Iterator[Objects]:
    """A namespace with an operator that serves it, and no other."""
    operators.install(control_plane)
    environment = {"ASSAY_NAMESPACES": namespace}
    with operators.OperatorProcess(control_plane, tmp_path / "operator.log", environment):
        yield Objects(control_plane, namespace)


def create(objects: Objects, manifest: Raw) -> None:
    """Create an object as the operator may, whom the policies let write labels of Assay's."""
    objects.kubectl("create", "-f", "-", *registry.AS_OPERATOR, stdin=json.dumps(manifest))


def reason(objects: Objects, name: str) -> tuple[str, str]:
    found = objects.wait_phase("run", name, "Failed", "Succeeded", seconds=60)["status"]
    return found["reason"], found["message"]


@pytest.mark.parametrize("label", ["Upper", "a_b", "a..b"])
def test_a_label_that_cannot_be_part_of_a_prefix_fails_the_run(objects: Objects, label: str) -> None:
    create(objects, registry.run("odd", owner="dora") | {"metadata": _labelled("odd", label)})
    why, said = reason(objects, "odd")
    assert why == "InvalidLabel"
    assert said.startswith("metadata.labels[assay.dev/experiment], metadata.name: ")
    assert repr(label) in said
    assert not objects.all("jobs")


def _labelled(name: str, label: str) -> Raw:
    return {"name": name, "labels": {"assay.dev/experiment": label}}


def test_a_template_refused_by_the_operator_fails_the_run_with_a_reason(
    objects: Objects, control_plane: LocalCluster
) -> None:
    with registry.without_policy(control_plane, "assay-pod-security"):
        for name in ("host-network", "privileged-init", "service-account"):
            manifest = registry.run(name, owner="dora")
            manifest["spec"]["job"]["template"]["spec"] = pod_templates.FORBIDDEN[name]
            create(objects, manifest)
        for name in ("host-network", "privileged-init", "service-account"):
            why, said = reason(objects, name)
            assert why == "PodSecurity"
            assert said.endswith("runs.podSecurity of this cluster is baseline")
    assert not objects.all("jobs")


def test_an_unknown_job_field_fails_the_run_and_its_experiment(objects: Objects) -> None:
    manifest = registry.run("misspelled", owner="dora")
    pod = manifest["spec"]["job"]["template"]["spec"]
    pod["initContainers"] = [{"name": "prepare", "image": "a", "comand": ["true"]}]
    pod["containers"][0]["resouces"] = {"limits": {"cpu": 1}}
    create(objects, manifest)
    why, said = reason(objects, "misspelled")
    assert why == "InvalidTemplate"
    assert 'unknown field "spec.job.template.spec.initContainers[0].comand"' in said
    assert 'unknown field "spec.job.template.spec.containers[0].resouces"' in said
    assert not objects.all("jobs")
    experiment = {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": "sweep"},
        "spec": {
            "owner": "dora",
            "parameters": [{"name": "a", "values": [1, 2, 3, 4, 5, 6]}],
            "template": {"job": manifest["spec"]["job"]},
        },
    }
    create(objects, experiment)
    found = objects.wait_phase("experiment", "sweep", "Failed", "Succeeded", seconds=60)["status"]
    assert found["message"].endswith("cannot start, and every run has the same template")
    assert found["runs"]["failed"] <= found["runs"]["total"] // 2


def test_a_mistake_in_the_template_ends_the_experiment_without_a_run(objects: Objects) -> None:
    job = registry.run("one")["spec"]["job"]
    job["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "lots"}}
    experiment = {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": "sweep"},
        "spec": {"owner": "dora", "parameters": [{"name": "a", "values": [1, 2]}], "template": {"job": job}},
    }
    create(objects, experiment)
    found = objects.wait_phase("experiment", "sweep", "Failed", "Succeeded", seconds=60)["status"]
    assert "resources.requests.cpu: 'lots' is not an amount such as 2 or 500m" in found["message"]
    assert not objects.all("run")


def test_an_object_that_cannot_be_reconciled_is_stalled_until_repaired(objects: Objects) -> None:
    """A status that no operator of this version can have written, as after a downgrade or by a hand on etcd."""
    manifest = registry.run("broken", owner="dora")
    manifest["spec"]["job"]["suspend"] = True
    create(objects, manifest)
    objects.wait_phase("run", "broken", "Suspended", seconds=60)
    odd = [{"op": "add", "path": "/metadata/labels", "value": {"assay.dev/experiment": "A_b"}}]
    path = ("run", "broken", "--type=json", *registry.AS_OPERATOR)
    objects.kubectl("patch", *path, "-p", json.dumps(odd))
    objects.kubectl("delete", "job", "broken")
    found = objects.wait("run", "broken", "Stalled", lambda o: _stalled(o), seconds=60)
    condition = _stalled(found)
    assert condition["reason"] == "CannotBeReconciled"
    assert "'A_b' cannot be part of a run's prefix" in condition["message"]
    assert found["status"]["message"] == condition["message"]
    objects.kubectl("patch", *path, "-p", json.dumps([{"op": "remove", "path": "/metadata/labels"}]))
    ended = objects.wait_phase("run", "broken", "Failed", seconds=90)
    assert ended["status"]["reason"] == "JobDeleted"
    assert not _stalled(ended)


def _stalled(run: Raw) -> Raw:
    conditions = run.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Stalled"), {})


def _quota(**hard: str) -> Raw:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": hard}}


def test_a_run_blocked_by_a_quota_starts_once_the_quota_allows(objects: Objects) -> None:
    objects.kubectl("create", "-f", "-", stdin=json.dumps(_quota(**{"count/jobs.batch": "0"})))
    objects.wait("resourcequota", "none", "counted", lambda quota: quota.get("status", {}).get("used"))
    create(objects, registry.run("patient", owner="dora"))
    waiting = objects.wait("run", "patient", "refused", lambda run: run.get("status", {}).get("reason"), seconds=60)
    assert (waiting["status"]["phase"], waiting["status"]["reason"]) == ("Pending", "LaunchRefused")
    assert "exceeded quota: none" in waiting["status"]["message"]
    objects.kubectl("delete", "resourcequota", "none")
    objects.wait("run", "patient", "launched", lambda run: run["status"].get("jobUid"), seconds=60)
    assert len(objects.all("jobs")) == 1
