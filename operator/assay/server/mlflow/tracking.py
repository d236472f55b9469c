"""Runs, metrics and experiments."""

from __future__ import annotations

from typing import Any, Final, cast

from starlette.responses import Response

from assay.api.errors import InvalidRequest, ObjectNotFound
from assay.api.objects import Raw
from assay.api.resources import EXPERIMENTS
from assay.queries import references
from assay.queries.curves.reading import points_of
from assay.queries.runs import recorded, rows
from assay.queries.runs.rows import RunRow
from assay.server.answers import as_json, encoded, of_json
from assay.server.mlflow import entities, filters
from assay.server.mlflow.calls import Call
from assay.server.runs import RunQuery

_MOST_RUNS, _MOST_POINTS, _MOST_EXPERIMENTS = 50_000, 25_000, 50_000
_NO_SUCH_NAME: Final = "no run has "


def search_runs(call: Call) -> Response:
    """Return runs that match a filter string. An answer can have 50,000 of them, so each is encoded by itself."""
    size = min(call.number("max_results", 1000), _MOST_RUNS)
    start = call.page()
    where = filters.where(str(call.get("filter") or ""))
    if _wants_deleted(call):
        return as_json({"runs": []})
    ids = [str(each) for each in call.several("experiment_ids")]
    experiments = frozenset("" if each == entities.DEFAULT else each for each in ids)
    query: RunQuery = {
        "experiment": "", "where": where, "sort": "created", "reverse": False, "offset": start, "limit": size,
        "archived": False, "fresh": "live", "names": False, "experiments": experiments,
        "parts": entities.PARTS,
    }  # fmt: skip
    try:
        query |= _order(call)  # type: ignore[typeddict-item]
        found = call.state.runs.find(call.person, query, _encoded)
    except InvalidRequest as error:
        # MLflow finds nothing where no run has the metric; Assay says so.
        if not error.message.startswith(_NO_SUCH_NAME):
            raise
        return as_json({"runs": []})
    more = start + size < found["total"]
    end = b',"next_page_token":"%d"}' % (start + size) if more else b"}"
    return of_json(b'{"runs":[' + b",".join(cast(list[bytes], found["items"])) + b"]" + end)


def _encoded(row: RunRow) -> bytes:
    return encoded(entities.run(row))


def _order(call: Call) -> dict[str, Any]:
    """Return how to sort, by the first order."""
    orders = call.several("order_by")
    if not orders:
        return {}
    field, descending = filters.order(str(orders[0]))
    return {"sort": f"{field}:{'desc' if descending else 'asc'}"}


def server_info(_: Call) -> Raw:
    """Return what there is beside the API of MLflow 2: nothing."""
    return {"store_type": "Assay", "workspaces_enabled": False, "multipart_downloads_enabled": False}


def get_run(call: Call) -> Raw:
    """Return one run."""
    run = recorded.find(call.person, call.need("run_id", "run_uuid"))
    (row,) = rows.timed([rows.of_run(run)])
    return {"run": entities.run(row)}


def history(call: Call) -> Raw:
    """Return the points of a metric."""
    metric = call.need("metric_key")
    run = recorded.find(call.person, call.need("run_id", "run_uuid"))
    start, size = call.page(), min(call.number("max_results", _MOST_POINTS), _MOST_POINTS)
    try:
        with points_of(call.person.store, run) as points:
            curve = points.curve(metric)
    except ObjectNotFound:
        return {"metrics": []}
    end = start + size
    parts = (part[start:end].tolist() for part in (curve.value, curve.time, curve.step))
    metrics = [
        {"key": metric, "value": entities.number(value), "timestamp": int(time * 1000), "step": int(step)}
        for value, time, step in zip(*parts, strict=True)
    ]
    return {"metrics": metrics} | ({"next_page_token": str(end)} if end < len(curve.value) else {})


def search_experiments(call: Call) -> Raw:
    """Return the experiments of the namespace, newest first, or in the orders that the caller gives."""
    conditions = filters.of_experiments(str(call.get("filter") or ""))
    start, size = call.page(), min(call.number("max_results", _MOST_EXPERIMENTS), _MOST_EXPERIMENTS)
    orders = [filters.order_of_experiments(str(each)) for each in call.several("order_by")]
    if _wants_deleted(call):
        return {"experiments": []}
    found = [
        entities.experiment(body["metadata"]["name"], body["metadata"]["creationTimestamp"])
        for body in call.person.objects(EXPERIMENTS)
    ]
    found = [
        each for each in [*found, entities.experiment(entities.DEFAULT)] if all(holds(each) for holds in conditions)
    ]
    for field, descending in [*reversed(orders)] or [("creation_time", True)]:
        found.sort(key=lambda each: each.get(field, 0), reverse=descending)
    more = {"next_page_token": str(start + size)} if start + size < len(found) else {}
    return {"experiments": found[start : start + size]} | more


def _wants_deleted(call: Call) -> bool:
    """Whether only deleted objects are asked for: there are none, as what is deleted is gone or archived."""
    return str(call.get("view_type") or call.get("run_view_type") or "").upper() == "DELETED_ONLY"


def get_experiment(call: Call) -> Raw:
    """Return one experiment, by its id or its name."""
    name = call.need("experiment_id", "experiment_name")
    if name in (entities.DEFAULT, "Default"):
        return {"experiment": entities.experiment(entities.DEFAULT)}
    body = references.experiment(call.person, name)
    return {"experiment": entities.experiment(name, body["metadata"]["creationTimestamp"])}
