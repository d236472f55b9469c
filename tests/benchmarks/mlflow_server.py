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


@contextlib.contextmanager
def serving(interpreter: Path, database: Path) -> Iterator[Mapping[str, str]]:
    """Serve a database on this machine; give the environment with which clients find it."""
    address = f"http://127.0.0.1:{_free_port()}"
    command = [str(interpreter), "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}"]
    command += ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--workers", "1"]
    command += ["--no-serve-artifacts", "--default-artifact-root", str(database.parent / "artifacts")]
    log = database.with_suffix(".log")
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, cwd=database.parent, env=_environment(), start_new_session=True
        )
    try:
        wait_for("MLflow's server", lambda: _healthy(address), seconds=600, saw=lambda: log.read_text()[-2000:])
        yield _environment() | {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_TIMEOUT": "3600"}
    finally:
        # The server's workers are in its group, which is ours alone.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # on a busy machine
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
