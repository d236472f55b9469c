"""What Assay's command line takes beside MLflow's client and server: the same runs, the same questions, one machine.

20,000 runs are Runs of an API server here, rows of an SQLite database there; a curve of 1,000,000 points is a pod's
Parquet file in the store here, as the recorder leaves it, and a run's history there. Answers that differ end it. Both
are Python processes that have loaded what they need and ask again and again; Assay signs in each time. Then both are
measured as a person has them at a shell: as a new process for each question.

`cold` is with nothing kept of earlier commands. MLflow's server and Assay take turns, so that what else the machine
does weighs on both. What takes MLflow more than a minute is asked of it once.
"""

import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests import generated, registry
from tests.benchmarks import mlflow_server
from tests.benchmarks.assay_client import names, search_command
from tests.cli.stand_in import Point, StandIn
from tests.cluster import paths
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster

Raw = dict[str, Any]

RUNS = 20_000
POINTS = 1_000_000
ROUNDS = 3
LONG_SECONDS = 60
PAGE = 100
NAMESPACE = "bench"
#: The run with the curve, and its metric.
RUN, METRIC = "exp-00-1", "train_loss"
_BEGUN = 1763700000.0
_CURVE_ROW = 10_000


class Question(NamedTuple):
    """What is asked of both; `theirs` and `ours` say the same in the two languages."""

    name: str
    theirs: str = ""
    ours: str = ""
    limit: int = 0


_MATCHING = ("metrics.val_f1 > 0.85 and params.depth = '3'", "metrics.val_f1.last > 0.85 && params.depth == 3")
FIRST_PAGE = Question("search_first_page", *_MATCHING, limit=PAGE)
QUESTIONS = (FIRST_PAGE, Question("search_matching", *_MATCHING), Question("search_all"))


async def measure() -> dict[str, float]:
    """Return the seconds of each question, and how many times as long MLflow takes; {} where it cannot be had."""
    try:
        interpreter = mlflow_server.python()
    except ClusterError as error:
        print(f"# mlflow is left out: it cannot be installed: {error}", flush=True)
        return {}
    name = f"bench-mlflow-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder, LocalCluster(name, with_node=False) as cluster:
        database = Path(folder) / "mlflow.db"
        await _fill(cluster, interpreter, database)
        with mlflow_server.serving(interpreter, database) as server:
            theirs = [str(interpreter), "-P", str(mlflow_server.CLIENT)]
            cache = Path(folder) / "cache"
            with _Client(theirs, server.environment()) as mlflow, _assay(cluster, cache) as assay:
                return _Measurement(mlflow, assay, cache).figures()


# The same data


async def _fill(cluster: LocalCluster, interpreter: Path, database: Path) -> None:
    registry.install_policies(cluster)
    cluster.create_namespace(NAMESPACE)
    runs, points = list(generated.rows(RUNS)), curve_points()
    print(f"# {RUNS} runs into the API server", flush=True)
    await generated.fill(cluster, NAMESPACE, runs)
    print(f"# {POINTS} points into the store", flush=True)
    run = cluster.api.get(f"/apis/assay.dev/v1alpha1/namespaces/{NAMESPACE}/runs/{RUN}")
    StandIn(cluster, NAMESPACE).compacted(run, f"{RUN}-pod", points, database.parent)
    print("# the same into MLflow's database", flush=True)
    lines = [*map(line, runs), *curve_lines(RUN, METRIC, points)]
    mlflow_server.fill(interpreter, database, "".join(f"{json.dumps(line)}\n" for line in lines))


def curve_points(count: int = POINTS, seed: int = 1) -> list[Point]:
    """Return a curve that falls and is noisy."""
    chance = random.Random(seed)
    steps = range(1, count + 1)
    return [(METRIC, step, _BEGUN + step / 10, math.exp(-step / count) + chance.random() / 10) for step in steps]


def line(row: generated.GeneratedRun) -> Raw:
    """Return a run as MLflow's half takes it. What Assay knows beyond that MLflow is spared."""
    return {
        "name": row.name,
        "experiment": row.experiment,
        "phase": row.phase,
        "owner": row.owner,
        "parameters": row.parameters,
        "metrics": row.metrics,
        "tags": {"mlflow.runName": row.name, "mlflow.user": row.owner, "dataset.version": row.version},
        "start": round(1000 * row.started.timestamp()),
        "end": round(1000 * row.completed.timestamp()) if row.completed else None,
    }


def curve_lines(run: str, metric: str, points: Sequence[Point]) -> Iterator[Raw]:
    """Yield a curve as MLflow's half takes it."""
    for start in range(0, len(points), _CURVE_ROW):
        yield {"curve": metric, "run": run, "points": [point[1:] for point in points[start : start + _CURVE_ROW]]}


# The two sides


class _Client:
    """A process that answers requests, one JSON a line."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._argv, self._environment = argv, environment

    def ask(self, do: str, **request: Any) -> tuple[float, Any]:
        """Return the seconds that a request took, and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._argv[-1]} ended with {self._process.wait()} when asked for {request}")
        found = json.loads(line)
        return found["seconds"], found["answer"]

    def alone(self, *argv: str, request: Raw | None = None) -> tuple[float, str]:
        """Run a command, by itself one like this that answers one request; return the seconds, and what it prints."""
        stdin = json.dumps(request) if request else ""
        start = time.perf_counter()
        done = subprocess.run(
            argv or self._argv, env=self._environment, input=stdin, stdout=subprocess.PIPE, text=True, check=True
        )
        return time.perf_counter() - start, done.stdout

    def __enter__(self) -> "_Client":
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._argv, env=self._environment, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def _assay(cluster: LocalCluster, cache: Path) -> _Client:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    where = {"KUBECONFIG": str(cluster.kubeconfig), "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(paths.CHECKOUT)}
    argv = [sys.executable, "-m", "tests.benchmarks.assay_client", NAMESPACE]
    return _Client(argv, {**kept, **cluster.store.environment(), **where})


# The questions


class _Measurement:
    """Asks both sides in turn, and holds what they took."""

    def __init__(self, mlflow: _Client, assay: _Client, cache: Path) -> None:
        self._mlflow, self._assay, self._cache = mlflow, assay, cache
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def figures(self) -> dict[str, float]:
        """Ask everything, and return the medians and what they are to each other."""
        for client, where in ((self._mlflow, FIRST_PAGE.theirs), (self._assay, FIRST_PAGE.ours)):
            client.ask("search", where=where, limit=PAGE)
        for _ in range(ROUNDS):
            for question in QUESTIONS:
                self._search(question)
            self._search_alone(FIRST_PAGE)
            self._curve()
        found = {name: statistics.median(seconds) for name, seconds in self._seconds.items()}
        ratios = {
            f"mlflow_{name.removeprefix('assay_')}_ratio": found[_counterpart(name)] / seconds
            for name, seconds in found.items()
            if name.startswith("assay_")
        }
        return ratios | {f"{name}_s": seconds for name, seconds in found.items()}

    def _search(self, question: Question) -> None:
        theirs = self._theirs(question.name, "search", where=question.theirs, limit=question.limit)
        self._forget()
        for name in (f"assay_{question.name}_cold", f"assay_{question.name}"):
            ours = self._note(name, *self._assay.ask("search", where=question.ours, limit=question.limit))
            if theirs is not None:
                _same(question.name, sorted(theirs), sorted(ours))

    def _search_alone(self, question: Question) -> None:
        request = {"do": "search", "where": question.theirs, "limit": question.limit}
        text = self._note(f"mlflow_{question.name}_process", *self._mlflow.alone(request=request))
        theirs = json.loads(text)["answer"]
        argv = [str(Path(sys.executable).with_name("assay"))]
        argv += search_command(NAMESPACE, question.ours, question.limit)
        self._forget()
        for name in (f"assay_{question.name}_process_cold", f"assay_{question.name}_process"):
            ours = names(self._note(name, *self._assay.alone(*argv)))
            _same(question.name, sorted(theirs), sorted(ours))

    def _curve(self) -> None:
        theirs = self._theirs("curve", "curve", run=RUN, metric=METRIC)
        ours = self._note("assay_curve", *self._assay.ask("curve", run=RUN, metric=METRIC))
        if theirs is not None:
            _same("curve", theirs, ours)

    def _theirs(self, name: str, do: str, **request: Any) -> Any:
        """Ask MLflow; None when it has taken too long before."""
        if max(self._seconds[f"mlflow_{name}"], default=0) > LONG_SECONDS:
            return None
        return self._note(f"mlflow_{name}", *self._mlflow.ask(do, **request))

    def _note(self, name: str, seconds: float, answer: Any) -> Any:
        print(f"# {name}: {seconds:.2f} s", flush=True)
        self._seconds[name].append(seconds)
        return answer

    def _forget(self) -> None:
        shutil.rmtree(self._cache, ignore_errors=True)


def _counterpart(name: str) -> str:
    return "mlflow_" + name.removeprefix("assay_").removesuffix("_cold")


def _same(what: str, theirs: Any, ours: Any) -> None:
    if theirs != ours:
        raise RuntimeError(
            f"{what}: not the same answer, so there is nothing to compare: {theirs!s:.300} {ours!s:.300}"
        )
