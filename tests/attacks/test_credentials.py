"""Attacks on the keys of the store that runs and servers are given, and on the operator's containers in their pods."""

import copy
import json
from typing import Any

import pytest

from tests import registry
from tests.attackers import EDITOR, JOB_CONTROLLER, OMNIPOTENT, SCIENTIST, Outcome, Realm, stopped
from tests.registry import Raw

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

SECRET = "assay-run-9d3c3b2e-7b1c-4c7f-9f43-0d0f3a1d0001"
READ_SECRET = "assay-read"
MODEL_SECRET = "assay-model-9d3c3b2e-7b1c-4c7f-9f43-0d0f3a1d0002"
MOUNTED = {"volumes": [{"name": "keys", "secret": {"secretName": SECRET}}]}
LABELS = {"app": "mine"}


def _spec(**pod: Any) -> Raw:
    return {"restartPolicy": "Never", "containers": [{"name": "mine", "image": "mine"}], **pod}


def _workload(kind: str, name: str, pod: Raw) -> Raw:
    """Return a workload of a kind with this pod spec, without replicas where it can be."""
    metadata, template = {"name": name}, {"metadata": {"labels": LABELS}, "spec": pod}
    if kind == "Pod":
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": pod}
    if kind == "PodTemplate":
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "template": template}
    if kind == "ControllerRevision":
        body = {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "revision": 1}
        return {**body, "data": {"spec": {"template": template}}}
    if kind in ("Job", "CronJob"):
        job: Raw = {"suspend": True, "template": template}
        spec = job if kind == "Job" else {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}
        return {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": spec}
    template["spec"] = {**pod, "restartPolicy": "Always"}
    if kind == "ReplicationController":
        spec = {"replicas": 0, "selector": LABELS, "template": template}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
    spec = {"selector": {"matchLabels": LABELS}, "template": template}
    spec |= {} if kind == "DaemonSet" else {"replicas": 0}
    spec |= {"serviceName": name} if kind == "StatefulSet" else {}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


KINDS = [
    *("Pod", "PodTemplate", "ReplicationController", "Deployment", "StatefulSet", "ReplicaSet", "DaemonSet"),
    *("ControllerRevision", "Job", "CronJob"),
]
#: In-tree volumes that name a Secret beside the one that is a Secret.
VOLUMES: dict[str, Raw] = {
    "projected": {"projected": {"sources": [{"secret": {"name": SECRET}}]}},
    "csi": {"csi": {"driver": "csi.example.com", "nodePublishSecretRef": {"name": SECRET}}},
    "azureFile": {"azureFile": {"secretName": SECRET, "shareName": "share"}},
    "cephfs": {"cephfs": {"monitors": ["a:1"], "secretRef": {"name": SECRET}}},
    "cinder": {"cinder": {"volumeID": "x", "secretRef": {"name": SECRET}}},
    "flexVolume": {"flexVolume": {"driver": "example.com/x", "secretRef": {"name": SECRET}}},
    "iscsi": {"iscsi": {"targetPortal": "a:1", "iqn": "iqn.2026-01.com.x:y", "lun": 0, "secretRef": {"name": SECRET}}},
    "rbd": {"rbd": {"monitors": ["a:1"], "image": "x", "secretRef": {"name": SECRET}}},
    "scaleIO": {"scaleIO": {"gateway": "a", "system": "s", "volumeName": "v", "secretRef": {"name": SECRET}}},
    "storageos": {"storageos": {"volumeName": "v", "secretRef": {"name": SECRET}}},
}
VARIABLES: dict[str, Raw] = {
    "env": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "credentials.json"}}}]},
    "envFrom": {"envFrom": [{"secretRef": {"name": SECRET}}]},
}


@pytest.mark.parametrize("user", [SCIENTIST, EDITOR, OMNIPOTENT])
def test_k01_mount_the_keys_of_a_run_in_another_job(realm: Realm, user: str) -> None:
    stopped("K01", realm.create(user, _workload("Job", f"k01-{user}", _spec(**MOUNTED))))


@pytest.mark.parametrize("kind", KINDS)
def test_k02_mount_the_keys_in_any_kind_of_workload(realm: Realm, kind: str) -> None:
    stopped("K02", realm.create(OMNIPOTENT, _workload(kind, f"k02-{kind.lower()}", _spec(**MOUNTED))))


@pytest.mark.parametrize("volume", VOLUMES)
def test_k03_mount_the_keys_with_another_volume_type(realm: Realm, volume: str) -> None:
    pod = _spec(volumes=[{"name": "keys", **VOLUMES[volume]}])
    stopped("K03", realm.create(OMNIPOTENT, _workload("Pod", f"k03-{volume.lower()}", pod)))


@pytest.mark.parametrize("part", ["containers", "initContainers"])
@pytest.mark.parametrize("variable", VARIABLES)
def test_k04_read_the_keys_through_a_variable(realm: Realm, variable: str, part: str) -> None:
    pod = _spec() | {part: [{"name": "other", "image": "mine", **VARIABLES[variable]}]}
    stopped("K04", realm.create(EDITOR, _workload("Job", f"k04-{variable}-{part}".lower(), pod)))


@pytest.mark.parametrize("variable", VARIABLES)
def test_k05_read_the_keys_in_an_ephemeral_container(realm: Realm, variable: str) -> None:
    name = f"k05-{variable.lower()}"
    realm.created(EDITOR, _workload("Pod", name, _spec()))
    stopped("K05", _debug(realm, name, **VARIABLES[variable]))


@pytest.mark.parametrize("kind", ["Pod", "CronJob"])
def test_k06_use_the_keys_as_an_image_pull_secret(realm: Realm, kind: str) -> None:
    pod = _spec(imagePullSecrets=[{"name": SECRET}])
    stopped("K06", realm.create(EDITOR, _workload(kind, f"k06-{kind.lower()}", pod)))


def test_k07_use_a_service_account_that_references_the_keys(realm: Realm) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "k07"}}
    realm.created(EDITOR, {**account, "imagePullSecrets": [{"name": SECRET}]})
    stopped("K07", realm.create(EDITOR, _workload("Pod", "k07", _spec(serviceAccountName="k07"))))


@pytest.mark.parametrize("name", [MODEL_SECRET, READ_SECRET])
def test_k08_mount_the_keys_of_a_version_or_of_readers(realm: Realm, name: str) -> None:
    pod = _spec(volumes=[{"name": "keys", "secret": {"secretName": name}}])
    stopped("K08", realm.create(EDITOR, _workload("Deployment", f"k08-{len(name)}", pod)))


@pytest.mark.parametrize("kind", ["Deployment", "CronJob", "ReplicaSet"])
def test_k09_mount_the_keys_in_an_existing_workload(realm: Realm, kind: str) -> None:
    name = f"k09-{kind.lower()}"
    realm.created(EDITOR, _workload(kind, name, _spec()))
    template: Raw = {"template": {"spec": MOUNTED}}
    patch = {"spec": {"jobTemplate": {"spec": template}} if kind == "CronJob" else template}
    stopped("K09", realm.act(EDITOR, "patch", f"{kind}/{name}", "--type=merge", f"--patch={json.dumps(patch)}"))


def test_k10_mount_the_keys_with_a_job_older_than_the_policy(realm: Realm) -> None:
    """The Job controller copies what templates say; a run's pods mount their own run's keys, and no other pods do."""
    _, job = realm.launched("k10")
    other = copy.deepcopy(job)
    for volume in other["spec"]["template"]["spec"]["volumes"]:
        if "secret" in volume:
            volume["secret"]["secretName"] = SECRET
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "k10", "uid": job["metadata"]["uid"], "controller": True}
    pod = _workload("Pod", "k10", {**other["spec"]["template"]["spec"], "schedulerName": "nobody"})
    pod["metadata"] |= {"ownerReferences": [owner], "labels": job["spec"]["template"]["metadata"]["labels"]}
    stopped("K10", realm.create(JOB_CONTROLLER, pod))


@pytest.mark.parametrize("name", [SECRET, MODEL_SECRET, READ_SECRET])
def test_k11_write_the_secret_before_the_operator_does(realm: Realm, name: str) -> None:
    stopped("K11", realm.create(EDITOR, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}))


@pytest.mark.parametrize(
    ("name", "field"), [("assay-run-k12", "data"), ("assay-run-k12s", "stringData"), (READ_SECRET, "data")]
)
def test_k12_put_other_keys_into_the_secret(realm: Realm, name: str, field: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    realm.created(registry.OPERATOR, secret)
    patch = {field: {"credentials.json": "bWluZQ=="}}
    stopped("K12", realm.act(EDITOR, "patch", "secret", name, "--type=merge", f"--patch={json.dumps(patch)}"))


@pytest.mark.parametrize("container", ["assay-recorder", "assay-recorder-standby"])
@pytest.mark.parametrize("how", ["exec", "attach"])
def test_k13_exec_or_attach_to_the_recorder(realm: Realm, how: str, container: str) -> None:
    pod = realm.training_pod(f"k13-{how}-{len(container)}")
    query = f"container={container}&stdout=true" + ("&command=cat&command=/proc/1/environ" if how == "exec" else "")
    path = f"/api/v1/namespaces/{realm.namespace}/pods/{pod}/{how}?{query}"
    stopped("K13", realm.act(EDITOR, "create", f"--raw={path}", "--filename=-", stdin={}))


@pytest.mark.parametrize("volume", ["assay-store", "assay-run", "assay-recorder"])
def test_k14_debug_a_run_with_its_volumes(realm: Realm, volume: str) -> None:
    mounts = [{"name": volume, "mountPath": "/there"}]
    stopped("K14", _debug(realm, realm.training_pod(f"k14-{volume}"), volumeMounts=mounts))


def test_k15_debug_the_recorder(realm: Realm) -> None:
    stopped("K15", _debug(realm, realm.training_pod("k15"), targetContainerName="assay-recorder"))


def test_k16_replace_the_recorder(realm: Realm) -> None:
    pod = realm.training_pod("k16")
    patch = {"spec": {"initContainers": [{"name": "assay-recorder", "image": "mine"}]}}
    stopped("K16", realm.act(EDITOR, "patch", "pod", pod, "--type=strategic", f"--patch={json.dumps(patch)}"))


def _debug(realm: Realm, pod: str, **container: Any) -> Outcome:
    """Add an ephemeral container to a pod, as `kubectl debug` does."""
    patch = {"spec": {"ephemeralContainers": [{"name": "debugger", "image": "mine", **container}]}}
    how = ("--subresource=ephemeralcontainers", "--type=strategic", f"--patch={json.dumps(patch)}")
    return realm.act(OMNIPOTENT, "patch", "pod", pod, *how)
