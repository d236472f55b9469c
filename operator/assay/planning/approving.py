"""The approvals that a version carries, and since when: which are new, which are gone.

Whether one counts is decided in ``verdict``; who may write one, by the API server.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from assay.api.approvals import read_approval
from assay.api.modelversion import ApprovalStatus

#: Far more than anybody gives; those beyond the first ones are not looked at.
MAX_APPROVALS = 200


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
    current: dict[tuple[str, str, str], ApprovalStatus] = {}
    new = {}
    for key in sorted(annotations):
        said = read_approval(key, annotations[key])
        if said is None:
            continue
        identity = (said.alias, said.id, fingerprint(annotations[key]))
        if identity in before:
            current[identity] = before[identity]
        else:
            new[identity] = said
    for identity, said in list(new.items())[: max(0, MAX_APPROVALS - len(current))]:
        current[identity] = ApprovalStatus(
            alias=said.alias,
            approver=said.approver,
            id=said.id,
            since=now,
            fingerprint=identity[2],
            valid=said.digest == digest,
        )
    given = [current[identity] for identity in new if identity in current]
    gone = [each for identity, each in before.items() if identity not in current]
    return Change(sorted(current.values(), key=lambda each: (each.since, each.alias, each.id)), given, gone)
