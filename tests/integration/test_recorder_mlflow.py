"""The recorder process as a tracking server: killed again and again while a client logs, and ended by SIGTERM."""

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from assay.store import layout
from tests.integration.test_recorder_process import Recorder
from tests.s3 import S3Server, wait_until

pytestmark = pytest.mark.integration

KILLS = 6
HOST = "127.0.0.1"


class Client:
    """Repeats each request until it has an answer, as MLflow's clients do."""

    def __init__(self, port: int, patience: float = 60) -> None:
        self._patience = patience
        self._connection = HTTPConnection(HOST, port, timeout=30)

    def post(self, path: str, **fields: Any) -> Any:
        return self._ask("POST", path, json.dumps(fields).encode())

    def get(self, path: str, **fields: str) -> Any:
        return self._ask("GET", f"{path}?{urlencode(fields)}", None)

    def _ask(self, method: str, path: str, data: bytes | None) -> Any:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._connection.request(method, f"/api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"})
                response = self._connection.getresponse()
                body = json.loads(response.read())
            except (OSError, HTTPException, ValueError):
                self._connection.close()
                if time.monotonic() > deadline:
                    raise
                threading.Event().wait(0.01)  # leaves the processor to the server that is starting
                continue
            if response.status < 500:
                assert response.status == 200, body
                return body


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def recorder(tmp_path: Path, minio: S3Server) -> Iterator[Recorder]:
    made = Recorder(tmp_path, minio, ASSAY_MLFLOW_PORT=str(free_port()))
    made.issue()
    yield made
    made.kill()


def main_run(recorder: Recorder) -> str:
    return layout.parse_intake_prefix(recorder.prefix)[0].uid.replace("-", "")


def test_a_killed_recorder_neither_loses_nor_duplicates_acknowledged_points(recorder: Recorder, tmp_path: Path) -> None:
    check_kills(recorder, tmp_path, KILLS)


def check_kills(recorder: Recorder, folder: Path, kills: int) -> int:
    """Log points while the recorder is killed. Return the number of points; all are recorded exactly once."""
    run, port = main_run(recorder), int(recorder.environment["ASSAY_MLFLOW_PORT"])
    done, logged = threading.Event(), list[tuple[str, float, float]]()

    def log() -> None:
        client, step = Client(port), 0
        while not done.is_set():
            # One point at a time and batches in turn, with times and steps that come again.
            for size in (1, 1, 1, 40):
                points = [
                    {
                        "key": f"m{n % 3}",
                        "value": step + n / 64,
                        "timestamp": 1_700_000_000_000 + step // 7,
                        "step": step // 2,
                    }
                    for n in range(size)
                ]
                if size == 1:
                    client.post("runs/log-metric", run_id=run, **points[0])
                else:
                    client.post("runs/log-batch", run_id=run, metrics=points)
                logged.extend((point["key"], point["step"], point["value"]) for point in points)
                step += 1

    client = threading.Thread(target=log)
    recorder.start()
    client.start()
    chance = random.Random(7)
    for _ in range(kills):
        before = len(logged)
        wait_until(lambda before=before: len(logged) > before + 5, "the client goes on")  # type: ignore[misc]
        threading.Event().wait(chance.random() / 4)  # a moment of any kind
        recorder.kill()
        recorder.start()
    before = len(logged)
    wait_until(lambda: len(logged) > before, "the client goes on")
    done.set()
    client.join()
    assert recorder.terminate() == 0
    found = [(metric, step, value) for metric, step, _, value in recorder.points(folder)]
    assert sorted(found) == sorted(logged)
    assert recorder.manifest().summary.points == len(logged)
    return len(logged)


def test_client_logs_are_live_and_then_in_the_manifest(recorder: Recorder) -> None:
    run, client = main_run(recorder), Client(int(recorder.environment["ASSAY_MLFLOW_PORT"]))
    recorder.start()
    client.post("runs/log-batch", run_id=run, metrics=[{"key": "loss", "value": 0.5, "timestamp": 1, "step": 1}])
    client.post("runs/log-parameter", run_id=run, key="lr", value="0.1")
    child = client.post("runs/create", experiment_id="1", tags=[{"key": "mlflow.parentRunId", "value": run}])
    recorder.wait_for_points(1)

    def counted() -> bool:
        summary = recorder.summary()
        return summary is not None and summary.children == 1

    wait_until(counted, "the child run is in the live summary")
    client.post("runs/log-parameter", run_id=child["run"]["info"]["run_id"], key="lr", value="0.2")
    put = HTTPConnection(HOST, int(recorder.environment["ASSAY_MLFLOW_PORT"]), timeout=30)
    put.request("PUT", f"/api/2.0/mlflow-artifacts/artifacts/1/{run}/artifacts/model/weights", b"weights")
    assert put.getresponse().status == 200
    assert recorder.terminate() == 0
    summary = recorder.manifest().summary
    assert (summary.points, summary.children, summary.parameters, summary.warnings) == (1, 1, {"lr": "0.1"}, [])
    files = {file.path for file in recorder.manifest().files}
    folder = f"artifacts/mlflow-runs/{child['run']['info']['run_id']}"
    assert f"artifacts/mlflow-runs/{run}/run.json" in files
    assert {"artifacts/model/weights", f"{folder}/run.json", f"{folder}/metrics.jsonl"} <= files
    assert recorder.manifest().missing == []
