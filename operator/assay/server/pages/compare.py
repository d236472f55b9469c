"""Runs side by side: what differs first, curves in one chart each, which parameters matter, charts of whole runs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from assay.api.errors import InvalidRequest
from assay.api.numbers import of_json
from assay.api.objects import Raw
from assay.api.run_status import TERMINAL
from assay.queries.runs import comparison, differences, importance, recorded, rows
from assay.queries.runs.columns import Names
from assay.queries.runs.comparison import Row
from assay.queries.runs.rows import RunRow
from assay.server.pages import parts, shown
from assay.server.pages.site import Page, Visit

_MOST, _CURVES, _AXES = 50, 12, 8
#: Kinds of fields that the table of code, data and environment has.
_MADE_OF: Final = ("code", "data", "image")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")


def side_by_side(visit: Visit) -> Page:
    """Compare the runs of the address."""
    wanted = list(dict.fromkeys(visit.query.getlist("run")))
    if not 2 <= len(wanted) <= _MOST:
        raise InvalidRequest(f"choose 2 to {_MOST} runs to compare, not {len(wanted)}", hint="tick them in the table")
    located = [recorded.locate(visit.person, name) for name in wanted]
    found, table = [each.run for each in located], rows.timed([each.row for each in located])
    compared = comparison.compared(found)
    items = compared["items"]
    for note in compared["notes"]:
        visit.person.note(note)
    names = Names(table)
    metrics = names.ordered_metrics()
    explained = visit.query.get("explain", "")
    first = explained or (metrics[0] if metrics else "")
    best = visit.query.get("best", "") or ("highest" if _maximized(names, first) else "lowest")
    values = {
        "runs": [
            {"name": name, "link": visit.link("runs", name), "archived": row["archived"]}
            for name, row in zip(wanted, table, strict=True)
        ],
        "different": [each for each in items if not each["same"] and each["kind"] not in _MADE_OF],
        "same": [each for each in items if each["same"]],
        "made_of": parts.attempt(visit, lambda: _kinds(differences.across(visit.person, found))),
        "code": code(found),
        "metrics": metrics[:_CURVES],
        "known": metrics,
        "omitted": len(metrics[_CURVES:]),
        "axes": ["step", "relative", "time", *metrics],
        "groups": names.differing() if len(found) > 2 else [],
        "curves": shown.path("api", "v1", "namespaces", visit.namespace, "curves"),
        "ongoing": any(row["phase"] not in TERMINAL for row in table),
        "points": points(table, names, visit),
        "explained": explained,
        "best": best,
        "importance": parts.attempt(visit, lambda: _importances(table, names, explained, best)) if explained else None,
        "here": visit.link("compare"),
    }
    ongoing = bool(values["ongoing"])
    events = visit.events("runs", *(("run", name) for name in wanted), ("points", "1")) if ongoing else ""
    return Page("compare.html", f"Compare {len(found)} runs", values, "runs", live=ongoing, events=events)


def _maximized(names: Names, metric: str) -> bool:
    return names.has_direction(metric) and not names.minimized(metric)


def _importances(table: Sequence[RunRow], names: Names, metric: str, best: str) -> importance.Importances:
    names.field(f"metrics.{metric}")
    return importance.importances(table, metric, minimized=best != "highest")


def _kinds(found: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    return [(kind, list(each)) for kind, each in groupby(found, key=lambda row: row["kind"])]


def code(runs: Sequence[Raw]) -> str:
    """Return the command that shows how the code of the runs differs, "" if it does not, or nobody knows."""
    sources = [run["spec"].get("source") or {} for run in runs]
    repositories = {each.get("repository") for each in sources}
    commits = list(dict.fromkeys(str(each.get("revision", "")) for each in sources))
    if len(repositories) != 1 or len(commits) != 2 or not all(map(_COMMIT.fullmatch, commits)):
        return ""
    return f"git diff {commits[0]} {commits[1]}"


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
