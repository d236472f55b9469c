"""A real Argo CD beside a local cluster: its components as plain processes, redis, and a Git server.

Custom resources, service accounts and roles come from Argo CD's own install.yaml. The controller's cluster-wide rights
are cut to reading, as docs/gitops.md says. This module knows nothing of Assay.
"""

import base64
import contextlib
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import builds, isolation, packages
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.shell import run
from tests.cluster.waiting import wait_for
from tests.ports import free_port

Raw = dict[str, Any]
NAMESPACE = "argocd"
CONTROLLER, SERVER = "argocd-application-controller", "argocd-server"
REPOSITORIES, APPLICATION_SETS = "argocd-repo-server", "argocd-applicationset-controller"
#: Which of Argo CD's objects have no part here: what would run as pods.
_LEFT_OUT = ("Deployment", "StatefulSet", "NetworkPolicy", "Service")
#: The components yield to the cluster and to the tests.
_NICE = ("nice", "-n", "5")


class ArgoCd:
    """One Argo CD. Use as a context manager. `settings` are entries of argocd-cm, `rbac` lines of argocd-rbac-cm."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.repositories = folder / "git"
        names = ("redis", "git", "repo", "server", "metrics-c", "metrics-r", "metrics-s", "metrics-a", "probe", "hook")
        self._ports = {name: free_port() for name in names}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._bin = folder / "bin"
        self._tokens: dict[str, str] = {}

    # What tests use

    @property
    def git_url(self) -> str:
        """The address below which every bare repository in `repositories` is served."""
        return f"git://127.0.0.1:{self._ports['git']}"

    @property
    def url(self) -> str:
        """The API server's address."""
        return f"http://127.0.0.1:{self._ports['server']}"

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        """Run kubectl in Argo CD's namespace, as the administrator."""
        return self.cluster.kubectl("-n", NAMESPACE, *argv, stdin=stdin)

    def apply(self, *bodies: Raw) -> None:
        """Apply objects in Argo CD's namespace, such as an Application."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(bodies))

    def configure(self, name: str, **data: str) -> None:
        """Set entries of one of its ConfigMaps. The keys have "_" for ".", and "__" for "_"."""
        entries = {key.replace("__", "\0").replace("_", ".").replace("\0", "_"): value for key, value in data.items()}
        self.kubectl("patch", "configmap", name, "--type=merge", "-p", json.dumps({"data": entries}))

    def request(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """Call its API. Raises ClusterError with the API's own message."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise ClusterError(f"{method} {path}: {error.code} {error.read().decode()}") from None

    def token(self, user: str = "admin") -> str:
        """Return a token of the administrator, or of an account that argocd-cm names."""
        if user not in self._tokens:
            self._tokens[user] = self._new_token(user)
        return self._tokens[user]

    def _new_token(self, user: str) -> str:
        if user != "admin":
            return str(self.request("POST", f"/api/v1/account/{user}/token", {}, self.token())["token"])
        secret = self.kubectl("get", "secret", "argocd-initial-admin-secret", "-o", "jsonpath={.data.password}")
        login = {"username": "admin", "password": base64.b64decode(secret).decode()}
        return str(self.request("POST", "/api/v1/session", login)["token"])

    def cli(self, *argv: str, user: str = "admin", timeout: float = 120) -> str:
        """Run Argo CD's command line as a user; raises ClusterError with what it says."""
        where = ("--server", self.url.removeprefix("http://"), "--plaintext")
        environment = {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
            "ARGOCD_CONFIG_DIR": str(self.folder / "cli"),
            "ARGOCD_AUTH_TOKEN": self.token(user),
        }
        return run(self._bin / "argocd", *argv, *where, environment=environment, timeout=timeout)

    def log(self, component: str, lines: int = 40) -> str:
        """Return the end of a component's log."""
        path = self.folder / f"{component}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # Life

    def start(self) -> "ArgoCd":
        """Start all of it; return when its API answers and it knows the cluster."""
        self._prepare()
        self._install()
        ports = self._ports
        redis, repo = f"127.0.0.1:{ports['redis']}", f"127.0.0.1:{ports['repo']}"
        self._start("redis-server", f"--port {ports['redis']} --bind 127.0.0.1 --save --appendonly no")
        git = (
            f"daemon --reuseaddr --export-all --listen=127.0.0.1 --port={ports['git']} --base-path={self.repositories}"
        )
        self._start("git", git)
        metrics = f"--metrics-address 127.0.0.1 --metrics-port {ports['metrics-r']}"
        plain = "--repo-server-plaintext"
        self._start(REPOSITORIES, f"--address 127.0.0.1 --port {ports['repo']} --redis {redis} --disable-tls {metrics}")
        server = f"--address 127.0.0.1 --port {ports['server']} --insecure --metrics-address 127.0.0.1"
        server += f" --metrics-port {ports['metrics-s']} --redis {redis} --repo-server {repo} {plain}"
        self._start(SERVER, server, account=SERVER)
        controller = f"--metrics-port {ports['metrics-c']} --redis {redis} --repo-server {repo} {plain}"
        self._start(CONTROLLER, controller, account=CONTROLLER)
        sets = f"--argocd-repo-server {repo} {plain} --metrics-addr 127.0.0.1:{ports['metrics-a']}"
        sets += f" --probe-addr 127.0.0.1:{ports['probe']} --webhook-addr 127.0.0.1:{ports['hook']}"
        self._start(APPLICATION_SETS, sets, account=APPLICATION_SETS)
        wait_for("Argo CD's API", lambda: self.request("GET", "/api/version"), seconds=90, saw=lambda: self.log(SERVER))
        wait_for("Argo CD's administrator", self.token, seconds=60, saw=lambda: self.log(SERVER))
        return self

    def stop(self) -> None:
        """Stop all of it. What it installed in the cluster stays."""
        for process in reversed(self._processes.values()):
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def __enter__(self) -> "ArgoCd":
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextlib.contextmanager
    def without(self, component: str) -> Iterator[None]:
        """Stop one component for a while."""
        process = self._processes.pop(component)
        command = process.args
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        try:
            yield
        finally:
            self._launch(component, list(command), self._environments[component])  # type: ignore[arg-type]

    def _prepare(self) -> None:
        packages.provide(packages.GITOPS)
        built = builds.argocd()
        for folder in (self._bin, self.repositories, *(self.folder / name for name in ("tmp", "tls", "ssh", "cli"))):
            folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "ssh/ssh_known_hosts").touch()
        for name in ("argocd", CONTROLLER, SERVER, REPOSITORIES, APPLICATION_SETS):
            _link(self._bin / name, built / "argocd")
        _link(self._bin / "kustomize", built / "kustomize")
        self._environments: dict[str, dict[str, str]] = {}

    def _install(self) -> None:
        """Apply Argo CD's own manifests but for its pods."""
        bodies = [each for each in yaml.load_all((builds.argocd() / "install.yaml").read_text(), _Loader) if each]
        wanted = [_cut(each) for each in bodies if each["kind"] not in _LEFT_OUT]
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        everything = {"apiVersion": "v1", "kind": "List", "items": [namespace, *wanted]}
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(everything))
        crds = [each["metadata"]["name"] for each in bodies if each["kind"] == "CustomResourceDefinition"]
        for name in crds:
            wait_for(f"the API server to serve {name}", partial(self._serves, name), seconds=60)

    def _serves(self, resource: str) -> bool:
        self.kubectl("get", resource)
        return True

    def _start(self, program: str, options: str, account: str = "") -> None:
        environment = {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(self.folder / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(self.folder / "ssh"),
            "ARGOCD_PLUGINSOCKFILEPATH": str(self.folder / "tmp"),
            "ARGOCD_ASK_PASS_SOCK": str(self.folder / "tmp/ask.sock"),
        }
        words = options.split()
        if account:
            environment["KUBECONFIG"] = str(self.cluster.token_kubeconfig(NAMESPACE, account))
            words += ["--namespace", NAMESPACE]
        self._launch(program, [*_NICE, program, *words], environment)

    def _launch(self, program: str, command: Sequence[str], environment: dict[str, str]) -> None:
        self._environments[program] = environment
        with (self.folder / f"{program}.log").open("ab") as log:
            self._processes[program] = subprocess.Popen(
                command,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                preexec_fn=isolation.die_with_parent,
            )


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads a megabyte of manifests in a second where libyaml is there."""


def _link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _cut(body: Raw) -> Raw:
    """Return an object of install.yaml as docs/gitops.md wants it: in its namespace, the controller only reading."""
    metadata = body["metadata"]
    cluster_wide = body["kind"] in ("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding")
    found = body if cluster_wide else {**body, "metadata": {**metadata, "namespace": NAMESPACE}}
    if body["kind"] == "ClusterRole" and metadata["name"] == CONTROLLER:
        found = {**found, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]}
    return found
