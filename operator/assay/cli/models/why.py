"""Why an alias points to what it points to: what the wanted version needs, met or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from assay.cli import completion
from assay.cli.errors import NO, OK, USAGE, CliError
from assay.cli.options import Text
from assay.cli.output import printing, requirements, sheets
from assay.cli.output.printing import Column, Document
from assay.cli.session import Session
from assay.queries import references
from assay.queries.promotion import why
from assay.queries.promotion.cases import Case, Requirement
from assay.queries.promotion.why import Why, Workload

_SERVING = (Column("WORKLOAD"), Column("VERSION"), Column("READY"), Column("MESSAGE"))


def show(session: Session, text: str, version: int | None, output: Document) -> int:
    """Print why an alias points to what it does, or what another version would need; return the exit code."""
    name = references.alias_name(text)
    if name is None:
        hint = "an alias is written digits.champion; what a version needs depends on for which: add --version"
        raise CliError(f"{text!r} names no alias", hint=hint, code=USAGE)
    case = Case(session, *name.split(".", 1))
    if case.body is None and version is None:
        references.alias(session, name)  # says what there is
    found = why.answer(case, version)
    if output is Document.TEXT:
        _print(found)
    else:
        printing.document(found, output.value)
    return OK if found["met"] else NO


def _print(found: Why) -> None:
    printing.write(f"{found['alias']}: {sheets.line(found['summary'])}")
    requirements.show(found["requirements"], found["warnings"])
    _print_operator(found)
    print_serving(found["serving"])
    for text in found["notes"]:
        printing.note(text)


def _print_operator(found: Why) -> None:
    """Say what the operator says, where that is something else than what was found here."""
    operator = found["operator"]
    if operator is None or found["version"] == found["live"]:
        return
    if not operator["current"]:
        printing.write("\nThe operator has not judged this yet: is it running? It moves the alias, and nobody else.")
    elif not _agree(operator["requirements"], found["requirements"]):
        printing.write("\nThe operator's status says something else; it may not have caught up, or knows more:")
        requirements.show(operator["requirements"])


def _agree(theirs: Sequence[Requirement], ours: Sequence[Requirement]) -> bool:
    def told(found: Sequence[Requirement]) -> set[tuple[str, str, bool]]:
        return {(each["policy"], each["requirement"], each["met"]) for each in found}

    return told(theirs) == told(ours)


def print_serving(found: Sequence[Workload]) -> None:
    """Print what follows an alias."""
    rows = [
        (
            f"{each['kind']} {each['name']}",
            f"v{each['version']}" if each["version"] else None,
            "yes" if each["ready"] else "no",
            each["message"],
        )
        for each in found
    ]
    sheets.section(_SERVING, rows)


def command(
    session: Session,
    alias: Annotated[str, typer.Argument(help="The alias, like digits.champion.", autocompletion=completion.aliases)],
    version: Annotated[
        int, typer.Option("--version", min=0, help="Ask about this version; 0 for the one that is wanted.")
    ] = 0,
    output: Text = Document.TEXT,
) -> None:
    """Say what an alias's version needs, met or not; exit code 6 when something is missing."""
    raise typer.Exit(show(session, alias, version or None, output))
