"""`assay history`: the versions that an alias pointed to, from the audit trail: all of them, or one at a given time."""

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
    """Print the bindings of an alias, newest first; with ``when``, the one at that time. Raises AssayError, StoreError.

    As JSON ``{"items": [binding]}``, a binding with the fields of ``assay.store.audit.Binding`` in camel case.
    """
    name = references.alias_name(text)
    if name is None:
        raise CliError(f"invalid alias name {text!r}", hint="use a name such as digits.champion", code=USAGE)
    model, _, alias = name.rpartition(".")
    if when:
        found = history.binding_at(session, model, alias, when, source)
        if found is None:
            raise CliError(f"{name} pointed to no version at {when}", code=NO)
        _one(name, when, found, output)
        return
    every = history.bindings_of(session, model, alias, source)
    if not every:
        raise CliError(f"the audit trail has no binding of {name}", hint="check the namespace", code=NO)
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
        f"{name} pointed to v{found.version} at {when}",
        f"  digest      {found.digest}",
        f"  from        {found.since} to {found.until or 'now'}",
        f"  {'rolled back by' if found.action == 'RolledBack' else 'bound by   '} {found.by}" + _because(found.reason),
    ]
    lines += [f"  approved by {each.approver} at {each.time} ({each.id})" for each in found.approvals]
    if not found.approvals:
        lines.append("  approved by nobody")
    lines += _made(found)
    printing.write("\n".join(printing.clean(line) for line in lines))


def _because(reason: str) -> str:
    return f": {' '.join(reason.split())}" if reason else ""


def _made(found: Binding) -> list[str]:
    """Return the lines about the run, code and data that the registration recorded."""
    registered = found.registered
    if registered is None:
        return ["  made by     unknown: the audit trail has no record of the registration"]
    run = registered.get("run") or "no run"
    name = run.get("name") if isinstance(run, dict) else run
    lines = [f"  made by     {name}, registered by {found.registered_by}"]
    source = registered.get("source")
    if isinstance(source, dict):
        lines.append(f"  code        {source.get('repository')} at {source.get('revision') or 'no revision'}")
    data = [each for each in registered.get("datasets") or [] if isinstance(each, dict)]
    return lines + [
        f"  data        {each.get('name')} {each.get('version') or ''} {each.get('digest') or each.get('uri')}"
        for each in data
    ]


def document(found: Binding) -> Raw:
    """Return a binding as JSON."""
    body = asdict(replace(found, approvals=[]))
    body["approvals"] = [each._asdict() for each in found.approvals]
    body["registeredBy"] = body.pop("registered_by")
    return body


def command(
    session: Session,
    alias: Annotated[str, typer.Argument(help="Alias, such as digits.champion.")],
    at: Annotated[str, typer.Option("--at", help="Show what was live at this time, such as 2026-03-14T14:05Z.")] = "",
    source: Source = None,
    output: Table = Format.TABLE,
) -> None:
    """Show which versions an alias pointed to, who moved it and who approved, from the audit trail."""
    show(session, alias, at, source, output)
