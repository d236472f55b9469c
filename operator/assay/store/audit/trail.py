"""Appends to the audit trail: one chain for all writers, no event lost, no event written twice.

A conditional request creates the next record only if it does not exist. If another writer was first, this writer reads
the new records and continues after them. If the store is down, append raises StoreUnavailable and the caller reports
the event again, later or after a restart. An event among the last RECENT records is not written again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pydantic

from assay.store import clock
from assay.store.audit import signed
from assay.store.audit.records import EMPTY, MAX_RECORD_BYTES, AuditEvent, AuditRecord, Head, digest
from assay.store.audit.signed import Signer
from assay.store.audit.sources import WORKERS, Stored, key, last_sequence, read_one
from assay.store.client import ObjectStore
from assay.store.errors import AlreadyExists, Busy, StoreError, StoreUnavailable
from assay.store.layout import audit_name, audit_prefix
from assay.store.parallel import ordered

RECENT = 256  # records to search for an event that is reported again
PATIENCE_SECONDS = 60.0  # time limit of one append while other writers are faster


class Appended(NamedTuple):
    """The result of append. `written` is False if the event was recorded before.

    `head` is the last record that this writer knows. Keep it where only the operator writes, as the next `hint` and
    for `verify --expect`. `doubt` says why the trail is suspect, for example if it contradicts the hint; otherwise "".
    """

    record: AuditRecord
    written: bool
    head: Head
    doubt: str


class AuditTrail:
    """The trail of one namespace. Threads may share it, and other processes may append to the same trail.

    `hint` is an earlier head. It takes precedence over the store: if its record is gone or altered, the chain
    continues from the hint, so that the loss stays visible, and `Appended.doubt` reports it.

    `sign` signs every record if there is a key. `check` returns why a record is not the operator's, or "". It checks
    the records that this writer finds after the head, and its result becomes the doubt.
    """

    def __init__(
        self,
        store: ObjectStore,
        namespace: str,
        hint: Head = EMPTY,
        retention: timedelta | None = None,
        *,
        sign: Signer = lambda _: None,
        check: Callable[[bytes], str] = lambda _: "",
    ) -> None:
        audit_prefix(namespace)
        self._store = store
        self._namespace = namespace
        self._head = hint
        self._retention = retention
        self._sign, self._check = sign, check
        self._lock = threading.Lock()
        self._loaded = False
        self._exclusive: bool | None = None
        self._recent: dict[str, AuditRecord] = {}
        self._doubt = ""

    @property
    def locked(self) -> bool:
        """Whether records are written with a lock. False after the first append to a bucket without object lock."""
        return self._retention is not None

    @property
    def exclusive(self) -> bool | None:
        """Whether the store refuses to write a record twice. If it does not, two writers can fork the trail.

        None until the first record is written.
        """
        return self._exclusive

    @property
    def head(self) -> Head:
        """The last record that this writer knows."""
        return self._head

    def append(self, event: AuditEvent) -> Appended:
        """Record an event once. Blocks for one request, or more if other writers have appended in the meantime.

        Raises StoreUnavailable (report the event again), StoreDenied, StoreError, and ValueError for an event of
        another namespace or of more than MAX_RECORD_BYTES.
        """
        if event.object.namespace != self._namespace:
            raise ValueError(f"an event of namespace {event.object.namespace!r} in the trail of {self._namespace!r}")
        deadline = time.monotonic() + PATIENCE_SECONDS
        event = event if event.time else event.model_copy(update={"time": clock.now()})
        with self._lock:
            if not self._loaded:
                self._load()
            while True:
                if known := self._recent.get(event.event):
                    return Appended(known, False, self._head, self._doubt)
                if record := self._try(event):
                    return Appended(record, True, self._head, self._doubt)
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"{audit_prefix(self._namespace)}: other writers keep winning")
                self._catch_up()

    def _try(self, event: AuditEvent) -> AuditRecord | None:
        """Write the event after the head. Returns None if another writer was first."""
        sequence = self._head.sequence + 1
        fields = event.model_dump() | {"sequence": sequence, "previous": self._head.digest}
        record = AuditRecord.model_validate(fields)
        line = record.to_json()
        data = signed.attach(line, self._sign(line))
        if len(data) > MAX_RECORD_BYTES:
            raise ValueError(f"the event {event.event!r} has {len(data)} bytes, more than a record may have")
        until = datetime.now(UTC) + self._retention if self._retention else None
        try:
            self._store.create(key(self._namespace, sequence), data, "application/json", until)
        except (AlreadyExists, Busy):
            return None
        self._remember(record)
        self._head = Head(sequence, digest(data))
        if self._exclusive is None:
            self._prove(data)
        return record

    def _prove(self, data: bytes) -> None:
        """Try to create the last record again with the same bytes. A store that allows this ignores the condition."""
        try:
            self._store.create(key(self._namespace, self._head.sequence), data, "application/json")
            self._exclusive = False
        except AlreadyExists:
            self._exclusive = True
        except StoreError:
            pass  # the record is written; the next append tries again

    def _load(self) -> None:
        """Find the head, check the hint, and remember the last events."""
        hint = self._head
        if hint.sequence:
            self._doubt = _doubt(hint, read_one(self._store, self._namespace, audit_name(hint.sequence)))
        last = last_sequence(self._store, self._namespace, hint.sequence)
        self._take(self._read(max(1, last - RECENT + 1), last))
        if self._retention and not self._store.object_lock():
            self._retention = None
        self._loaded = True

    def _catch_up(self) -> None:
        """Read the records that other writers have appended."""
        known = self._head.sequence
        last = last_sequence(self._store, self._namespace, known)
        if last == known:  # another writer has not finished yet
            time.sleep(random.uniform(0.002, 0.02))  # noqa: S311 (spreads retries, no secret)
        self._take(self._read(max(known + 1, last - RECENT + 1), last))

    def _read(self, first: int, last: int) -> list[Stored]:
        names = [audit_name(sequence) for sequence in range(first, last + 1)]
        return list(ordered(lambda name: read_one(self._store, self._namespace, name), names, WORKERS))

    def _take(self, stored: list[Stored]) -> None:
        """Remember the events of these records. The last one becomes the head if it comes after the head."""
        for item in stored:
            if item.data is not None:
                self._doubt = self._doubt or self._doubt_of(item)
                self._learn(item.data)
        if stored and (sequence := stored[-1].sequence or 0) > self._head.sequence:
            # A record above MAX_RECORD_BYTES is a forgery, but the chain still continues from its hash.
            data = stored[-1].data
            found = digest(data) if data is not None else self._store.digest(key(self._namespace, sequence))[1]
            self._head = Head(sequence, found)

    def _doubt_of(self, item: Stored) -> str:
        """Return why a record after the head is not the operator's; "" if it is."""
        if item.data is None or (item.sequence or 0) <= self._head.sequence:
            return ""
        why = self._check(item.data)
        return f"record {item.sequence} was appended by somebody else: {why}" if why else ""

    def _learn(self, data: bytes) -> None:
        try:
            self._remember(AuditRecord.model_validate_json(data))
        except pydantic.ValidationError:
            return  # the verifier reports it

    def _remember(self, record: AuditRecord) -> None:
        self._recent[record.event] = record
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]


def _doubt(hint: Head, found: Stored) -> str:
    if found.data is None:
        return f"record {hint.sequence} was written but is no longer in the store"
    if digest(found.data) != hint.digest:
        return f"record {hint.sequence} was changed since it was written"
    return ""
