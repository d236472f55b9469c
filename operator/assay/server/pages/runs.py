"""The table of runs: filtered, sorted, grouped and page by page. Everything that is seen is in the address."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from assay.api.errors import AssayError, InvalidRequest
from assay.api.run_status import TERMINAL
from assay.queries.runs import columns as run_columns
from assay.queries.runs.columns import Field, Names
from assay.queries.runs.rows import RunRow
from assay.server.pages import groups, shown
from assay.server.pages.site import Page, Visit
from assay.server.runs import RunQuery, RunsFound

#: Rows of a page, and the most of one; columns that are shown unasked; names that the picker lists.
_LIMIT, _MOST_ROWS, _UNASKED, _LISTED = 50, 500, 10, 400
#: What a download or a grouping reads.
_ALL: Final = 50_000
_PLAIN: Final = (
    "name", "phase", "experiment", "reason", "owner", "seed", "created", "started", "completed", "duration", "age"
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """What the address asks for."""

    experiment: str
    where: str
    sort: str
    reverse: bool
    group: str
    columns: tuple[str, ...]
    offset: int
    limit: int
    archived: bool

    def pairs(self, **changed: Any) -> list[tuple[str, Any]]:
        """Return the query of the same view with changes; defaults are left out."""
        found = self.__dict__ | changed
        plain = [(name, found[name]) for name in ("experiment", "where", "sort", "group") if found[name]]
        flags = [(name, "1") for name in ("reverse", "archived") if found[name]]
        numbers = [
            (name, found[name]) for name, default in (("offset", 0), ("limit", _LIMIT)) if found[name] != default
        ]
        return [*plain, *flags, *(("column", name) for name in found["columns"]), *numbers]


@dataclass(frozen=True)
class Column:
    """A column of the table. ``name`` is how the address spells it."""

    name: str
    title: str
    field: Field
    number: bool
    sorted: str = "none"


def view_of(visit: Visit) -> View:
    """Return the view of an address. Raises InvalidRequest."""
    query = visit.query
    return View(
        experiment=query.get("experiment", ""),
        where=query.get("where", "").strip(),
        sort=query.get("sort", ""),
        reverse=bool(query.get("reverse")),
        group=query.get("group", ""),
        columns=tuple(dict.fromkeys(name for name in query.getlist("column") if name)),
        offset=_number(query.get("offset", "0"), 0, 10**9),
        limit=_number(query.get("limit", str(_LIMIT)), 1, _MOST_ROWS),
        archived=bool(query.get("archived")),
    )


def table(visit: Visit) -> Page:
    """Show the table."""
    view = view_of(visit)
    problem: AssayError | None = None
    try:
        found = _found(visit, view)
    except InvalidRequest as error:
        problem, found = error, _found(visit, View("", "", "", False, "", (), 0, 1, False))
        found = {**found, "items": [], "total": 0}
    names = Names(summary=found["names"])
    fields = _columns(visit, names, view)
    grouped = groups.grouped(found["items"], names, view.group) if view.group and not problem else None
    values = {
        "view": view,
        "found": found,
        "columns": fields,
        "rows": [] if grouped else [_cells(fields, row, visit) for row in found["items"]],
        "groups": grouped,
        "known": _known(names),
        "chosen": {column.name for column in fields},
        "differing": [f"params.{name}" for name in names.differing()],
        "problem": problem,
        "here": visit.link("runs"),
        "download": shown.query(visit.link("runs.csv"), view.pairs(offset=0, limit=_LIMIT)),
    }
    running = any(row["phase"] not in TERMINAL for row in found["items"])
    title = f"Runs of {view.experiment}" if view.experiment else "Runs"
    status = 400 if problem else 200
    events = "" if problem else visit.events("runs", ("experiment", view.experiment))
    return Page("runs.html", title, values, "runs", status, live=running and not problem, events=events)


def download(visit: Visit) -> Response:
    """Return the rows of the view as CSV, with the columns that the page shows."""
    view = view_of(visit)
    found = visit.state.runs.find(visit.person, _asked(view, 0, _ALL))
    fields = _columns(visit, Names(summary=found["names"]), view)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([_safe(column.name) for column in fields])
    for row in found["items"]:
        writer.writerow([_safe(_plain(column.field.value(row))) for column in fields])
    headers = {"content-disposition": 'attachment; filename="runs.csv"'}
    return Response(text.getvalue().encode(errors="replace"), media_type="text/csv", headers=headers)


def _safe(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if text[:1] in ("=", "+", "-", "@", "\t", "\r"):
        try:
            float(text)
        except ValueError:
            return "'" + text
    return text


def _plain(value: Any) -> str:
    return repr(value) if isinstance(value, float) else shown.value(value)


def _found(visit: Visit, view: View) -> RunsFound:
    offset, limit = (0, _ALL) if view.group else (view.offset, view.limit)
    return visit.state.runs.find(visit.person, _asked(view, offset, limit, view.group))


def _asked(view: View, offset: int, limit: int, group: str = "") -> RunQuery:
    return {
        "experiment": view.experiment,
        "where": view.where,
        "sort": view.sort,
        "reverse": view.reverse,
        "offset": offset,
        "limit": limit,
        "archived": view.archived,
        "fresh": "live",
        "names": True,
        "group": group,
    }


def _columns(visit: Visit, names: Names, view: View) -> list[Column]:
    found: list[Field] = []
    for name in view.columns:
        try:
            found.append(names.field(name))
        except AssayError as error:
            visit.person.note(error.message)
    chosen = found or run_columns.default(names, wide=False)[:_UNASKED]
    return [_column(field, view) for field in chosen]


def _column(field: Field, view: View) -> Column:
    name = spelled(field)
    number = field.path[0] == "metrics" or field.path[0] in ("seed", "duration")
    direction = ("descending" if view.reverse else "ascending") if view.sort == name else "none"
    return Column(name, name.removeprefix("metrics."), field, number, direction)


def spelled(field: Field) -> str:
    """Return the name of a field as filters and sorting spell it."""
    first = {"parameters": "params"}.get(field.path[0], field.path[0])
    return ".".join((first, *field.path[1:]))


def _cells(columns: Sequence[Column], row: RunRow, visit: Visit) -> dict[str, Any]:
    cells = []
    for column in columns:
        found = column.field.value(row)
        if column.name in ("age", "created", "started", "completed"):
            cells.append({"text": shown.age(found) if column.name == "age" else found, "time": found})
        else:
            cells.append(
                {"text": shown.duration(found) if column.name == "duration" else shown.value(found), "time": ""}
            )
    return {"name": row["name"], "phase": row["phase"], "link": visit.link("runs", row["name"]), "cells": cells}


def _known(names: Names) -> list[str]:
    """Return the names that the picker lists, and that the filter completes."""
    metrics = [f"metrics.{name}" for name in names.ordered_metrics()]
    return [*_PLAIN, *(f"params.{name}" for name in names.parameters), *metrics][:_LISTED]


def _number(text: str, least: int, most: int) -> int:
    try:
        return max(least, min(most, int(text)))
    except ValueError:
        raise InvalidRequest(f"invalid number {text[:50]!r} in the address") from None
