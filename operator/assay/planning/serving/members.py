"""Which pods are a workload's own: those that its controller has made, by the UIDs that controllers write.

Labels and annotations are no evidence: whoever may create pods writes them. Policy assay-rollouts lets only the
controllers of Kubernetes create pods and ReplicaSets that say what they serve; here the UIDs are compared.
"""

from assay.api import names
from assay.api.objects import Raw

_API = "apps/v1"


def pods_of(workload: Raw, replica_sets: list[Raw], pods: list[Raw]) -> list[Raw]:
    """Return those of the pods that a raw Deployment or StatefulSet controls; of a Deployment by its ReplicaSets.

    A pod that does not serve what its ReplicaSet has in its template was not made from it, and is left out.
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
    """Return the UID of the workload of a kind that controls a child, "" when none does."""
    for each in child["metadata"].get("ownerReferences") or []:
        if each.get("controller") and (each.get("apiVersion"), each.get("kind")) == (_API, kind):
            return str(each.get("uid") or "")
    return ""


def _served(metadata: Raw) -> Raw:
    annotations = metadata.get("annotations") or {}
    return {key: value for key, value in annotations.items() if key.startswith(names.SERVED_PREFIX)}
