"""`assay experiments`: the experiments of a namespace, newest first."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.options import Table
from assay.cli.output import printing, sheets
from assay.cli.output.printing import Column, Format
from assay.cli.session import Session
from assay.queries.runs import experiment_list
from assay.queries.runs.experiment_list import ExperimentRow

_COLUMNS = (
    Column("NAMESPACE"),
    Column("EXPERIMENT"),
    Column("PHASE", styles=printing.PHASE),
    Column("PROGRESS", number=True),
    Column("FAILED", number=True),
    Column("BEST"),
    Column("OWNER", wide=True),
    Column("AGE", number=True),
    Column("MESSAGE"),
)


def show(session: Session, everywhere: bool, output: Format) -> None:
    """Print the experiments. Raises AssayError."""
    items = experiment_list.listed(session, everywhere=everywhere)
    columns = [column for column in _COLUMNS if everywhere or column.title != "NAMESPACE"]
    sheets.listing(items, columns, [_row(each)[0 if everywhere else 1 :] for each in items], output)
    if not items:
        printing.note("no experiments" + ("" if everywhere else f" in namespace {session.namespace}"))


def _row(each: ExperimentRow) -> list[object]:
    best = f"{each['metric']}={printing.number(each['value'])} ({each['best']})" if each["value"] is not None else ""
    return [
        *(
            each["namespace"],
            each["name"],
            each["phase"],
            each["progress"],
            each["failed"] or None,
            best,
            each["owner"],
        ),
        *(sheets.age(each["created"]), each["message"]),
    ]


def command(
    session: Session,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Show all namespaces.")] = False,
    output: Table = Format.TABLE,
) -> None:
    """List experiments with their progress and best run."""
    show(session, everywhere, output)
