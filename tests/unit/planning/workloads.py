"""Deployments, StatefulSets and their pods as the API server returns them, cut down to what is looked at."""

import copy
from typing import Any

from assay.planning.serving import injection, ownership
from assay.planning.serving.injection import Served, ServingSettings
from tests.unit.planning.objects import Raw, at

SETTINGS = ServingSettings(image="localhost/assay:dev", pull_policy="Never")


def served(version: int = 1, **fields: Any) -> Served:
    """Return what is to be served: a version of the model `digits`."""
    values = {
        "model": "digits",
        "alias": "champion",
        "version": version,
        "digest": f"sha256:{version:064x}",
        "manifest_digest": "sha256:" + "a" * 64,
        "prefix": f"models/team/digits/v{version}",
        "secret": f"assay-model-digits-v{version}",
    }
    return Served(**(values | fields))


def workload(kind: str = "Deployment", *, status: Raw | None = None, pod: Raw | None = None, **spec: Any) -> Raw:
    """Return a workload of two replicas that follows digits.champion; nothing of the operator's is in it yet."""
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "server", "image": "s:1"}], **(pod or {})},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {
            "name": "web",
            "namespace": "team",
            "uid": "uid-web",
            "generation": 2,
            "annotations": {"assay.dev/serve": "digits.champion"},
            "managedFields": [
                {"manager": "kubectl-create", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
            ],
        },
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template, **spec},
        "status": status or {},
    }


def after(before: Raw, body: Raw) -> Raw:
    """Return the workload as the API server makes it of an applied body: what the operator had and has left goes.

    For bodies that only add to the lists of the workload, or replace values in them.
    """
    found = _merged(before, body)
    others = [entry for entry in before["metadata"]["managedFields"] if entry["manager"] != "assay-operator"]
    mine = {"manager": "assay-operator", "operation": "Apply", "fieldsV1": _tree(ownership.paths(body))}
    found["metadata"]["managedFields"] = [*others, mine]
    return found


def serving_version(version: int = 1, **fields: Any) -> Raw:
    """Return a workload with a version in its pod template."""
    before = workload(**fields)
    return after(before, injection.applied(before, served(version), SETTINGS))


def _merged(live: Any, body: Any) -> Any:
    if isinstance(body, dict) and isinstance(live, dict):
        return {**live, **{key: _merged(live.get(key), value) for key, value in body.items()}}
    if isinstance(body, list) and body and isinstance(body[0], dict):
        key = "mountPath" if "mountPath" in body[0] else "name"
        known = {each[key]: each for each in live or []}
        rest = [each for each in live or [] if each[key] not in {item[key] for item in body}]
        return rest + [_merged(known.get(each[key], {}), each) for each in body]
    return copy.deepcopy(body)


def _tree(paths: frozenset[tuple[str, ...]]) -> Raw:
    tree: Raw = {}
    for path in paths:
        node = tree
        for name in path:
            node = node.setdefault(name, {".": {}} if name.startswith("k:") else {})
    return tree


# Pods


def pod(name: str = "web-7d9f-abcde", *containers: Raw, version: int | None = 1, **more: Any) -> Raw:
    """Return a pod of a version (None: of no version). ``more``: created, init, ready, deleting, conditions, labels."""
    annotations = injection.applied(workload(), served(version), SETTINGS) if version else None
    conditions = [{"type": "Ready", "status": "True" if more.get("ready") else "False"}, *more.get("conditions", [])]
    found: Raw = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "team",
            "creationTimestamp": at(more.get("created", 1)),
            "labels": {"app": "web", **more.get("labels", {})},
            "annotations": annotations["spec"]["template"]["metadata"]["annotations"] if annotations else {},
        },
        "spec": {"nodeName": more.get("node", "node-1")},
        "status": {
            "phase": more.get("phase", "Running"),
            "conditions": conditions,
            "initContainerStatuses": more.get("init", [fetched()]),
            "containerStatuses": list(containers)
            or [container(running={"startedAt": at(3)}, ready=more.get("ready", False))],
            **more.get("status", {}),
        },
    }
    if more.get("deleting"):
        found["metadata"]["deletionTimestamp"] = at(60)
    return found


def container(
    name: str = "server", *, ready: bool = False, restarts: int = 0, last: Raw | None = None, **state: Raw
) -> Raw:
    """Return the status of a container; ``state`` is one of waiting, running, terminated with its details."""
    return {
        "name": name,
        "ready": ready,
        "started": "running" in state,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


def ended(code: int, message: str = "", *, reason: str = "", seconds: float = 30) -> Raw:
    """Return how a container ended, so many seconds after the start."""
    found = {"exitCode": code, "reason": reason or ("Error" if code else "Completed"), "finishedAt": at(seconds)}
    return {**found, "startedAt": at(seconds - 1), **({"message": message} if message else {})}


def fetched() -> Raw:
    """Return the status of the init container when it has brought the model."""
    return container("assay-fetch-model", ready=True, terminated=ended(0, seconds=2))


def looping(name: str, code: int, message: str = "", *, restarts: int, reason: str = "", seconds: float = 30) -> Raw:
    """Return the status of a container that the kubelet will start again later."""
    wait = {"reason": "CrashLoopBackOff", "message": f"back-off 40s restarting failed container={name} pod=web_team"}
    return container(name, restarts=restarts, last=ended(code, message, reason=reason, seconds=seconds), waiting=wait)


BEFORE_INIT = container(waiting={"reason": "PodInitializing"})
