"""The audit trail for people: read, verified against what the cluster keeps of it, and exported."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pydantic

from assay.api.resources import CONFIGMAPS
from assay.cli.errors import NO, USAGE, CliError
from assay.cli.output import printing
from assay.cli.output.printing import Column, Document, Format
from assay.cli.session import Session
from assay.store.audit import AuditRecord, Head, Report, verify, verify_store
from assay.store.audit.sources import Stored, export, read_export, read_store

Raw = dict[str, Any]

#: Where the operator keeps the heads, and who may read them there.
HEADS, OPERATOR_NAMESPACE = "assay-audit-heads", "assay-system"

_COLUMNS = (
    Column("RECORD", number=True),
    Column("TIME"),
    Column("ACTION"),
    Column("KIND"),
    Column("NAME"),
    Column("BY"),
    Column("REASON"),
)


def files(session: Session, source: Path | None) -> Iterator[Stored]:
    """Return the trail of the session's namespace, from the store or from an export. Raises CliError, StoreError."""
    if source is None:
        return read_store(session.trail_store, session.namespace)
    if not source.exists():
        raise CliError(f"there is no export {source}", hint="`assay audit export --to FILE` makes one", code=USAGE)
    return read_export(source)


def records(session: Session, source: Path | None) -> Iterator[AuditRecord]:
    """Yield the records that can be read; what cannot is named, so that nobody takes the answer for the whole."""
    for file in files(session, source):
        try:
            yield AuditRecord.model_validate_json(file.data or b"")
        except pydantic.ValidationError:
            printing.note(f"left out: {file.name!r} is no record; `assay audit verify` says more")


def check(session: Session, expect: list[str], source: Path | None, output: Document) -> None:
    """Verify the trail, also against the head that the operator keeps, where the user may read it.

    Raises CliError with code NO when it is not intact. As JSON ``{"namespace", "records", "head", "intact",
    "versionsChecked", "expected": [head], "findings": [{"sequence", "kind", "message"}], "more"}``.
    """
    expected = [read_head(text) for text in expect]
    kept = None if source is not None else kept_head(session)
    expected += [kept] if kept else []
    if source is not None:
        report = verify(session.namespace, files(session, source), expected)
    else:
        report = verify_store(session.trail_store, session.namespace, expected)
    _tell(report, expected, output)
    if not report.intact:
        hint = "docs/audit.md says what each finding means; keep the store as it is"
        raise CliError(f"the audit trail of {report.namespace} is not intact", hint=hint, code=NO)


def read_head(text: str) -> Head:
    """Return the end of a trail that was kept elsewhere, from SEQUENCE:SHA256 or @FILE. Raises CliError."""
    try:
        return Head.parse(Path(text[1:]).read_text(encoding="ascii") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise CliError(f"--expect: {error}", hint="it is like 42:<sha256>, or @FILE", code=USAGE) from None


def kept_head(session: Session) -> Head | None:
    """Return the end of the trail that the operator keeps, None where there is none, or none to be read."""
    try:
        found = session.kube.find(CONFIGMAPS, OPERATOR_NAMESPACE, HEADS)
        text = ((found or {}).get("data") or {}).get(session.namespace)
        return Head.parse(text) if text else None
    except (CliError, ValueError, binascii.Error) as error:
        printing.note(f"not compared with the head that the operator keeps: {error}")
        return None


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


def listed(session: Session, name: str, last: int, source: Path | None, output: Format) -> None:
    """Print records, of one object only if it is named. As JSON ``{"items": [record]}``, as docs/audit.md has them."""
    found = [each for each in records(session, source) if name in ("", each.object.name)]
    found = found[-last:] if last else found
    if output in (Format.JSON, Format.YAML):
        printing.document({"items": [each.model_dump(mode="json") for each in found]}, output.value)
        return
    rows = [
        (each.sequence, each.time, each.action, each.object.kind, each.object.name, each.actor, each.reason)
        for each in found
    ]
    if output is Format.CSV:
        printing.rows_as_csv([column.title for column in _COLUMNS], rows)
    else:
        printing.table(_COLUMNS, rows, output)


def written(session: Session, target: Path, source: Path | None) -> None:
    """Write the records' very bytes into a file, a line each, or into a folder that is there."""
    try:
        exported = export(files(session, source), target)
    except OSError as error:
        raise CliError(f"{target} cannot be written: {error.strerror}", code=USAGE) from None
    for name in exported.left_out:
        printing.note(f"left out: {name!r} is no record")
    printing.write(f"{exported.records} records, head {exported.head}")
