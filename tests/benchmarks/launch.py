"""What it costs to launch 500 runs, and to have 2,000 finished ones lying about.

The floor is what cannot be had for less: the same Runs and Jobs, created by the same client at the same concurrency,
by somebody who decides nothing and looks at nothing. Floor and operator take turns on the same API server.
"""

import asyncio
import json
import os
import re
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

import psutil

from assay.api.experiment import ExperimentSpec
from assay.api.resources import EXPERIMENTS, JOBS, RUNS
from assay.kube.aio import Kube
from assay.planning.runs.job import JobSettings, build_job
from assay.planning.search.belonging import run_body
from tests import operators
from tests.cluster.local import LocalCluster

Raw = dict[str, Any]

RUNS_TO_LAUNCH = 500
FINISHED_RUNS = 2000
ROUNDS = 3
CONCURRENCY = 20
IDLE_SECONDS = 60
#: What an operator does once at its start, and a controller after others' work, is not idling.
SETTLE_SECONDS = 15
SERVED, FLOOR, IDLE = "bench", "floor", "idle"


async def measure() -> dict[str, float]:
    """Return the figures: launch_ratio, writes_per_run, idle_requests_per_minute, operator_rss_mb, and the times."""
    with LocalCluster(f"bench-{os.getpid()}", with_node=False) as cluster:
        operators.install(cluster)
        for namespace in (SERVED, FLOOR, IDLE):
            cluster.kubectl("create", "namespace", namespace)
        kube = Kube(CONCURRENCY)
        await kube.connect(str(cluster.kubeconfig))
        try:
            return await _measure(cluster, kube)
        finally:
            await kube.close()


async def _measure(cluster: LocalCluster, kube: Kube) -> dict[str, float]:
    figures = await _launching(cluster, kube)
    await _finished_runs(kube)
    with operators.OperatorProcess(cluster, _log(), _environment(IDLE), program=True) as operator:
        figures["idle_requests_per_minute"] = await _requests_a_minute(operator.metrics_port)
        figures["operator_rss_mb"] = psutil.Process(operator.pid).memory_info().rss / 2**20
    return figures


def _environment(namespace: str) -> dict[str, str]:
    return {"ASSAY_NAMESPACES": namespace, "ASSAY_LOG_LEVEL": "WARNING", "ASSAY_OBSERVE_SECONDS": "10"}


def _log() -> Path:
    return Path(tempfile.mkdtemp(prefix="assay-bench-")) / "operator.log"


async def _launching(cluster: LocalCluster, kube: Kube) -> dict[str, float]:
    floors, times, writes, cpu = [], [], [], []
    with operators.OperatorProcess(cluster, _log(), _environment(SERVED), program=True) as operator:
        process = psutil.Process(operator.pid)
        for turn in range(ROUNDS):
            floors.append(await _floor(kube, f"floor-{turn}"))
            before, spent = _own_writes(operator.metrics_port), sum(process.cpu_times()[:2])
            times.append(await _launched(kube, f"bench-{turn}"))
            writes.append((_own_writes(operator.metrics_port) - before) / RUNS_TO_LAUNCH)
            cpu.append(sum(process.cpu_times()[:2]) - spent)
            print(f"# round {turn}: floor {floors[-1]:.2f} s, operator {times[-1]:.2f} s", flush=True)
    return {
        "launch_ratio": statistics.median(times) / statistics.median(floors),
        "writes_per_run": statistics.median(writes),
        "launch_500_seconds": statistics.median(times),
        "launch_500_floor_seconds": statistics.median(floors),
        "launch_500_operator_cpu_seconds": statistics.median(cpu),
    }


def _experiment(name: str, namespace: str) -> Raw:
    container = {"name": "train", "image": "localhost/none", "args": ["--lr=$(PARAM_a)"]}
    template = {"job": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}}
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "objective": {"metric": "loss", "direction": "minimize"},
            "parameters": [{"name": "a", "values": list(range(RUNS_TO_LAUNCH))}],
            "parallelism": RUNS_TO_LAUNCH,
            "template": template,
        },
    }


async def _floor(kube: Kube, name: str) -> float:
    """Create the Runs and their Jobs, deciding nothing; return the seconds."""
    experiment = _experiment(name, FLOOR)
    experiment["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    spec = ExperimentSpec.model_validate(experiment["spec"])
    settings = JobSettings(image=operators.IMAGE)

    async def one(index: int) -> None:
        wanted = run_body(experiment, spec, index)
        del wanted["metadata"]["ownerReferences"]
        run = await kube.create(RUNS, FLOOR, wanted)
        assert run is not None
        await kube.create(JOBS, FLOOR, build_job(run, "runs/x", settings))

    start = time.perf_counter()
    await _all(one(index) for index in range(RUNS_TO_LAUNCH))
    return time.perf_counter() - start


async def _launched(kube: Kube, name: str) -> float:
    """Create an Experiment and wait until the operator has launched all of its runs; return the seconds."""
    start = time.perf_counter()
    await kube.create(EXPERIMENTS, SERVED, _experiment(name, SERVED))
    while True:
        found = await kube.get(EXPERIMENTS, SERVED, name) or {}
        counts = found.get("status", {}).get("runs", {})
        if counts.get("suspended") == RUNS_TO_LAUNCH:
            return time.perf_counter() - start
        if time.perf_counter() - start > 300:
            raise RuntimeError(f"not launched within 300 s: {found.get('status')}")
        await asyncio.sleep(0.05)


async def _finished_runs(kube: Kube) -> None:
    """Create Runs that have ended long ago."""
    experiment = _experiment("old", IDLE)
    experiment["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    parameters = [{"name": "a", "values": list(range(1000))}]
    spec = ExperimentSpec.model_validate({**experiment["spec"], "parameters": parameters})
    metric = {"last": 1, "min": 0, "max": 1, "step": 9, "count": 10}
    status = {"phase": "Succeeded", "metrics": {f"m{n}": metric for n in range(4)}}

    async def one(number: int) -> None:
        wanted = run_body(experiment, spec, number % 1000)
        wanted["metadata"]["name"] = f"old-{number}"
        del wanted["metadata"]["ownerReferences"]
        await kube.create(RUNS, IDLE, wanted)
        await kube.merge_patch(RUNS, IDLE, wanted["metadata"]["name"], {"status": status}, "status")

    await _all(one(number) for number in range(FINISHED_RUNS))


async def _requests_a_minute(port: int) -> float:
    """Return the operator's requests a minute by its own count; its watches are not in it, they reconnect every 9 min.

    What the API server counts would not do: the Job controller is still busy with the Jobs of the other figures.
    """
    await asyncio.sleep(SETTLE_SECONDS)
    before = _own_requests(port)
    await asyncio.sleep(IDLE_SECONDS)
    return (_own_requests(port) - before) * 60 / IDLE_SECONDS


def _own_requests(port: int) -> float:
    return _counted(port, "[A-Z]+")


def _own_writes(port: int) -> float:
    return _counted(port, "(?:POST|PATCH|PUT|DELETE)")


def _counted(port: int, methods: str) -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    found = re.findall(rf'^assay_api_requests_total\{{method="{methods}"\}} (\S+)$', text, re.MULTILINE)
    return sum(float(value) for value in found)


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*work)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=1))
