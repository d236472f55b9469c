"""LocalCluster: start, use and stop a real Kubernetes on this machine, from Python."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster import builds, busybox, configs, control, logs, network, oci, packages, paths, remains, supervisor
from tests.cluster.api import Api
from tests.cluster.errors import ClusterError
from tests.cluster.kubeconfig import Kubeconfigs
from tests.cluster.pki import Pki
from tests.cluster.shell import run
from tests.cluster.spec import Spec
from tests.cluster.store import StoreEndpoint
from tests.cluster.waiting import wait_for

KEEP_LOGS = 15


class LocalCluster:
    """One cluster, known by its name. Also describes one that another process has started."""

    def __init__(self, name: str = "assay", *, with_node: bool = True, admission: tuple[str, ...] = ()) -> None:
        """`with_node=False` leaves out what runs pods: API server, controllers and store remain.

        `admission` are plugins of the API server that are not on by default.
        """
        if not name.replace("-", "").isalnum() or len(name) > 40:
            raise ClusterError(f"a cluster's name has letters, digits and dashes, at most 40: {name!r}")
        self.name = name
        self.with_node = with_node
        self.admission = admission
        self.folder = paths.clusters() / name
        self.logs = paths.logs(name)
        self._marks: dict[str, int] = {}
        self._api: tuple[int, Api] | None = None
        self._pipe = -1
        self._process: subprocess.Popen[bytes] | None = None

    # Life

    def start(self, *, detached: bool = False) -> "LocalCluster":
        """Start it and return when everything is ready; build the programs before if they are missing.

        Attached (the default) it stops with this process, however that ends. Detached it stays until `stop`.
        Raises ClusterError with the component that is at fault and the end of its log.
        """
        if os.geteuid() != 0:
            raise ClusterError("the local cluster needs root; others are --cluster=kind and --cluster=current")
        packages.check(with_node=self.with_node)
        programs = builds.ensure(with_node=self.with_node)
        with _starting():
            sweep()
            if self.folder.exists():
                raise ClusterError(f"the cluster {self.name} is up already")
            lock = self._prepare(programs)
            self._launch(lock, detached)
            with self._stopped_on_failure():
                self._wait_for_phase(("starting", "ready", "failed"), 30)
        with self._stopped_on_failure():
            self._wait_for_phase(("ready", "failed"), supervisor.START_SECONDS + 10)
        self.mark_logs()  # a start is full of errors that are none
        return self

    def stop(self) -> None:
        """Stop it and remove everything but the logs. Does nothing if it is not up."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        elif self.running():
            self._signal(signal.SIGTERM)
        try:
            wait_for(f"end of the cluster {self.name}", lambda: not self.running(), seconds=30)
        except ClusterError:
            self._signal(signal.SIGKILL)
            wait_for(f"death of the cluster {self.name}", lambda: not self.running(), seconds=30)
        finally:
            if self._process:
                self._process.wait(timeout=30)
                self._process = None
        remains.clean(self.folder)

    def running(self) -> bool:
        """Whether any process of it is alive: they hold a lock on a file in its folder."""
        return self.folder.exists() and not _is_dead(self.folder)

    def __enter__(self) -> "LocalCluster":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Use

    @property
    def spec(self) -> Spec:
        if not (self.folder / "spec.json").exists():
            raise ClusterError(f"the cluster {self.name} is not up (`python -m tests.cluster up`)")
        return Spec.load(self.folder)

    @property
    def state(self) -> dict[str, Any]:
        """The supervisor's view: phase, components (name to state), problem."""
        path = self.folder / "state.json"
        return dict(json.loads(path.read_text())) if path.exists() else {"phase": "absent"}

    @property
    def pid(self) -> int:
        """The host's number of the cluster's first process."""
        return int((self.folder / "pid").read_text())

    @property
    def server(self) -> str:
        """The API server's URL, the same from the host and from pods."""
        return self.spec.server

    @property
    def store(self) -> StoreEndpoint:
        return self.spec.store

    @property
    def api(self) -> Api:
        """A minimal client, as the administrator."""
        started = (self.folder / "spec.json").stat().st_mtime_ns if (self.folder / "spec.json").exists() else 0
        if self._api is None or self._api[0] != started:
            self._api = started, Api(self.server, Pki(self.folder / "pki"))
        return self._api[1]

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig file."""
        return self.folder / "kubeconfigs" / "admin"

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig file that impersonates `user` in `groups`."""
        path = self._new_kubeconfig()
        return self._kubeconfigs.impersonating(path, user, list(groups))

    def token_kubeconfig(self, namespace: str, service_account: str, seconds: int = 86400) -> Path:
        """A kubeconfig file with a real token of a service account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = self.api.post(path, body | {"spec": {"expirationSeconds": seconds}})
        return self._kubeconfigs.token(self._new_kubeconfig(), answer["status"]["token"])

    def authenticate(self, configuration: Mapping[str, Any] = configs.NO_ISSUERS) -> None:
        """Give the API server an AuthenticationConfiguration, by default one without issuers; return when it applies.

        It has to reach each issuer at its address, so a provider on the host listens on `spec.subnets.host`.
        """
        written = configs.write_authentication(self.folder, configuration)
        digest = hashlib.sha256(written.encode()).hexdigest()

        def applied() -> bool:
            return f"sha256:{digest}" in self.api.text("/metrics")

        wait_for("the API server to apply its AuthenticationConfiguration", applied, seconds=90)

    def kubectl(self, *argv: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl as the administrator and return what it prints. Raises ClusterError when it fails."""
        program = self.spec.programs["kubectl"]
        return run(program, f"--kubeconfig={self.kubeconfig}", *argv, stdin=stdin, timeout=timeout)

    def load_image(self, archive: Path) -> None:
        """Import the images of an OCI or Docker archive into the node."""
        with archive.open("rb") as content:
            command = self._ctr("images", "import", "--local", "-")
            done = subprocess.run(command, stdin=content, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"import of {archive}: {done.stderr.strip()}")

    def tag_image(self, name: str, other: str) -> None:
        """Make an image of the node known by another name, too."""
        run(*self._ctr("images", "tag", "--force", name, other))

    def load_busybox(self) -> str:
        """Make a small image with a shell and the usual commands known to the node; returns its name."""
        self.load_image(busybox.archive())
        return busybox.IMAGE

    def images(self) -> list[str]:
        """The names of all images that the node has."""
        return run(*self._ctr("images", "list", "--quiet")).split()

    def create_namespace(self, name: str, labels: dict[str, str] | None = None) -> None:
        """Make a namespace; return when pods can be made in it."""
        metadata = {"name": name, "labels": labels or {}}
        self.api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_for(f"default service account of {name}", lambda: self.api.get(path), every=0.02)

    def delete_namespace(self, name: str) -> None:
        """Have a namespace deleted; what is in it ends in its own time."""
        self.api.delete(f"/api/v1/namespaces/{name}")

    def mark_logs(self) -> None:
        """From now on, `troubles` speaks of nothing that is in the logs already."""
        self._marks = logs.sizes(self.logs)

    def troubles(self) -> str:
        """Where the logs are, and their last lines that speak of errors."""
        return logs.troubles(self.logs, str(self.state.get("problem", "")), self._marks)

    # Faults

    def stop_component(self, name: str, *, kill: bool = False) -> None:
        """Stop one component (SIGTERM, or SIGKILL with `kill`) and return when it has ended."""
        control.request(self.folder, do="stop", name=name, kill=kill)

    def start_component(self, name: str) -> None:
        """Start a component that was stopped or has died; return when it is ready."""
        control.request(self.folder, timeout=supervisor.START_SECONDS + 10, do="start", name=name)

    def restart_component(self, name: str, *, kill: bool = False) -> None:
        """Stop and start one component."""
        self.stop_component(name, kill=kill)
        self.start_component(name)

    def exec_in_namespaces(self, *argv: str, timeout: float = 60) -> str:
        """Run a command as if on the node: in the mount, network and PID namespaces of the cluster."""
        return run(*self._enter(), *argv, timeout=timeout)

    def container_pid(self, namespace: str, pod: str, container: str) -> int:
        """The process number, inside of the cluster, of a running container's first process."""
        where = {"namespace": namespace, "name": pod}
        filters = [f'labels."io.kubernetes.pod.{key}"=="{value}"' for key, value in where.items()]
        filters.append(f'labels."io.kubernetes.container.name"=="{container}"')
        found = run(*self._ctr("containers", "list", "--quiet", ",".join(filters))).split()
        tasks = run(*self._ctr("tasks", "list")).splitlines()[1:]
        pids = [int(pid) for name, pid, status in map(str.split, tasks) if name in found and status == "RUNNING"]
        if not pids:
            raise ClusterError(f"no running container {container} in the pod {namespace}/{pod}")
        return pids[0]

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a process of the cluster, by the number that it has inside."""
        self.exec_in_namespaces("kill", f"-{int(number)}", str(pid))

    # Inner workings

    @property
    def _kubeconfigs(self) -> Kubeconfigs:
        return self.spec.kubeconfigs(self.folder)

    def _new_kubeconfig(self) -> Path:
        return self.folder / "kubeconfigs" / secrets.token_hex(8)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the cluster's first process, if there is one."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
            os.kill(self.pid, number)

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--"]

    def _ctr(self, *argv: str) -> list[str]:
        return [*self._enter(), self.spec.programs["ctr"], "--namespace", "k8s.io", *argv]

    def _prepare(self, programs: dict[str, str]) -> int:
        """Make the folders and the specification. Returns the lock that the supervisor will hold."""
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.folder.mkdir(parents=True, mode=0o700)
        lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        spec = Spec(
            name=self.name,
            network=network.choose(self.name).number,
            programs=programs,
            with_node=self.with_node,
            admission=self.admission,
            root_access_key="assay-root",
            root_secret_key=secrets.token_urlsafe(24),
            operator_access_key="assay-operator",
            operator_secret_key=secrets.token_urlsafe(24),
        )
        spec.save()
        if self.with_node:
            pause = Path(programs["pause"])
            oci.write_image(self.folder / "pause.tar", configs.PAUSE_IMAGE, {"bin/pause": pause}, {}, ["/bin/pause"])
        return lock

    def _launch(self, lock: int, detached: bool) -> None:
        ours, pipe = -1, -1
        if not detached:
            pipe, ours = os.pipe()
        command = [
            sys.executable,
            "-m",
            "tests.cluster.launcher",
            str(self.folder),
            str(self.logs),
            str(pipe),
        ]
        with (self.logs / "supervisor.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=paths.CHECKOUT,
                pass_fds=[lock, *([pipe] if pipe >= 0 else [])],
                start_new_session=True,  # Ctrl-C reaches us, and we stop it
            )
        os.close(lock)
        if pipe >= 0:
            os.close(pipe)
        self._pipe = ours

    @contextlib.contextmanager
    def _stopped_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def _wait_for_phase(self, phases: tuple[str, ...], seconds: float) -> None:
        def reached() -> bool:
            ended = self._process is not None and self._process.poll() is not None
            return ended or self.state["phase"] in phases

        wait_for(f"start of the cluster {self.name}", reached, seconds=seconds, every=0.05, saw=lambda: self.state)
        if self.state["phase"] not in phases or self.state["phase"] == "failed":
            problem = self.state.get("problem") or (self.logs / "supervisor.log").read_text()[-2000:]
            raise ClusterError(f"the cluster {self.name} did not start. {problem}\nAll logs: {self.logs}")


def names() -> list[str]:
    """The names of all clusters that have a folder."""
    root = paths.clusters()
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.exists() else []


def sweep() -> None:
    """Remove what clusters have left whose processes are gone, and all but the newest logs."""
    for name in names():
        folder = paths.clusters() / name
        if _is_dead(folder):
            remains.clean(folder)
    folder = paths.logs("x").parent
    kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime) if folder.exists() else []
    for old in kept[:-KEEP_LOGS]:
        if old.name not in names():
            shutil.rmtree(old, ignore_errors=True)


def _is_dead(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(lock)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """One start at a time on this machine, until the new cluster's network is taken."""
    paths.clusters().mkdir(parents=True, exist_ok=True)
    with (paths.clusters() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
