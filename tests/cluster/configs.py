"""The configuration files of the components. Settings that differ from the defaults say why.

All paths are those inside of the cluster's mount namespace.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.paths import INSIDE
from tests.cluster.pki import Pki
from tests.cluster.spec import NODE, Spec

PAUSE_IMAGE = "localhost/pause:assay"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CNI_PROGRAMS = "/usr/lib/cni"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
#: Below the cluster's folder. The API server reads it again when it changes.
AUTHENTICATION = "configs/authentication.json"
#: v1beta1 is what API servers from 1.30 on have.
NO_ISSUERS = {"apiVersion": "apiserver.config.k8s.io/v1beta1", "kind": "AuthenticationConfiguration", "jwt": []}


def write_all(spec: Spec, folder: Path, snapshotter: str) -> None:
    """Write certificates, kubeconfigs and configuration files below `folder` (the cluster's folder)."""
    _write_certificates(spec, folder)
    configs = folder / "configs"
    (configs / "cni").mkdir(parents=True)
    (configs / "cni" / "10-assay.conflist").write_text(json.dumps(_cni(spec), indent=1))
    (configs / "containerd.toml").write_text(_containerd(snapshotter))
    (configs / "kubelet.json").write_text(json.dumps(_kubelet(spec), indent=1))
    (configs / "kube-proxy.json").write_text(json.dumps(_kube_proxy(spec), indent=1))
    (configs / "audit.json").write_text(json.dumps(_audit(), indent=1))
    write_authentication(folder, NO_ISSUERS)
    (configs / "Corefile").write_text(_corefile(spec))
    # Pods inherit what is not a cluster name from the node. There is no way out of the cluster.
    (configs / "resolv.conf").write_text(f"nameserver {spec.subnets.node}\n")


def write_authentication(folder: Path, configuration: Mapping[str, Any]) -> str:
    """Write the API server's AuthenticationConfiguration. Returns what was written."""
    text = json.dumps(configuration, indent=1)
    draft = folder / f"{AUTHENTICATION}.new"
    draft.write_text(text)
    draft.replace(folder / AUTHENTICATION)
    return text


def _write_certificates(spec: Spec, folder: Path) -> None:
    pki = Pki(folder / "pki")
    pki.create_authority()
    service = "kubernetes.default.svc"
    names = ("kubernetes", "kubernetes.default", service, f"{service}.cluster.local", "localhost", NODE)
    addresses = ("127.0.0.1", spec.subnets.node, spec.subnets.kubernetes_service)
    serving = (*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses))
    pki.issue("kube-apiserver", "kube-apiserver", "system:masters", addresses=serving)
    pki.issue("kubelet", f"system:node:{NODE}", "system:nodes", addresses=serving)
    users = {
        "admin": ("assay-admin", "system:masters"),
        "kube-controller-manager": ("system:kube-controller-manager", ""),
        "kube-scheduler": ("system:kube-scheduler", ""),
        "kube-proxy": ("system:kube-proxy", ""),
        "coredns": ("system:coredns", ""),
    }
    for name, (user, group) in users.items():
        pki.issue(name, user, group)
    for name in (*users, "kubelet"):
        spec.kubeconfigs(folder).certificate(folder / "kubeconfigs" / name, name)


def _cni(spec: Spec) -> dict[str, Any]:
    # Every pod has a cable of its own and the node routes, because Services between two pods of one bridge
    # would need the kernel module br_netfilter.
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": spec.subnets.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni-addresses",
    }
    plugin = {"type": "ptp", "ipMasq": False, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "1.0.0", "name": "assay", "plugins": [plugin, ports]}


def _containerd(snapshotter: str) -> str:
    # restrict_oom_score_adj: the machine may lack CAP_SYS_RESOURCE.
    return f"""version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "{snapshotter}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{CNI_PROGRAMS}"]
conf_dir = "{INSIDE}/configs/cni"
"""


def _kubelet(spec: Spec) -> dict[str, Any]:
    pki = Pki(INSIDE / "pki")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": spec.subnets.node,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki.certificate("ca"))},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki.certificate("kubelet")),
        "tlsPrivateKeyFile": str(pki.key("kubelet")),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDNS": [spec.subnets.dns_service],
        "clusterDomain": "cluster.local",
        "resolvConf": str(INSIDE / "configs/resolv.conf"),
        "podLogsDir": str(INSIDE / "pod-logs"),
        "volumePluginDir": str(INSIDE / "volume-plugins"),
        # The machine may have cgroup v1, and nothing but this cluster's own cgroup may be touched.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": spec.cgroup,
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "failSwapOn": False,
        # The machine is not the cluster's alone: its disk may be as full as it likes.
        "localStorageCapacityIsolation": False,
        "evictionHard": {"memory.available": "10Mi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 250,
        "registryPullQPS": 0,
        "serializeImagePulls": False,
        # A changed Secret is in the pod within seconds, so that a test of it need not wait a minute.
        "syncFrequency": "10s",
        "shutdownGracePeriod": "0s",
    }


def _kube_proxy(spec: Spec) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(INSIDE / "kubeconfigs/kube-proxy")},
        "clusterCIDR": spec.subnets.pods,
        "hostnameOverride": NODE,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        "iptables": {"minSyncPeriod": "100ms", "localhostNodePorts": False},
        # These would be written to sysctls of the whole machine.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def _audit() -> dict[str, Any]:
    # What service accounts of tests ask for, without what they sent: Kubernetes' own would be most of it.
    omitted = ["system:serviceaccounts:kube-system"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "userGroups": omitted},
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
            {"level": "None"},
        ],
    }


def _corefile(spec: Spec) -> str:
    # Names outside of the cluster do not exist, and a resolver learns that at once.
    return f"""cluster.local in-addr.arpa ip6.arpa {{
    bind {spec.subnets.node}
    errors
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {INSIDE}/kubeconfigs/coredns
        ttl 2
    }}
}}
. {{
    bind {spec.subnets.node}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
