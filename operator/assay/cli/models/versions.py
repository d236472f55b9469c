"""`assay versions`: the versions of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.api.objects import is_archived
from assay.cli.options import Model, Table
from assay.cli.output import printing, sheets
from assay.cli.output.printing import Column, Format
from assay.cli.session import Session
from assay.queries import models
from assay.queries.models import Version

_COLUMNS = (
    Column("VERSION"),
    Column("PHASE", styles=printing.PHASE),
    Column("ALIASES"),
    Column("METRICS"),
    Column("RUN"),
    Column("OWNER"),
    Column("APPROVALS"),
    Column("AGE"),
    Column("DIGEST", wide=True),
    Column("SIZE", wide=True),
    Column("SIGNED", wide=True),
    Column("REPRODUCIBLE", wide=True),
)
#: How many metrics to show of a version without a known objective.
_SHOWN_METRICS = 3


def show(session: Session, model: str, output: Format, *, everything: bool) -> None:
    """Print the versions of a model, newest first, on request with archived ones. Raises AssayError if there are none.

    As JSON: ``{"items": [Version, …]}``, see ``queries.models.Version``.
    """
    found = models.versions_of(session, model)
    shown = [body for body in found if everything or not is_archived(body)]
    if len(shown) < len(found):
        count = len(found) - len(shown)
        printing.note(f"{count} archived version{'' if count == 1 else 's'} not shown; --all shows them")
    states = models.states_of(session, model)
    items = [models.version(body, states) for body in shown]
    sheets.listing(items, _COLUMNS, [_version_row(each) for each in items], output)


def _version_row(each: Version) -> tuple[object, ...]:
    if each["objective"] and each["result"] is not None:
        metrics = f"{each['objective']}={printing.number(each['result'])}"
    else:
        first = sorted(each["metrics"].items())[:_SHOWN_METRICS]
        metrics = ", ".join(f"{name}={printing.cell(value)}" for name, value in first)
    return (
        each["name"],
        each["phase"],
        ", ".join([*each["aliases"], *(f"{alias} (requested)" for alias in each["wantedBy"])]),
        metrics,
        each["run"],
        each["owner"],
        approvals_text(each),
        sheets.age(each["created"]),
        each["digest"],
        sheets.size(each["bytes"]),
        "yes" if each["signed"] else "no",
        "yes" if each["reproducible"] else "no",
    )


def approvals_text(each: Version) -> str:
    """Return who approved for which alias, without approvals for another digest."""
    people: dict[str, list[str]] = {}
    for approval in each["approvals"]:
        if approval["valid"] and approval["approver"] not in people.setdefault(approval["alias"], []):
            people[approval["alias"]].append(approval["approver"])
    return "; ".join(f"{alias} by {', '.join(who)}" for alias, who in sorted(people.items()) if who)


def command(
    session: Session,
    model: Model,
    everything: Annotated[bool, typer.Option("--all", help="Include archived versions.")] = False,
    output: Table = Format.TABLE,
) -> None:
    """List the versions of a model, newest first."""
    show(session, model, output, everything=everything)
