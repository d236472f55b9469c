"""Runs, experiments and versions as MLflow's JSON has them. Pure."""

from __future__ import annotations

import math
from typing import Any, Final

from assay.api.numbers import of_json, to_json
from assay.api.objects import Raw
from assay.planning.conditions import parse_time
from assay.queries.models import Version
from assay.queries.runs.rows import RunRow
from assay.server.mlflow.filters import PHASES

#: The experiment of runs without one, which MLflow calls Default.
DEFAULT: Final = "0"
#: What it takes of each metric.
PARTS: Final = ("last", "step")
_STATUSES: Final = {phase: status for status, phases in PHASES.items() for phase in phases}
_VERSIONS: Final = {"Ready": "READY", "Failed": "FAILED_REGISTRATION"}


def run(row: RunRow) -> Raw:
    """Return a run. Its id is its name, which is unique in its namespace; parameters are texts, as in MLflow."""
    tags = {
        **{key: str(value) for key, value in row["labels"].items()},
        "mlflow.runName": row["name"],
        "mlflow.user": row["owner"],
    }
    if row["source"].get("revision"):
        tags["mlflow.source.git.commit"] = row["source"]["revision"]
    info: Raw = {
        "run_id": row["name"],
        "run_uuid": row["name"],
        "run_name": row["name"],
        "experiment_id": row["experiment"] or DEFAULT,
        "user_id": row["owner"],
        "status": _STATUSES.get(row["phase"], "SCHEDULED"),
        "start_time": milliseconds(row["started"] or row["created"]),
        "artifact_uri": f"mlflow-artifacts:/runs/{row['name']}/artifacts",
        "lifecycle_stage": "active",
    }
    if row["completed"]:
        info["end_time"] = milliseconds(row["completed"])
    parameters = {**row["logged"], **row["parameters"]}
    return {
        "info": info,
        "data": {
            "metrics": _metrics(row["metrics"], info.get("end_time") or info["start_time"]),
            "params": [{"key": key, "value": text(value)} for key, value in sorted(parameters.items())],
            "tags": [{"key": key, "value": value} for key, value in sorted(tags.items())],
        },
        "inputs": {},
    }


def _metrics(metrics: Raw, moment: int) -> list[Raw]:
    found: list[Raw] = []
    for name in sorted(metrics):
        summary = metrics[name]
        last, step = summary.get("last"), summary.get("step")
        # Most are plain numbers, and an answer can have a million of them.
        value = last if type(last) is float and math.isfinite(last) else number(of_json(last))
        step = step if type(step) is int else int(of_json(step) or 0)
        found.append({"key": name, "value": value, "timestamp": moment, "step": step})
    return found


def number(value: float | None) -> float | str:
    """Return a double as MLflow's JSON has it."""
    return to_json(float("nan") if value is None else value)


def text(value: Any) -> str:
    """Return a parameter as MLflow's clients write it: as Python's str() does."""
    return value if isinstance(value, str) else str(value)


def experiment(name: str, created: str = "") -> Raw:
    """Return an experiment. Its id is its name."""
    found: Raw = {
        "experiment_id": name,
        "name": "Default" if name == DEFAULT else name,
        "artifact_location": "mlflow-artifacts:/runs",
        "lifecycle_stage": "active",
        "tags": [],
    }
    if created:
        found |= {"creation_time": milliseconds(created), "last_update_time": milliseconds(created)}
    return found


def version(body: Raw, answer: Version) -> Raw:
    """Return a model version. ``aliases`` are those that are live."""
    moment = milliseconds(answer["created"])
    return {
        "name": answer["model"],
        "version": str(answer["version"]),
        "creation_timestamp": moment,
        "last_updated_timestamp": milliseconds(answer["registered"] or "") or moment,
        "user_id": answer["owner"] or "",
        "current_stage": "None",
        "description": "",
        "source": location(answer["model"], answer["version"]),
        "run_id": answer["run"] or "",
        "status": _VERSIONS.get(answer["phase"], "PENDING_REGISTRATION"),
        "status_message": (body.get("status") or {}).get("message") or "",
        "tags": [{"key": "assay.digest", "value": answer["digest"]}],
        "aliases": answer["aliases"],
    }


def location(model: str, number: int) -> str:
    """Return the address of a version's registered copy, for MLflow's clients."""
    return f"mlflow-artifacts:/models/{model}/v{number}"


def milliseconds(time: str) -> int:
    """Return an RFC 3339 time in unix milliseconds, 0 if there is none."""
    moment = parse_time(time)
    return int(moment.timestamp() * 1000) if moment else 0
