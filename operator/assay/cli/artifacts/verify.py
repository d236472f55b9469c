"""`assay artifacts verify`: compares the files of a run or a version with the manifest, and checks the signature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.errors import NO, CliError
from assay.cli.options import RunOrVersion
from assay.cli.output import printing, sheets
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.planning.conditions import counted
from assay.queries.files import verification
from assay.queries.files.verification import Report


def verify(session: Session, text: str, key: Path | None, output: Document, *, quick: bool) -> None:
    """Compare the store with the manifests. Raises AssayError, StoreError, and CliError with code NO if they differ."""
    report = verification.verify(session, text, key, quick=quick)
    _print_report(report, output)
    if report.findings:
        hint = "leave the store as it is, and inform its administrators"
        raise CliError(f"the files of {report.name} differ from what was recorded", hint=hint, code=NO)


def _print_report(report: Report, output: Document) -> None:
    if output is not Document.TEXT:
        printing.document(report.document(), output.value)
        return
    for finding in report.findings:
        printing.write(printing.clean(f"{finding.problem:<10}{finding.path or report.name}: {finding.message}"))
    method = "every byte read" if report.deep else "only sizes compared"
    state = "NOT INTACT" if report.findings else "intact"
    expired = f", {report.expired} expired" if report.expired else ""
    printing.write(
        f"{report.name}: {counted(report.files, 'file')}{expired}, {sheets.size(report.bytes)}; {method}; {state}"
    )
    if report.signature:
        printing.write(printing.clean(f"signature: {report.signature}"))


def command(
    session: Session,
    what: RunOrVersion,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes only.")] = False,
    key: Annotated[
        Path | None,
        typer.Option("--key", envvar="ASSAY_SIGNING_PUBLIC_KEYS_FILE", help="Public keys to check the signature with."),
    ] = None,
    output: Annotated[Document, typer.Option("--output", "-o", help="Output format.")] = Document.TEXT,
) -> None:
    """Compare every byte in the store with the manifest. Exit code 6 if anything differs."""
    verify(session, what, key, output, quick=quick)
