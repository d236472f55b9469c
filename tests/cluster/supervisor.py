"""The first process of a cluster's namespaces: starts the components, watches them, and takes them along.

`pipe` is a file descriptor whose end of file means that the owner is gone; -1 means that nobody owns the
cluster, which stays until it is told to stop. See launcher.py for how this process comes to be.
"""

import contextlib
import json
import os
import select
import signal
import socket
import time
from pathlib import Path

from tests.cluster import cgroups, components, configs, control, isolation, network, paths
from tests.cluster.errors import ClusterError
from tests.cluster.process import ComponentProcess, State
from tests.cluster.spec import Spec

START_SECONDS = 90.0
STOP_SECONDS = 20.0


class Stop(Exception):
    """The cluster shall end. Raised by `Supervisor.tick` alone."""


class Supervisor:
    """Runs one cluster inside of its namespaces."""

    def __init__(self, spec: Spec, pipe: int) -> None:
        self.spec = spec
        self.pipe = pipe
        self.phase = "starting"
        self.problem = ""
        self.parts: dict[str, ComponentProcess] = {}
        self.control: socket.socket | None = None
        self.wakeup, wake = socket.socketpair()
        for end in (self.wakeup, wake):
            end.setblocking(False)
        self._enqueue = wake
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told_to_stop)
        self.ending = False

    def _told_to_stop(self, *_: object) -> None:
        self.ending = True  # the wakeup descriptor has woken the loop already

    def run(self) -> None:
        """Start everything, then serve requests until the end."""
        for component in components.all_components(self.spec):
            self.parts[component.name] = ComponentProcess(component, paths.INSIDE_LOGS)
        self._start(list(self.parts.values()))
        self.control = control.listen(paths.INSIDE)
        self.phase = "ready"
        self.report()
        while True:
            self.tick(None)

    def tick(self, seconds: float | None) -> None:
        """Wait for at most `seconds` for something to happen, and deal with it."""
        sources: list[int | socket.socket] = [self.wakeup]
        if self.pipe >= 0:
            sources.append(self.pipe)
        if self.control and self.phase == "ready":
            sources.append(self.control)
        readable, _, _ = select.select(sources, [], [], seconds)
        if self.ending or (self.pipe in readable and not os.read(self.pipe, 1)):
            raise Stop
        if self.wakeup in readable:
            with contextlib.suppress(BlockingIOError):
                while self.wakeup.recv(4096):
                    pass
            self.reap()
        if self.control and self.control in readable:
            control.answer(self.control, self.obey)

    def reap(self) -> None:
        """Collect every child that has ended: components, and orphans that the kernel gave us."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._ended(*ended)

    def _ended(self, pid: int, status: int) -> None:
        for part in self.parts.values():
            if part.pid == pid:
                part.ended(status)
                if part.state is State.DIED:
                    self.problem = part.story()
                    print(self.problem, flush=True)
                self.report()

    def obey(self, do: str, name: str = "", kill: bool = False) -> None:
        """Carry out one request of the control socket."""
        part = self.parts.get(name)
        if part is None:
            raise ClusterError(f"no component {name!r}; there are {', '.join(self.parts)}")
        if do == "stop":
            self._stop(part, kill)
        elif do == "start" and not part.pid:
            self._start([part])
            self.problem = ""
            self.report()
        elif do != "start":
            raise ClusterError(f"no such request: {do}")

    def _stop(self, part: ComponentProcess, kill: bool) -> None:
        part.state = State.STOPPED
        part.signal(signal.SIGKILL if kill else signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while part.pid:
            self.tick(0.1)
            if part.pid and time.monotonic() > deadline:
                part.signal(signal.SIGKILL)
        self.report()

    def _start(self, wanted: list[ComponentProcess]) -> None:
        """Start the wanted components, each as soon as those before it are ready; return when all are."""
        for part in wanted:
            part.state = State.WAITING
        deadline = time.monotonic() + START_SECONDS
        while any(part.state is not State.READY for part in wanted):
            before = [part.state for part in wanted]
            for part in wanted:
                self._advance(part)
            if before != [part.state for part in wanted]:
                self.report()
            broken = next((part for part in wanted if part.state is State.DIED), None)
            late = [part for part in wanted if part.state is not State.READY]
            if broken or (late and time.monotonic() > deadline):
                stories = [part.story() for part in ([broken] if broken else late)]
                raise ClusterError("\n".join(stories))
            self.tick(0.05)

    def _advance(self, part: ComponentProcess) -> None:
        if part.state is State.WAITING:
            if all(self.parts[name].state is State.READY for name in part.component.after):
                part.start()
        elif part.state is State.STARTING and part.probe():
            seconds = time.monotonic() - part.began
            print(f"{part.component.name}: ready after {seconds:.1f} s", flush=True)

    def report(self) -> None:
        """Write the state file."""
        states = {name: part.state.value for name, part in self.parts.items()}
        content = {"phase": self.phase, "components": states, "problem": self.problem}
        draft = paths.INSIDE / "state.json.new"
        draft.write_text(json.dumps(content, indent=1))
        draft.replace(paths.INSIDE / "state.json")


def kill_all() -> None:
    """Kill and collect every other process of this PID namespace."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def inside(folder: Path, logs: Path, pipe: int) -> None:
    """The life of process 1."""
    spec = Spec.load(folder)
    host_network = os.open("/proc/self/ns/net", os.O_RDONLY)
    isolation.unshare(isolation.CLONE_NEWNS | isolation.CLONE_NEWNET)
    snapshotter = isolation.enter_mounts(folder, logs)
    supervisor = Supervisor(spec, pipe)
    try:
        network.connect(spec.subnets, host_network)
        os.close(host_network)
        isolation.set_network_sysctls()
        isolation.use_resolver(spec.subnets.node)
        for name in ("tmp", "home"):
            (paths.INSIDE / name).mkdir()
        cgroups.create(spec.cgroup)
        configs.write_all(spec, paths.INSIDE, snapshotter)
        supervisor.report()
        supervisor.run()
    except Stop:
        print("told to stop", flush=True)
    except Exception as error:
        supervisor.phase, supervisor.problem = "failed", str(error) or repr(error)
        print(f"failed: {supervisor.problem}", flush=True)
        supervisor.report()
        raise
    finally:
        kill_all()
