"""Prints the requirements of a promotion."""

from __future__ import annotations

from collections.abc import Sequence

from assay.cli.output import printing, sheets
from assay.cli.output.printing import Column
from assay.queries.promotion.cases import Requirement

_COLUMNS = (
    Column("MET", styles={"yes": "green", "no": "red"}),
    Column("POLICY"),
    Column("REQUIREMENT"),
    Column("MESSAGE"),
)


def show(found: Sequence[Requirement], warnings: Sequence[str] = ()) -> None:
    """Print requirements as a table, and the findings of policies in Warn mode."""
    rows = [("yes" if each["met"] else "no", each["policy"], each["requirement"], each["message"]) for each in found]
    sheets.section(_COLUMNS, rows)
    for warning in warnings:
        printing.write(f"\nwarning: {sheets.line(warning)}")
