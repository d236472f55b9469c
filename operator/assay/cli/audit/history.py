"""What an alias has pointed to, as the audit trail tells it: a binding a line, or the one of a moment."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from assay.api.objects import Raw
from assay.cli.errors import NO, USAGE, CliError
from assay.cli.options import Source, Table
from assay.cli.output import printing
from assay.cli.output.printing import Column, Format
from assay.cli.session import Session
from assay.queries import references
from assay.queries.audit import history
from assay.store.audit import Binding

_COLUMNS = (
    Column("VERSION"),
    Column("FROM"),
    Column("TO"),
    Column("ACTION", styles={"RolledBack": "yellow"}),
    Column("BY"),
    Column("APPROVED BY"),
    Column("REASON"),
    Column("RECORD", wide=True, number=True),
    Column("DIGEST", wide=True),
)


def show(session: Session, text: str, when: str, source: Path | None, output: Format) -> None:
    """Print the bindings of an alias, the newest first; with ``when`` what was live then, and why. Raises CliError.

    As JSON ``{"items": [binding]}``, a binding with the fields of ``assay.store.audit.Binding`` in camel case.
    """
    name = references.alias_name(text)
    if name is None:
        raise CliError(f"{text!r} names no alias", hint="an alias is written digits.champion", code=USAGE)
    model, _, alias = name.rpartition(".")
    if when:
        found = history.binding_at(session, model, alias, when, source)
        if found is None:
            raise CliError(f"{name} held no version at {when}", code=NO)
        _one(name, when, found, output)
        return
    every = history.bindings_of(session, model, alias, source)
    if not every:
        raise CliError(f"the trail has no binding of {name}", hint="is it the right namespace?", code=NO)
    _all(every[::-1], output)


def _all(found: list[Binding], output: Format) -> None:
    if output in (Format.JSON, Format.YAML):
        printing.document({"items": [document(each) for each in found]}, output.value)
        return
    rows = [_row(each) for each in found]
    if output is Format.CSV:
        printing.rows_as_csv([column.title for column in _COLUMNS], rows)
    else:
        printing.table(_COLUMNS, rows, output)


def _row(each: Binding) -> list[object]:
    people = ", ".join(approval.approver for approval in each.approvals)
    moments = [each.since, each.until or "now"]
    return [f"v{each.version}", *moments, each.action, each.by, people, each.reason, each.sequence, each.digest]


def _one(name: str, when: str, found: Binding, output: Format) -> None:
    if output in (Format.JSON, Format.YAML):
        printing.document(document(found), output.value)
        return
    lines = [
        f"{name} held v{found.version} at {when}",
        f"  digest      {found.digest}",
        f"  from        {found.since} to {found.until or 'now'}",
        f"  {'rolled back' if found.action == 'RolledBack' else 'bound'} by  {found.by}" + _because(found.reason),
    ]
    lines += [f"  approved by {each.approver} at {each.time} ({each.id})" for each in found.approvals]
    if not found.approvals:
        lines.append("  approved by nobody")
    lines += _made(found)
    printing.write("\n".join(printing.clean(line) for line in lines))


def _because(reason: str) -> str:
    return f": {' '.join(reason.split())}" if reason else ""


def _made(found: Binding) -> list[str]:
    """What its registration said of where it came from."""
    said = found.registered
    if said is None:
        return ["  made by     unknown: the trail has no record of its registration"]
    run = said.get("run") or "no run"
    name = run.get("name") if isinstance(run, dict) else run
    lines = [f"  made by     {name}, registered by {found.registered_by}"]
    source = said.get("source")
    if isinstance(source, dict):
        lines.append(f"  code        {source.get('repository')} at {source.get('revision') or 'no revision'}")
    data = [each for each in said.get("datasets") or [] if isinstance(each, dict)]
    return lines + [
        f"  data        {each.get('name')} {each.get('version') or ''} {each.get('digest') or each.get('uri')}"
        for each in data
    ]


def document(found: Binding) -> Raw:
    """A binding as JSON."""
    body = asdict(replace(found, approvals=[]))
    body["approvals"] = [each._asdict() for each in found.approvals]
    body["registeredBy"] = body.pop("registered_by")
    return body


def command(
    session: Session,
    alias: Annotated[str, typer.Argument(help="The alias, like digits.champion.")],
    at: Annotated[str, typer.Option("--at", help="What was live then, like 2026-03-14T14:05Z.")] = "",
    source: Source = None,
    output: Table = Format.TABLE,
) -> None:
    """Show what an alias has pointed to, who moved it and who had approved, from the audit trail."""
    show(session, alias, at, source, output)
