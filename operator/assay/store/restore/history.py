"""The last state according to the audit trail: versions, targets of aliases, policies. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from assay.store.audit.records import Action, AuditRecord


@dataclass
class History:
    """The last record of each object, by the object's name.

    `registered` has the registration of every version that ever existed; `deleted` has the deleted ones, and
    `archived` the hidden ones. `bound` has the aliases that point to a version.
    """

    registered: dict[str, AuditRecord] = field(default_factory=dict)
    deleted: dict[str, AuditRecord] = field(default_factory=dict)
    archived: set[str] = field(default_factory=set)
    bound: dict[str, AuditRecord] = field(default_factory=dict)
    policies: dict[str, AuditRecord] = field(default_factory=dict)
    #: UIDs of versions whose name a later version was registered with.
    succeeded: set[str] = field(default_factory=set)


def read_history(records: Iterable[AuditRecord]) -> History:
    """Read all records of a namespace in order. They are trusted: verify the trail first."""
    found, seen = History(), set[str]()
    for record in records:
        # An event that was reported again much later is in the trail twice.
        if record.event not in seen:
            seen.add(record.event)
            _take(found, record)
    return found


def _take(found: History, record: AuditRecord) -> None:
    name = record.object.name
    match record.action:
        case Action.VERSION_REGISTERED:
            if name in found.registered:
                found.succeeded.add(found.registered[name].object.uid)
            found.succeeded.discard(record.object.uid)
            found.registered[name] = record
            found.deleted.pop(name, None)
            found.archived.discard(name)
        case Action.VERSION_DELETED if record.object.uid not in found.succeeded:  # else it was recorded late
            found.deleted[name] = record
        case Action.VERSION_ARCHIVED:
            hidden = bool((record.after or {}).get("archived"))
            (found.archived.add if hidden else found.archived.discard)(name)
        case Action.ALIAS_BOUND | Action.ROLLED_BACK:
            found.bound[name] = record
        case Action.ALIAS_RELEASED:
            _forget(found.bound, record)
        case Action.POLICY_CHANGED if record.after:
            found.policies[name] = record
        case Action.POLICY_CHANGED:
            _forget(found.policies, record)


def _forget(known: dict[str, AuditRecord], gone: AuditRecord) -> None:
    """Remove a deleted object, unless a newer object with the same name was recorded since."""
    name, uid = gone.object.name, gone.object.uid
    if name in known and uid in ("", known[name].object.uid):
        del known[name]
