"""Which pods belong to a workload: those that its controller created, identified by the UIDs that controllers write.

Labels and annotations are no proof: anybody who may create pods can write them. The policy assay-rollouts lets only
Kubernetes' controllers create pods and ReplicaSets that state what they serve. This module compares the UIDs.
"""

from assay.api import names
from assay.api.objects import Raw

_API = "apps/v1"


def pods_of(workload: Raw, replica_sets: list[Raw], pods: list[Raw]) -> list[Raw]:
    """Return the pods that a raw Deployment or StatefulSet controls; for a Deployment through its ReplicaSets.

    A pod that serves something other than its ReplicaSet's template was not created from it and is left out.
    """
    if workload["kind"] == "StatefulSet":
        return [pod for pod in pods if _is_controlled(pod, workload, "StatefulSet")]
    own = {each["metadata"]["uid"]: each for each in replica_sets if _is_controlled(each, workload, "Deployment")}
    found = []
    for pod in pods:
        maker = own.get(_controller(pod, "ReplicaSet"))
        if maker is not None and _served(pod["metadata"]) == _served(maker["spec"]["template"].get("metadata") or {}):
            found.append(pod)
    return found


def _is_controlled(child: Raw, workload: Raw, kind: str) -> bool:
    same = bool(child["metadata"].get("namespace") == workload["metadata"].get("namespace"))
    return same and _controller(child, kind) == str(workload["metadata"]["uid"])


def _controller(child: Raw, kind: str) -> str:
    """Return the UID of the workload of a given kind that controls a child; "" if none does."""
    for each in child["metadata"].get("ownerReferences") or []:
        if each.get("controller") and (each.get("apiVersion"), each.get("kind")) == (_API, kind):
            return str(each.get("uid") or "")
    return ""


def _served(metadata: Raw) -> Raw:
    annotations = metadata.get("annotations") or {}
    return {key: value for key, value in annotations.items() if key.startswith(names.SERVED_PREFIX)}
