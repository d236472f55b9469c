"""`assay audit verify`: verifies the trail, also against the head that the operator stores in the cluster."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from assay.api import names
from assay.cli.errors import NO, CliError
from assay.cli.options import Source, Text
from assay.cli.output import printing
from assay.cli.output.printing import Document
from assay.cli.session import Session
from assay.queries.audit import trail
from assay.queries.files.verification import read_keyring
from assay.store.audit import Head, Report, verify, verify_store

_UNPROVEN_HINT = (
    "give a head that was saved elsewhere with --expect, or ask the platform team for read access to the ConfigMap "
    f"{names.AUDIT_HEADS} in the operator's namespace (ClusterRole assay-auditor)"
)


def check(session: Session, expect: list[str], source: Path | None, key: Path | None, output: Document) -> None:
    """Verify the trail, also against the operator's head if the user may read it. Raises AssayError, StoreError.

    Raises CliError with code NO if it is not intact, or if there is no head to prove that. As JSON
    ``{"namespace", "records", "head", "intact", "versionsChecked", "signed", "expected": [head],
    "findings": [{"sequence", "kind", "message"}], "more"}``.
    """
    expected = [trail.read_head(text) for text in expect]
    published = None if source is not None else trail.stored_head(session)
    expected += [published] if published else []
    checker = trail.checker(read_keyring(key)) if key else None
    if source is not None:
        report = verify(session.namespace, trail.files(session, source), expected, checker)
    else:
        report = verify_store(session.trail_store, session.namespace, expected, check=checker)
    _print_report(report, expected, output)
    if not report.intact:
        hint = "leave the store as it is; docs/audit.md explains the findings"
        raise CliError(f"the audit trail of {report.namespace} is not intact", hint=hint, code=NO)
    if not report.proven:
        raise CliError(
            f"cannot prove that the audit trail of {report.namespace} is complete: no fault was found, but there is "
            "no head to compare it with",
            hint=_UNPROVEN_HINT,
            code=NO,
        )


def _print_report(report: Report, expected: list[Head], output: Document) -> None:
    if output is not Document.TEXT:
        body = asdict(report) | {
            "head": str(report.head),
            "intact": report.proven,
            "expected": [str(e) for e in expected],
        }
        body["versionsChecked"] = body.pop("versions_checked")
        del body["witnessed"]
        body["findings"] = [finding._asdict() for finding in report.findings]
        printing.document(body, output.value)
        return
    lines = [f"{each.kind}: {each.message}" for each in report.findings]
    lines += [f"and {report.more} more"] if report.more else []
    counts = f"{report.records} records, head {report.head}"
    counts += "" if report.signed is None else f", {report.signed} signed"
    lines.append(f"audit trail of {report.namespace}: {report.word}, {counts}")
    printing.write("\n".join(printing.clean(line) for line in lines))
    newer = report.head.sequence - report.witnessed
    if report.witnessed and newer > 0:
        printing.note(f"{newer} records are newer than every head that the trail was compared with")


def command(
    session: Session,
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", help="Head that was saved elsewhere: 42:SHA256 or @FILE; can be repeated."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="File with the operator's public keys.", show_default=False)
    ] = None,
    source: Source = None,
    output: Text = Document.TEXT,
) -> None:
    """Prove that no record of the audit trail is missing or altered. Exit code 6 if that fails."""
    check(session, expect or [], source, key, output)
