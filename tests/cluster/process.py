"""One running component, seen from the supervisor: its process, its log, its state."""

import os
import signal
import subprocess
import time
from enum import StrEnum
from pathlib import Path

from tests.cluster.components import Component
from tests.cluster.configs import SYSTEM_PATH

LOG_LINES = 15
#: For programs in Go. With one thread that runs Go code, an idle cluster takes a third less of a processor: otherwise
#: each timer wakes a second thread, which looks for work in vain. Garbage is collected late, but not beyond 2 GiB.
GO = {"GOGC": "400", "GOMEMLIMIT": "2GiB", "GOMAXPROCS": "1"}


class State(StrEnum):
    """What the state file says of a component."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    STOPPED = "stopped"
    DIED = "died"


class ComponentProcess:
    """Starts, probes and stops one component. It never waits; the supervisor does."""

    def __init__(self, component: Component, logs: Path) -> None:
        self.component = component
        self.log = logs / f"{component.name}.log"
        self.state = State.WAITING
        self.pid = 0
        self.saw = "not started"
        self.began = 0.0
        self.prepared = False

    def start(self) -> None:
        environment = {
            "PATH": SYSTEM_PATH,
            "HOME": "/run/assay/home",
            "TMPDIR": "/run/assay/tmp",
            **GO,
            **self.component.environment,
        }
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.component.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        # The supervisor reaps all children by itself, being the first process of its namespace.
        process.returncode = 0
        self.pid, self.state, self.began = process.pid, State.STARTING, time.monotonic()
        self.saw = "just started"

    def probe(self) -> bool:
        """Look once whether it is ready. The first time it is, do what comes after."""
        try:
            self.saw = self.component.ready()
            if not self.saw and not self.prepared:
                self.component.then()
                self.prepared = True
        except Exception as error:
            self.saw = f"{type(error).__name__}: {error}"
        if not self.saw:
            self.state = State.READY
        return not self.saw

    def signal(self, number: signal.Signals) -> None:
        if self.pid:
            os.kill(self.pid, number)

    def ended(self, status: int) -> None:
        """Take note that the process has ended, unasked unless its state is STOPPED."""
        self.pid = 0
        if self.state is not State.STOPPED:
            code = os.waitstatus_to_exitcode(status)
            self.saw = f"ended with exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
            self.state = State.DIED

    def story(self) -> str:
        """What a person needs to know when it did not work: what was seen last, and the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:] if self.log.exists() else []
        return "\n".join([f"{self.component.name}: {self.saw}. Its log ends with:", *lines])
