"""Runs side by side: parameters, metrics and what else tells them apart, one row a field and one column a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from assay.cli.errors import USAGE, CliError
from assay.cli.output import printing
from assay.cli.output.printing import Column, Format
from assay.cli.session import Session
from assay.queries.runs import comparison, recorded
from assay.queries.runs.comparison import Comparison

_PLAIN = ("last", "best")
_LONGEST = 40


def show(session: Session, names: Sequence[str], metrics: Sequence[str], everything: bool, output: Format) -> None:
    """Print what differs between runs, or all of their fields. Raises CliError."""
    if len(names) < 2:
        raise CliError("there is nothing to compare with", hint="name two runs or more", code=USAGE)
    found = comparison.compared([recorded.find(session, name) for name in names], metrics)
    shown = [row for row in found["items"] if everything or not row["same"]]
    if output is Format.TABLE and not metrics:
        shown = [row for row in shown if row["kind"] != "metric" or row["field"].rpartition(".")[2] in _PLAIN]
    if output in (Format.JSON, Format.YAML):
        printing.document(Comparison(runs=found["runs"], items=shown), output.value)
    elif output is Format.CSV:
        printing.rows_as_csv(["field", *found["runs"]], [[row["field"], *row["values"]] for row in shown])
    else:
        columns = [Column("FIELD"), *(Column(name) for name in found["runs"])]
        rows = [[row["field"], *(_text(value, output) for value in row["values"])] for row in shown]
        printing.table(columns, rows, output)
    same = len([row for row in found["items"] if row["same"]])
    if not everything and same:
        printing.note(f"{same} more {'field is' if same == 1 else 'fields are'} the same; --all shows them, too")


def _text(value: Any, output: Format) -> Any:
    """Return a value for a table; digests and other long ones are shortened in a plain one."""
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
    runs: Annotated[list[str], typer.Argument(help="The runs, also archived ones.")],
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Only this metric; can be repeated.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same in all of them.")] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print it.")] = Format.TABLE,
) -> None:
    """Show runs side by side: what differs of their parameters, metrics and the rest."""
    show(session, runs, metric or [], everything, output)
