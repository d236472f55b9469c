"""The JSON of answers. NaN and infinities are strings, as in the JSON of protocol buffers."""

from __future__ import annotations

from typing import Any

from assay.recorder.collectors.mlflow.entities import Experiment, LoggedModel, Raw, Registered, Run, Version
from assay.recorder.collectors.mlflow.points import Point

ROOT = "mlflow-artifacts:/"
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def pairs(values: dict[str, str]) -> list[Raw]:
    """Parameters or tags."""
    return [{"key": key, "value": value} for key, value in values.items()]


def double(value: float) -> Any:
    """A double."""
    return value if value - value == 0.0 else _NOT_FINITE[repr(value)]


def metric(key: str, point: Point) -> Raw:
    """One point."""
    return {"key": key, "value": double(point.value), "timestamp": point.time, "step": point.step}


def experiment(found: Experiment) -> Raw:
    """An experiment."""
    return {
        "experiment_id": found.id,
        "name": found.name,
        "artifact_location": f"{ROOT}{found.id}",
        "lifecycle_stage": found.lifecycle,
        "creation_time": found.created,
        "last_update_time": found.updated,
        "tags": pairs(found.tags),
    }


def artifact_uri(found: Run) -> str:
    """The address of a run's artifacts."""
    return f"{ROOT}{found.experiment}/{found.id}/artifacts"


def run_info(found: Run) -> Raw:
    """A run without its data."""
    return {
        "run_id": found.id,
        "run_uuid": found.id,
        "run_name": found.name,
        "experiment_id": found.experiment,
        "user_id": found.user,
        "status": found.status,
        "start_time": found.start,
        **({"end_time": found.end} if found.end else {}),
        "artifact_uri": artifact_uri(found),
        "lifecycle_stage": found.lifecycle,
    }


def run(found: Run) -> Raw:
    """A run with its data."""
    latest = [metric(key, points.latest) for key, points in found.points.items() if points.latest]
    return {
        "info": run_info(found),
        "data": {"metrics": latest, "params": pairs(found.params), "tags": pairs(found.tags)},
        "inputs": {
            "dataset_inputs": found.datasets,
            "model_inputs": [{"model_id": model} for model in found.model_inputs],
        },
        "outputs": {"model_outputs": found.model_outputs},
    }


def model_uri(found: LoggedModel) -> str:
    """The address of a logged model's files."""
    return f"{ROOT}{found.experiment}/models/{found.id}/artifacts"


def logged_model(found: LoggedModel, registrations: list[Version]) -> Raw:
    """A logged model."""
    return {
        "info": {
            "model_id": found.id,
            "experiment_id": found.experiment,
            "name": found.name,
            "model_type": found.type,
            "source_run_id": found.run,
            "artifact_uri": model_uri(found),
            "creation_timestamp_ms": found.created,
            "last_updated_timestamp_ms": found.updated,
            "status": found.status,
            "tags": pairs(found.tags),
            "registrations": [{"name": each.name, "version": str(each.number)} for each in registrations],
        },
        "data": {
            "params": pairs(found.params),
            "metrics": [
                metric(key, point)
                | {"run_id": run_id, "model_id": found.id}
                | ({"dataset_name": name, "dataset_digest": digest} if name else {})
                for key, point, run_id, name, digest in found.metrics
            ],
        },
    }


def registered(found: Registered) -> Raw:
    """A registered model."""
    latest = [found.versions[number] for number in sorted(found.versions)[-1:]]
    return {
        "name": found.name,
        "creation_timestamp": found.created,
        "last_updated_timestamp": found.updated,
        "description": found.description,
        "tags": pairs(found.tags),
        "aliases": [{"alias": alias, "version": str(number)} for alias, number in found.aliases.items()],
        "latest_versions": [version(each, found) for each in latest],
    }


def version(found: Version, owner: Registered) -> Raw:
    """A version of a registered model."""
    return {
        "name": found.name,
        "version": str(found.number),
        "creation_timestamp": found.created,
        "last_updated_timestamp": found.updated,
        "current_stage": found.stage,
        "description": found.description,
        "source": found.source,
        "run_id": found.run,
        "run_link": found.run_link,
        "status": "READY",
        "status_message": "Assay registers this version after the run has succeeded",
        "model_id": found.model,
        "tags": pairs(found.tags),
        "aliases": [alias for alias, number in owner.aliases.items() if number == found.number],
    }
