"""A pod that cannot be created with the image of its training: the run goes on without, whatever it takes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import operators
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects, run
from tests.registry import AS_COMPONENT, AS_OPERATOR

pytestmark = pytest.mark.integration

Raw = dict[str, Any]


@pytest.fixture
def objects(control_plane: LocalCluster, namespace: str) -> Objects:
    operators.install(control_plane)
    return Objects(control_plane, namespace)


@pytest.fixture
def operator(objects: Objects, control_plane: LocalCluster, tmp_path: Path) -> Iterator[operators.OperatorProcess]:
    environment = {"ASSAY_NAMESPACES": objects.namespace, "ASSAY_CAPTURE_IMAGE": "always"}
    with operators.OperatorProcess(control_plane, tmp_path / "operator.log", environment) as process:
        yield process


def apply(objects: Objects, name: str) -> None:
    manifest = run(name, "pass")
    # No kubelet is to touch its pod: what kubelets say is said by the test.
    manifest["spec"]["job"]["template"]["spec"]["schedulerName"] = "nobody"
    objects.apply(manifest)


def pod_of(objects: Objects, job: Raw) -> Raw:
    found: list[Raw] = []

    def probe() -> bool:
        found[:] = objects.all("pods", f"batch.kubernetes.io/controller-uid={job['metadata']['uid']}")
        return bool(found)

    wait_for("the Job's pod", probe, seconds=30)
    return found[0]


def refuse(objects: Objects, pod: Raw, reason: str = "CreateContainerError") -> None:
    waiting = {"waiting": {"reason": reason, "message": "no image volumes here"}}
    each = {"name": "assay-recorder", "image": "a", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
    patch = {"status": {"phase": "Pending", "initContainerStatuses": [each]}}
    objects.kubectl(
        "patch",
        "pod",
        pod["metadata"]["name"],
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps(patch),
        *AS_COMPONENT,
    )


def job_other_than(objects: Objects, name: str, uid: str) -> Raw:
    return objects.wait("job", name, "another Job", lambda o: o["metadata"]["uid"] != uid, seconds=30)


def shows_image(job: Raw) -> bool:
    return any(volume["name"] == "assay-image" for volume in job["spec"]["template"]["spec"]["volumes"])


def test_run_is_launched_again_without_the_image(objects: Objects, operator: operators.OperatorProcess) -> None:
    apply(objects, "stuck")
    first = objects.wait("job", "stuck", "the Job", lambda o: o["metadata"]["uid"])
    assert shows_image(first)
    refuse(objects, pod_of(objects, first))
    second = job_other_than(objects, "stuck", first["metadata"]["uid"])
    assert not shows_image(second)
    uid = second["metadata"]["uid"]
    found = objects.wait("run", "stuck", "the new Job is followed", lambda o: o["status"].get("jobUid") == uid)
    assert found["status"]["phase"] == "Pending"
    assert found["status"]["environment"] == {
        "source": "recorder",
        "packages": 0,
        "message": "the pod could not be created with the image volume: "
        "container assay-recorder: no image volumes here",
    }
    # The pod of the second Job may have the same trouble, for another reason: that is told, and no third is made.
    refuse(objects, pod_of(objects, second))
    objects.wait("run", "stuck", "its reason", lambda o: o["status"].get("reason") == "CreateContainerError")
    assert objects.get("job", "stuck")["metadata"]["uid"] == uid


def test_operator_killed_in_between_does_the_same(objects: Objects, operator: operators.OperatorProcess) -> None:
    """The status says it first: whoever deletes the Job then, the run does not end with it."""
    apply(objects, "halfway")
    first = objects.wait("job", "halfway", "the Job", lambda o: o["metadata"]["uid"])
    objects.wait("run", "halfway", "its Job is known", lambda o: o.get("status", {}).get("jobUid"))
    operator.kill()
    environment = {"source": "recorder", "packages": 0, "message": "no image volumes here"}
    patch = {"status": {"jobUid": None, "environment": environment}}
    # The policies may be in force, by which nobody else may write a status.
    options = ("--subresource=status", "--type=merge", *AS_OPERATOR)
    objects.kubectl("patch", "run", "halfway", *options, "-p", json.dumps(patch))
    objects.kubectl("delete", "job", "halfway", "--wait=false")
    operator.start().wait_ready()
    second = job_other_than(objects, "halfway", first["metadata"]["uid"])
    assert not shows_image(second)
    uid = second["metadata"]["uid"]
    objects.wait("run", "halfway", "the new Job is followed", lambda o: o["status"].get("jobUid") == uid)


def test_an_unpullable_training_image_is_not_blamed_on_the_image_volume(
    objects: Objects, operator: operators.OperatorProcess
) -> None:
    apply(objects, "absent")
    first = objects.wait("job", "absent", "the Job", lambda o: o["metadata"]["uid"])
    refuse(objects, pod_of(objects, first), "ErrImagePull")
    objects.wait("run", "absent", "its reason", lambda o: o["status"].get("reason") == "ErrImagePull")
    assert objects.get("job", "absent")["metadata"]["uid"] == first["metadata"]["uid"]
