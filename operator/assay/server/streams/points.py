"""Notices new points and samples of runs in the store, which has no watch: a thread for each reader looks for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from urllib3.exceptions import HTTPError

from assay.api.errors import AssayError
from assay.api.resources import RUNS
from assay.api.run_status import TERMINAL
from assay.queries.runs import recorded
from assay.server.person import Person
from assay.server.streams.pending import Pending
from assay.store import layout
from assay.store.errors import StoreError

KIND: Final = "points"
#: New samples of CPU and memory, which the operator adds every minute.
USAGE: Final = "usage"
#: The recorder adds a part every three seconds. If there are many runs, each is checked less often.
_SECONDS, _SECONDS_A_RUN = 2.0, 0.1
#: After these, runs and keys are read anew with the reader's rights.
_RENEWED_SECONDS: Final = 10.0


class PointsWatcher:
    """Reports new points and samples of running runs to a reader, from its own thread."""

    def __init__(self, person: Callable[[], Person], runs: Sequence[str], pending: Pending) -> None:
        """``person`` returns the reader without anything that was read before."""
        self._person, self._runs, self._pending = person, runs, pending
        self._last: dict[str, str] = {}
        self._samples: dict[str, tuple[str, int]] = {}
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="points", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _run(self) -> None:
        pause = max(_SECONDS, _SECONDS_A_RUN * len(self._runs))
        rounds = max(1, int(_RENEWED_SECONDS / pause))
        while not self._stopped.is_set():
            try:
                person = self._person()
                folders = self._folders(person)
                for name, (_, samples) in folders.items():
                    self._look_at_samples(person, name, samples)
                for _ in range(rounds):
                    for name, (points, _) in folders.items():
                        self._look(person, name, points)
                    if self._stopped.wait(pause):
                        return
            except (AssayError, StoreError, HTTPError):
                # The page itself says what is wrong with the store; the stream is about more than points.
                self._stopped.wait(_RENEWED_SECONDS)

    def _folders(self, person: Person) -> dict[str, tuple[list[str], list[str]]]:
        """Return where points of each run that has not ended appear, and where samples of its pods do."""
        found: dict[str, tuple[list[str], list[str]]] = {}
        for name in self._runs:
            run = person.kube.find(RUNS, person.namespace, name)
            if run is None or (run.get("status") or {}).get("phase") in TERMINAL:
                continue
            prefix, pod = layout.prefix_of(run), recorded.pod_of(run)
            pods = [pod] if pod else sorted(person.store.folders(f"{layout.intake(prefix)}/"))[-1:]
            points = [
                folder
                for each in pods
                for folder in (
                    f"{layout.intake_prefix(prefix, each)}/{layout.METRICS}/",
                    f"{prefix}/{layout.PRINTED}/{each}/",
                )
            ]
            samples = f"{prefix}/{layout.SYSTEM}/"
            found[name] = points, [f"{samples}{each}/" for each in person.store.folders(samples)]
        return found

    def _look(self, person: Person, name: str, folders: Sequence[str]) -> None:
        for folder in folders:
            known = self._last.get(folder)
            last = known or ""
            for info in person.store.list(folder, after=last):
                last = info.key
            if last and last != known:
                self._last[folder] = last
                self._pending.changed(KIND, name)

    def _look_at_samples(self, person: Person, name: str, folders: Sequence[str]) -> None:
        """Note samples that were added: the last part of a pod grows, then another one follows."""
        for folder in folders:
            known = self._samples.get(folder)
            last = known or ("", 0)
            for info in person.store.list(folder, after=last[0][:-1]):  # the last part again
                last = info.key, info.size
            if last != known and last[0]:
                self._samples[folder] = last
                self._pending.changed(USAGE, name)
