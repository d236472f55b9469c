"""Points and parameters: log-metric, log-batch, log-parameter and the history."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from assay.recorder.collectors.mlflow import answers, checks, limits
from assay.recorder.collectors.mlflow.entities import Raw, Run
from assay.recorder.collectors.mlflow.errors import MlflowError, exhausted, invalid
from assay.recorder.collectors.mlflow.handlers.requests import Call, Route, paged, strings
from assay.recorder.collectors.mlflow.points import Points
from assay.recorder.collectors.mlflow.queries import page_bounds

_EXACT = 2**53


async def log_metric(call: Call) -> Raw:
    """Log one point."""
    call.tracking.log(_writable(call), [_point(call.body, call.tracking.now())], {}, {})
    return {}


async def log_parameter(call: Call) -> Raw:
    """Log one parameter."""
    found = _writable(call)
    key, value = checks.param(call.body)
    if found.params.get(key, value) != value:
        raise invalid(
            f"Changing param values is not allowed. Param with key='{key}' was already logged with "
            f"value='{found.params[key]}' for run ID='{found.id}'. Attempted logging new value '{value}'."
        )
    call.tracking.log(found, [], {key: value}, {})
    return {}


async def log_batch(call: Call) -> Raw:
    """Log points, parameters and tags: all of them or, if one is invalid, none."""
    found, body = _writable(call), call.body
    metrics, params, tags = (checks.entries(body, name) for name in ("metrics", "params", "tags"))
    _check_batch(len(metrics), len(params), len(tags))
    now = call.tracking.now()
    points = [_point(metric, now, at) for at, metric in enumerate(metrics)]
    pairs = [checks.param(param, f"params[{at}].") for at, param in enumerate(params)]
    _check_unchanged(found, pairs)
    call.tracking.log(found, points, dict(pairs), checks.tags(body))
    return {}


async def history(call: Call) -> Raw:
    """Return the points of a metric, in the order in which they came."""
    body = call.body
    found = call.tracking.run(checks.required(body, "run_id", "run_uuid"))
    key = checks.required(body, "metric_key")
    points = found.points.get(key)
    if points is None:
        return {"metrics": []}
    _check_whole(points, key, call.tracking.limits)
    if not body.get("max_results") and not body.get("page_token") and points.count > limits.HISTORY_AT_ONCE:
        raise exhausted(f"the metric '{key}' has {points.count} points: ask for pages, with max_results")
    size = checks.page_size(body, limits.HISTORY_AT_ONCE, limits.HISTORY_AT_ONCE)
    start, end, token = page_bounds(points.count, body.get("page_token"), size)
    chosen = points.slice(start, end)
    return paged("metrics", (answers.metric(key, point) for point in chosen), token)


async def history_bulk(call: Call) -> Raw:
    """Return the points of a metric of several runs."""
    body, rows = call.body, list[Raw]()
    key = checks.required(body, "metric_key")
    most = checks.page_size(body, limits.HISTORY_PAGE, limits.HISTORY_PAGE)
    low, high = (
        checks.integer(body.get(name, default), name) for name, default in (("start_step", 0), ("end_step", 2**62))
    )
    for run_id in strings(body.get("run_ids"), "run_ids"):
        points = call.tracking.run(run_id).points.get(key)
        if points:
            _check_whole(points, key, call.tracking.limits)
            shown = [point for point in points.slice(0, points.count) if low <= point.step <= high]
            rows += [answers.metric(key, point) | {"run_id": run_id} for point in shown[:most]]
    return {"metrics": rows}


def _writable(call: Call) -> Run:
    return call.tracking.run(checks.required(call.body, "run_id", "run_uuid"), writing=True)


def _point(metric: Raw, now: int, at: int | None = None) -> list[Any]:
    """Return a point as the journal has it."""
    key, value, time, step = metric.get("key"), metric.get("value"), metric.get("timestamp"), metric.get("step")
    if (
        type(value) is float
        and type(time) is type(step) is int
        and 0 <= time < _EXACT
        and -_EXACT < step < _EXACT
        and type(key) is str
        and _is_name(key)
        and not metric.get("model_id")
    ):
        return [key, value, time, step]
    return _checked_point(metric, now, "" if at is None else f"metrics[{at}].")


@lru_cache(maxsize=4096)
def _is_name(key: str) -> bool:
    try:
        return len(checks.name(key, "")) <= limits.METRIC_CHARS
    except MlflowError:
        return False


def _checked_point(metric: Raw, now: int, path: str) -> list[Any]:
    """Check field by field. Most points need no conversion and have a name that was checked before."""
    key = metric.get("key")
    if not isinstance(key, str) or not key:
        raise invalid(f"Missing value for required parameter '{path}key'.")
    checks.length(checks.name(key, f"{path}name"), limits.METRIC_CHARS, "Metric name")
    time = metric.get("timestamp")
    value = checks.number(metric.get("value"), f"{path}value", time)
    hint = f"metric '{key}' (value={value}). Timestamp must be a nonnegative long (64-bit integer) "
    time = now if time is None else checks.integer(time, f"{path}timestamp", hint)
    if time < 0:
        raise invalid(checks.bad_value(f"{path}timestamp", time, hint))
    hint = f"metric '{key}' (value={value}). Step must be a valid long (64-bit integer)."
    step = checks.integer(metric.get("step") or 0, f"{path}step", hint)
    if not metric.get("model_id"):
        return [key, value, time, step]
    more = [checks.text(metric.get(name) or "", name) for name in ("model_id", "dataset_name", "dataset_digest")]
    return [key, value, time, step, *more]


def _check_batch(metrics: int, params: int, tags: int) -> None:
    for what, count, most in (
        ("metrics", metrics, limits.BATCH_METRICS),
        ("params", params, limits.BATCH_PARAMS),
        ("tags", tags, limits.BATCH_TAGS),
        ("metrics, params, and tags", metrics + params + tags, limits.BATCH_ALL),
    ):
        if count > most:
            raise invalid(
                f"A batch logging request can contain at most {most} {what}. Got {count} {what}. Please split up "
                f"{what} across multiple requests and try again."
            )


def _check_unchanged(found: Run, pairs: list[tuple[str, str]]) -> None:
    keys = [key for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise invalid(
            f"Duplicate parameter keys have been submitted: {twice}. Please ensure the request contains only one param "
            "value per param key."
        )
    changed = [
        {"key": key, "old_value": found.params[key], "new_value": value}
        for key, value in pairs
        if found.params.get(key, value) != value
    ]
    if changed:
        raise invalid(
            f"Changing param values is not allowed. Params were already logged='{changed}' for run ID='{found.id}'."
        )


def _check_whole(points: Points, key: str, limit: limits.Limits) -> None:
    if not points.whole:
        raise exhausted(
            f"the metric '{key}' is recorded, but cannot be read back in the pod: the recorder keeps "
            f"{limit.history_points} points in memory (runs.mlflowPoints of the chart)"
        )


ROUTES = (
    Route("POST", "/mlflow/runs/log-metric", log_metric),
    Route("POST", "/mlflow/runs/log-parameter", log_parameter),
    Route("POST", "/mlflow/runs/log-batch", log_batch),
    Route("GET", "/mlflow/metrics/get-history", history),
    Route("GET", "/mlflow/metrics/get-history-bulk-interval", history_bulk),
)
