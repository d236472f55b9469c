"""Many runs that look like real ones: the same ones for the same seed, as plain rows or as Runs of an API server.

rows(20_000)                       their parameters and metrics, for whatever else is to hold the same data
await write(cluster, namespace, …)    Runs with a status, written as the operator writes them: two requests a run
await fill(cluster, namespace, …)     the same Runs, without asking the API server for each: 20,000 in seconds
"""

import asyncio
import base64
import json
import math
import random
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from assay.api.resources import RUNS
from assay.kube.aio import Kube
from assay.planning.conditions import format_duration
from tests import etcd_batch, operators, registry
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for

Raw = dict[str, Any]

EXPERIMENTS = 20
METRICS = ("val_f1", "accuracy", "loss", "precision", "recall")
OBJECTIVE = {"metric": "val_f1", "direction": "maximize"}
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_CONCURRENCY = 24


@dataclass(frozen=True)
class GeneratedRun:
    """One run: what it was given, and per metric its summary as a Run's status has it; {} while it waits."""

    name: str
    experiment: str
    phase: str
    owner: str
    parameters: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    seed: int
    version: str
    started: datetime
    completed: datetime | None


def rows(count: int, seed: int = 0) -> Iterator[GeneratedRun]:
    """Yield runs of 20 experiments in turn."""
    chance = random.Random(seed)
    for number in range(count):
        yield _row(chance, number)


def _row(chance: random.Random, number: int) -> GeneratedRun:
    phase = chance.choices(("Succeeded", "Failed", "Running", "Pending"), (90, 6, 2, 2))[0]
    started = _BEGIN + timedelta(minutes=number)
    seconds = chance.randint(30, 20_000)
    parameters = {
        "learning_rate": round(10 ** chance.uniform(-4, 0), 6),
        "depth": chance.randint(1, 8),
        "optimizer": chance.choice(("adam", "sgd", "lamb")),
        "dropout": chance.choice((0, 0.1, 0.5)),
        "augment": chance.random() < 0.5,
    }
    experiment = number % EXPERIMENTS
    return GeneratedRun(
        name=f"exp-{experiment:02}-{number // EXPERIMENTS}",
        experiment=f"exp-{experiment:02}",
        phase=phase,
        owner=chance.choice(("ana", "bo", "cem")),
        parameters=parameters,
        metrics={} if phase == "Pending" else {metric: _summary(chance, metric) for metric in METRICS},
        seed=number,
        version=chance.choice(("2.0", "2.1")),
        started=started,
        completed=started + timedelta(seconds=seconds) if phase in ("Succeeded", "Failed") else None,
    )


def wide(row: GeneratedRun, count: int, among: int) -> GeneratedRun:
    """Return the run with more metrics: ``count`` in all, chosen ``among`` those that runs have."""
    if not row.metrics:
        return row
    chance = random.Random(row.seed)
    own = len(row.metrics)
    names = [f"layer_{number:03}/norm" for number in chance.sample(range(among - own), k=count - own)]
    return replace(row, metrics={**row.metrics, **{name: _summary(chance, name) for name in names}})


def _summary(chance: random.Random, metric: str) -> dict[str, float]:
    steps = chance.randint(10, 1000)
    low = round(chance.random(), 6)
    high = round(low + (1 - low) * chance.random(), 6)
    last = round(chance.uniform(low, high), 6)
    found = {"last": last, "min": low, "max": high, "step": steps, "count": steps}
    return {**found, "best": high} if metric == OBJECTIVE["metric"] else found


def body(row: GeneratedRun) -> Raw:
    """Return the manifest of the Run."""
    digest = registry.digest(str(math.floor(float(row.version) * 10) % 10))
    manifest = registry.run(
        row.name,
        owner=row.owner,
        parameters=row.parameters,
        objective=OBJECTIVE,
        seed=row.seed,
        source={"repository": "https://git.example.com/ml/digits", "revision": "3f2c0e" * 6 + "3f2c"},
        datasets=[
            {"name": "digits", "uri": "https://data.example.com/digits", "version": row.version, "digest": digest}
        ],
    )
    labels = {"assay.dev/experiment": row.experiment, "assay.dev/index": row.name.rpartition("-")[2], "team": "vision"}
    manifest["metadata"]["labels"] = labels
    return manifest


def status(row: GeneratedRun) -> Raw:
    """Return the Run's status."""
    if row.phase == "Pending":
        return {"phase": row.phase, "reason": "WaitingForJob"}
    found: Raw = {
        "phase": row.phase,
        "reason": {"Succeeded": "JobComplete", "Failed": "NonZeroExit"}.get(row.phase, "Training"),
        "startTime": _text(row.started),
        "metrics": row.metrics,
        "objective": f"{row.metrics[OBJECTIVE['metric']]['best']:.6g}",
    }
    if row.completed:
        found["completionTime"] = _text(row.completed)
        found["duration"] = format_duration(row.started, row.completed)
    return found


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


async def write(cluster: LocalCluster, namespace: str, wanted: Iterable[GeneratedRun]) -> None:
    """Create the Runs with their statuses, as the operator does it."""
    kube = Kube(_CONCURRENCY)
    await kube.connect(str(cluster.token_kubeconfig(operators.NAMESPACE, operators.SERVICE_ACCOUNT)))
    waiting = iter(wanted)

    async def work() -> None:
        for row in waiting:
            await kube.create(RUNS, namespace, body(row))
            await kube.merge_patch(RUNS, namespace, row.name, {"status": status(row)}, "status")

    try:
        await asyncio.gather(*(work() for _ in range(_CONCURRENCY)))
    finally:
        await kube.close()


async def fill(cluster: LocalCluster, namespace: str, wanted: Iterable[GeneratedRun]) -> None:
    """Put Runs where the API server keeps them. Of each phase one is written in the proper way, as the others' model.

    For what reads many Runs and does not care how they came to be. Returns when the API server shows them.
    """
    runs = list(wanted)
    models = {row.phase: row for row in runs}
    await write(cluster, namespace, models.values())
    prefix = f"/apis/assay.dev/v1alpha1/namespaces/{namespace}/runs"
    stored = {phase: cluster.api.get(f"{prefix}/{row.name}") for phase, row in models.items()}
    written = {row.name for row in models.values()}
    with tempfile.NamedTemporaryFile("w", dir=cluster.folder, suffix=".puts") as file:
        for row in runs:
            if row.name not in written:
                key = f"/registry/assay.dev/runs/{namespace}/{row.name}"
                file.write(f"{_encoded(key)} {_encoded(json.dumps(_like(stored[row.phase], row)))}\n")
        file.flush()
        _etcd(cluster, "requestPut", file.name)
    wait_for("all Runs to be seen", lambda: _count(cluster, prefix) == len(runs))
    # What comes from memory is answered once that has all which is stored.
    version = cluster.api.get(f"{prefix}?limit=1")["metadata"]["resourceVersion"]
    query = f"resourceVersion={version}&resourceVersionMatch=NotOlderThan&labelSelector=none%3Dnone"
    wait_for("all Runs to be known", lambda: cluster.api.get(f"{prefix}?{query}"), seconds=180 + len(runs) / 100)


def clear(cluster: LocalCluster, namespace: str) -> None:
    """Take all generated Runs away from where the API server keeps them: it would be busy with that for minutes."""
    with tempfile.NamedTemporaryFile("w", dir=cluster.folder, suffix=".deletes") as file:
        for experiment in range(EXPERIMENTS):
            key = f"/registry/assay.dev/runs/{namespace}/exp-{experiment:02}-"
            file.write(f"{_encoded(key)} {_encoded(key[:-1] + chr(ord('-') + 1))}\n")
        file.flush()
        _etcd(cluster, "requestDeleteRange", file.name)


def _etcd(cluster: LocalCluster, operation: str, file: str) -> None:
    cluster.exec_in_namespaces(sys.executable, str(Path(etcd_batch.__file__)), operation, file, timeout=900)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _like(stored: Raw, row: GeneratedRun) -> Raw:
    """Return a Run as it is stored, made after the one that is."""
    manifest = body(row)
    metadata = {key: value for key, value in stored["metadata"].items() if key != "resourceVersion"}
    metadata |= {
        "name": row.name,
        "uid": str(uuid.UUID(int=row.seed + (1 << 96))),
        "labels": manifest["metadata"]["labels"],
    }
    metadata["creationTimestamp"] = _text(row.started - timedelta(seconds=5))
    spec = {**stored["spec"], **manifest["spec"]}
    return {**stored, "metadata": metadata, "spec": spec, "status": {**stored["status"], **status(row)}}


def _count(cluster: LocalCluster, path: str) -> int:
    found = cluster.api.get(f"{path}?limit=1")
    return 1 + int(found["metadata"].get("remainingItemCount") or 0)
