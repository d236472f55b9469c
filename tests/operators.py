"""The operator as a process of its own, run from the checkout as its own service account, as the tests need it.

It is forked from a process that has loaded its modules, so that a start takes no time for imports. Beside that it is
the start of `python -m assay.controllers`, which the chart's tests and `test_operator` make.
"""

import multiprocessing
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType

from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE, SERVICE_ACCOUNT = "assay-system", "assay-operator"
IMAGE = "localhost/assay:dev"
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.preloaded"])


def install(cluster: LocalCluster) -> None:
    """Apply the CRDs and the operator's RBAC, and wait until the API server serves the kinds."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "charts/assay/rbac"))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))


class OperatorProcess:
    """One operator. Use as a context manager; ``kill`` and ``start`` make it crash and come back.

    ``program``: it is the program itself, with no memory but its own, for who measures that.
    """

    def __init__(
        self,
        cluster: LocalCluster,
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        program: bool = False,
    ) -> None:
        self.log = log
        self._program = program
        self.metrics_port = free_port()
        self._environment = {
            **os.environ,
            **cluster.store.environment(),
            "KUBECONFIG": str(cluster.token_kubeconfig(NAMESPACE, SERVICE_ACCOUNT)),
            "ASSAY_IMAGE": IMAGE,
            "ASSAY_METRICS_PORT": str(self.metrics_port),
            "ASSAY_OBSERVE_SECONDS": "2",
            "ASSAY_RETENTION_SECONDS": "1",
            "ASSAY_LOG_LEVEL": "DEBUG",
            **(environment or {}),
        }
        self._process: ForkServerProcess | None = None

    @property
    def pid(self) -> int:
        """The process id of the running operator."""
        assert self._process is not None, "the operator is not running"
        assert self._process.pid is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.is_alive()

    def start(self) -> "OperatorProcess":
        """Start it and return at once; what it has to do it does when it is ready."""
        self._process = _forks.Process(
            target=_operate, args=(self._environment, str(self.log), self._program), daemon=True
        )
        self._process.start()
        return self

    def wait_ready(self, seconds: float = 120) -> "OperatorProcess":
        """Wait until it knows every object, and so begins to work."""

        def ready() -> bool:
            if not self.running:
                return True
            return "objects: ok" in self.readiness()

        wait_for("the operator to know every object", ready, seconds=seconds, saw=self.readiness)
        code = self._process.exitcode if self._process else None
        assert code is None, f"the operator ended with {code}; its log {self.log} ends with:\n{self.tail()}"
        return self

    def readiness(self) -> str:
        """Return what /readyz says, "" when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:
            return ""

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it by a signal and wait until it is gone."""
        if self._process is not None:
            if self.running:
                os.kill(self.pid, number)
            self._process.join(30)
            assert not self.running, f"the operator does not end; its log {self.log} ends with:\n{self.tail()}"
            self._process = None

    def tail(self, lines: int = 30) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> "OperatorProcess":
        try:
            return self.start().wait_ready()
        except BaseException:
            # An operator that is slow to start would keep working beside the next one.
            self.kill()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill(signal.SIGTERM)


def _operate(environment: dict[str, str], log: str, program: bool) -> None:
    """Be the operator."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for output in (sys.stdout, sys.stderr):
        os.dup2(descriptor, output.fileno())
    os.close(descriptor)
    if program:
        os.execve(sys.executable, [sys.executable, "-m", "assay.controllers"], environment)
    from assay.controllers.__main__ import run

    os.environ.clear()
    os.environ.update(environment)
    sys.exit(run())
