"""What the recorder's endpoint for MLflow's clients takes, beside MLflow's server, and what kills lose.

The recorder is the process of a pod, with a store. `recorder_cpu_at_1000_points` is the share of a core while a client
logs ten metrics a hundred times a second.
"""

import json
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

from assay.store import layout
from tests import s3
from tests.benchmarks import beside_endpoint
from tests.integration.test_recorder_mlflow import HOST, check_kills, free_port
from tests.integration.test_recorder_process import Recorder

POINTS = 1_000_000
KILLS = 50


async def measure() -> dict[str, float]:
    """Return the figures; those beside MLflow's server only where it can be installed."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        server = s3.minio_server(Path(folder, "store"))
        server.start()
        s3.add_user(server, s3.USER_KEY, s3.USER_SECRET)
        try:
            found = beside_endpoint.measure(Path(folder), server)
            found |= _capacity(Path(folder), server)
            found |= _kills(Path(folder), server)
        finally:
            server.kill()
    return found


def _capacity(folder: Path, server: s3.S3Server) -> dict[str, float]:
    """Points a second, memory after a million of them, and the share of a core at a thousand a second."""
    print(f"# {POINTS} points", flush=True)
    with beside_endpoint.recording(folder / "b", server) as recorder:
        assert recorder.process is not None
        process = psutil.Process(recorder.process.pid)
        client = HTTPConnection(HOST, int(recorder.environment["ASSAY_MLFLOW_PORT"]), timeout=60)
        _post(client, recorder, _points(0, 1))
        before = sum(process.cpu_times()[:2])
        start = time.monotonic()
        for second in range(10):
            for part in range(100):
                _post(client, recorder, [(f"n{n}", second, part) for n in range(10)])
                time.sleep(max(0.0, start + second + part / 100 - time.monotonic()))
        share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - start)
        start = time.monotonic()
        for first in range(0, POINTS, 1000):
            _post(client, recorder, _points(first, 1000))
        rate = POINTS / (time.monotonic() - start)
        memory = process.memory_info().rss / 1e6
        recorder.wait_for_points(POINTS, 120)
        memory = max(memory, process.memory_info().rss / 1e6)
    return {
        "recorder_points_per_second": rate,
        "recorder_rss_mb": memory,
        "recorder_cpu_at_1000_points": share,
    }


def _kills(folder: Path, server: s3.S3Server) -> dict[str, float]:
    """Kill the recorder while a client logs. Ends with an error if a point is lost or doubled."""
    print(f"# {KILLS} kills", flush=True)
    (folder / "c").mkdir()
    recorder = Recorder(folder / "c", server, ASSAY_MLFLOW_PORT=str(free_port()))
    recorder.issue()
    try:
        return {"recorder_points_over_50_kills": check_kills(recorder, folder / "c", KILLS)}
    finally:
        recorder.kill()


def _points(first: int, count: int) -> list[tuple[str, int, int]]:
    return [("loss", step, 0) for step in range(first, first + count)]


def _post(client: HTTPConnection, recorder: Recorder, points: list[tuple[str, int, int]]) -> None:
    run = layout.parse_intake_prefix(recorder.prefix)[0].uid.replace("-", "")
    metrics: list[dict[str, Any]] = [
        {"key": key, "value": step / 7, "timestamp": 1_700_000_000_000 + step, "step": 100 * step + part}
        for key, step, part in points
    ]
    client.request("POST", "/api/2.0/mlflow/runs/log-batch", json.dumps({"run_id": run, "metrics": metrics}).encode())
    response = client.getresponse()
    response.read()
    if response.status != 200:
        raise RuntimeError(f"the recorder answered {response.status}")
