"""The objects that every cluster has from its start: the DNS Service and what CoreDNS may read."""

from typing import Any

from tests.cluster.spec import Spec

_SYSTEM = "kube-system"


def of(spec: Spec) -> list[tuple[str, dict[str, Any]]]:
    """Pairs of API path and manifest, in the order in which they are applied."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    objects = [(f"{rbac}/clusterroles", _dns_role()), (f"{rbac}/clusterrolebindings", _dns_binding())]
    if spec.with_node:
        objects += [
            (f"/api/v1/namespaces/{_SYSTEM}/services", _dns_service(spec)),
            (f"/apis/discovery.k8s.io/v1/namespaces/{_SYSTEM}/endpointslices", _dns_endpoints(spec)),
        ]
    return [(f"{path}/{manifest['metadata']['name']}", manifest) for path, manifest in objects]


def _dns_role() -> dict[str, Any]:
    verbs = ["get", "list", "watch"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": verbs},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
        ],
    }


def _dns_binding() -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "system:coredns"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "system:coredns"}],
    }


def _dns_service(spec: Spec) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": _SYSTEM, "labels": {"k8s-app": "kube-dns"}},
        "spec": {"clusterIP": spec.subnets.dns_service, "ports": _dns_ports()},
    }


def _dns_endpoints(spec: Spec) -> dict[str, Any]:
    """The endpoints of the DNS Service, by hand: CoreDNS is a process of the node, not a pod."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-node",
            "namespace": _SYSTEM,
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [spec.subnets.node], "conditions": {"ready": True}}],
        "ports": _dns_ports(),
    }


def _dns_ports() -> list[dict[str, Any]]:
    return [{"name": f"dns-{kind.lower()}", "port": 53, "protocol": kind} for kind in ("UDP", "TCP")]
