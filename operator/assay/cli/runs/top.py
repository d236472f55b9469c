"""`assay top`: running and pending runs, with node, progress and resource usage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from assay.cli.output import printing, sheets
from assay.cli.output.printing import Column, Format
from assay.cli.session import Session
from assay.queries.runs import active
from assay.queries.runs.active import ActiveRun

_COLUMNS = (
    Column("NAMESPACE"),
    Column("RUN"),
    Column("OWNER"),
    Column("PHASE", styles=printing.PHASE),
    Column("REASON", wide=True),
    Column("NODE"),
    Column("POD", wide=True),
    Column("SINCE", number=True),
    Column("STEP", number=True),
    Column("OBJECTIVE"),
    Column("CPU", number=True),
    Column("MEMORY", number=True),
    Column("POINTS", wide=True, number=True),
)


def show(session: Session, experiment: str, everywhere: bool, output: Format) -> None:
    """Print the runs that have not ended. Raises AssayError."""
    items = active.active_runs(session, experiment, everywhere=everywhere)
    columns = [column for column in _COLUMNS if everywhere or column.title != "NAMESPACE"]
    now = datetime.now(UTC)
    rows = [_row(each, now)[0 if everywhere else 1 :] for each in items]
    sheets.listing(items, columns, rows, output)
    if not items:
        printing.note("no running runs" + ("" if everywhere else f" in namespace {session.namespace}"))


def _row(each: ActiveRun, now: datetime) -> list[object]:
    objective = "" if each["last"] is None else f"{each['metric']}={printing.number(each['last'])}"
    return [
        each["namespace"],
        each["name"],
        each["owner"],
        each["phase"],
        each["reason"],
        each["node"],
        each["pod"],
        sheets.age(each["started"] or each["created"], now),
        each["step"],
        objective,
        "" if each["cpuCores"] is None else f"{each['cpuCores']:.2f}",
        sheets.size(each["memoryBytes"]),
        each["points"] or None,
    ]


def command(
    session: Session,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Show all namespaces.")] = False,
    experiment: Annotated[str, typer.Option("--experiment", "-e", help="Show only runs of this experiment.")] = "",
    output: Annotated[Format, typer.Option("--output", "-o", help="Output format.")] = Format.TABLE,
) -> None:
    """List running runs, with node, progress and resource usage."""
    show(session, experiment, everywhere, output)
