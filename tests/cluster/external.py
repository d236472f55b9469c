"""Clusters that the tests do not build themselves: the current context of kubectl, or one that kind makes.

They have what most tests need. What breaks parts of the cluster on purpose exists for the local cluster alone.
"""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.cluster import fetched
from tests.cluster.errors import ClusterError
from tests.cluster.shell import run
from tests.cluster.store import StoreEndpoint
from tests.cluster.waiting import wait_for

STORE_VARIABLES = ("ASSAY_STORE_ENDPOINT", "ASSAY_STORE_ACCESS_KEY", "ASSAY_STORE_SECRET_KEY")


class ExternalCluster:
    """A cluster that is reached by a kubeconfig. Its context must be allowed to do everything."""

    def __init__(self, kubeconfig: Path | None, load: Callable[[Path], None] | None = None) -> None:
        """`kubeconfig`: a file, or None for what kubectl uses by itself. `load` brings an image archive to the nodes.

        Raises ClusterError when the cluster does not answer or the variables of a store are not set.
        """
        self._load = load
        self._folder = Path(tempfile.mkdtemp(prefix="assay-kubeconfigs-"))
        self._kubectl = fetched.kubectl()
        self.store = _store_of_environment()
        options = [f"--kubeconfig={kubeconfig}"] if kubeconfig else []
        said = run(self._kubectl, *options, "config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        self._config: dict[str, Any] = json.loads(said)
        self.kubeconfig = self._write(self._user)
        self.server = str(self._config["clusters"][0]["cluster"]["server"])
        try:
            self.kubectl("auth", "can-i", "*", "*", "--all-namespaces")
        except ClusterError as error:
            raise ClusterError(f"{self.server} does not answer, or not to an administrator: {error}") from error

    def stop(self) -> None:
        """Forget the cluster; it stays as it is."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def kubectl(self, *argv: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl as the administrator and return what it prints. Raises ClusterError when it fails."""
        return run(self._kubectl, f"--kubeconfig={self.kubeconfig}", *argv, stdin=stdin, timeout=timeout)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig file that impersonates `user` in `groups`."""
        who = {"as": user, "as-groups": list(groups)} if groups else {"as": user}
        return self._write(self._user | who)

    def token_kubeconfig(self, namespace: str, service_account: str, seconds: int = 86400) -> Path:
        """A kubeconfig file with a real token of a service account."""
        duration = f"--duration={seconds}s"
        token = self.kubectl("create", "token", service_account, f"--namespace={namespace}", duration)
        return self._write({"token": token.strip()})

    def load_image(self, archive: Path) -> None:
        """Make the images of an archive known to the nodes. Raises ClusterError where nobody knows how."""
        if self._load is None:
            raise ClusterError(
                f"images cannot be brought to the nodes of {self.server} from here; "
                "use --cluster=local or --cluster=kind"
            )
        self._load(archive)

    def create_namespace(self, name: str, labels: dict[str, str] | None = None) -> None:
        """Make a namespace; return when pods can be made in it."""
        self.kubectl("create", "namespace", name)
        if labels:
            pairs = [f"{key}={value}" for key, value in labels.items()]
            self.kubectl("label", "namespace", name, *pairs)
        account = ("get", "serviceaccount", "default", f"--namespace={name}")
        wait_for(f"default service account of {name}", lambda: self.kubectl(*account))

    def delete_namespace(self, name: str) -> None:
        """Have a namespace deleted; what is in it ends in its own time."""
        self.kubectl("delete", "namespace", name, "--wait=false")

    def mark_logs(self) -> None:
        """Nothing: the cluster's logs are not ours."""

    def troubles(self) -> str:
        """What a person should look at first."""
        return self.kubectl("get", "events", "--all-namespaces", "--field-selector=type=Warning")[-4000:]

    @property
    def _user(self) -> dict[str, Any]:
        return dict(self._config["users"][0]["user"])

    def _write(self, user: dict[str, Any]) -> Path:
        content = self._config | {"users": [{**self._config["users"][0], "user": user}]}
        path = self._folder / secrets.token_hex(8)
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))
        return path


def current(kubeconfig: str | None) -> ExternalCluster:
    """The cluster of the current context (of `kubeconfig`, if given)."""
    return ExternalCluster(Path(kubeconfig) if kubeconfig else None)


def kind(name: str, image: str | None, kind_path: str | None) -> tuple[ExternalCluster, Callable[[], None]]:
    """A kind cluster by pytest-kind, made if it is missing; and the function that deletes it."""
    program = kind_path or shutil.which("kind")
    if not program or not shutil.which("docker"):
        lacking = "docker" if program else "kind"
        raise ClusterError(f"--cluster=kind needs {lacking} on PATH; --cluster=local needs neither docker nor kind")
    _store_of_environment()  # before minutes of work
    from pytest_kind import KindCluster  # type: ignore[import-untyped]

    made = KindCluster(name, image=image, kind_path=Path(program), kubectl_path=fetched.kubectl())
    made.create()

    def load(archive: Path) -> None:
        run(program, "load", "image-archive", str(archive), "--name", name, timeout=600)

    return ExternalCluster(made.kubeconfig_path.absolute(), load), made.delete


def _store_of_environment() -> StoreEndpoint:
    missing = [name for name in STORE_VARIABLES if not os.environ.get(name)]
    if missing:
        raise ClusterError(
            f"set {', '.join(missing)}: this cluster brings no object store, and the tests need an "
            "S3-compatible one that the cluster's pods and this machine reach at the same address"
        )
    endpoint, access_key, secret_key = (os.environ[name] for name in STORE_VARIABLES)
    return StoreEndpoint(
        endpoint,
        access_key,
        secret_key,
        bucket=os.environ.get("ASSAY_STORE_BUCKET", "assay"),
        region=os.environ.get("ASSAY_STORE_REGION", "us-east-1"),
    )
