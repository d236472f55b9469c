"""Child runs in the record: `mlflow-runs/<run>/run.json` and `metrics.jsonl` below the artifacts, beside their files.

A child run is written when it ends, and all that changed since then at the end of the pod, from the journal. The main
run has a `run.json` there, too, because a summary has no data sets and cuts off long values. Its points are the metrics
of the Run. `mlflow-models/registry.json` has the logged models and the versions that the script wants to be registered.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from assay.recorder.collectors.mlflow import answers
from assay.recorder.collectors.mlflow.entities import Run
from assay.recorder.collectors.mlflow.errors import MlflowError
from assay.recorder.collectors.mlflow.files import Files
from assay.recorder.collectors.mlflow.journal import Entry
from assay.recorder.collectors.mlflow.points import Point
from assay.recorder.collectors.mlflow.state import MODELS_FOLDER, RUNS_FOLDER, State

RUN_FILE, METRICS_FILE, REGISTRY_FILE = "run.json", "metrics.jsonl", "registry.json"
_CHUNK = 1 << 20
_BUFFER = 8 << 20
_ENDED = ("FINISHED", "FAILED", "KILLED")


class Children:
    """Writes child runs. `scratch` is a folder in the spool; `report` gets what cannot be written."""

    def __init__(self, files: Files, scratch: Path, report: Callable[[str], None]) -> None:
        self._files = files
        self._scratch = scratch
        self._report = report
        self._written: dict[str, str] = {}  # the last content of run.json, and the number of points

    def ended(self, run: Run) -> Callable[[], None] | None:
        """Return the function that writes a child run that has ended; None if there is nothing to write yet.

        The function may run in another thread: it uses a copy.
        """
        if run.main or run.status not in _ENDED or not all(points.whole for points in run.points.values()):
            return None
        document = _document(run)
        series = [(key, list(points.slice(0, points.count))) for key, points in run.points.items()]
        rows = (_row(key, point) for key, points in series for point in points)
        return lambda: self._write(run.id, document, map(str.encode, rows), self._mark(run, document))

    def finish(self, state: State, entries: Iterable[Entry]) -> None:
        """Write every child run that has changed since it was written."""
        self._about_main(state)
        open_runs = {
            run.id: _document(run)
            for run in state.runs.values()
            if not run.main and self._written.get(run.id) != self._mark(run, _document(run))
        }
        if not open_runs:
            return
        shutil.rmtree(self._scratch, ignore_errors=True)
        try:
            self._scratch.mkdir(parents=True)
            self._sort(open_runs, entries)
            for run_id, document in open_runs.items():
                self._write(run_id, document, _chunks(self._scratch / run_id), "")
        except OSError as error:  # the points of the main run are read after this
            self._report(f"child runs are incomplete: the recorder cannot write to its disk: {error.strerror}")
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _about_main(self, state: State) -> None:
        main = state.runs[state.main]
        self._document(f"{RUNS_FOLDER}/{main.id}/{RUN_FILE}", _document(main))
        if state.models or state.registered:
            found = {
                "logged_models": [
                    answers.logged_model(model, []) | {"path": model.path} for model in state.models.values()
                ],
                "registered_models": [
                    answers.registered(model)
                    | {"versions": [answers.version(version, model) for version in model.versions.values()]}
                    for model in state.registered.values()
                ],
            }
            self._document(f"{MODELS_FOLDER}/{REGISTRY_FILE}", json.dumps(found, indent=1).encode())

    def _document(self, path: str, document: bytes) -> None:
        try:
            self._put(path, [document])
        except MlflowError as error:
            self._report(f"{path} is missing: {error.message}")

    def _sort(self, wanted: Container[str], entries: Iterable[Entry]) -> None:
        """Write the points of these runs to one file each, in bounded memory."""
        buffer, size = defaultdict[str, list[str]](list), 0
        for entry in entries:
            run = str(entry.get("run"))
            if entry["op"] != "log" or run not in wanted:
                continue
            for key, value, time, step, *_ in entry.get("metrics", ()):
                row = _row(key, Point(value, time, step))
                buffer[run].append(row)
                size += len(row)
            if size > _BUFFER:
                self._flush(buffer)
                size = 0
        self._flush(buffer)

    def _flush(self, buffer: dict[str, list[str]]) -> None:
        for run, rows in buffer.items():
            with (self._scratch / run).open("a") as file:
                file.writelines(rows)
        buffer.clear()

    def _mark(self, run: Run, document: bytes) -> str:
        return f"{sum(points.count for points in run.points.values())} {document!r}"

    def _write(self, run_id: str, document: bytes, rows: Iterable[bytes], mark: str) -> None:
        try:
            self._put(f"{RUNS_FOLDER}/{run_id}/{METRICS_FILE}", rows)
            self._put(f"{RUNS_FOLDER}/{run_id}/{RUN_FILE}", [document])
        except MlflowError as error:
            self._report(f"the child run {run_id} is incomplete: {error.message}")
        else:
            self._written[run_id] = mark

    def _put(self, path: str, data: Iterable[bytes]) -> None:
        upload = self._files.begin(path)
        try:
            for chunk in _joined(data):
                self._files.write(upload, chunk)
            self._files.finish(upload)
        finally:
            self._files.end(upload)


def _document(run: Run) -> bytes:
    return json.dumps(answers.run(run), indent=1).encode()


def _row(key: str, point: Point) -> str:
    fields: dict[str, Any] = {"metric": key, "step": point.step, "time": point.time / 1000}
    return json.dumps(fields | {"value": answers.double(point.value)}) + "\n"


def _chunks(path: Path) -> Iterator[bytes]:
    with suppress(FileNotFoundError), path.open("rb") as file:  # a run without points
        while chunk := file.read(_CHUNK):
            yield chunk


def _joined(data: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces."""
    found, size = list[bytes](), 0
    for each in data:
        found.append(each)
        size += len(each)
        if size >= _CHUNK:
            yield b"".join(found)
            found, size = [], 0
    yield b"".join(found)
