"""`assay models`: models and the versions that their aliases point to."""

from __future__ import annotations

from assay.cli.options import Table
from assay.cli.output import printing, sheets
from assay.cli.output.printing import Column, Format
from assay.cli.session import Session
from assay.queries import models
from assay.queries.models import AliasState, Model

_COLUMNS = (Column("MODEL"), Column("VERSIONS", number=True), Column("LATEST"), Column("ALIASES"), Column("AGE"))


def show(session: Session, output: Format) -> None:
    """Print the models of a namespace. As JSON: ``{"items": [Model, …]}``, see ``queries.models.Model``."""
    items = models.models_of(session)
    if not items:
        printing.note(f"namespace {session.namespace} has no models")
    sheets.listing(items, _COLUMNS, [_model_row(each) for each in items], output)


def _model_row(each: Model) -> tuple[object, ...]:
    latest = f"v{each['latest']}" if each["latest"] else None
    aliases = ", ".join(alias_text(state) for state in each["aliases"])
    return each["model"], each["versions"], latest, aliases, sheets.age(each["created"])


def alias_text(state: AliasState) -> str:
    """Return the live version of an alias, and the requested one if it differs: staging=v25 (requested v26)."""
    live = f"v{state['live']}" if state["live"] else "none"
    how = "rolled back from" if state["setAside"] else "requested"
    other = "" if state["live"] == state["wanted"] else f" ({how} v{state['wanted']})"
    return f"{state['alias']}={live}{other}"


def command(session: Session, output: Table = Format.TABLE) -> None:
    """List models and the versions that their aliases point to."""
    show(session, output)
