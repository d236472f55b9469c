"""What the containers of a run used: the operator's samples of CPU and memory, thinned to the width of a chart."""

from __future__ import annotations

import math

from pydantic import Field
from typing_extensions import TypedDict

from assay.queries.curves import shapes, usage
from assay.queries.runs import recorded
from assay.server.api.operations import Call, Operation, Query


class UsageQuery(Query):
    """Which samples. Times are in unix seconds."""

    pod: str = Field("", max_length=253, description="Only this pod. Default: all pods of the run.")
    low: float | None = Field(None, description="Only samples from this time on.")
    high: float | None = Field(None, description="Only samples up to this time.")
    buckets: int = Field(500, ge=1, le=4000, description="Width in columns; each keeps first, last, lowest, highest.")


class UsageLine(TypedDict):
    """One metric of one container: system.cpu_cores or system.memory_bytes.

    ``limit`` is that of the container, null without one; ``points`` counts the samples, of which x (unix seconds) and y
    have those that draw the same line.
    """

    pod: str
    container: str
    metric: str
    limit: float | None
    points: int
    x: list[float]
    y: list[float]


class UsageFound(TypedDict):
    """The samples of a run. ``message`` says why there are none."""

    items: list[UsageLine]
    message: str
    notes: list[str]


def of_run(call: Call, query: UsageQuery) -> UsageFound:
    """Return the usage of a run, which may be archived, read with the user's own keys."""
    run = recorded.find(call.person, call.path["run"])
    found = usage.usage_of(call.person.store, run, query.pod)
    message = "" if found else usage.why_none(run)
    return {"items": [_line(each, query) for each in found], "message": message, "notes": call.person.notes}


def _line(each: usage.Usage, query: UsageQuery) -> UsageLine:
    """Return the samples within the range, and one beyond it on each side."""
    import numpy

    low, high = (-math.inf if query.low is None else query.low), (math.inf if query.high is None else query.high)
    first = max(0, int(numpy.searchsorted(each.time, low)) - 1)
    last = min(len(each.time), int(numpy.searchsorted(each.time, high, "right")) + 1)
    time, value = each.time[first:last], each.value[first:last]
    kept = shapes.thinned(time, value, query.buckets)
    return {
        "pod": each.pod,
        "container": each.container,
        "metric": each.metric,
        "limit": each.limit,
        "points": len(each.time),
        "x": time[kept].tolist(),
        "y": value[kept].tolist(),
    }


OPERATIONS = (
    Operation(
        "usage", "/namespaces/{namespace}/runs/{run}/system", "Read samples of CPU and memory.", of_run, UsageFound,
        UsageQuery,
    ),
)  # fmt: skip
