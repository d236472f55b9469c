"""What logging with MLflow takes: its client against the recorder's endpoint, and against MLflow's own server.

The same script and the same client, one after the other on the same machine, and in turns. The recorder is the process
of a pod, with a store. `recorder_cpu_at_1000_points` is the share of a core while a client logs ten metrics a hundred
times a second.
"""

import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

from assay.store import layout
from tests import s3
from tests.benchmarks import mlflow_server
from tests.cluster.errors import ClusterError
from tests.integration.test_recorder_mlflow import HOST, check_kills, free_port
from tests.integration.test_recorder_process import Recorder

ROUNDS, CALLS, BATCHES = 3, 200, 10
POINTS = 1_000_000
KILLS = 50
_LOGGING = Path(__file__).with_name("mlflow_logging.py")


async def measure() -> dict[str, float]:
    """Return the figures; those beside MLflow's server only where it can be installed."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        server = s3.minio_server(Path(folder, "store"))
        server.start()
        s3.add_user(server, s3.USER_KEY, s3.USER_SECRET)
        try:
            found = _beside_mlflow(Path(folder), server)
            found |= _capacity(Path(folder), server)
            found |= _kills(Path(folder), server)
        finally:
            server.kill()
    return found


def _beside_mlflow(folder: Path, server: s3.S3Server) -> dict[str, float]:
    try:
        interpreter = mlflow_server.python()
    except ClusterError as error:
        print(f"# mlflow is left out: it cannot be installed: {error}", flush=True)
        return {}
    mlflow_server.fill(interpreter, folder / "mlflow.db", "")
    samples: dict[str, list[list[float]]] = {}
    with mlflow_server.serving(interpreter, folder / "mlflow.db") as theirs, _recorder(folder / "a", server) as ours:
        for _ in range(ROUNDS):
            for side, environment in (("mlflow", theirs), ("assay", _environment(ours))):
                for call, seconds in _log(interpreter, environment).items():
                    samples.setdefault(f"{side}_{call}", []).append(seconds)
    p95 = {name: statistics.median(map(_p95, rounds)) for name, rounds in samples.items()}
    middle = {name: statistics.median(map(statistics.median, rounds)) for name, rounds in samples.items()}
    return {
        "mlflow_log_metric_p95_ratio": p95["mlflow_log_metric"] / p95["assay_log_metric"],
        "mlflow_log_batch_ratio": middle["mlflow_log_batch"] / middle["assay_log_batch"],
        **{f"{name}_p95_s": p95[name] for name in p95},
        **{f"{name}_s": middle[name] for name in middle},
    }


def _capacity(folder: Path, server: s3.S3Server) -> dict[str, float]:
    """Points a second, memory after a million of them, and the share of a core at a thousand a second."""
    print(f"# {POINTS} points", flush=True)
    with _recorder(folder / "b", server) as recorder:
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


@contextlib.contextmanager
def _recorder(folder: Path, server: s3.S3Server) -> Iterator[Recorder]:
    folder.mkdir()
    recorder = Recorder(folder, server, ASSAY_MLFLOW_PORT=str(free_port()), ASSAY_FLUSH_SECONDS="3")
    recorder.environment.pop("ASSAY_PART_BYTES")
    recorder.issue()
    recorder.start()
    s3.wait_until(lambda: recorder.said('"recording"'), "the recorder is up")
    try:
        yield recorder
    finally:
        recorder.kill()


def _environment(recorder: Recorder) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    port = recorder.environment["ASSAY_MLFLOW_PORT"]
    where = {"MLFLOW_TRACKING_URI": f"http://{HOST}:{port}", "MLFLOW_EXPERIMENT_ID": "1"}
    return own | where | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "NO_PROXY": HOST}


def _log(interpreter: Path, environment: Mapping[str, str]) -> dict[str, list[float]]:
    print(f"# logging to {environment['MLFLOW_TRACKING_URI']}", flush=True)
    argv = [str(interpreter), "-P", str(_LOGGING), str(CALLS), str(BATCHES)]
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


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
