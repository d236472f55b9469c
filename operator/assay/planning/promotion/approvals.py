"""Track the approvals in a version's annotations: since when each exists, which are new, and which were withdrawn.

``verdict`` decides whether an approval counts. The API server decides who may write one.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from assay.api.approvals import Approval, read_approval
from assay.api.modelversion import ApprovalStatus

#: Maximum number of approvals on one version, far above normal use; further ones are ignored.
MAX_APPROVALS = 200
#: Maximum per approver, so that one person cannot crowd out the approvals of others.
MAX_OF_ONE_PERSON = 20
#: Maximum length of a name in the status. No user has a longer name.
_MAX_NAME = 512

_Identity = tuple[str, str, str]


class Change(NamedTuple):
    """The changes since the last reconcile: new and withdrawn approvals. ``known`` are those for the new status."""

    known: list[ApprovalStatus]
    given: list[ApprovalStatus]
    gone: list[ApprovalStatus]


def fingerprint(value: str) -> str:
    """Return a hash of an annotation's value. A repeated approval has a new comment and thus another hash."""
    return hashlib.sha256(value.encode()).hexdigest()


def look(annotations: Mapping[str, str], digest: str, known: list[ApprovalStatus], now: datetime) -> Change:
    """Compare the approvals on a version with the known ones. ``digest`` is the digest of its artifact."""
    before = {(each.alias, each.id, each.fingerprint): each for each in known}
    present = _parse(annotations)
    current = {identity: before[identity] for identity in present if identity in before}
    people = Counter(each.approver for each in current.values())
    given = []
    for identity, approval in present.items():
        if identity in before or len(current) >= MAX_APPROVALS or people[approval.approver] >= MAX_OF_ONE_PERSON:
            continue
        people[approval.approver] += 1
        current[identity] = _status(approval, identity[2], digest, now)
        given.append(current[identity])
    gone = [each for identity, each in before.items() if identity not in current]
    return Change(sorted(current.values(), key=lambda each: (each.since, each.alias, each.id)), given, gone)


def _parse(annotations: Mapping[str, str]) -> dict[_Identity, Approval]:
    """Return the approvals among the annotations, sorted by annotation key."""
    parsed = ((value, read_approval(key, value)) for key, value in sorted(annotations.items()))
    return {
        (approval.alias, approval.id, fingerprint(value)): approval
        for value, approval in parsed
        if approval is not None and len(approval.approver) <= _MAX_NAME
    }


def _status(approval: Approval, mark: str, digest: str, now: datetime) -> ApprovalStatus:
    return ApprovalStatus(
        alias=approval.alias,
        approver=approval.approver,
        id=approval.id,
        since=now,
        fingerprint=mark,
        valid=approval.digest == digest,
    )
