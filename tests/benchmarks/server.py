"""What the server takes for searches and curves, through HTTP, beside MLflow's own server on the same runs.

`python -m assay.server` runs as a process of its own, in front of a stand-in for the API server (``api_server``) and a
real store. First its index has 20,000 runs, then, in a new process, 100,000: that start is `server_restart_s`, from the
process to the first answer. A third one has 20,000 runs, each with 100 of 300 metrics.

For the ratios both servers get the same requests of MLflow's REST API from the same client, in turns; ours answers
below /mlflow. Answers in which runs, or their states, metrics and parameters, differ end it. What takes long is asked
less often.
"""

import base64
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from assay.store import layout
from tests import generated, s3
from tests.benchmarks import api_server, mlflow_server
from tests.benchmarks.beside_mlflow import METRIC, POINTS, QUESTIONS, RUN, curve_points, line
from tests.cli.stand_in import compacted
from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for
from tests.ports import free_port

Raw = dict[str, Any]

FEW, MANY = 20_000, 100_000
ROUNDS, BESIDE_ROUNDS = 20, 7
#: A question is not asked again when both servers have taken so long for it.
BESIDE_SECONDS = 40.0
#: A status has room for 100 metrics.
WIDE = (100, 300)
CURVES, CURVE_POINTS = 50, 10_000
MOST = 50_000
#: The stand-in for the API server asks nobody who they are.
PERSON = {"Authorization": "Bearer a.person.s-token"}
#: What is asked of the API: filters and orders of all sorts, each for the first page.
SEARCHES: tuple[dict[str, str], ...] = (
    {},
    {"sort": "val_f1"},
    {"sort": "-duration", "limit": "50"},
    {"where": "metrics.val_f1.last > 0.85 && params.depth == 3"},
    {"where": 'datasets.digits.version == "2.1" && metrics.val_f1.best > 0.85', "sort": "loss:asc"},
    {"where": "params.optimizer in ['adam', 'lamb'] && duration > 3600.0", "sort": "name", "reverse": "true"},
    {"where": "owner.startsWith('a') || phase == 'Failed'", "experiment": "exp-07", "sort": "accuracy:desc"},
    {"where": "metrics.loss.min < 0.001 && !params.augment", "sort": "params.learning_rate", "limit": "50"},
)


async def measure() -> dict[str, float]:
    """Return the seconds, milliseconds and megabytes, and how many times as long MLflow's server takes."""
    with running_store() as (store, folder):
        return _Measurement(store, folder).figures()


@contextlib.contextmanager
def running_store() -> Iterator[tuple[s3.S3Server, Path]]:
    """Run a store of its own; gives a folder beside it, which ends with it."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as text:
        folder = Path(text)
        store = s3.minio_server(folder / "minio")
        store.start()
        s3.add_user(store, s3.USER_KEY, s3.USER_SECRET)
        try:
            yield store, folder
        finally:
            store.kill()


def write_keys(store: s3.S3Server, folder: Path) -> None:
    """Write the Secret with the keys of the store, which the stand-in for the API server gives out."""
    config = store.config()
    keys = {"endpoint": config.endpoint, "bucket": config.bucket}
    keys |= {"accessKey": config.access_key, "secretKey": config.secret_key}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
    (folder / "secret.json").write_text(json.dumps({"data": data}))


class _Measurement:
    def __init__(self, store: s3.S3Server, folder: Path) -> None:
        self._store, self._folder = store, folder

    def figures(self) -> dict[str, float]:
        """Measure everything."""
        rows, points = list(generated.rows(FEW)), curve_points()
        self._fill_store(rows, points)
        with self._server(FEW) as ours:
            found = self._searches(ours, "20k")
            found |= self._curves(ours)
            found |= self._beside(ours, rows)
        with self._server(MANY) as ours:
            found["server_restart_s"] = ours.seconds
            found["server_restart_cpu_s"] = ours.cpu()
            found |= self._searches(ours, "100k")
            found["server_rss_mb"] = ours.megabytes()
            found |= {f"{name}_100k": value for name, value in self._curves(ours, 3).items() if "rss" in name}
        return found | self.wide()

    def wide(self) -> dict[str, float]:
        """Measure the server with runs that have many metrics."""
        with self._server(FEW, WIDE) as ours:
            return self._searches(ours, "300_metrics") | {"server_rss_mb_300_metrics": ours.megabytes()}

    def _server(self, runs: int, wide: Sequence[int] = ()) -> "Server":
        return Server(runs, self._folder, wide)

    def _fill_store(self, rows: Sequence[generated.GeneratedRun], points: Sequence[Any]) -> None:
        print("# curves into the store", flush=True)
        store, many = self._store.store(), curve_points(CURVE_POINTS, seed=2)
        curves = {RUN: compacted(points, self._folder), **dict.fromkeys(_many(), compacted(many, self._folder))}
        for row in rows:
            if row.name in curves:
                pod = layout.pod_prefix(layout.prefix_of(api_server.manifest(row)), f"{row.name}-pod")
                store.put_bytes(f"{pod}/{layout.PARQUET}", curves[row.name])
        write_keys(self._store, self._folder)

    def _searches(self, server: "Server", size: str) -> dict[str, float]:
        """Return the 95th percentile over all questions, and the CPU time of each on average, in milliseconds.

        The latter says more on a machine that does other work.
        """
        before = server.cpu()
        path = f"/api/v1/namespaces/{api_server.NAMESPACE}/runs"
        took = {
            str(query): [self._timed(lambda query=query: server.get(path, **query)) for _ in range(ROUNDS)]  # type: ignore[misc]
            for query in SEARCHES
        }
        for query, each in took.items():
            print(f"# {server.runs} runs, {query}: {_p95(each):.0f} ms", flush=True)
        cpu = 1000 * (server.cpu() - before) / (ROUNDS * len(SEARCHES))
        p95 = _p95(list(itertools.chain.from_iterable(took.values())))
        return {f"server_search_p95_ms_{size}": p95, f"server_search_cpu_ms_{size}": cpu}

    def _curves(self, server: "Server", rounds: int = ROUNDS) -> dict[str, float]:
        path = f"/api/v1/namespaces/{api_server.NAMESPACE}/curves"

        def ask(runs: Sequence[str], points: int, **query: Any) -> None:
            items = server.get(path, run=runs, metric=METRIC, **query)["items"]
            if [each["points"] for each in items] != [points] * len(runs):
                raise RuntimeError(f"not the curves that were asked for: {items!s:.300}")

        one = [self._timed(lambda: ask([RUN], POINTS, smooth=0.9)) for _ in range(rounds)]
        zoomed = [self._timed(lambda: ask([RUN], POINTS, low=1e5, high=2e5)) for _ in range(rounds)]
        many = [self._timed(lambda: ask(_many(), CURVE_POINTS, smooth=0.9)) for _ in range(rounds)]
        return {
            "server_curve_first_ms": one[0],
            "server_curve_p95_ms": _p95(one[1:]),
            "server_curve_zoom_p95_ms": _p95(zoomed),
            "server_curves_50_first_ms": many[0],
            "server_curves_50_p95_ms": _p95(many[1:]),
            "server_curve_rss_mb": server.megabytes(),
        }

    # Beside MLflow

    def _beside(self, ours: "Server", rows: Sequence[generated.GeneratedRun]) -> dict[str, float]:
        try:
            interpreter = mlflow_server.python()
        except ClusterError as error:
            print(f"# mlflow is left out: it cannot be installed: {error}", flush=True)
            return {}
        print("# the same into MLflow's database", flush=True)
        database = self._folder / "mlflow.db"
        mlflow_server.fill(interpreter, database, "".join(f"{json.dumps(line(row))}\n" for row in rows))
        with mlflow_server.serving(interpreter, database) as server:
            theirs = httpx.Client(base_url=server.address, timeout=3600)
            sides = {"mlflow": _Client(theirs), "assay": _Client(ours.client, f"/mlflow/{api_server.NAMESPACE}")}
            return self._ratios(sides)

    def _ratios(self, sides: "dict[str, _Client]") -> dict[str, float]:
        took: dict[tuple[str, str], list[float]] = defaultdict(list)
        for question in QUESTIONS:
            begun = time.perf_counter()
            for _ in range(BESIDE_ROUNDS):
                answers = {}
                for side, client in sides.items():
                    start = time.perf_counter()
                    found_runs = client.search(question.theirs, question.limit)
                    took[question.name, side].append(time.perf_counter() - start)
                    print(f"# {question.name}, {side}: {took[question.name, side][-1]:.3f} s", flush=True)
                    answers[side] = set(map(_compared, found_runs))
                    del found_runs
                if not _same(answers["mlflow"], answers["assay"], question.limit):
                    raise RuntimeError(f"{question.name}: not the same answer: there is nothing to compare")
                if time.perf_counter() - begun > BESIDE_SECONDS:
                    break
        found = {key: statistics.median(each) for key, each in took.items()}
        ratios = {f"mlflow_server_{q.name}_ratio": found[q.name, "mlflow"] / found[q.name, "assay"] for q in QUESTIONS}
        return ratios | {f"{side}_server_{name}_s": seconds for (name, side), seconds in found.items()}

    def _timed(self, do: Callable[[], Any]) -> float:
        """Return the milliseconds that something takes."""
        start = time.perf_counter()
        do()
        return 1000 * (time.perf_counter() - start)


def _compared(run: Raw) -> tuple[Any, ...]:
    """Return what both servers must say of a run."""
    metrics = tuple(sorted((each["key"], each["value"], each["step"]) for each in run["data"].get("metrics", [])))
    parameters = tuple(sorted((each["key"], each["value"]) for each in run["data"].get("params", [])))
    return run["info"]["run_name"], run["info"]["status"], metrics, parameters


def _same(theirs: set[Any], ours: set[Any], limit: int) -> bool:
    # Runs that began at the same time have no order in a page of MLflow's.
    return len(theirs) == len(ours) if limit else theirs == ours


class _Client:
    """MLflow's REST API at one of the servers."""

    def __init__(self, client: httpx.Client, start: str = "") -> None:
        self._client, self._path = client, f"{start}/api/2.0/mlflow"
        answer = self._client.get(f"{self._path}/experiments/search", params={"max_results": 1000}).raise_for_status()
        self._experiments = [each["experiment_id"] for each in answer.json()["experiments"]]

    def search(self, where: str, limit: int) -> list[Raw]:
        """Return the runs that match, with a limit those of the first page."""
        found: list[Raw] = []
        token = None
        while True:
            body = {"experiment_ids": self._experiments, "filter": where, "max_results": limit or MOST}
            body |= {"page_token": token} if token else {}
            answer = self._client.post(f"{self._path}/runs/search", json=body).raise_for_status().json()
            found += answer.get("runs", [])
            token = answer.get("next_page_token")
            if limit or not token:
                return found


class Server:
    """`python -m assay.server` with an index of this number of runs. ``seconds`` is the duration of its start."""

    def __init__(self, runs: int, folder: Path, wide: Sequence[int] = ()) -> None:
        self.runs, self._folder, self._wide = runs, folder, wide

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a path, asked for by the person."""
        return self.client.get(path, params=query).raise_for_status().json()

    def cpu(self) -> float:
        """Return the CPU seconds of the process."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def megabytes(self) -> float:
        """Return the memory of the process, at its highest if the system knows that."""
        with contextlib.suppress(OSError):
            for each in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if each.startswith("VmHWM:"):
                    return int(each.split()[1]) / 1024
        return float(psutil.Process(self._process.pid).memory_info().rss) / (1 << 20)

    def __enter__(self) -> "Server":
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def _start(self, stack: contextlib.ExitStack) -> None:
        port, api = free_port(), free_port()
        argv = ("tests.benchmarks.api_server", str(api), str(self.runs), str(self._folder / "secret.json"))
        argv += tuple(map(str, self._wide))
        stack.callback(_end, subprocess.Popen([sys.executable, "-m", *argv]))
        wait_for("the stand-in for the API server", lambda: httpx.get(f"http://127.0.0.1:{api}/"), seconds=300)
        config = self._folder / "kubeconfig"
        config.write_text(json.dumps(_kubeconfig(f"http://127.0.0.1:{api}")))
        self.address = f"http://127.0.0.1:{port}"
        self.client = stack.enter_context(httpx.Client(base_url=self.address, headers=PERSON, timeout=60))
        own = {"ASSAY_SERVER_PORT": str(port), "ASSAY_SERVER_NAMESPACES": api_server.NAMESPACE}
        own["ASSAY_SERVER_METRICS_PORT"] = str(free_port())
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "assay.server"], env={**os.environ, **own, "KUBECONFIG": str(config)}
        )
        stack.callback(_end, self._process)
        wait_for("the server to be ready", self._ready, seconds=300)
        self.seconds = time.perf_counter() - start

    def _ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)


def _kubeconfig(server: str) -> Raw:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench", "namespace": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {"server": server}}],
        "users": [{"name": "bench", "user": {"token": "the.server.s-token"}}],
    }


def _many() -> list[str]:
    return [f"exp-01-{number}" for number in range(1, CURVES + 1)]


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]
