"""The approvals that a version carries, and since when: which are new, which are gone.

Whether one counts is decided in ``verdict``; who may write one, by the API server.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from assay.api.approvals import Approval, read_approval
from assay.api.modelversion import ApprovalStatus

#: Far more than anybody gives; those beyond the first ones are not looked at, and do not count.
MAX_APPROVALS = 200
#: Who approves counts once for an alias; what one person writes must not crowd out the approvals of others.
MAX_OF_ONE_PERSON = 20
#: What the status can hold of a name. A longer one is nobody's.
_MAX_NAME = 512

_Identity = tuple[str, str, str]


class Change(NamedTuple):
    """What has happened to the approvals since they were last looked at. ``known`` is what the status has to say."""

    known: list[ApprovalStatus]
    given: list[ApprovalStatus]
    gone: list[ApprovalStatus]


def fingerprint(value: str) -> str:
    """Return what tells one value of an annotation from another: who approves again writes another comment."""
    return hashlib.sha256(value.encode()).hexdigest()


def look(annotations: Mapping[str, str], digest: str, known: list[ApprovalStatus], now: datetime) -> Change:
    """Compare the approvals on a version with those that were known. ``digest`` is that of its artifact."""
    before = {(each.alias, each.id, each.fingerprint): each for each in known}
    there = _there(annotations)
    current = {identity: before[identity] for identity in there if identity in before}
    people = Counter(each.approver for each in current.values())
    given = []
    for identity, said in there.items():
        if identity in before or len(current) >= MAX_APPROVALS or people[said.approver] >= MAX_OF_ONE_PERSON:
            continue
        people[said.approver] += 1
        current[identity] = _seen(said, identity[2], digest, now)
        given.append(current[identity])
    gone = [each for identity, each in before.items() if identity not in current]
    return Change(sorted(current.values(), key=lambda each: (each.since, each.alias, each.id)), given, gone)


def _there(annotations: Mapping[str, str]) -> dict[_Identity, Approval]:
    """Return the approvals among annotations, in the order of their names."""
    read = ((value, read_approval(key, value)) for key, value in sorted(annotations.items()))
    return {
        (said.alias, said.id, fingerprint(value)): said
        for value, said in read
        if said is not None and len(said.approver) <= _MAX_NAME
    }


def _seen(said: Approval, mark: str, digest: str, now: datetime) -> ApprovalStatus:
    return ApprovalStatus(
        alias=said.alias,
        approver=said.approver,
        id=said.id,
        since=now,
        fingerprint=mark,
        valid=said.digest == digest,
    )
