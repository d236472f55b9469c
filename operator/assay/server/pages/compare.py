"""Runs side by side: what differs first, curves in one chart each, parallel coordinates and a scatter plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from assay.api.errors import InvalidRequest
from assay.api.numbers import of_json
from assay.api.run_status import TERMINAL
from assay.queries.runs import comparison, recorded, rows
from assay.queries.runs.columns import Names
from assay.queries.runs.comparison import Row
from assay.queries.runs.rows import RunRow
from assay.server.pages import shown
from assay.server.pages.site import Page, Visit

_MOST, _CURVES, _AXES = 50, 12, 8


def side_by_side(visit: Visit) -> Page:
    """Compare the runs of the address."""
    wanted = list(dict.fromkeys(visit.query.getlist("run")))
    if not 2 <= len(wanted) <= _MOST:
        raise InvalidRequest(f"choose 2 to {_MOST} runs to compare, not {len(wanted)}", hint="tick them in the table")
    found = [recorded.find(visit.person, name) for name in wanted]
    table = rows.timed([rows.of_run(run) for run in found])
    compared = comparison.compared(found)
    items = sorted(compared["items"], key=lambda each: each["same"])
    names = Names(table)
    metrics = names.ordered_metrics()
    values = {
        "notes": compared["notes"],
        "runs": [{"name": name, "link": visit.link("runs", name)} for name in compared["runs"]],
        "different": _shown(items, same=False),
        "same": _shown(items, same=True),
        "metrics": metrics[:_CURVES],
        "omitted": len(metrics[_CURVES:]),
        "axes": ["step", "relative", "time", *metrics],
        "curves": shown.path("api", "v1", "namespaces", visit.namespace, "curves"),
        "ongoing": any(row["phase"] not in TERMINAL for row in table),
        "points": points(table, names, visit),
    }
    ongoing = bool(values["ongoing"])
    events = visit.events("runs", *(("run", name) for name in wanted), ("points", "1")) if ongoing else ""
    return Page("compare.html", f"Compare {len(found)} runs", values, "runs", live=ongoing, events=events)


def _shown(items: Sequence[Row], *, same: bool) -> list[Row]:
    return [each for each in items if each["same"] is same]


def points(table: Sequence[RunRow], names: Names, visit: Visit) -> dict[str, Any]:
    """Return what the charts of whole runs draw: the parameters that differ, then the metrics, and a value of each run.

    A value is a number or a text; None if the run does not have it.
    """
    parameters = [f"params.{name}" for name in names.differing()][:_AXES]
    metrics = [f"metrics.{name}" for name in names.ordered_metrics()][:_AXES]
    fields = {name: names.field(name) for name in [*parameters, *metrics]}
    return {
        "axes": list(fields),
        "x": (parameters or metrics or [""])[0],
        "y": (metrics or parameters or [""])[0],
        "runs": [
            {
                "run": row["name"],
                "link": visit.link("runs", row["name"]),
                "values": [_value(field.value(row)) for field in fields.values()],
            }
            for row in table
        ],
    }


def _value(value: Any) -> float | str | None:
    if isinstance(value, bool):
        return str(value).lower()
    number = of_json(value) if isinstance(value, int | float) else None
    if number is not None:
        return number if math.isfinite(number) else None
    return value if isinstance(value, str) else None
