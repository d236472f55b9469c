"""MLflow, as it is published, in an environment of its own outside of the checkout: its server, and its client.

Nothing of it is a dependency of this project. What is installed is locked in .locks/mlflow.txt, once a version.
"""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.cluster import paths
from tests.cluster.shell import run
from tests.cluster.waiting import wait_for

LOCK = paths.CHECKOUT / ".locks/mlflow.txt"
CLIENT = Path(__file__).with_name("mlflow_client.py")
_FILL_SECONDS = 1800


def python(lock: Path = LOCK) -> Path:
    """Return the interpreter of MLflow's environment, which is made if need be. Raises ClusterError."""
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = paths.tools() / f"mlflow-{digest}"
    if not folder.exists():
        print(f"# installing MLflow into {folder.name}", flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
            made = Path(draft) / "made"
            run("uv", "venv", "--quiet", "--relocatable", "--python", sys.executable, made)
            interpreter = made / "bin/python"
            run("uv", "pip", "install", "--quiet", "--python", interpreter, "--require-hashes", "-r", lock, timeout=900)
            with contextlib.suppress(OSError):  # another process was faster
                made.rename(folder)
    return folder / "bin/python"


def fill(interpreter: Path, database: Path, rows: str) -> None:
    """Make a database with what the rows say, as ``mlflow_client`` takes them."""
    argv = (interpreter, "-P", CLIENT, "fill", f"sqlite:///{database}", str(database.parent / "artifacts"))
    run(*argv, stdin=rows, environment=_environment(), timeout=_FILL_SECONDS)


class Server:
    """MLflow's server over a database, with one worker. It can be started again after its end."""

    def __init__(self, interpreter: Path, database: str, folder: Path) -> None:
        """`database` is the URI of SQLAlchemy."""
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.port = port
        self._folder = folder
        self._command = [str(interpreter), "-m", "mlflow", "server", "--backend-store-uri", database]
        self._command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-serve-artifacts"]
        self._command += ["--default-artifact-root", str(folder / "artifacts")]
        self._process: subprocess.Popen[bytes] | None = None

    def environment(self) -> Mapping[str, str]:
        """The environment with which clients find the server."""
        return _environment() | {"MLFLOW_TRACKING_URI": self.address, "MLFLOW_HTTP_REQUEST_TIMEOUT": "3600"}

    def start(self) -> None:
        """Start it, and wait until it answers. Raises ClusterError."""
        log = self._folder / "mlflow.log"
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                self._command, stdout=said, stderr=said, cwd=self._folder, env=_environment(), start_new_session=True
            )
        wait_for("MLflow's server", lambda: _healthy(self.address), seconds=600, saw=lambda: log.read_text()[-2000:])

    def kill(self) -> None:
        """Send SIGKILL to the server and its workers."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)  # the server's workers are in its group, which is ours alone
        self._process.wait(60)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:  # on a busy machine
            self.kill()


@contextlib.contextmanager
def serving(interpreter: Path, database: Path | str, folder: Path | None = None) -> Iterator[Server]:
    """Serve a SQLite file, or another database by its URI, on this machine."""
    uri = database if isinstance(database, str) else f"sqlite:///{database}"
    server = Server(interpreter, uri, folder or Path(database).parent)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _healthy(address: str) -> bool:
    with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
        return bool(answer.status == 200)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return kept | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "DO_NOT_TRACK": "true",
        "NO_PROXY": "127.0.0.1",
    }


def free_port() -> int:
    """A port of localhost that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
