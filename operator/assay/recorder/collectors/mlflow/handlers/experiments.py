"""Experiments of the pod. The script's own names work; what it logs belongs to the Run in any case."""

from __future__ import annotations

from typing import Any

from assay.recorder.collectors.mlflow import answers, checks, limits
from assay.recorder.collectors.mlflow.entities import ACTIVE, DELETED, Experiment, Raw
from assay.recorder.collectors.mlflow.errors import exists, invalid, missing
from assay.recorder.collectors.mlflow.handlers.requests import Call, Route, paged, strings
from assay.recorder.collectors.mlflow.queries import matching, ordered, page
from assay.recorder.collectors.mlflow.state import OWN_EXPERIMENT, active


async def create(call: Call) -> Raw:
    """Create an experiment."""
    tracking = call.tracking
    name = checks.experiment_name(call.body.get("name"))
    known = _named(call, name)
    if known:
        where = " in deleted state" if known.lifecycle == DELETED else ""
        raise exists(f"Experiment(name={name}) already exists{where}.")
    new = str(max(map(int, tracking.state.experiments)) + 1)
    tags = checks.tags(call.body, limits.EXPERIMENT_TAG_CHARS)
    tracking.commit({"op": "experiment", "id": new, "name": name, "tags": tags, "time": tracking.now()})
    return {"experiment_id": new}


async def get(call: Call) -> Raw:
    """Return an experiment by its id."""
    found = call.tracking.experiment(checks.required(call.body, "experiment_id"))
    call.tracking.state.chosen = found.id
    return {"experiment": answers.experiment(found)}


async def get_by_name(call: Call) -> Raw:
    """Return an experiment by its name."""
    name = checks.required(call.body, "experiment_name")
    found = _named(call, name)
    if not found:
        raise missing(f"Could not find experiment with name '{name[:500]}'")
    call.tracking.state.chosen = found.id
    return {"experiment": answers.experiment(found)}


async def search(call: Call) -> Raw:
    """Search experiments."""
    body = call.body
    found = active(call.tracking.state.experiments.values(), str(body.get("view_type") or "ACTIVE_ONLY"))
    found = matching(found, body.get("filter"), _lookup)
    orders = strings(body.get("order_by"), "order_by") or ["creation_time DESC", "experiment_id DESC"]
    size = checks.page_size(body, limits.SEARCH_PAGE, limits.SEARCH_MOST)
    rows, token = page(ordered(found, orders, _lookup), body.get("page_token"), size)
    return paged("experiments", map(answers.experiment, rows), token)


async def update(call: Call) -> Raw:
    """Rename an experiment."""
    found = _writable(call)
    name = checks.experiment_name(call.body.get("new_name"))
    if (_named(call, name) or found) is not found:
        raise exists(f"Experiment(name={name}) already exists.")
    _update(call, found, name=name)
    return {}


async def delete(call: Call) -> Raw:
    """Mark an experiment as deleted."""
    found = _writable(call)
    if found.id == OWN_EXPERIMENT:
        raise invalid("The experiment of the Run cannot be deleted from its own pod")
    _update(call, found, lifecycle=DELETED)
    return {}


async def restore(call: Call) -> Raw:
    """Restore a deleted experiment."""
    found = call.tracking.experiment(checks.required(call.body, "experiment_id"))
    _update(call, found, lifecycle=ACTIVE)
    return {}


async def set_tag(call: Call) -> Raw:
    """Set a tag."""
    found = _writable(call)
    key, value = checks.tag(call.body, most=limits.EXPERIMENT_TAG_CHARS)
    call.tracking.commit({"op": "experiment_tag", "id": found.id, "key": key, "value": value})
    return {}


async def delete_tag(call: Call) -> Raw:
    """Remove a tag."""
    found, key = _writable(call), checks.required(call.body, "key")
    if key not in found.tags:
        raise missing(f"No tag with name: {key} in experiment with id {found.id}")
    call.tracking.commit({"op": "experiment_tag", "id": found.id, "key": key, "value": None})
    return {}


def _named(call: Call, name: str) -> Experiment | None:
    return next((each for each in call.tracking.state.experiments.values() if each.name == name), None)


def _writable(call: Call) -> Experiment:
    found = call.tracking.experiment(checks.required(call.body, "experiment_id"))
    if found.lifecycle == DELETED:
        raise invalid(f"The experiment {found.id} must be in the 'active' state. Current state is deleted.")
    return found


def _update(call: Call, found: Experiment, **values: str) -> None:
    tracking = call.tracking
    tracking.commit({"op": "experiment_update", "id": found.id, "time": tracking.now()} | values)


def _lookup(found: Experiment, kind: str, key: str) -> Any:
    if kind == "tags":
        return found.tags.get(key)
    values: Raw = {
        "name": found.name,
        "experiment_id": int(found.id),
        "creation_time": found.created,
        "last_update_time": found.updated,
    }
    if kind != "attributes" or key not in values:
        raise invalid(f"Invalid attribute key '{key}' specified. Valid keys are {sorted(values)}")
    return values[key]


ROUTES = (
    Route("POST", "/mlflow/experiments/create", create),
    Route("GET", "/mlflow/experiments/get", get),
    Route("GET", "/mlflow/experiments/get-by-name", get_by_name),
    Route("POST", "/mlflow/experiments/search", search),
    Route("GET", "/mlflow/experiments/search", search),
    Route("POST", "/mlflow/experiments/update", update),
    Route("POST", "/mlflow/experiments/delete", delete),
    Route("POST", "/mlflow/experiments/restore", restore),
    Route("POST", "/mlflow/experiments/set-experiment-tag", set_tag),
    Route("POST", "/mlflow/experiments/delete-experiment-tag", delete_tag),
)
