"""Jobs, pods and Runs as the API server returns them, cut down to what is looked at."""

from datetime import UTC, datetime, timedelta
from typing import Any

Raw = dict[str, Any]
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    """Return the RFC 3339 time so many seconds after the start."""
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def experiment_spec(**spec: Any) -> Raw:
    """Return the raw spec of an Experiment."""
    return {"template": {"job": job_spec()}, **spec}


def job_spec(**pod: Any) -> Raw:
    """Return a JobSpec with one container."""
    return {
        "backoffLimit": 0,
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "train", "image": "train:1"}], **pod}},
    }


def run(name: str = "sweep-0", **spec: Any) -> Raw:
    """Return a Run of the experiment `sweep`."""
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Run",
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "generation": 1,
            "labels": {"assay.dev/experiment": "sweep", "assay.dev/index": "0"},
            "ownerReferences": [{"kind": "Experiment", "name": "sweep", "uid": "uid-sweep", "controller": True}],
        },
        "spec": {"parameters": {}, "job": job_spec(), **spec},
    }


def job(status: Raw | None = None, *, annotations: Raw | None = None, **spec: Any) -> Raw:
    """Return the Job of the run `sweep-0`."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "sweep-0",
            "namespace": "team",
            "uid": "uid-job",
            "resourceVersion": "11",
            "labels": {"assay.dev/run": "sweep-0", "assay.dev/run-uid": "uid-sweep-0"},
            "ownerReferences": [{"kind": "Run", "name": "sweep-0", "uid": "uid-sweep-0", "controller": True}],
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": spec,
        "status": status or {},
    }


def job_over(kind: str, reason: str = "", message: str = "") -> Raw:
    """Return the status of a Job that is over, with the criterion that Kubernetes sets before the end."""
    first = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
    condition = {"status": "True", "reason": reason, "message": message, "lastTransitionTime": at(90)}
    return {
        "startTime": at(0),
        "conditions": [{"type": first, **condition}, {"type": kind, **condition}],
        **({"completionTime": at(80)} if kind == "Complete" else {}),
    }


def pod(
    phase: str,
    *containers: Raw,
    name: str = "sweep-0-abcde",
    created: float = 1,
    init: list[Raw] | None = None,
    conditions: list[Raw] | None = None,
    deleting: bool = False,
    index: str | None = None,
    **status: Any,
) -> Raw:
    """Return a pod of the run `sweep-0`, with the recorder running beside the containers."""
    found: Raw = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": f"uid-{name}",
            "resourceVersion": "12",
            "creationTimestamp": at(created),
            "labels": {"assay.dev/run": "sweep-0", "assay.dev/run-uid": "uid-sweep-0"},
            "ownerReferences": [{"kind": "Job", "name": "sweep-0", "uid": "uid-job", "controller": True}],
            "annotations": {"batch.kubernetes.io/job-completion-index": index} if index is not None else {},
        },
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": phase,
            "startTime": at(created + 1),
            "conditions": conditions or [],
            "initContainerStatuses": [recorder()] if init is None else init,
            "containerStatuses": list(containers),
            **status,
        },
    }
    if deleting:
        found["metadata"]["deletionTimestamp"] = at(60)
    return found


def container(state: str, *, name: str = "train", last: Raw | None = None, **details: Any) -> Raw:
    """Return the status of a container in state waiting, running or terminated."""
    return {"name": name, "state": {state: details}, "lastState": {"terminated": last} if last else {}}


def recorder() -> Raw:
    """Return the status of the recorder: a native sidecar is among the init containers."""
    return container("running", name="assay-recorder", startedAt=at(2))


def ended(code: int, reason: str = "", **more: Any) -> Raw:
    """Return the status of a training container that has ended."""
    return container("terminated", exitCode=code, reason=reason or ("Completed" if code == 0 else "Error"), **more)
