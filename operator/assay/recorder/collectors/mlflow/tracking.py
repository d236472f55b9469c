"""What handlers work with: the state, its journal and the files."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.recorder.collectors.mlflow.children import Children
from assay.recorder.collectors.mlflow.entities import DELETED, Experiment, LoggedModel, Raw, Run
from assay.recorder.collectors.mlflow.errors import exhausted, invalid, missing
from assay.recorder.collectors.mlflow.files import Files
from assay.recorder.collectors.mlflow.journal import Journal
from assay.recorder.collectors.mlflow.limits import Identity, Limits
from assay.recorder.collectors.mlflow.state import DEFAULT_EXPERIMENT, OWN_EXPERIMENT, State

#: Operations that the limits do not refuse: they add nothing, and a script ends with them.
_FREE = {"run_update", "use", "untag"}


class Tracking:
    """The tracking server's data. Belongs to one event loop."""

    def __init__(
        self,
        folder: Path,
        directory: Path,
        identity: Identity,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        read: int = 0,
    ) -> None:
        """`folder` is the collector's own, `directory` is /assay; `read` bytes of the journal are in the record.

        Raises OSError.
        """
        self.limits = limits or Limits()
        self.identity = identity
        self.files = Files(directory)
        self.children: Children | None = None
        self._clock = clock
        self.journal = Journal(folder / "journal.jsonl", self.limits.journal_bytes, read)
        self.state = self._replayed()

    def now(self) -> int:
        """Milliseconds."""
        return round(self._clock() * 1000)

    def commit(self, entry: Raw) -> None:
        """Apply an entry, and write it to the journal. Raises MlflowError."""
        if entry["op"] not in _FREE:
            self._check_size(len(json.dumps(entry)))
        self.journal.ready()
        self.state.apply(entry)  # first: an entry that cannot be applied must not be in the journal
        self.journal.append(entry)

    def log(self, run: Run, metrics: list[list[Any]], params: dict[str, str], tags: dict[str, str]) -> None:
        """Add points, parameters and tags to a run. Raises MlflowError."""
        self.journal.check_room(100 * len(metrics))
        self.journal.ready()
        new = {metric[0] for metric in metrics if metric[0] not in run.points}
        if new and self.state.series + len(new) > self.limits.series:
            raise exhausted(f"the recorder keeps at most {self.limits.series} metrics of all runs of one pod")
        params = {key: value for key, value in params.items() if run.params.get(key) != value}
        if params or tags:
            self._check_size(len(json.dumps([params, tags])))
        metrics = self.state.log(run, metrics)
        if not metrics and not params and not tags:
            return
        self.state.apply({"op": "log", "run": run.id, "params": params, "tags": tags})
        entry: Raw = {"op": "log", "run": run.id}
        entry |= {name: value for name, value in (("metrics", metrics), ("params", params), ("tags", tags)) if value}
        self.journal.append(entry)

    def run(self, run_id: str, writing: bool = False) -> Run:
        """A run by its id. `writing`: it must not be deleted. Raises MlflowError."""
        run = self.state.runs.get(run_id)
        if run is None:
            raise missing(f"Run with id={run_id[:300]} not found")
        if writing and run.lifecycle == DELETED:
            raise invalid(f"The run {run_id} must be in the 'active' state. Current state is deleted.")
        return run

    def experiment(self, experiment_id: str) -> Experiment:
        """An experiment by its id. Raises MlflowError."""
        found = self.state.experiments.get(experiment_id)
        if found is None:
            raise missing(f"No Experiment with id={experiment_id[:300]} exists")
        return found

    def model(self, model_id: str) -> LoggedModel:
        """A logged model by its id. Raises MlflowError."""
        found = self.state.models.get(model_id)
        if found is None or found.lifecycle == DELETED:
            raise missing(f"Logged model with ID '{model_id[:300]}' not found.")
        return found

    async def ended(self, run: Run) -> None:
        """Write a child run that has ended to the record."""
        write = self.children.ended(run) if self.children else None
        if write:
            await asyncio.get_running_loop().run_in_executor(None, write)

    def new_id(self) -> str:
        """A new identifier."""
        return uuid.uuid4().hex

    def close(self) -> None:
        """Write everything that is not written yet."""
        self.journal.close()

    def _check_size(self, size: int) -> None:
        self.journal.check_room(size)
        if self.state.metadata_bytes + size > self.limits.metadata_bytes:
            raise exhausted(
                f"the recorder keeps at most {self.limits.metadata_bytes} bytes of parameters, tags, inputs and models"
            )
        if len(self.state.runs) >= self.limits.runs:
            raise exhausted(f"the recorder keeps at most {self.limits.runs} runs of one pod")
        self.state.metadata_bytes += size

    def _replayed(self) -> State:
        """The state that the journal has."""
        state = State(self.limits.history_points)
        own, zero = self.identity.experiment or self.identity.run, {"op": "experiment", "time": self.now()}
        state.apply(zero | {"id": DEFAULT_EXPERIMENT, "name": "Default" if own != "Default" else "Default (0)"})
        state.apply(zero | {"id": OWN_EXPERIMENT, "name": own})
        state.apply(
            {
                "op": "run",
                "id": self.identity.run_id,
                "experiment": OWN_EXPERIMENT,
                "name": self.identity.run,
                "start": self.now(),
                "main": True,
                "tags": {"mlflow.runName": self.identity.run},
            }
        )
        for entry in self.journal.entries():
            state.apply(entry)
        return state
