"""The table of runs: filtered, sorted, grouped, pinned and page by page. Everything that is seen is in the address.

The table of all namespaces is the same without what belongs to one namespace: groups, pins, curves and comparisons.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from starlette.responses import Response

from assay.api.errors import AssayError, InvalidRequest
from assay.api.run_status import TERMINAL
from assay.queries.runs import columns as run_columns
from assay.queries.runs import recorded
from assay.queries.runs import rows as run_rows
from assay.queries.runs.columns import Field, Names
from assay.queries.runs.rows import RunRow
from assay.server.pages import exports, groups, shown, view
from assay.server.pages.site import Page, Visit
from assay.server.pages.view import View
from assay.server.runs import RunQuery, RunsFound

#: Columns that are shown unasked; names that the picker lists; runs and metrics whose curves a page draws.
_UNASKED, _LISTED, _CURVES, _CHARTS = 10, 400, 20, 6
#: What a download or a grouping reads, and the curves of a grouping.
_ALL: Final = 50_000
_MOST_GROUPED: Final = 100
_RUN: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}")
_PLAIN: Final = (
    "name", "phase", "experiment", "reason", "owner", "seed", "created", "started", "completed", "duration", "age"
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of the table. ``name`` is how the address spells it, ``sort`` the order that its title asks for."""

    name: str
    title: str
    field: Field
    number: bool
    sort: str
    sorted: str = "none"


def table(visit: Visit) -> Page:
    """Show the table."""
    asked = _view(visit)
    problem: AssayError | None = None
    try:
        found = _found(visit, asked)
    except InvalidRequest as error:
        problem, found = error, _found(visit, View(limit=1))
        found = {**found, "items": [], "total": 0}
    names = Names(summary=found["names"])
    fields = _columns(visit, names, asked)
    grouped = groups.grouped(found["items"], names, asked.group) if asked.group and not problem else None
    pinned = [] if grouped else _pinned(visit, asked, found["items"])
    others = [] if grouped else [row for row in found["items"] if row["name"] not in asked.pins]
    drawn, known = found["items"] if grouped else [*pinned, *others], _known(names)
    values = {
        "view": asked,
        "found": found,
        "columns": fields,
        "pinned": [_cells(fields, row, visit, asked) for row in pinned],
        "rows": [_cells(fields, row, visit, asked) for row in others],
        "on_page": 0 if grouped else len(found["items"]),
        "groups": grouped,
        "known": known,
        "chosen": {column.name for column in fields},
        "differing": _differing(names, known),
        "problem": problem,
        "here": visit.table(),
        "csv": _download(visit, asked, "csv"),
        "parquet": _download(visit, asked, "parquet"),
        "drawing": _drawing(visit, asked, drawn, names, fields) if asked.curves and drawn else None,
    }
    running = any(row["phase"] not in TERMINAL for row in [*pinned, *found["items"]])
    return _shown(visit, asked, values, problem is not None, running)


def _shown(visit: Visit, asked: View, values: dict[str, Any], failed: bool, running: bool) -> Page:
    title = f"Runs of {asked.experiment}" if asked.experiment else "Runs"
    status, live = 400 if failed else 200, running and not failed
    if visit.everywhere:
        # Without an index, each answer reads all runs of the cluster.
        live = live and values["found"]["freshness"]["source"] == "index"
        return Page("runs.html", f"{title} in all namespaces", values, "", status, live=live)
    points = [("points", "1")] if asked.curves else []
    events = "" if failed else visit.events("runs", ("experiment", asked.experiment), *points)
    return Page("runs.html", title, values, "runs", status, live=live, events=events)


def _view(visit: Visit) -> View:
    asked = view.of_query(visit.query)
    return replace(asked, pins=(), group="", curves=False, archived=False) if visit.everywhere else asked


def _pinned(visit: Visit, asked: View, known: Sequence[RunRow]) -> list[RunRow]:
    """Return the pinned runs, whether they match the filter or not, in the order in which they were pinned."""
    here = {row["name"]: row for row in known}
    found = []
    for name in asked.pins:
        try:
            found.append(here.get(name) or _row(visit, name))
        except AssayError as error:
            visit.person.note(f"the pinned run is not shown: {error.message}")
    return found


def _row(visit: Visit, name: str) -> RunRow:
    if not _RUN.fullmatch(name):
        raise InvalidRequest(f"invalid name of a run {name[:50]!r}")
    (row,) = run_rows.timed([recorded.locate(visit.person, name).row])
    return row


def _drawing(
    visit: Visit, asked: View, rows: Sequence[RunRow], names: Names, fields: Sequence[Column]
) -> dict[str, Any]:
    """Return what the charts of the page draw: the metrics among its columns, of its first runs or of its groups."""
    parameter = asked.group.partition(".")[2] if asked.group.startswith(("params.", "parameters.")) else ""
    if asked.group in names.parameters:
        parameter = asked.group
    most = _MOST_GROUPED if parameter else _CURVES
    metrics = list(dict.fromkeys(each.field.path[1] for each in fields if each.field.path[0] == "metrics"))
    metrics = metrics or names.ordered_metrics()
    return {
        "runs": [row["name"] for row in rows[:most]],
        "omitted": len(rows[most:]),
        "metrics": metrics[:_CHARTS],
        "axes": ["step", "relative", "time", *names.ordered_metrics()],
        "group": parameter,
        "curves": shown.path("api", "v1", "namespaces", visit.namespace, "curves"),
        "ongoing": any(row["phase"] not in TERMINAL for row in rows[:most]),
    }


def csv_file(visit: Visit) -> Response:
    """Return the rows of the view as CSV, with the columns that the page shows."""
    return _file(exports.to_csv(_exported(visit)), "csv", "text/csv; charset=utf-8")


def parquet_file(visit: Visit) -> Response:
    """Return the rows of the view as Parquet, with the columns that the page shows."""
    return _file(exports.to_parquet(_exported(visit)), "parquet", "application/vnd.apache.parquet")


def _exported(visit: Visit) -> exports.Table:
    asked = _view(visit)
    found = _read(visit, _asked(asked, 0, _ALL))
    fields = _columns(visit, Names(summary=found["names"]), asked)
    return [each.name for each in fields], [[each.field.value(row) for each in fields] for row in found["items"]]


def _file(data: bytes, suffix: str, kind: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="runs.{suffix}"'}
    return Response(data, media_type=kind, headers=headers)


def _download(visit: Visit, asked: View, suffix: str) -> str:
    pairs = asked.pairs(offset=0, limit=view.LIMIT, pins=(), group="", curves=False)
    return shown.query(visit.table(f".{suffix}"), pairs)


def _found(visit: Visit, asked: View) -> RunsFound:
    offset, limit = (0, _ALL) if asked.group else (asked.offset, asked.limit)
    return _read(visit, _asked(asked, offset, limit, asked.group))


def _read(visit: Visit, query: RunQuery) -> RunsFound:
    if visit.everywhere:
        return cast(RunsFound, visit.state.runs.find_all(visit.person, query))
    return visit.state.runs.find(visit.person, query)


def _asked(asked: View, offset: int, limit: int, group: str = "") -> RunQuery:
    return {
        "experiment": asked.experiment,
        "where": asked.where,
        "sort": asked.sort,
        "reverse": asked.reverse,
        "offset": offset,
        "limit": limit,
        "archived": asked.archived,
        "fresh": "live",
        "names": True,
        "group": group,
    }


def _columns(visit: Visit, names: Names, asked: View) -> list[Column]:
    found: list[Field] = []
    for name in asked.columns:
        try:
            found.append(names.field(name))
        except AssayError as error:
            visit.person.note(error.message)
    chosen = found or run_columns.default(names, wide=False)[:_UNASKED]
    first = [run_columns.namespace()] if visit.everywhere else []
    return [_column(field, asked, names) for field in [*first, *chosen]]


def _column(field: Field, asked: View, names: Names) -> Column:
    name = sort = spelled(field)
    if field.path[0] == "metrics" and not names.has_direction(field.path[1]):
        sort += ":asc"  # nothing says which values are better
    number = field.path[0] == "metrics" or field.path[0] in ("seed", "duration")
    direction = ("descending" if asked.reverse else "ascending") if asked.sort == sort else "none"
    return Column(name, name.removeprefix("metrics."), field, number, sort, direction)


def spelled(field: Field) -> str:
    """Return the name of a field as filters and sorting spell it."""
    first = {"parameters": "params"}.get(field.path[0], field.path[0])
    return ".".join((first, *field.path[1:]))


def _cells(columns: Sequence[Column], row: RunRow, visit: Visit, asked: View) -> dict[str, Any]:
    cells = []
    for column in columns:
        found = column.field.value(row)
        if column.name in ("age", "created", "started", "completed"):
            cells.append({"text": shown.age(found) if column.name == "age" else found, "time": found})
        else:
            cells.append(
                {"text": shown.duration(found) if column.name == "duration" else shown.value(found), "time": ""}
            )
    name, namespace = row["name"], str(row.get("namespace", visit.namespace))
    return {
        "name": name,
        "phase": row["phase"],
        "home": shown.path("n", namespace, "runs"),
        "link": shown.path("n", namespace, "runs", name),
        "pin": shown.query(visit.table(), asked.pinned(name)),
        "cells": cells,
    }


def _differing(names: Names, known: Sequence[str]) -> set[str]:
    """Return the columns that `Only what differs` keeps."""
    metrics = (name for name in known if name.startswith("metrics."))
    return {"name", "phase", *(f"params.{name}" for name in names.differing()), *metrics}


def _known(names: Names) -> list[str]:
    """Return the names that the picker lists, and that the filter completes."""
    metrics = [f"metrics.{name}" for name in names.ordered_metrics()]
    return [*_PLAIN, *(f"params.{name}" for name in names.parameters), *metrics][:_LISTED]
