"""`assay why`: explains why an alias points to its version, by the requirements of the requested one."""

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
    """Print the requirements of the requested or of another version; return the exit code. Raises AssayError."""
    name = references.alias_name(text)
    if name is None:
        hint = "use an alias such as digits.champion; --version selects another of its versions"
        raise CliError(f"invalid alias name {text!r}", hint=hint, code=USAGE)
    case = Case(session, *name.split(".", 1))
    if case.body is None and version is None:
        references.alias(session, name)  # raises, with a hint
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
    """Print the operator's result if it differs from the one computed here."""
    operator = found["operator"]
    if operator is None or found["version"] == found["live"]:
        return
    if not operator["current"]:
        printing.write("\nThe operator has not evaluated this yet: is it running? Only the operator moves the alias.")
    elif not _agree(operator["requirements"], found["requirements"]):
        printing.write("\nThe operator's status differs; it may be out of date, or based on more information:")
        requirements.show(operator["requirements"])


def _agree(theirs: Sequence[Requirement], ours: Sequence[Requirement]) -> bool:
    def results(found: Sequence[Requirement]) -> set[tuple[str, str, bool]]:
        return {(each["policy"], each["requirement"], each["met"]) for each in found}

    return results(theirs) == results(ours)


def print_serving(found: Sequence[Workload]) -> None:
    """Print the workloads that follow an alias."""
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
    alias: Annotated[str, typer.Argument(help="Alias, such as digits.champion.", autocompletion=completion.aliases)],
    version: Annotated[int, typer.Option("--version", min=0, help="Version to check; 0 for the requested one.")] = 0,
    output: Text = Document.TEXT,
) -> None:
    """Explain which requirements the version of an alias meets. Exit code 6 if one is not met."""
    raise typer.Exit(show(session, alias, version or None, output))
