"""Runs: the main run, which is the Run of Assay, and the child runs that the script starts."""

from __future__ import annotations

from typing import Any

from assay.recorder.collectors.mlflow import answers, checks, limits
from assay.recorder.collectors.mlflow.entities import ACTIVE, DELETED, Raw, Run
from assay.recorder.collectors.mlflow.errors import exhausted, invalid, missing
from assay.recorder.collectors.mlflow.handlers.requests import Call, Route, paged, strings
from assay.recorder.collectors.mlflow.queries import matching, ordered, page
from assay.recorder.collectors.mlflow.state import active

_STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
_NAME, _PARENT = "mlflow.runName", "mlflow.parentRunId"
_ANSWER_BYTES = 64 << 20


async def create(call: Call) -> Raw:
    """Create a run. The first one without a parent is the main run, in case the client ignores MLFLOW_RUN_ID."""
    tracking, body = call.tracking, call.body
    experiment = tracking.experiment(str(body.get("experiment_id") or tracking.state.chosen))
    if experiment.lifecycle == DELETED:
        raise invalid(f"The experiment {experiment.id} must be in the 'active' state. Current state is deleted.")
    tags = checks.tags(body)
    name = str(body.get("run_name") or "")
    if name and tags.get(_NAME, name) != name:
        raise invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{name}', mlflow.runName='{tags[_NAME]}')."
        )
    start = checks.integer(body.get("start_time") or tracking.now(), "start_time")
    entry: Raw = {"experiment": experiment.id, "user": str(body.get("user_id") or ""), "start": start}
    main = tracking.state.runs[tracking.state.main]
    if not main.used and _PARENT not in tags:
        tracking.commit({"op": "use", "name": name or tags.get(_NAME, ""), "tags": tags} | entry)
        return {"run": answers.run(main)}
    name = name or tags.get(_NAME) or f"{main.name}-child-{len(tracking.state.runs)}"
    new = tracking.new_id()
    tracking.commit({"op": "run", "id": new, "name": name, "tags": {**tags, _NAME: name}} | entry)
    return {"run": answers.run(tracking.run(new))}


async def get(call: Call) -> Raw:
    """Return a run. A request for the main run marks it as used."""
    found = _run(call)
    if found.main and not found.used:
        _use(call)
    return {"run": answers.run(found)}


async def update(call: Call) -> Raw:
    """Change status, end or name of a run."""
    found, body = _run(call, writing=True), call.body
    values: Raw = {}
    if body.get("status"):
        values["status"] = _status(body["status"])
    if body.get("end_time"):
        values["end"] = checks.integer(body["end_time"], "end_time")
    if body.get("run_name"):
        values["name"] = checks.length(checks.text(body["run_name"], "run_name"), limits.TAG_CHARS, "run_name")
    if found.main and not found.used:
        _use(call)
    call.tracking.commit({"op": "run_update", "run": found.id} | values)
    await call.tracking.ended(found)
    return {"run_info": answers.run_info(found)}


async def delete(call: Call) -> Raw:
    """Mark a run as deleted. What it logged stays in the record."""
    found = _run(call, writing=True)
    call.tracking.commit({"op": "run_update", "run": found.id, "lifecycle": DELETED})
    return {}


async def restore(call: Call) -> Raw:
    """Restore a deleted run."""
    call.tracking.commit({"op": "run_update", "run": _run(call).id, "lifecycle": ACTIVE})
    return {}


async def search(call: Call) -> Raw:
    """Search runs."""
    body = call.body
    chosen = set(strings(body.get("experiment_ids"), "experiment_ids"))
    found = [run for run in call.tracking.state.runs.values() if run.experiment in chosen]
    found = active(found, str(body.get("run_view_type") or "ACTIVE_ONLY"))
    found = matching(found, body.get("filter"), _lookup)
    orders = strings(body.get("order_by"), "order_by")
    found = ordered(found, [*orders, "attributes.start_time DESC", "attributes.run_id ASC"], _lookup)
    size = checks.page_size(body, limits.SEARCH_PAGE, limits.SEARCH_MOST)
    rows, token = page(found, body.get("page_token"), size)
    if sum(len(run.points) + len(run.params) + len(run.tags) for run in rows) * 100 > _ANSWER_BYTES:
        raise exhausted("the answer is too large to be given in the pod: set a smaller max_results")
    return paged("runs", map(answers.run, rows), token)


async def set_tag(call: Call) -> Raw:
    """Set a tag."""
    found = _run(call, writing=True)
    key, value = checks.tag(call.body)
    call.tracking.log(found, [], {}, {key: value})
    return {}


async def delete_tag(call: Call) -> Raw:
    """Remove a tag."""
    found, key = _run(call, writing=True), checks.required(call.body, "key")
    if key not in found.tags:
        raise missing(f"No tag with name: {key[:300]} in run with id {found.id}")
    call.tracking.commit({"op": "untag", "run": found.id, "key": key})
    return {}


async def log_inputs(call: Call) -> Raw:
    """Note the data sets and models that a run reads."""
    found = _run(call, writing=True)
    models = [checks.required(each, "model_id") for each in checks.entries(call.body, "models")]
    datasets = checks.entries(call.body, "datasets")
    call.tracking.commit({"op": "inputs", "run": found.id, "datasets": datasets, "models": models})
    return {}


async def log_outputs(call: Call) -> Raw:
    """Note the logged models that a run has made."""
    found = _run(call, writing=True)
    models = [
        {"model_id": checks.required(each, "model_id"), "step": checks.integer(each.get("step") or 0, "step")}
        for each in checks.entries(call.body, "models")
    ]
    call.tracking.commit({"op": "outputs", "run": found.id, "models": models})
    return {}


def _use(call: Call) -> None:
    """Take the main run: from now on it stays in the experiment that the script has chosen."""
    call.tracking.commit({"op": "use", "experiment": call.tracking.state.chosen})


def _run(call: Call, writing: bool = False) -> Run:
    return call.tracking.run(checks.required(call.body, "run_id", "run_uuid"), writing)


def _status(value: object) -> str:
    number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= len(_STATUSES)
    status = _STATUSES[int(str(value)) - 1] if number else str(value)
    if status not in _STATUSES:
        raise invalid(checks.bad_value("status", value))
    return status


def _lookup(found: Run, kind: str, key: str) -> Any:
    if kind == "metrics":
        points = found.points.get(key)
        return points.latest.value if points and points.latest else None
    if kind in ("params", "tags"):
        return (found.params if kind == "params" else found.tags).get(key)
    if kind == "datasets":
        values = [(each.get("dataset") or {}).get(key) for each in found.datasets]
        return values[0] if values else None
    return _attribute(found, key)


def _attribute(found: Run, key: str) -> Any:
    values: Raw = {
        "run_id": found.id,
        "run_name": found.name,
        "run name": found.name,
        "Run name": found.name,
        "status": found.status,
        "start_time": found.start,
        "Created": found.start,
        "created": found.start,
        "end_time": found.end or None,
        "user_id": found.user,
        "experiment_id": found.experiment,
        "artifact_uri": answers.artifact_uri(found),
        "lifecycle_stage": found.lifecycle,
    }
    if key not in values:
        raise invalid(f"Invalid attribute key '{key[:300]}' specified. Valid keys are {sorted(values)}")
    return values[key]


ROUTES = (
    Route("POST", "/mlflow/runs/create", create),
    Route("GET", "/mlflow/runs/get", get),
    Route("POST", "/mlflow/runs/update", update),
    Route("POST", "/mlflow/runs/delete", delete),
    Route("POST", "/mlflow/runs/restore", restore),
    Route("POST", "/mlflow/runs/search", search),
    Route("POST", "/mlflow/runs/set-tag", set_tag),
    Route("POST", "/mlflow/runs/delete-tag", delete_tag),
    Route("POST", "/mlflow/runs/log-inputs", log_inputs),
    Route("POST", "/mlflow/runs/outputs", log_outputs),
)
