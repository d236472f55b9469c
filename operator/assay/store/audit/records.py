"""One record of the audit trail, and the head of a trail. No I/O.

A record is one line of JSON without a newline: a trail in one file (JSONL) holds the very bytes that the chain
was built from.
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
    """What happened. A reader accepts words that it does not know: newer writers may have more."""

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
    """The last record of a trail: its number, and the sha256 (hex) of its bytes. Written as "12:ab…"."""

    sequence: int
    digest: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """The inverse of str(). Raises ValueError."""
        found = _HEAD.fullmatch(text.strip())
        if not found:
            raise ValueError(f"{text[:200]!r} is not <sequence>:<sha256 of that record>")
        return cls(int(found[1]), found[2])


EMPTY = Head(0, "0" * 64)


class AuditObject(Record):
    """What it happened to."""

    kind: Annotated[str, Field(min_length=1, max_length=63)]
    namespace: Name
    name: Annotated[str, Field(min_length=1, max_length=253)]
    uid: Annotated[str, Field(max_length=64)] = ""


class AuditEvent(Record):
    """What the caller reports. `event` names the happening: the same name is recorded once, however often it is told.

    `digests` names bytes by what they are ("artifact", "manifest"); `before` and `after` say what changed, with the
    fields that docs/audit.md lists for each action. `time` is when it happened, now when it is empty.
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
    """An event in its place in the chain. `previous` is the sha256 of the bytes of the record before."""

    version: Literal[1] = 1
    sequence: Annotated[int, Field(ge=1, lt=10**12)]
    previous: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    time: Timestamp

    def to_json(self) -> bytes:
        """The bytes that are stored and hashed: one line, no newline."""
        return self.model_dump_json().encode()


def digest(data: bytes) -> str:
    """The hash of the chain: sha256 as hex."""
    return hashlib.sha256(data).hexdigest()
