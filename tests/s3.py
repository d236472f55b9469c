"""Real S3-compatible servers on this machine for tests: MinIO with a real user, and `rclone serve s3`.

Importable from any test; `pytest_plugins` or a plain import of the fixtures makes them available. Nothing here
knows of Kubernetes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from minio.credentials import StaticProvider
from minio.minioadmin import MinioAdmin

from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from tests.cluster import builds
from tests.cluster.waiting import PATIENCE
from tests.ports import free_port

ROOT_KEY, ROOT_SECRET = "assay-root", "assay-root-secret"
USER_KEY, USER_SECRET = "assay-operator", "assay-operator-secret"
BUCKET = "assay"
_DEADLINE_SECONDS = 30.0


def minio_binary() -> Path:
    """The MinIO server, built from its pinned source the first time."""
    return builds.minio()


def wait_until(condition: Callable[[], object], what: str, seconds: float = _DEADLINE_SECONDS) -> None:
    """Wait until `condition()` is true; at the deadline say what was waited for and what was seen last."""
    deadline = time.monotonic() + seconds * PATIENCE
    seen: object = None
    while time.monotonic() < deadline:
        try:
            seen = condition()
        except Exception as error:
            seen = repr(error)
        else:
            if seen:
                return
        time.sleep(0.02)
    raise AssertionError(f"after {seconds:g} s still not: {what}; seen last: {seen!r}")


@dataclass
class S3Server:
    """One server process, which can be stopped, frozen and started again at the same address."""

    kind: str
    command: list[str]
    environment: dict[str, str]
    endpoint: str
    health: str
    log: Path
    access_key: str
    secret_key: str
    root: tuple[str, str] = (ROOT_KEY, ROOT_SECRET)
    ca_file: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        wait_until(self._answers, f"{self.kind} answers at {self.endpoint}; log: {self.log}")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.kind} has exited: {self.log.read_text(errors='replace')[-1000:]}")
        with urllib3.PoolManager(ca_certs=self.ca_file, retries=False, timeout=2) as pool:
            answer = pool.request("GET", self.endpoint + self.health)
        if self.kind == "minio" and self.ca_file is None and answer.status < 500:
            admin(self).user_list()  # it is ready before it has loaded its users, and refuses them until then
        return answer.status < 500

    def kill(self) -> None:
        """End the process at once."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
                self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let connections hang."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def config(self, **changes: object) -> StoreConfig:
        """The configuration of a client of this server."""
        values: dict[str, object] = {
            "endpoint": self.endpoint,
            "bucket": BUCKET,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
        }
        return StoreConfig(**(values | changes))  # type: ignore[arg-type]

    def store(self, **changes: object) -> ObjectStore:
        """A client of this server, with the bucket there."""
        store = ObjectStore(self.config(**changes))
        store.ensure_bucket()
        return store


def minio_server(folder: Path) -> S3Server:
    """A MinIO server that is not started yet, with its data in `folder`."""
    (folder / "data").mkdir(parents=True)
    endpoint = f"http://127.0.0.1:{free_port()}"
    address = endpoint.removeprefix("http://")
    return S3Server(
        kind="minio",
        command=[
            str(minio_binary()), "server", "--quiet", "--address", address,
            "--console-address", f"127.0.0.1:{free_port()}", str(folder / "data"),
        ],
        environment={
            "MINIO_ROOT_USER": ROOT_KEY, "MINIO_ROOT_PASSWORD": ROOT_SECRET, "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off", "MINIO_CI_CD": "1", "HOME": str(folder), "PATH": os.environ["PATH"],
        },
        endpoint=endpoint,
        health="/minio/health/ready",
        log=folder / "minio.log",
        access_key=USER_KEY,
        secret_key=USER_SECRET,
    )  # fmt: skip


def admin(server: S3Server) -> MinioAdmin:
    """The administrator of a MinIO server."""
    return MinioAdmin(
        endpoint=server.endpoint.removeprefix("http://"),
        credentials=StaticProvider(ROOT_KEY, ROOT_SECRET),
        secure=False,
    )


def add_user(server: S3Server, access_key: str, secret_key: str, policy: str = "readwrite") -> None:
    """Make a real user, as opposed to a service account, with one of the server's own policies."""
    minio_admin = admin(server)
    minio_admin.user_add(access_key, secret_key)
    minio_admin.policy_set(policy, user=access_key)


def rclone_server(folder: Path) -> S3Server:
    """`rclone serve s3` over a folder: no users, no STS, no conditional writes."""
    (folder / "data").mkdir(parents=True)
    address = f"127.0.0.1:{free_port()}"
    return S3Server(
        kind="rclone",
        command=[
            str(Path(sys.executable).parent / "rclone"), "serve", "s3", "--addr", address,
            "--auth-key", f"{USER_KEY},{USER_SECRET}", "--vfs-cache-mode", "off", "--config", "",
            "--force-path-style=true", str(folder / "data"),
        ],
        environment={"HOME": str(folder), "PATH": os.environ["PATH"]},
        endpoint=f"http://{address}",
        health="/",
        log=folder / "rclone.log",
        access_key=USER_KEY,
        secret_key=USER_SECRET,
    )  # fmt: skip


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A MinIO server with a real user, for the session. Use prefixes of your own."""
    server = minio_server(tmp_path_factory.mktemp("minio"))
    try:
        server.start()
        add_user(server, USER_KEY, USER_SECRET)
        yield server
    finally:
        server.kill()


@pytest.fixture
def own_minio(tmp_path: Path) -> Iterator[S3Server]:
    """A MinIO server for one test, which may kill it."""
    server = minio_server(tmp_path / "minio")
    try:
        server.start()
        add_user(server, USER_KEY, USER_SECRET)
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """`rclone serve s3` for the session."""
    server = rclone_server(tmp_path_factory.mktemp("rclone"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(params=["minio", "rclone"])
def s3(request: pytest.FixtureRequest) -> S3Server:
    """Every server in turn, for what both can do."""
    server: S3Server = request.getfixturevalue(request.param)
    return server
