"""How long `assay runs` takes in a namespace with 20,000 runs, and what it cannot be quicker than.

The floor is the same Runs, listed whole by `kubectl get --raw` in pages of the same size and thrown away.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import generated, registry
from tests.cluster.local import LocalCluster

RUNS, ROUNDS, PAGE = 20_000, 3, 500
NAMESPACE = "bench"
_PATH = f"/apis/assay.dev/v1alpha1/namespaces/{NAMESPACE}/runs"
_WHERE = 'datasets.digits.version == "2.1" && metrics.val_f1.best > 0.85 && params.depth in [2, 3]'


async def measure() -> dict[str, float]:
    """Return runs_first_page_s, runs_all_cold_s, runs_all_warm_s, runs_floor_s and the ratios to that."""
    with LocalCluster(f"bench-{os.getpid()}", with_node=False) as cluster:
        registry.install_policies(cluster)
        cluster.create_namespace(NAMESPACE)
        await generated.fill(cluster, NAMESPACE, generated.rows(RUNS))
        with tempfile.TemporaryDirectory() as cache:
            return await asyncio.to_thread(_measure, cluster, cache)


def _measure(cluster: LocalCluster, cache: str) -> dict[str, float]:
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "XDG_CACHE_HOME": cache}
    all_of_them = ("--where", _WHERE, "--sort", "val_f1")
    first = _median(lambda: _first_line(environment))
    cold = _median(lambda: _assay(environment, *all_of_them, "--no-cache"))
    _assay(environment, *all_of_them)
    warm = _median(lambda: _assay(environment, *all_of_them))
    floor = _median(lambda: _floor(cluster))
    return {
        "runs_first_page_s": first,
        "runs_all_cold_s": cold,
        "runs_all_warm_s": warm,
        "runs_floor_s": floor,
        "runs_cold_ratio": cold / floor,
        "runs_warm_ratio": warm / floor,
    }


def _median(once: Callable[[], float]) -> float:
    return statistics.median(once() for _ in range(ROUNDS))


def _argv(*more: str) -> list[str]:
    return [str(Path(sys.executable).parent / "assay"), "runs", "--namespace", NAMESPACE, *more]


def _assay(environment: dict[str, str], *more: str) -> float:
    start = time.perf_counter()
    subprocess.run(_argv(*more), env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def _first_line(environment: dict[str, str]) -> float:
    """Return how long it takes until something is shown of runs that are read anew."""
    start = time.perf_counter()
    with subprocess.Popen(_argv("--sort", "name", "--no-cache"), env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        line = process.stdout.readline()
        took = time.perf_counter() - start
        process.stdout.read()
    if not line.startswith(b"RUN"):
        raise RuntimeError(f"assay runs began with {line!r}")
    return took


def _floor(cluster: LocalCluster) -> float:
    took, token = 0.0, ""
    while True:
        start = time.perf_counter()
        page = cluster.kubectl("get", "--raw", f"{_PATH}?limit={PAGE}&continue={token}")
        took += time.perf_counter() - start
        token = json.loads(page)["metadata"].get("continue") or ""
        if not token:
            return took


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=1))
