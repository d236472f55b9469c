"""`assay compare`: runs side by side, with a row for each field and a column for each run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from assay.api.objects import Raw
from assay.cli.errors import USAGE, CliError
from assay.cli.options import Experiment, Top
from assay.cli.output import printing
from assay.cli.output.printing import Column, Format
from assay.cli.session import Session
from assay.queries.runs import comparison, selecting
from assay.queries.runs.comparison import Comparison

_PLAIN = ("last", "best")
_LONGEST = 40


def show(session: Session, runs: Sequence[Raw], metrics: Sequence[str], everything: bool, output: Format) -> None:
    """Print the fields in which runs differ, or all fields. Raises AssayError."""
    if len(runs) < 2:
        raise CliError("cannot compare a single run", hint="name two runs or more", code=USAGE)
    found = comparison.compared(runs, metrics)
    shown = [row for row in found["items"] if everything or not row["same"]]
    if output is Format.TABLE and not metrics:
        shown = [row for row in shown if row["kind"] != "metric" or row["field"].rpartition(".")[2] in _PLAIN]
    if output in (Format.JSON, Format.YAML):
        printing.document(Comparison(runs=found["runs"], items=shown, notes=found["notes"]), output.value)
    elif output is Format.CSV:
        printing.rows_as_csv(["field", *found["runs"]], [[row["field"], *row["values"]] for row in shown])
    else:
        columns = [Column("FIELD"), *(Column(name) for name in found["runs"])]
        rows = [[row["field"], *(_text(value, output) for value in row["values"])] for row in shown]
        printing.table(columns, rows, output)
    for text in found["notes"]:
        printing.note(text)
    same = len([row for row in found["items"] if row["same"]])
    if not everything and same:
        printing.note(f"{same} more field{'' if same == 1 else 's'} with equal values; --all shows all fields")


def _text(value: Any, output: Format) -> Any:
    """Return a value for a table. Unless it is wide, digests and other long values are shortened."""
    if value is None or (isinstance(value, float) and not isinstance(value, bool)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if output is Format.WIDE or len(text) <= _LONGEST:
        return text
    if "sha256:" in text:
        before, _, digest = text.partition("sha256:")
        text = f"{before}sha256:{digest[:12]}…"
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def command(
    session: Session,
    runs: Annotated[
        list[str] | None, typer.Argument(help="Runs, including archived ones; patterns such as 'digits-*'.")
    ] = None,
    experiment: Experiment = "",
    top: Top = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Show only this metric; can be repeated.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also show fields with equal values.")] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="Output format.")] = Format.TABLE,
) -> None:
    """Compare runs side by side: parameters, metrics and other fields that differ."""
    found = selecting.selected(session, runs or [], experiment, top)
    show(session, found, metric or [], everything, output)
