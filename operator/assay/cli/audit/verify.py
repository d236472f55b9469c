"""`assay audit verify`: the trail, verified also against the head that the operator keeps."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.errors import NO, CliError
from assay.cli.options import Source, Text
from assay.cli.output import printing
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.queries.audit import trail
from assay.store.audit import Head, Report, verify, verify_store


def check(session: Session, expect: list[str], source: Path | None, output: Document) -> None:
    """Verify the trail, also against the head that the operator keeps, where the user may read it.

    Raises CliError with code NO when it is not intact. As JSON ``{"namespace", "records", "head", "intact",
    "versionsChecked", "expected": [head], "findings": [{"sequence", "kind", "message"}], "more"}``.
    """
    expected = [trail.read_head(text) for text in expect]
    kept = None if source is not None else trail.kept_head(session)
    expected += [kept] if kept else []
    if source is not None:
        report = verify(session.namespace, trail.files(session, source), expected)
    else:
        report = verify_store(session.trail_store, session.namespace, expected)
    _tell(report, expected, output)
    if not report.intact:
        hint = "docs/audit.md says what each finding means; keep the store as it is"
        raise CliError(f"the audit trail of {report.namespace} is not intact", hint=hint, code=NO)


def _tell(report: Report, expected: list[Head], output: Document) -> None:
    if output is not Document.TEXT:
        body = asdict(report) | {
            "head": str(report.head),
            "intact": report.intact,
            "expected": [str(e) for e in expected],
        }
        body["versionsChecked"] = body.pop("versions_checked")
        body["findings"] = [finding._asdict() for finding in report.findings]
        printing.document(body, output.value)
        return
    lines = [f"{each.kind}: {each.message}" for each in report.findings]
    lines += [f"and {report.more} more"] if report.more else []
    word = "intact" if report.intact else "NOT INTACT"
    lines.append(f"audit trail of {report.namespace}: {word}, {report.records} records, head {report.head}")
    printing.write("\n".join(printing.clean(line) for line in lines))
    if not expected:
        printing.note("no head was at hand from elsewhere: records that were cut off at the end cannot be noticed")


def command(
    session: Session,
    expect: Annotated[
        list[str] | None, typer.Option("--expect", help="A head kept elsewhere: 42:SHA256 or @FILE.")
    ] = None,
    source: Source = None,
    output: Text = Document.TEXT,
) -> None:
    """Say whether any record of the trail is missing or altered; exit code 6 if so."""
    check(session, expect or [], source, output)
