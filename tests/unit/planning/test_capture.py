import json
from typing import Any

import pytest

from assay.planning.runs import capture
from assay.planning.runs.facts import PodFacts, pod_facts
from assay.planning.runs.job import JobSettings, build_job
from tests.unit.planning.objects import Raw, job_spec, pod, run

pytestmark = pytest.mark.unit


def node(kubelet: str = "v1.36.1", runtime: str = "containerd://2.2.9", name: str = "a", system: str = "linux") -> Raw:
    info = {"kubeletVersion": kubelet, "containerRuntimeVersion": runtime, "operatingSystem": system}
    return {"metadata": {"name": name}, "status": {"nodeInfo": info}}


# Whether nodes can mount images


@pytest.mark.parametrize(
    "runtime", ["containerd://2.1.0", "containerd://2.2.9-rc.1", "cri-o://1.33.2", "cri-o://1.36.0"]
)
def test_nodes_that_support_image_volumes(runtime: str) -> None:
    assert capture.why_not([node("v1.35.0", runtime), node("v1.36.1-gke.100", runtime)]) == ""


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([], "the cluster has no Linux node yet"),
        ([node(system="windows", kubelet="v1.20.0")], "the cluster has no Linux node yet"),
        (
            [node(), node("v1.34.9", name="old")],
            "node old has kubelet v1.34.9; image volumes require v1.35 or later",
        ),
        (
            [node(runtime="containerd://1.7.27")],
            "node a has containerd 1.7.27; image volumes require 2.1 or later",
        ),
        ([node(runtime="cri-o://1.32.0")], "node a has cri-o 1.32.0; image volumes require 1.33 or later"),
        (
            [node(runtime="docker://27.0.1")],
            "node a has the runtime docker://27.0.1, which is not known to support image volumes",
        ),
        ([node(kubelet="unknown")], "node a has kubelet unknown; image volumes require v1.35 or later"),
    ],
)
def test_nodes_without_image_volumes_are_reported_with_the_reason(nodes: list[Raw], why: str) -> None:
    assert capture.why_not(nodes) == why


# The pod


def built(unseen: str = "", container: Raw | None = None, **template: Any) -> Raw:
    body = run(job=job_spec(**template), parameters={"lr": 0.1})
    body["spec"]["job"]["template"]["spec"]["containers"][0] |= container or {}
    job = build_job(body, "runs/team/sweep/sweep-0/uid", JobSettings(image="assay"), unseen=unseen)
    found: Raw = job["spec"]["template"]["spec"]
    return found


def told(spec: Raw) -> Raw:
    recorder = spec["initContainers"][1]
    found: Raw = json.loads(next(each["value"] for each in recorder["env"] if each["name"] == "ASSAY_TRAINING"))
    return found


def test_the_recorder_alone_has_the_image_of_the_first_container() -> None:
    others = [{"name": "train", "image": "train:1", "imagePullPolicy": "Always"}, {"name": "side", "image": "side:1"}]
    spec = built(containers=others, initContainers=[{"name": "before", "image": "before:1"}])
    volumes = [each for each in spec["volumes"] if "image" in each]
    assert volumes == [{"name": "assay-image", "image": {"reference": "train:1", "pullPolicy": "Always"}}]
    mounting = [
        (each["name"], mount["mountPath"], mount["readOnly"])
        for each in (*spec["initContainers"], *spec["containers"])
        for mount in each["volumeMounts"]
        if mount["name"] == "assay-image"
    ]
    assert mounting == [("assay-recorder", "/image", True)]
    assert capture.is_shown(spec)
    assert "unseen" not in told(spec)


def test_without_a_pull_policy_the_api_server_chooses_the_same_for_both() -> None:
    assert {"name": "assay-image", "image": {"reference": "train:1"}} in built()["volumes"]


def test_an_unsupported_image_volume_is_not_mounted() -> None:
    spec = built("node a has docker")
    assert not capture.is_shown(spec)
    assert told(spec)["unseen"] == "node a has docker"


@pytest.mark.parametrize("image", [None, "", 3, ["x"]])
def test_a_container_without_an_image_gets_no_image_volume(image: Any) -> None:
    spec = built(container={"image": image})
    assert not capture.is_shown(spec)
    assert told(spec)["unseen"] == "the training container has no image"


def test_only_variable_names_are_passed_to_the_recorder() -> None:
    env = [
        {"name": "TOKEN", "value": "hidden"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    sources = [{"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "flags"}, "prefix": "P_"}]
    spec = built(container={"env": env, "envFrom": sources})
    ours = ["PARAM_lr", "ASSAY_RUN", "ASSAY_RUN_UID", "ASSAY_EXPERIMENT"]
    mlflow = ["MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"]
    assert told(spec)["variables"] == [*ours, *mlflow, "TOKEN", "KEY"]
    assert told(spec)["variables_from"] == ["secret/keys", "configMap/flags"]
    assert "hidden" not in json.dumps(spec["initContainers"][1])


def test_passed_values_contain_no_variable_references() -> None:
    spec = built(container={"env": [{"name": "$(ASSAY_CREDENTIALS)", "value": "x"}], "image": "$(HOME)/x"})
    value = next(each["value"] for each in spec["initContainers"][1]["env"] if each["name"] == "ASSAY_TRAINING")
    assert "$" not in value
    assert "$(ASSAY_CREDENTIALS)" in told(spec)["variables"]


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({"limits": {"nvidia.com/gpu": 2, "cpu": "1"}}, {"nvidia.com/gpu": "2"}),
        ({"requests": {"amd.com/gpu": "1"}, "limits": {"amd.com/gpu": "1"}}, {"amd.com/gpu": "1"}),
        ({"limits": {"nvidia.com/mig-1g.5gb": 1}}, {"nvidia.com/mig-1g.5gb": "1"}),
        ({"limits": {"google.com/tpu": 8}}, {"google.com/tpu": "8"}),
        ({"limits": {"cpu": 8, "memory": "1Gi", "ephemeral-storage": "1Gi"}}, {}),
        ({}, {}),
        ("nonsense", {}),
        ({"limits": ["nonsense"]}, {}),
    ],
)
def test_gpus_are_known_by_their_names(resources: Any, gpus: Raw) -> None:
    assert told(built(container={"resources": resources}))["gpus"] == gpus


def test_passed_data_fits_into_one_environment_variable() -> None:
    env = [{"name": f"N{number}" + "ä" * 240, "value": "v"} for number in range(5000)]
    sources = [{"secretRef": {"name": f"s{number}" + "x" * 240}} for number in range(5000)]
    spec = built(container={"env": env, "envFrom": sources, "image": "i" * 5000})
    value = next(each["value"] for each in spec["initContainers"][1]["env"] if each["name"] == "ASSAY_TRAINING")
    assert len(value) < 100_000
    assert told(spec)["variables"][-1].startswith("N")


# A pod that cannot be created


def waiting(container: str, reason: str, message: str) -> PodFacts:
    part = {"name": container, "state": {"waiting": {"reason": reason, "message": message}}}
    body = pod("Pending")
    body["status"]["initContainerStatuses"] = [part]
    body["spec"]["containers"] = [{"name": "train", "image": "train:1"}]
    return pod_facts(body)


def test_a_recorder_that_cannot_be_created_is_attributed_to_the_image_volume() -> None:
    pods = [waiting("assay-recorder", "CreateContainerError", "failed to mount image volume")]
    said = "the pod could not be created with the image volume: container assay-recorder: failed to mount image volume"
    assert capture.refused(pods, "") == said


@pytest.mark.parametrize(
    ("container", "reason"),
    [("assay-recorder", "ImagePullBackOff"), ("assay-recorder", "PodInitializing"), ("before", "CreateContainerError")],
)
def test_other_failures_are_not_attributed_to_the_image_volume(container: str, reason: str) -> None:
    assert capture.refused([waiting(container, reason, "sorry")], "the Job's pods are refused: exceeded quota") == ""


def test_a_refusal_of_the_image_volume_by_a_policy_is_recognised() -> None:
    message = 'restricted volume types (volume "assay-image" uses restricted volume type "image")'
    assert capture.refused([], message) == f"the pod with the image volume was refused: {message}"


@pytest.mark.parametrize(
    ("image", "about"), [("train:1", "container train: "), ("assay:1", "container assay-recorder: ")]
)
def test_an_unpullable_image_of_the_recorder_is_attributed_to_the_training(image: str, about: str) -> None:
    found = waiting("assay-recorder", "ErrImageNeverPull", f'Container image "{image}" is not present')
    assert found.waiting_message == f'{about}Container image "{image}" is not present'
