"""`python -m assay.store.audit verify|list|export|at`: the trail on the command line.

Reads the store (ASSAY_STORE_* and ASSAY_AUDIT_BUCKET), or, with --from, an export, and then needs nothing else.
0: done, and intact; 1: faults were found; 2: cannot be asked like this; 3: the store did not answer; 4: no fault was
found, and no head was at hand (--expect) to prove that nothing is missing. `assay audit verify` also checks signatures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pydantic

from assay.store.audit.chain import Report, verify, verify_store
from assay.store.audit.queries import at, instant
from assay.store.audit.records import AuditRecord, Head
from assay.store.audit.settings import AuditSettings
from assay.store.audit.sources import Stored, export, read_export, read_store
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from assay.store.errors import ConfigError, StoreError


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        code: int = chosen.command(chosen)
    except (ConfigError, ValueError, OSError) as error:
        return _complain(str(error), 2)
    except StoreError as error:
        return _complain(str(error), 3)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m assay.store.audit", description=__doc__)
    commands = parser.add_subparsers(required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("namespace")
    common.add_argument("--from", dest="source", type=Path, metavar="PATH", help="an exported folder or file")
    common.add_argument("--json", action="store_true", help="answer in JSON")
    found = commands.add_parser("verify", parents=[common], help="report where a trail differs from what was written")
    found.add_argument("--expect", action="append", default=[], metavar="SEQUENCE:SHA256", help="or @FILE; repeatable")
    found.set_defaults(command=_verify)
    found = commands.add_parser("list", parents=[common], help="show the records")
    found.add_argument("--last", type=int, metavar="N", help="last N records")
    found.add_argument("--object", default="", metavar="NAME", help="records of one object")
    found.set_defaults(command=_list)
    found = commands.add_parser("export", parents=[common], help="write the records' bytes to a file (JSONL) or folder")
    found.add_argument("--to", type=Path, required=True, metavar="PATH", help="a file, or an existing folder")
    found.set_defaults(command=_export)
    found = commands.add_parser("at", parents=[common], help="show what was live at a time, and why")
    found.add_argument("alias", metavar="MODEL.ALIAS")
    found.add_argument("time", help="like 2026-11-21T14:05:00Z")
    found.set_defaults(command=_at)
    return parser


def _verify(chosen: argparse.Namespace) -> int:
    expect = [_expected(text) for text in chosen.expect]
    if chosen.source:
        report = verify(chosen.namespace, read_export(chosen.source), expect)
    else:
        report = verify_store(_store(), chosen.namespace, expect)
    if chosen.json:
        findings = [finding._asdict() for finding in report.findings]
        _say(json.dumps(asdict(report) | {"head": str(report.head), "findings": findings, "intact": report.proven}))
    else:
        _tell(report)
    return 0 if report.proven else 4 if report.intact else 1


def _tell(report: Report) -> None:
    for finding in report.findings:
        _say(f"{finding.kind}: {finding.message}")
    if report.more:
        _say(f"and {report.more} more")
    _say(f"audit trail of {report.namespace}: {report.word}, {report.records} records, head {report.head}")
    if report.intact and not report.proven:
        _say("no fault found; without --expect, a trail that was truncated or rewritten cannot be detected")


def _expected(text: str) -> Head:
    return Head.parse(Path(text[1:]).read_text(encoding="ascii") if text.startswith("@") else text)


def _list(chosen: argparse.Namespace) -> int:
    records = [record for record in _records(chosen) if chosen.object in ("", record.object.name)]
    for record in records[-chosen.last :] if chosen.last else records:
        if chosen.json:
            _say(record.to_json().decode())
            continue
        what = f"{record.object.kind} {record.object.name}"
        _say(f"{record.sequence:>8}  {record.time}  {record.action:<20} {what}  by {record.actor}  {record.reason}")
    return 0


def _export(chosen: argparse.Namespace) -> int:
    exported = export(_files(chosen), chosen.to)
    for name in exported.left_out:
        _complain(f"left out: {name!r} is no record", 0)
    _say(f"{exported.records} records, head {exported.head}")
    return 0


def _at(chosen: argparse.Namespace) -> int:
    model, dot, alias = chosen.alias.rpartition(".")
    if not dot:
        raise ValueError(f"{chosen.alias!r} is not <model>.<alias>")
    binding = at(_records(chosen), model, alias, instant(chosen.time))
    if chosen.json:
        found = binding and asdict(binding) | {"approvals": [a._asdict() for a in binding.approvals]}
        _say(json.dumps(found))
    elif binding is None:
        _say(f"{chosen.alias} had no live version at {chosen.time}")
    else:
        _say(f"{chosen.alias} held version {binding.version} ({binding.digest})")
        _say(f"  from {binding.since} to {binding.until or 'now'}, {binding.action} by {binding.by}: {binding.reason}")
        for approval in binding.approvals:
            _say(f"  approved by {approval.approver} at {approval.time} ({approval.id})")
        _say(f"  registered by {binding.registered_by or 'unknown'}: {json.dumps(binding.registered)}")
    return 0


def _files(chosen: argparse.Namespace) -> Iterator[Stored]:
    return read_export(chosen.source) if chosen.source else read_store(_store(), chosen.namespace)


def _records(chosen: argparse.Namespace) -> Iterator[AuditRecord]:
    """Yield the valid records. Names the others on stderr, so that nobody mistakes the output for the whole trail."""
    for file in _files(chosen):
        try:
            yield AuditRecord.model_validate_json(file.data or b"")
        except pydantic.ValidationError:
            _complain(f"left out: {file.name!r} is not a record; verify the trail", 0)


def _store() -> ObjectStore:
    return AuditSettings.from_environment(os.environ).store(StoreConfig.from_environment(os.environ))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _complain(line: str, code: int) -> int:
    sys.stderr.write(line + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
