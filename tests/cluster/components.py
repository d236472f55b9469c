"""The programs of a cluster: how each is started, what it waits for, and how one knows that it is ready.

Everything runs inside of the cluster's namespaces, as children of the supervisor. A `ready` function
returns "" when the component does its work, else what it saw; an exception counts as the latter.
"""

import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import audit, configs, manifests, store
from tests.cluster.api import Api
from tests.cluster.paths import INSIDE
from tests.cluster.pki import Pki
from tests.cluster.shell import run
from tests.cluster.spec import NODE, Spec


@dataclass(frozen=True)
class Component:
    """One program. `then` runs once, after the first time it is ready."""

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], str]
    after: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    then: Callable[[], object] = lambda: None


def all_components(spec: Spec) -> list[Component]:
    """The components of `spec`, a component after all that it waits for."""
    api = Api(spec.server, Pki(INSIDE / "pki"))
    parts = [_etcd(spec), _minio(spec), _apiserver(spec, api), _controller_manager(spec, api)]
    if spec.with_node:
        parts += [
            _scheduler(spec, api),
            _containerd(spec),
            _kubelet(spec, api),
            _kube_proxy(spec),
            _coredns(spec),
        ]
    return parts


def _etcd(spec: Spec) -> Component:
    argv = (
        spec.programs["etcd"],
        "--name=assay",
        f"--data-dir={INSIDE}/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=assay=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # the data dies with the cluster anyway
        "--quota-backend-bytes=4294967296",
        "--log-level=warn",
    )
    return Component("etcd", argv, lambda: _http("http://127.0.0.1:2379/health"))


def _minio(spec: Spec) -> Component:
    endpoint = spec.store_endpoint
    argv = (
        *(spec.programs["minio"], "server", f"{INSIDE}/minio", "--quiet"),
        *("--address", endpoint.removeprefix("http://"), "--console-address", "127.0.0.1:9001"),
    )
    environment = {
        "MINIO_ROOT_USER": spec.root_access_key,
        "MINIO_ROOT_PASSWORD": spec.root_secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_SCANNER_SPEED": "slowest",
    }
    return Component(
        "minio",
        argv,
        lambda: _http(f"{endpoint}/minio/health/ready"),
        environment=environment,
        then=lambda: store.create_operator_user(spec.store),
    )


def _apiserver(spec: Spec, api: Api) -> Component:
    pki = Pki(INSIDE / "pki")
    argv = (
        spec.programs["kube-apiserver"],
        "--etcd-servers=http://127.0.0.1:2379",
        "--secure-port=6443",
        f"--advertise-address={spec.subnets.node}",
        f"--service-cluster-ip-range={spec.subnets.services}",
        f"--tls-cert-file={pki.certificate('kube-apiserver')}",
        f"--tls-private-key-file={pki.key('kube-apiserver')}",
        f"--client-ca-file={pki.certificate('ca')}",
        f"--kubelet-certificate-authority={pki.certificate('ca')}",
        f"--kubelet-client-certificate={pki.certificate('kube-apiserver')}",
        f"--kubelet-client-key={pki.key('kube-apiserver')}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki.service_accounts}",
        f"--service-account-signing-key-file={pki.key('service-accounts')}",
        f"--authentication-config={INSIDE}/{configs.AUTHENTICATION}",
        "--authorization-mode=Node,RBAC",
        f"--enable-admission-plugins={','.join(('NodeRestriction', *spec.admission))}",
        "--allow-privileged=true",
        "--profiling=false",
        f"--audit-policy-file={INSIDE}/configs/audit.json",
        f"--audit-log-path={INSIDE}/{audit.FILE}",
        f"--audit-log-maxsize={audit.MAX_MEGABYTES}",
        "--audit-log-maxbackup=1",
    )

    def ready() -> str:
        said = api.text("/readyz")
        return "" if said == "ok" else said

    def prepare() -> None:
        for path, manifest in manifests.of(spec):
            api.apply(path, manifest)

    return Component("kube-apiserver", argv, ready, after=("etcd",), then=prepare)


def _controller_manager(spec: Spec, api: Api) -> Component:
    pki = Pki(INSIDE / "pki")
    argv = (
        spec.programs["kube-controller-manager"],
        f"--kubeconfig={INSIDE}/kubeconfigs/kube-controller-manager",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        "--kube-api-qps=200",  # the default of 20 makes its start slow, and garbage collection in tests
        "--kube-api-burst=400",
        f"--root-ca-file={pki.certificate('ca')}",
        f"--service-account-private-key-file={pki.key('service-accounts')}",
        f"--cluster-signing-cert-file={pki.certificate('ca')}",
        f"--cluster-signing-key-file={pki.key('ca')}",
    )

    def ready() -> str:
        # What a new namespace needs before a pod can be made in it.
        api.get("/api/v1/namespaces/default/serviceaccounts/default")
        api.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt")
        return ""

    return Component("kube-controller-manager", argv, ready, after=("kube-apiserver",))


def _scheduler(spec: Spec, api: Api) -> Component:
    # The scheduler takes its Lease once its caches are filled: the only sign of readiness without a port.
    # It is renewed slowly, because an idle cluster should be idle.
    argv = (
        spec.programs["kube-scheduler"],
        f"--kubeconfig={INSIDE}/kubeconfigs/kube-scheduler",
        "--secure-port=0",
        "--leader-elect=true",
        "--leader-elect-lease-duration=120s",
        "--leader-elect-renew-deadline=90s",
        "--leader-elect-retry-period=30s",
    )

    def ready() -> str:
        lease = api.get("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler")
        return "" if lease["spec"].get("holderIdentity") else f"no holder of its lease: {lease['spec']}"

    return Component("kube-scheduler", argv, ready, after=("kube-apiserver",))


def _containerd(spec: Spec) -> Component:
    ctr = spec.programs["ctr"]

    def ready() -> str:
        said = run(ctr, "plugins", "ls", "id==cri", timeout=5)
        return "" if " ok" in said else said

    def import_pause() -> None:
        run(ctr, "--namespace", "k8s.io", "images", "import", "--local", INSIDE / "pause.tar")

    argv = (spec.programs["containerd"], "--config", f"{INSIDE}/configs/containerd.toml")
    # containerd looks for its shim, and the shim for runc, in PATH.
    path = ":".join([str(Path(spec.programs["containerd-shim-runc-v2"]).parent), configs.SYSTEM_PATH])
    return Component("containerd", argv, ready, environment={"PATH": path}, then=import_pause)


def _kubelet(spec: Spec, api: Api) -> Component:
    argv = (
        spec.programs["kubelet"],
        f"--config={INSIDE}/configs/kubelet.json",
        f"--kubeconfig={INSIDE}/kubeconfigs/kubelet",
        f"--hostname-override={NODE}",
        f"--node-ip={spec.subnets.node}",
    )

    def ready() -> str:
        conditions = api.get(f"/api/v1/nodes/{NODE}")["status"].get("conditions", [])
        condition = next((one for one in conditions if one["type"] == "Ready"), {"message": "no condition"})
        return "" if condition.get("status") == "True" else condition["message"]

    return Component("kubelet", argv, ready, after=("kube-apiserver", "containerd"))


def _kube_proxy(spec: Spec) -> Component:
    argv = (spec.programs["kube-proxy"], f"--config={INSIDE}/configs/kube-proxy.json")
    # Its health server waits for the node and for the first complete set of rules.
    return Component("kube-proxy", argv, lambda: _http("http://127.0.0.1:10256/healthz"), after=("kube-apiserver",))


def _coredns(spec: Spec) -> Component:
    argv = (spec.programs["coredns"], "-conf", f"{INSIDE}/configs/Corefile")
    return Component("coredns", argv, lambda: _http("http://127.0.0.1:8181/ready"), after=("kube-apiserver",))


def _http(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=2) as answer:
        return "" if answer.status == 200 else f"{url}: status {answer.status}"
