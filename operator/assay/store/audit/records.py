"""One record of the audit trail, and the head of a trail. No I/O.

A record is one line of JSON without a newline, so a trail in one file (JSONL) contains the exact bytes that the chain
hashes.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, JsonValue

from assay.store.records import Name, Record

MAX_RECORD_BYTES = 256 << 10
_HEAD = re.compile(r"([0-9]{1,12}):([0-9a-f]{64})")

_RFC3339 = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"

Timestamp = Annotated[str, Field(max_length=40, pattern=_RFC3339)]
Digests = Annotated[dict[str, Annotated[str, Field(max_length=200)]], Field(max_length=50)]
State = Annotated[dict[str, JsonValue], Field(max_length=100)]


class Action(StrEnum):
    """The action of a record. A reader accepts unknown actions, because newer writers may add some."""

    RUN_ENDED = "RunEnded"
    VERSION_REGISTERED = "VersionRegistered"
    REGISTRATION_REFUSED = "RegistrationRefused"
    VERSION_ARCHIVED = "VersionArchived"
    VERSION_DELETED = "VersionDeleted"
    APPROVAL_GIVEN = "ApprovalGiven"
    APPROVAL_REVOKED = "ApprovalRevoked"
    BINDING_REFUSED = "BindingRefused"
    ALIAS_BOUND = "AliasBound"
    ALIAS_RELEASED = "AliasReleased"
    ROLLED_BACK = "RolledBack"
    ALIAS_DEGRADED = "AliasDegraded"
    POLICY_CHANGED = "PolicyChanged"


class Head(NamedTuple):
    """The last record of a trail: its number, and the sha256 (hex) of its bytes. Its text form is "12:ab…"."""

    sequence: int
    digest: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Parse the output of str(). Raises ValueError."""
        found = _HEAD.fullmatch(text.strip())
        if not found:
            raise ValueError(f"{text[:200]!r} is not <sequence>:<sha256 of that record>")
        return cls(int(found[1]), found[2])


EMPTY = Head(0, "0" * 64)


class AuditObject(Record):
    """The object that the action affects."""

    kind: Annotated[str, Field(min_length=1, max_length=63)]
    namespace: Name
    name: Annotated[str, Field(min_length=1, max_length=253)]
    uid: Annotated[str, Field(max_length=64)] = ""


class AuditEvent(Record):
    """An event that the caller reports. `event` is its unique name: an event is recorded once, even if reported again.

    The keys of `digests` are kinds of bytes ("artifact", "manifest"). `before` and `after` describe the change;
    docs/audit.md lists their fields for each action. `time` is the time of the event; empty means now.
    """

    event: Annotated[str, Field(min_length=1, max_length=253)]
    time: Timestamp | Literal[""] = ""
    actor: Annotated[str, Field(min_length=1, max_length=1024)]
    action: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]{0,62}$")]
    object: AuditObject
    digests: Digests = Field(default={})
    before: State | None = None
    after: State | None = None
    reason: Annotated[str, Field(max_length=2000)] = ""


class AuditRecord(AuditEvent):
    """An event with its position in the chain. `previous` is the sha256 of the previous record's bytes."""

    version: Literal[1] = 1
    sequence: Annotated[int, Field(ge=1, lt=10**12)]
    previous: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    time: Timestamp

    def to_json(self) -> bytes:
        """Return the bytes to store and hash, without the signature: one line, no newline."""
        return self.model_dump_json().encode()


def digest(data: bytes) -> str:
    """Return the hash that the chain uses: sha256 as hex."""
    return hashlib.sha256(data).hexdigest()
