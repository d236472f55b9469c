"""The API paths of the kinds and of their objects."""

from typing import Final, TypeAlias
from urllib.parse import quote

from assay.api import names

#: The path of a group and version, and the plural of the kind.
Resource: TypeAlias = tuple[str, str]

JOBS: Final = "/apis/batch/v1", "jobs"
PODS: Final = "/api/v1", "pods"
SECRETS: Final = "/api/v1", "secrets"
EVENTS: Final = "/api/v1", "events"
CONFIGMAPS: Final = "/api/v1", "configmaps"
RUNS: Final = f"/apis/{names.API_VERSION}", "runs"
EXPERIMENTS: Final = f"/apis/{names.API_VERSION}", "experiments"
MODEL_VERSIONS: Final = f"/apis/{names.API_VERSION}", "modelversions"
MODEL_ALIASES: Final = f"/apis/{names.API_VERSION}", "modelaliases"
PROMOTION_POLICIES: Final = f"/apis/{names.API_VERSION}", "promotionpolicies"
DEPLOYMENTS: Final = "/apis/apps/v1", "deployments"
REPLICA_SETS: Final = "/apis/apps/v1", "replicasets"
STATEFUL_SETS: Final = "/apis/apps/v1", "statefulsets"
NAMESPACES: Final = "/api/v1", "namespaces"
LEASES: Final = "/apis/coordination.k8s.io/v1", "leases"
NODES: Final = "/api/v1", "nodes"
ADMISSION_POLICIES: Final = "/apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicies"
ADMISSION_BINDINGS: Final = "/apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings"
MUTATING_POLICIES: Final = "/apis/admissionregistration.k8s.io/v1", "mutatingadmissionpolicies"
MUTATING_BINDINGS: Final = "/apis/admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings"
TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1", "tokenreviews"
ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1", "subjectaccessreviews"
LOCAL_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1", "localsubjectaccessreviews"
SERVICE_ACCOUNTS: Final = "/api/v1", "serviceaccounts"

MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"


def path(resource: Resource, namespace: str, name: str = "", part: str = "") -> str:
    """Return the path of a kind, or of one object of it, or of a subresource; of all namespaces when it is "".

    Raises ValueError for what can be no name. Names come from people's specs, and a client makes ".." lead to another
    namespace's objects, or to another kind's.
    """
    if any(each in (".", "..") or "/" in each or "%" in each for each in (namespace, name)):
        raise ValueError(f"no object has the name {name!r} in the namespace {namespace!r}")
    prefix, plural = resource
    return "/".join(
        filter(None, [prefix, "namespaces" if namespace else "", quote(namespace), plural, quote(name), part])
    )
