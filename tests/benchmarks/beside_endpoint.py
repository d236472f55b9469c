"""Logging with MLflow's client: to the recorder's endpoint, to MLflow's server, and to a server that does nothing.

The same script and the same client, in turns on one machine. The server that does nothing is the floor: nothing can be
faster for this client. Then both servers are killed while a client logs, and what they acknowledged is read back.
"""

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests import s3
from tests.benchmarks import mlflow_server, postgres
from tests.cluster.errors import ClusterError
from tests.integration.test_recorder_mlflow import HOST, Client, free_port, main_run
from tests.integration.test_recorder_process import Recorder

ROUNDS, CALLS, BATCHES = 3, 200, 10
SERVER_KILLS = 5
_PATIENCE = 900.0  # MLflow's server takes long to start on a busy machine
_LOGGING = Path(__file__).with_name("mlflow_logging.py")


def measure(folder: Path, store: s3.S3Server) -> dict[str, float]:
    """Return the figures; {} if MLflow cannot be installed."""
    try:
        interpreter = mlflow_server.python()
    except ClusterError as error:
        print(f"# mlflow is left out: it cannot be installed: {error}", flush=True)
        return {}
    mlflow_server.fill(interpreter, folder / "mlflow.db", "")
    speed = _speed(folder, store, interpreter)
    print("# " + json.dumps(speed), flush=True)  # the rest takes minutes
    return speed | _losses(folder, store, interpreter)


@contextlib.contextmanager
def recording(folder: Path, server: s3.S3Server) -> Iterator[Recorder]:
    """A recorder as in a pod, which serves the endpoint."""
    folder.mkdir()
    recorder = Recorder(folder, server, ASSAY_MLFLOW_PORT=str(free_port()), ASSAY_FLUSH_SECONDS="3")
    recorder.environment.pop("ASSAY_PART_BYTES")
    recorder.issue()
    _start(recorder)
    try:
        yield recorder
    finally:
        recorder.kill()


def _start(recorder: Recorder) -> None:
    recorder.log.write_text("")
    recorder.start()
    s3.wait_until(lambda: recorder.said('"recording"'), "the recorder is up")


def _speed(folder: Path, store: s3.S3Server, interpreter: Path) -> dict[str, float]:
    with contextlib.ExitStack() as stack:
        sides = {
            "mlflow": stack.enter_context(mlflow_server.serving(interpreter, folder / "mlflow.db")).environment(),
            "assay": _environment(int(stack.enter_context(recording(folder / "a", store)).environment[_PORT])),
            "floor": _environment(stack.enter_context(_floor())),
        }
        try:
            database = stack.enter_context(postgres.serving(free_port()))
        except ClusterError as error:
            print(f"# PostgreSQL is left out: {error}", flush=True)
        else:
            (folder / "p").mkdir()
            server = stack.enter_context(mlflow_server.serving(interpreter, database, folder / "p"))
            sides["mlflow_postgres"] = server.environment()
        samples: dict[str, list[list[float]]] = {}
        for _ in range(ROUNDS):
            for side, environment in sides.items():
                for call, seconds in _log(interpreter, environment).items():
                    samples.setdefault(f"{side}_{call}", []).append(seconds)
    p95 = {name: statistics.median(map(_p95, rounds)) for name, rounds in samples.items()}
    middle = {name: statistics.median(map(statistics.median, rounds)) for name, rounds in samples.items()}
    found = {f"{name}_p95_s": p95[name] for name in p95} | {f"{name}_s": middle[name] for name in middle}
    for side in sides.keys() - {"assay", "floor"}:
        found[f"{side}_log_metric_p95_ratio"] = p95[f"{side}_log_metric"] / p95["assay_log_metric"]
        found[f"{side}_log_batch_ratio"] = middle[f"{side}_log_batch"] / middle["assay_log_batch"]
        for call in ("log_metric", "log_batch"):
            ours, floor = middle[f"assay_{call}"], middle[f"floor_{call}"]
            # The noise of the floor is larger than what the endpoint takes, so the ratio has an end.
            found[f"{side}_{call}_above_floor_ratio"] = (middle[f"{side}_{call}"] - floor) / max(ours - floor, 1e-4)
    return found


def _losses(folder: Path, store: s3.S3Server, interpreter: Path) -> dict[str, float]:
    print(f"# {SERVER_KILLS} kills of each server", flush=True)
    with mlflow_server.serving(interpreter, folder / "mlflow.db") as server:
        created = Client(server.port).post("runs/create", experiment_id="0")
        run = created["run"]["info"]["run_id"]
        found = _killed("mlflow", Client(server.port, _PATIENCE), run, server.kill, server.start)
    with recording(folder / "k", store) as recorder:
        client = Client(int(recorder.environment[_PORT]))
        return found | _killed("assay", client, main_run(recorder), recorder.kill, lambda: _start(recorder))


def _killed(
    side: str, client: Client, run: str, kill: Callable[[], None], start: Callable[[], None]
) -> dict[str, float]:
    """Log points one by one while the server is killed; return what is missing, twice there, and the longest wait."""
    done, acknowledged, waits = threading.Event(), list[int](), [0.0]

    def log() -> None:
        step = 0
        while not done.is_set():
            begun = time.monotonic()
            client.post("runs/log-metric", run_id=run, key="loss", value=step / 7, timestamp=1 + step, step=step)
            waits[0] = max(waits[0], time.monotonic() - begun)
            acknowledged.append(step)
            step += 1

    thread, chance = threading.Thread(target=log), random.Random(7)
    thread.start()
    for _ in range(SERVER_KILLS):
        _more(acknowledged)
        threading.Event().wait(chance.random() / 4)  # a moment of any kind
        kill()
        start()
    _more(acknowledged)
    done.set()
    thread.join()
    steps = [
        int(point["step"]) for point in client.get("metrics/get-history", run_id=run, metric_key="loss")["metrics"]
    ]
    return {
        f"{side}_killed_points": len(acknowledged),
        f"{side}_killed_lost": len(set(acknowledged) - set(steps)),
        f"{side}_killed_doubled": len(steps) - len(set(steps)),
        f"{side}_killed_longest_wait_s": waits[0],
    }


def _more(acknowledged: list[int]) -> None:
    before = len(acknowledged)
    s3.wait_until(lambda: len(acknowledged) > before + 5, "the client logs again", _PATIENCE)


_PORT = "ASSAY_MLFLOW_PORT"


@contextlib.contextmanager
def _floor() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.benchmarks.floor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _environment(port: int) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
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
