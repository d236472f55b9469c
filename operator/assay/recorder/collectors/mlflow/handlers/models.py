"""Logged models: the models of MLflow 3, and `log-model` of MLflow 2."""

from __future__ import annotations

import json
from typing import Any

from assay.recorder.collectors.mlflow import answers, checks, limits
from assay.recorder.collectors.mlflow.entities import DELETED, LoggedModel, Raw, Version
from assay.recorder.collectors.mlflow.errors import invalid, missing
from assay.recorder.collectors.mlflow.files import split
from assay.recorder.collectors.mlflow.handlers.requests import Call, Route, paged, strings
from assay.recorder.collectors.mlflow.queries import matching, ordered, page
from assay.recorder.collectors.mlflow.state import MODELS_FOLDER, RUNS_FOLDER, active

_HISTORY_TAG = "mlflow.log-model.history"
_STATUSES = (
    "LOGGED_MODEL_STATUS_UNSPECIFIED",
    "LOGGED_MODEL_PENDING",
    "LOGGED_MODEL_READY",
    "LOGGED_MODEL_UPLOAD_FAILED",
)


async def create(call: Call) -> Raw:
    """Create a logged model. Its files are at the model's name below the artifacts of its run, where that is free."""
    tracking, body = call.tracking, call.body
    experiment = tracking.experiment(checks.required(body, "experiment_id"))
    new = f"m-{tracking.new_id()}"
    name = checks.length(checks.text(body.get("name") or new, "name"), limits.KEY_CHARS, "name")
    run = checks.text(body.get("source_run_id") or "", "source_run_id")
    plain = len(split(name)) == 1 and name not in (RUNS_FOLDER, MODELS_FOLDER)
    entry = {
        "op": "model",
        "id": new,
        "experiment": experiment.id,
        "name": name,
        "type": checks.text(body.get("model_type") or "", "model_type"),
        "run": run,
        "path": (tracking.state.model_path(run, name) if plain else "") or f"{MODELS_FOLDER}/{new}",
        "params": _params(body),
        "tags": _tags(body),
        "time": tracking.now(),
    }
    tracking.commit(entry)
    return _answer(call, tracking.model(new))


async def get(call: Call) -> Raw:
    """Return a logged model."""
    return _answer(call, _model(call))


async def finalize(call: Call) -> Raw:
    """Set the status after the upload."""
    found, status = _model(call), call.body.get("status")
    if isinstance(status, int) and 0 <= status < len(_STATUSES):
        status = _STATUSES[status]
    if status not in _STATUSES:
        raise invalid(checks.bad_value("status", status))
    _update(call, found, status=status)
    return _answer(call, found)


async def delete(call: Call) -> Raw:
    """Mark a logged model as deleted."""
    _update(call, _model(call), lifecycle=DELETED)
    return {}


async def search(call: Call) -> Raw:
    """Search logged models."""
    body = call.body
    chosen = set(strings(body.get("experiment_ids"), "experiment_ids"))
    found = active([each for each in call.tracking.state.models.values() if each.experiment in chosen], "ACTIVE_ONLY")
    found = matching(found, body.get("filter"), _lookup)
    orders = [
        f"{each.get('field_name')} {'ASC' if each.get('ascending', True) else 'DESC'}"
        for each in checks.entries(body, "order_by")
    ]
    found = ordered(found, [*orders, "creation_time DESC"], _lookup)
    rows, token = page(found, body.get("page_token"), checks.page_size(body, 50, limits.SEARCH_PAGE))
    return paged("models", (_answer(call, each)["model"] for each in rows), token)


async def set_tags(call: Call) -> Raw:
    """Set tags."""
    found = _model(call)
    _update(call, found, tags=_tags(call.body))
    return _answer(call, found)


async def delete_tag(call: Call) -> Raw:
    """Remove a tag."""
    found, key = _model(call), checks.required(call.body, "tag_key")
    if key not in found.tags:
        raise missing(f"No tag with key {key[:300]!r} found for model with ID {found.id!r}.")
    _update(call, found, tags={key: None})
    return {}


async def log_params(call: Call) -> Raw:
    """Add parameters."""
    _update(call, _model(call), params=_params(call.body))
    return {}


async def log_model(call: Call) -> Raw:
    """Note in the run that a model was logged, as a tag that MLflow reads back."""
    found = call.tracking.run(checks.required(call.body, "run_id", "run_uuid"), writing=True)
    try:
        model = json.loads(checks.required(call.body, "model_json"))
        known = json.loads(found.tags.get(_HISTORY_TAG, "[]"))
        absent = sorted({"artifact_path", "flavors", "utc_time_created", "run_id"} - set(model))
    except (ValueError, RecursionError, TypeError):
        raise invalid("Malformed model info. The model is not valid JSON") from None
    if absent:
        raise invalid(f"Model json is missing mandatory fields: {absent}")
    call.tracking.log(found, [], {}, {_HISTORY_TAG: json.dumps([*known, model])})
    return {}


def _model(call: Call) -> LoggedModel:
    return call.tracking.model(checks.required(call.body, "model_id"))


def _update(call: Call, found: LoggedModel, **values: Any) -> None:
    tracking = call.tracking
    tracking.commit({"op": "model_update", "id": found.id, "time": tracking.now()} | values)


def _answer(call: Call, found: LoggedModel) -> Raw:
    registrations: list[Version] = [
        version
        for model in call.tracking.state.registered.values()
        for version in model.versions.values()
        if version.model == found.id
    ]
    return {"model": answers.logged_model(found, registrations)}


def _params(body: Raw) -> dict[str, str]:
    return dict(checks.param(entry, f"params[{at}].") for at, entry in enumerate(checks.entries(body, "params")))


def _tags(body: Raw) -> dict[str, str]:
    return checks.tags(body, limits.REGISTRY_TAG_CHARS)


def _lookup(found: LoggedModel, kind: str, key: str) -> Any:
    if kind == "metrics":
        return next((point.value for name, point, *_ in reversed(found.metrics) if name == key), None)
    if kind in ("params", "tags"):
        return (found.params if kind == "params" else found.tags).get(key)
    values: Raw = {
        "name": found.name,
        "model_id": found.id,
        "model_type": found.type,
        "status": found.status,
        "source_run_id": found.run,
        "creation_time": found.created,
        "creation_timestamp": found.created,
        "creation_timestamp_ms": found.created,
        "last_updated_time": found.updated,
        "last_updated_timestamp": found.updated,
        "last_updated_timestamp_ms": found.updated,
    }
    if key not in values:
        raise invalid(f"Invalid attribute key '{key[:300]}' specified. Valid keys are {sorted(values)}")
    return values[key]


ROUTES = (
    Route("POST", "/mlflow/logged-models", create),
    Route("POST", "/mlflow/logged-models/search", search),
    Route("GET", "/mlflow/logged-models/{model_id}", get),
    Route("PATCH", "/mlflow/logged-models/{model_id}", finalize),
    Route("DELETE", "/mlflow/logged-models/{model_id}", delete),
    Route("PATCH", "/mlflow/logged-models/{model_id}/tags", set_tags),
    Route("DELETE", "/mlflow/logged-models/{model_id}/tags/{tag_key}", delete_tag),
    Route("POST", "/mlflow/logged-models/{model_id}/params", log_params),
    Route("POST", "/mlflow/runs/log-model", log_model),
)
