"""The local cluster is a real Kubernetes: what the other tests take for granted is shown here."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.credentials import AssumeRoleProvider
from minio.error import S3Error

from tests.cluster import LocalCluster, busybox, local, paths
from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for

pytestmark = pytest.mark.e2e

Json = dict[str, Any]


@pytest.fixture(scope="session")
def node(local_cluster: LocalCluster) -> LocalCluster:
    """Return the cluster, with the busybox image."""
    local_cluster.load_busybox()
    return local_cluster


def container(script: str, name: str = "main", **more: Any) -> Json:
    return {"name": name, "image": busybox.IMAGE, "command": ["sh", "-c", script], **more}


def create_pod(cluster: LocalCluster, namespace: str, name: str, *containers: Json, **spec: Any) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": containers, **spec},
    }
    cluster.api.post(f"/api/v1/namespaces/{namespace}/pods", manifest)


def pod_status(cluster: LocalCluster, namespace: str, name: str) -> Json:
    return dict(cluster.api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")["status"])


def wait_for_phase(cluster: LocalCluster, namespace: str, name: str, *phases: str) -> Json:
    def reached() -> Json | None:
        status = pod_status(cluster, namespace, name)
        return status if status["phase"] in phases else None

    def saw() -> str:
        return json.dumps(pod_status(cluster, namespace, name), indent=1)

    return wait_for(f"pod {name} {' or '.join(phases)}", reached, seconds=60, saw=saw)


def run_script(cluster: LocalCluster, namespace: str, script: str) -> str:
    """Run a shell script in a pod to its end; return what it wrote to /dev/termination-log."""
    create_pod(cluster, namespace, "script", container(f"exec >/dev/termination-log 2>&1; {script}"))
    status = wait_for_phase(cluster, namespace, "script", "Succeeded", "Failed")
    message = str(status["containerStatuses"][0]["state"]["terminated"].get("message", ""))
    assert status["phase"] == "Succeeded", message
    return message


def create_web_service(cluster: LocalCluster, namespace: str) -> None:
    """Serve the word "hello" at http://web in the namespace."""
    script = "mkdir /tmp/web; echo hello > /tmp/web/index.html; exec httpd -f -p 8080 -h /tmp/web"
    probe = {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1}
    create_pod(cluster, namespace, "web", container(script, readinessProbe=probe))
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    cluster.api.post(f"/api/v1/namespaces/{namespace}/services", service)
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"

    def served() -> bool:
        slices = cluster.api.get(path)["items"]
        return any(one["conditions"]["ready"] for items in slices for one in items["endpoints"] or [])

    wait_for("endpoints of the Service web", served)


def test_the_server_has_the_pinned_version(local_cluster: LocalCluster) -> None:
    versions = json.loads(local_cluster.kubectl("version", "--output=json"))
    assert versions["serverVersion"]["gitVersion"].startswith("v1.36.")
    node = local_cluster.api.get("/api/v1/nodes/assay-node")["status"]["nodeInfo"]
    assert node["kubeletVersion"] == versions["serverVersion"]["gitVersion"]
    assert node["containerRuntimeVersion"].startswith("containerd://2.")


def test_a_pod_runs_and_its_log_can_be_read(node: LocalCluster, namespace: str) -> None:
    create_pod(node, namespace, "hello", container("echo hello from $HOSTNAME"))
    wait_for_phase(node, namespace, "hello", "Succeeded")
    assert node.kubectl("logs", "hello", f"--namespace={namespace}") == "hello from hello\n"


def test_a_sidecar_has_the_whole_grace_period_after_the_main_container(node: LocalCluster, namespace: str) -> None:
    grace = 5
    count = "i=0; while true; do echo $i > /dev/termination-log; sleep 1; i=$((i+1)); done"
    sidecar = container(f"trap '{count}' TERM; touch /tmp/up; while true; do sleep 0.1; done", "sidecar")
    probe = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}
    sidecar |= {"restartPolicy": "Always", "startupProbe": probe}
    create_pod(
        node,
        namespace,
        "pod",
        container("exit 0"),
        initContainers=[sidecar],
        terminationGracePeriodSeconds=grace,
    )
    status = wait_for_phase(node, namespace, "pod", "Succeeded")
    ended = status["initContainerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 128 + signal.SIGKILL
    assert grace - 1 <= int(ended["message"]) <= grace + 1


def test_too_much_memory_is_reported_as_oom_killed(node: LocalCluster, namespace: str) -> None:
    limits = {"limits": {"memory": "32Mi"}}
    create_pod(node, namespace, "greedy", container("exec tail /dev/zero", resources=limits))
    status = wait_for_phase(node, namespace, "greedy", "Failed")
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"


def test_a_service_is_reached_by_name_from_a_pod_and_by_address_from_here(node: LocalCluster, namespace: str) -> None:
    create_web_service(node, namespace)
    names = ("web", f"web.{namespace}", f"web.{namespace}.svc.cluster.local")
    fetches = " && ".join(f"wget -q -O - http://{name}" for name in names)
    assert run_script(node, namespace, fetches) == "hello\n" * len(names)
    address = node.api.get(f"/api/v1/namespaces/{namespace}/services/web")["spec"]["clusterIP"]
    with urllib.request.urlopen(f"http://{address}", timeout=5) as answer:
        assert answer.read() == b"hello\n"


def test_a_pod_reaches_itself_through_its_service(node: LocalCluster, namespace: str) -> None:
    create_web_service(node, namespace)
    fetch = ("wget", "-q", "-O", "-", f"http://web.{namespace}")
    assert "hello" in node.kubectl("exec", "web", f"--namespace={namespace}", "--", *fetch)


def test_a_name_outside_of_the_cluster_is_unknown_at_once(node: LocalCluster, namespace: str) -> None:
    assert "NXDOMAIN" in run_script(node, namespace, "nslookup example.invalid. || true")


def test_a_pod_reaches_the_api_server_and_has_a_token_for_it(node: LocalCluster, namespace: str) -> None:
    # busybox speaks no TLS of today: that the address is right shows in how the server refuses plain HTTP.
    script = "cat /var/run/secrets/kubernetes.io/serviceaccount/token; echo; "
    script += "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc kubernetes.default 443"
    token, _, answer = run_script(node, namespace, script).partition("\n")
    assert "HTTP request to an HTTPS server" in answer
    path = node.spec.kubeconfigs(node.folder).token(node.folder / "kubeconfigs" / "pod", token)
    said = node.kubectl(f"--kubeconfig={path}", "auth", "whoami", "--output=json")
    assert json.loads(said)["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"


def make_bucket(cluster: LocalCluster) -> Minio:
    store = cluster.store
    address = urllib.parse.urlsplit(store.endpoint).netloc
    client = Minio(
        endpoint=address, access_key=store.access_key, secret_key=store.secret_key, secure=False, region=store.region
    )
    if not client.bucket_exists(bucket_name=store.bucket):
        client.make_bucket(bucket_name=store.bucket)
    return client


def test_a_pod_writes_fifty_megabytes_to_the_store(node: LocalCluster, namespace: str) -> None:
    size = 50_000_000
    client = make_bucket(node)
    where = {"bucket_name": node.store.bucket, "object_name": f"{namespace}/big"}
    url = urllib.parse.urlsplit(client.presigned_put_object(**where, expires=timedelta(minutes=5)))
    lines = (f"PUT {url.path}?{url.query} HTTP/1.1", f"Host: {url.netloc}", f"Content-Length: {size}", "", "")
    request = "\\r\\n".join(lines).replace("%", "%%")
    # busybox has no PUT. The FIFO keeps the connection open until the first line of the answer is there.
    script = f"""mkfifo /tmp/done
        (printf '{request}'; head -c {size} /dev/zero; cat /tmp/done) | nc {url.hostname} {url.port} |
        (read answer; echo "$answer" > /tmp/done; echo "$answer")"""
    assert "200 OK" in run_script(node, namespace, script)
    assert client.stat_object(**where).size == size


def test_the_operators_user_has_one_bucket_and_may_assume_a_role(local_cluster: LocalCluster) -> None:
    store = local_cluster.store
    client = make_bucket(local_cluster)
    with pytest.raises(S3Error, match="Access Denied"):
        client.make_bucket(bucket_name="another")
    role = AssumeRoleProvider(
        sts_endpoint=store.endpoint,
        access_key=store.access_key,
        secret_key=store.secret_key,
        duration_seconds=3600,
        region=store.region,
    )
    address = urllib.parse.urlsplit(store.endpoint).netloc
    temporary = Minio(endpoint=address, credentials=role, secure=False, region=store.region)
    assert temporary.bucket_exists(bucket_name=store.bucket)


def test_users_are_impersonated(control_plane: LocalCluster, impersonate: Callable[..., Path]) -> None:
    kubeconfig = impersonate("alice", "data-scientists")
    said = control_plane.kubectl(f"--kubeconfig={kubeconfig}", "auth", "whoami", "--output=json")
    who = json.loads(said)["status"]["userInfo"]
    assert who["username"] == "alice"
    assert "data-scientists" in who["groups"]
    with pytest.raises(ClusterError, match='User "alice" cannot list resource "secrets"'):
        control_plane.kubectl(f"--kubeconfig={kubeconfig}", "get", "secrets", "--namespace=default")


def test_a_service_account_has_a_real_token(
    control_plane: LocalCluster, namespace: str, service_account: Callable[[str], Path]
) -> None:
    kubeconfig = service_account("robot")
    with pytest.raises(ClusterError, match=f'User "system:serviceaccount:{namespace}:robot" cannot list'):
        control_plane.kubectl(f"--kubeconfig={kubeconfig}", "get", "pods", f"--namespace={namespace}")


def test_a_killed_container_is_restarted(node: LocalCluster, namespace: str) -> None:
    create_pod(node, namespace, "victim", container("sleep 1000"), restartPolicy="Always")
    wait_for_phase(node, namespace, "victim", "Running")
    node.kill(node.container_pid(namespace, "victim", "main"))

    def restarted() -> Json | None:
        status = pod_status(node, namespace, "victim")["containerStatuses"][0]
        return status if status["restartCount"] == 1 and status["ready"] else None

    status = wait_for("restart of the container", restarted)
    assert status["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL


@pytest.mark.chaos
def test_the_store_is_stopped_and_comes_back_with_its_data(local_cluster: LocalCluster) -> None:
    bucket = local_cluster.store.bucket
    make_bucket(local_cluster)
    local_cluster.stop_component("minio")
    try:
        assert local_cluster.state["components"]["minio"] == "stopped"
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(f"{local_cluster.store.endpoint}/minio/health/live", timeout=5)
    finally:
        local_cluster.start_component("minio")
    assert make_bucket(local_cluster).bucket_exists(bucket_name=bucket)


@pytest.mark.chaos
def test_a_component_that_dies_is_reported_with_its_last_log_lines(local_cluster: LocalCluster) -> None:
    local_cluster.kill(int(local_cluster.exec_in_namespaces("pidof", "coredns")))
    try:
        wait_for("notice", lambda: local_cluster.state["components"]["coredns"] == "died")
        assert "coredns: ended by SIGKILL. Its log ends with:\n" in local_cluster.troubles()
        assert "CoreDNS-1." in local_cluster.troubles()
    finally:
        local_cluster.start_component("coredns")
    assert local_cluster.state["components"]["coredns"] == "ready"
    assert local_cluster.state["problem"] == ""


# What remains of a cluster


class Traces:
    """Everything of one running cluster that the host can see."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.folder = cluster.folder
        self.link = Path("/sys/class/net", cluster.spec.subnets.link)
        self.cgroup = cluster.spec.cgroup.strip("/")
        self.namespace = Path("/proc", str(cluster.pid), "ns/pid").readlink()

    def processes(self) -> list[str]:
        return [path.parts[2] for path in Path("/proc").glob("[0-9]*/ns/pid") if self._is_inside(path)]

    def cgroups(self) -> list[Path]:
        return list(Path("/sys/fs/cgroup").glob(f"**/{self.cgroup}"))

    def mounts(self) -> list[str]:
        return [line for line in Path("/proc/mounts").read_text().splitlines() if str(self.folder) in line]

    def remaining(self) -> str:
        """Name what is left, or return an empty string."""
        traces = {
            "processes": self.processes(),
            "cgroups": self.cgroups(),
            "mounts": self.mounts(),
            "folder": self.folder.exists(),
            "link": self.link.exists(),
        }
        return ", ".join(f"{name}: {left}" for name, left in traces.items() if left)

    def _is_inside(self, path: Path) -> bool:
        try:
            return path.readlink() == self.namespace
        except OSError:
            return False


def wait_until_nothing_is_left(traces: Traces) -> None:
    wait_for("end of all traces", lambda: not traces.remaining(), seconds=30, saw=traces.remaining)


@pytest.fixture
def second(local_cluster: LocalCluster) -> LocalCluster:
    """Return a cluster that is not started yet, beside the one of the session."""
    assert local_cluster.running()
    return LocalCluster(f"second-{os.getpid()}")


def test_a_killed_owner_leaves_no_processes_or_mounts(second: LocalCluster) -> None:
    code = (
        "import signal; from tests.cluster import LocalCluster; "
        f"LocalCluster({second.name!r}).start(); print('up', flush=True); signal.pause()"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=paths.CHECKOUT, stdout=subprocess.PIPE)
    try:
        assert owner.stdout
        assert owner.stdout.readline() == b"up\n"
        second.load_busybox()
        create_pod(second, "default", "pod", container("trap '' TERM; while true; do sleep 1; done"))
        wait_for_phase(second, "default", "pod", "Running")
        traces = Traces(second)
        assert len(traces.processes()) > 10
        assert traces.cgroups()
        assert traces.link.exists()
        assert not traces.mounts()
    finally:
        owner.kill()
        owner.wait()
    wait_until_nothing_is_left(traces)


def test_a_killed_supervisor_ends_all_processes_and_the_next_start_cleans_up(second: LocalCluster) -> None:
    second.with_node = False
    second.start()
    try:
        traces = Traces(second)
        os.kill(second.pid, signal.SIGKILL)
        wait_for("death of the cluster", lambda: not second.running())
        assert traces.processes() == []
        local.sweep()
        wait_until_nothing_is_left(traces)
    finally:
        second.stop()


def test_a_failed_start_reports_the_component_and_leaves_no_files(
    second: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    second.with_node = False
    broken = local.builds.ensure(with_node=False) | {"kube-apiserver": "/bin/false"}
    monkeypatch.setattr(local.builds, "ensure", lambda **_: broken)
    with pytest.raises(ClusterError, match=r"(?s)kube-apiserver: ended with exit code 1.*All logs: "):
        second.start()
    assert not second.folder.exists()
    assert not second.running()
