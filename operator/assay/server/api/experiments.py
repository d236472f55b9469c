"""Experiments: their state and their progress."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from typing_extensions import TypedDict

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import EXPERIMENTS, RUNS
from assay.queries import references
from assay.queries.runs import experiments
from assay.server.api.operations import Call, Fresh, Nothing, Operation
from assay.server.freshness import Freshness


class ExperimentRow(TypedDict):
    """One experiment. ``runs`` are counts by phase, ``best`` is the best result so far, {} without one."""

    name: str
    phase: str
    message: str
    owner: str
    created: str
    suspended: bool
    metric: str
    direction: str
    runs: dict[str, int]
    best: Raw


class ExperimentList(TypedDict):
    """Experiments, newest first."""

    items: list[ExperimentRow]
    freshness: Freshness


class OneExperiment(TypedDict):
    """One experiment: its row, its progress now, and the object."""

    row: ExperimentRow
    progress: dict[str, Any]
    object: Raw


def row(body: Raw) -> ExperimentRow:
    """Return the row of an Experiment."""
    spec, status, metadata = body["spec"], body.get("status") or {}, body["metadata"]
    objective = spec.get("objective") or {}
    return {
        "name": metadata["name"],
        "phase": status.get("phase") or "Pending",
        "message": status.get("message") or "",
        "owner": spec.get("owner") or "",
        "created": metadata["creationTimestamp"],
        "suspended": bool(spec.get("suspend")),
        "metric": objective.get("metric") or "",
        "direction": objective.get("direction") or "",
        "runs": status.get("runs") or {},
        "best": status.get("best") or {},
    }


def listed(call: Call, _: Fresh) -> ExperimentList:
    """Return the experiments of a namespace."""
    found = [row(body) for body in call.person.objects(EXPERIMENTS)]
    items = sorted(found, key=lambda each: each["created"], reverse=True)
    return {"items": items, "freshness": call.person.freshness}


def one(call: Call, _: Nothing) -> OneExperiment:
    """Return one experiment with its progress."""
    person, name = call.person, call.path["experiment"]
    body = references.experiment(person, name)
    runs = person.kube.list(RUNS, person.namespace, labels=f"{names.LABEL_EXPERIMENT}={name}")
    progress = experiments.view(body, {run["metadata"]["name"]: run for run in runs}, time.time())
    return {"row": row(body), "progress": {**asdict(progress), "finished": progress.finished}, "object": body}


OPERATIONS = (
    Operation("experiments", "/namespaces/{namespace}/experiments", "List experiments.", listed, ExperimentList, Fresh),
    Operation(
        "experiment", "/namespaces/{namespace}/experiments/{experiment}", "Read one experiment.", one, OneExperiment
    ),
)
