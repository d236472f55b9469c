"""Whether the store still has what was recorded: every file of a run or a version, and the signature over it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.errors import NO, CliError
from assay.cli.options import RunOrVersion
from assay.cli.output import printing, sheets
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.queries.files import verification
from assay.queries.files.verification import Report


def verify(session: Session, text: str, key: Path | None, output: Document, *, quick: bool) -> None:
    """Compare what the store has with what the manifests say. Raises CliError with code NO when they differ."""
    report = verification.verify(session, text, key, quick=quick)
    _tell(report, output)
    if report.findings:
        hint = "keep the store as it is, and tell whoever looks after it"
        raise CliError(f"{report.name} is not what was recorded", hint=hint, code=NO)


def _tell(report: Report, output: Document) -> None:
    if output is not Document.TEXT:
        printing.document(report.document(), output.value)
        return
    for finding in report.findings:
        printing.write(printing.clean(f"{finding.problem:<10}{finding.path or report.name}: {finding.message}"))
    looked = "every byte read" if report.deep else "sizes compared, no byte read"
    state = "NOT INTACT" if report.findings else "intact"
    expired = f", {report.expired} expired" if report.expired else ""
    printing.write(f"{report.name}: {report.files} files{expired}, {sheets.size(report.bytes)}; {looked}; {state}")
    if report.signature:
        printing.write(printing.clean(f"signature: {report.signature}"))


def command(
    session: Session,
    what: RunOrVersion,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes, and read no bytes.")] = False,
    key: Annotated[
        Path | None,
        typer.Option("--key", envvar="ASSAY_SIGNING_PUBLIC_KEYS_FILE", help="Public keys, to check the signature."),
    ] = None,
    output: Annotated[Document, typer.Option("--output", "-o", help="How to print it.")] = Document.TEXT,
) -> None:
    """Compare every byte in the store with what was recorded. Exit code 6: it differs."""
    verify(session, what, key, output, quick=quick)
