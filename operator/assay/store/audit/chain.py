"""Verifies a trail: finds records that are changed, missing, repeated, misplaced, cut off or foreign.

The chain alone reveals any change except at its end: a trail whose last records are missing is still a valid, shorter
trail. To detect that, pass a head that was kept elsewhere as `expect`. Read-only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pydantic

from assay.store import layout
from assay.store.audit import signed
from assay.store.audit.records import EMPTY, AuditRecord, Head, digest
from assay.store.audit.signed import Checker
from assay.store.audit.sources import WORKERS, Stored, read_store
from assay.store.client import ObjectStore
from assay.store.errors import StoreDenied, StoreError, StoreUnavailable

MAX_FINDINGS = 1000


class Finding(NamedTuple):
    """One fault.

    `kind` is changed, missing, repeated, misplaced, unreadable, foreign, cut, overwritten, unsigned or forged.
    """

    sequence: int
    kind: str
    message: str


@dataclass
class Report:
    """The result of the verifier. `records` is the number of records read; `more` counts findings beyond MAX_FINDINGS.

    `expected` is the number of heads from elsewhere that the trail was compared with; `witnessed` is the sequence of
    the highest one. `signed` is the number of records with a valid signature, None if signatures were not checked.
    """

    namespace: str
    records: int = 0
    head: Head = EMPTY
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    versions_checked: bool = False
    expected: int = 0
    witnessed: int = 0
    signed: int | None = None

    @property
    def intact(self) -> bool:
        """Whether there are no findings. A trail that was truncated or rewritten may have none."""
        return not self.findings

    @property
    def proven(self) -> bool:
        """Whether nothing is missing or altered: there are no findings, and the trail was compared with a head."""
        return self.intact and (self.witnessed > 0 or (self.expected > 0 and self.records == 0))

    @property
    def word(self) -> str:
        """The result in words."""
        return "intact" if self.proven else "NOT PROVEN" if self.intact else "NOT INTACT"

    def add(self, sequence: int, kind: str, message: str) -> None:
        """Add a finding."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(sequence, kind, message))
        else:
            self.more += 1


def verify_store(
    store: ObjectStore,
    namespace: str,
    expect: Sequence[Head] = (),
    workers: int = WORKERS,
    check: Checker | None = None,
) -> Report:
    """Verify a trail in the store. Where the store keeps versions, also verify that no record was ever overwritten.

    Raises StoreUnavailable and StoreDenied.
    """
    report = verify(namespace, read_store(store, namespace, workers), expect, check)
    _check_versions(store, namespace, report)
    return report


def verify(
    namespace: str, files: Iterable[Stored], expect: Sequence[Head] = (), check: Checker | None = None
) -> Report:
    """Verify the files of a trail, given in order. `expect` are heads that were kept elsewhere.

    `check` verifies signatures. After the first signed record, every later record must be signed.
    """
    chain = _Chain(namespace, {head.sequence: head.digest for head in expect}, check)
    for file in files:
        chain.add(file)
    chain.end()
    return chain.report


class _Chain:
    """The state of one pass over a trail."""

    def __init__(self, namespace: str, expected: dict[int, str], check: Checker | None = None) -> None:
        self.report = Report(namespace, expected=len(expected), witnessed=max(expected, default=0))
        self._check = check
        self.report.signed = None if check is None else 0
        self._expected = expected
        self._last = 0
        self._previous: str | None = EMPTY.digest  # None if the previous record is missing

    def add(self, file: Stored) -> None:
        number = file.sequence
        if number is None:
            self.report.add(self._last, "foreign", f"{file.name!r} is not a record but lies in the trail")
        elif number <= self._last:
            self.report.add(number, "repeated", f"record {number} is stored after record {self._last}")
        else:
            self._check_gap(number)
            self._check_record(number, file.data)

    def _check_gap(self, number: int) -> None:
        if number == self._last + 1:
            return
        first, last = self._last + 1, number - 1
        which = f"record {first} is" if first == last else f"records {first} to {last} are"
        self.report.add(first, "missing", f"{which} missing")
        self._previous = None

    def _check_record(self, number: int, data: bytes | None) -> None:
        self.report.records += 1
        if data is None:
            self.report.add(number, "unreadable", f"record {number} is missing, or larger than any record")
            self._last, self._previous = number, None
            return
        found = digest(data)
        self._check_content(number, data)
        self._check_signature(number, data)
        if self._expected.get(number, found) != found:
            self.report.add(number, "changed", f"record {number} is not the one that was expected: it was changed")
        self._last, self._previous = number, found
        self.report.head = Head(number, found)

    def _check_signature(self, number: int, data: bytes) -> None:
        if self._check is None:
            return
        line, signature = signed.detach(data)
        if signature is None:
            if self.report.signed:
                message = f"record {number} is not signed although an earlier record is: the operator did not write it"
                self.report.add(number, "unsigned", message)
        elif why := self._check(signature, line):
            self.report.add(number, "forged", f"record {number}: {why}")
        else:
            self.report.signed = (self.report.signed or 0) + 1

    def _check_content(self, number: int, data: bytes) -> None:
        try:
            record = AuditRecord.model_validate_json(data)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part)[:80] for part in first["loc"])
            self.report.add(
                number, "unreadable", f"record {number} is not an audit record: {where}: {first['msg'][:200]}"
            )
            return
        if record.sequence != number:
            self.report.add(number, "misplaced", f"record {record.sequence} is stored in the place of record {number}")
        if record.object.namespace != self.report.namespace:
            other = record.object.namespace
            self.report.add(number, "misplaced", f"record {number} belongs to the trail of namespace {other!r}")
        if self._previous is not None and record.previous != self._previous:
            message = (
                f"record {number} does not continue the chain: record {number} or record {number - 1} was changed"
                if number > 1
                else "record 1 is not the first of a trail: it was changed, or the ones before it are missing"
            )
            self.report.add(number, "changed", message)

    def end(self) -> None:
        for sequence in sorted(self._expected):
            if sequence > self._last:
                message = (
                    f"the trail ends with record {self._last}, but record {sequence} was written: it was truncated"
                )
                self.report.add(sequence, "cut", message)


def _check_versions(store: ObjectStore, namespace: str, report: Report) -> None:
    """Report overwritten and deleted records, where the store keeps versions: these have several versions."""
    prefix = layout.audit_prefix(namespace) + "/"
    versions: Counter[str] = Counter()
    deleted: set[str] = set()
    try:
        for version in store.versions(prefix):
            name = version.key.removeprefix(prefix)
            versions[name] += not version.deletion
            if version.deletion:
                deleted.add(name)
    except StoreUnavailable:
        raise
    except (StoreDenied, StoreError):
        return  # some stores have no versions, and some users may not list them
    report.versions_checked = True
    for name in sorted(versions):
        number = layout.parse_audit_name(name)
        if number and (versions[name] > 1 or name in deleted):
            what = "deleted" if name in deleted else "overwritten"
            message = f"record {number} was {what}: the store still holds {versions[name]} version(s) of it"
            report.add(number, "overwritten", message)
