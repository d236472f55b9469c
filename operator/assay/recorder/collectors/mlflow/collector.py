"""The collector: serves the endpoint, and adds what its journal has to the record.

Only the main run's points, parameters and tags are the Run's own. Child runs become files, see `children`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from assay.recorder.collectors.mlflow.limits import Identity, Limits
from assay.recorder.collectors.mlflow.server import HOST, Server
from assay.recorder.collectors.protocol import Position, Surroundings
from assay.recorder.record import Record, shorten
from assay.store import layout
from assay.store.limits import MAX_MLFLOW_POINTS

if TYPE_CHECKING:
    from assay.recorder.collectors.mlflow.children import Children
    from assay.recorder.collectors.mlflow.tracking import Tracking

NAME = "the MLflow endpoint"
PORT_VARIABLE = "ASSAY_MLFLOW_PORT"
_CHUNK = 256 << 10
#: Reading each request as it comes would compete with the endpoint for the interpreter, and parts are seconds apart.
_READ_SECONDS = 0.5
#: Tags in which clients keep documents of their own.
_INTERNAL = ("mlflow.log-model.history", "mlflow.loggedArtifacts", "mlflow.parentRunId")


class MlflowEndpoint:
    """Reads the journal from a position. See `protocol.Collector`."""

    def __init__(self, around: Surroundings, position: Position, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self.problem = ""
        self._around = around
        self._offset: int = position.get("offset", 0)
        self._identity = identity(environment)
        self._limits = limits(environment)
        self._journal = around.folder / "journal.jsonl"
        self._children: Children | None = None
        self._warnings: list[str] = []
        self._server: Server | None = None
        self._finished = False
        self._read_at = 0.0
        port = environment.get(PORT_VARIABLE, "")
        if port:
            self._listen(int(port))

    def poll(self, record: Record, *, final: bool) -> bool:
        """Add what is new in the journal. After the training, end the server first."""
        if final and not self._finished:
            self._finished = True
            self._finish(record)
        more = self._read(record, final)
        warnings, self._warnings = self._warnings, []
        for warning in warnings:
            record.totals.event(warning)
        return more

    def position(self) -> Position:
        """The position in the journal."""
        return {"offset": self._offset} if self._offset else {}

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _listen(self, port: int) -> None:
        try:
            self._server = Server(port, self._build, self._warnings.append)
        except OSError as error:
            self._warnings.append(f"{NAME} cannot listen on {HOST}:{port}: {error.strerror}")

    def _build(self) -> Tracking:
        # Imported when the first client connects: most runs have none.
        from assay.recorder.collectors.mlflow.children import Children
        from assay.recorder.collectors.mlflow.tracking import Tracking

        tracking = Tracking(
            self._around.folder, self._around.directory, self._identity, self._limits, self._around.clock, self._offset
        )
        self._children = tracking.children = Children(
            tracking.files, self._around.folder / "children", self._warnings.append
        )
        return tracking

    def _finish(self, record: Record) -> None:
        """Stop the server, write the remaining child runs, and note the requested registrations."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            if server.failure:
                self.problem = "failed, so what clients logged afterwards is missing"
        if not self._journal.exists():
            return
        served = server.tracking if server is not None else None
        tracking = served or self._build()
        from assay.recorder.collectors.mlflow.requested import requests

        record.totals.requests = requests(tracking.state)
        if self._children is not None:
            self._children.finish(tracking.state, tracking.journal.entries())
        if served is None:
            tracking.close()

    def _written(self) -> int:
        """The size of the journal that was acknowledged, or would be after a restart."""
        tracking = self._server.tracking if self._server is not None else None
        if tracking is not None:
            return tracking.journal.written
        with suppress(FileNotFoundError):
            return self._journal.stat().st_size
        return 0

    def _read(self, record: Record, final: bool) -> bool:
        """Read one chunk. True if there was something: there may be more."""
        end = self._written()
        if end <= self._offset or (not final and end < self._offset + _CHUNK and time.monotonic() < self._read_at):
            return False
        self._read_at = time.monotonic() + _READ_SECONDS
        with self._journal.open("rb") as file:
            file.seek(self._offset)
            data = file.read(min(_CHUNK, end - self._offset))
            if data and b"\n" not in data:  # one long entry
                data += file.readline()
        whole = data[: data.rfind(b"\n") + 1]
        for line in filter(None, whole.splitlines()):
            self._add(json.loads(line), record)
        self._offset += len(whole)
        return bool(whole)

    def _add(self, entry: dict[str, Any], record: Record) -> None:
        operation, main = entry["op"], self._identity.run_id
        if operation == "run":
            record.totals.children += 1
        elif operation == "version":
            record.totals.event(
                f"the code asked for a version of the registered model {shorten(entry['name'])}: only spec.register "
                "of an Experiment registers versions",
                kind="register",
            )
        elif operation == "use":
            self._tags(entry.get("tags") or {}, record)
        elif entry.get("run") != main:
            return
        elif operation == "log":
            for key, value, time, step, *_ in entry.get("metrics", ()):
                record.points(((key, value),), step, time / 1000, NAME)
            for key, value in (entry.get("params") or {}).items():
                record.parameter(key, value, NAME)
            self._tags(entry.get("tags") or {}, record)
        elif operation == "untag":
            record.remove_tag(entry["key"])

    def _tags(self, tags: dict[str, str], record: Record) -> None:
        for key, value in tags.items():
            if key not in _INTERNAL:
                record.tag(key, value, NAME)


def identity(environment: Mapping[str, str]) -> Identity:
    """The Run that this pod belongs to."""
    key, _ = layout.parse_intake_prefix(environment["ASSAY_PREFIX"].rstrip("/"))
    return Identity(key.uid.replace("-", ""), key.run, key.experiment or "")


def limits(environment: Mapping[str, str]) -> Limits:
    """The limits that can be set."""
    return Limits(history_points=int(environment.get("ASSAY_MLFLOW_POINTS", MAX_MLFLOW_POINTS)))


def opened(around: Surroundings, position: Position) -> MlflowEndpoint:
    """Open the source. See `protocol.Opener`."""
    return MlflowEndpoint(around, position)
