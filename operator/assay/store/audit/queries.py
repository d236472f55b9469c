"""Finds out from the records alone what was live, who approved it and which data trained it.

Pure functions over records in order. They trust the records: verify the trail first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from assay.store.audit.records import Action, AuditRecord

_BOUND = {Action.ALIAS_BOUND, Action.ROLLED_BACK}


class Approval(NamedTuple):
    """One approval that was valid when the version was bound. `id` distinguishes approvals by the same person."""

    approver: str
    time: str
    id: str
    sequence: int


@dataclass(frozen=True)
class Binding:
    """The version that an alias held. `until` is "" if no later change is recorded.

    `registered` is the state in the registration's record (run, source, datasets, parameters …), None without a record.
    """

    model: str
    alias: str
    version: int
    digest: str
    since: str
    until: str
    by: str
    action: str
    reason: str
    sequence: int
    approvals: list[Approval] = field(default_factory=list)
    registered: dict[str, Any] | None = None
    registered_by: str = ""


def instant(text: str) -> datetime:
    """Parse a time in the format of the records. A time without a zone is UTC. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def at(records: Iterable[AuditRecord], model: str, alias: str, when: datetime) -> Binding | None:
    """Return the binding of `<model>.<alias>` at a time; None if there was none.

    `records` are all records of its namespace.
    """
    found = None
    for each in bindings(records, model, alias):
        if instant(each.since) <= when:
            found = each
    return found if found is not None and (not found.until or when < instant(found.until)) else None


def bindings(records: Iterable[AuditRecord], model: str, alias: str) -> list[Binding]:
    """Return all bindings of `<model>.<alias>`, oldest first. `records` are all records of its namespace."""
    seen: list[AuditRecord] = []
    found: list[Binding] = []
    for record in records:
        seen.append(record)
        if record.object.kind != "ModelAlias" or record.object.name != f"{model}.{alias}":
            continue
        if record.action not in _BOUND and record.action != Action.ALIAS_RELEASED:
            continue
        if found and not found[-1].until:
            found[-1] = replace(found[-1], until=record.time)
        if record.action in _BOUND:
            found.append(_binding(seen, record, model, alias))
    return found


def _binding(records: list[AuditRecord], bound: AuditRecord, model: str, alias: str) -> Binding:
    after = bound.after or {}
    version, found = int(str(after.get("version", 0))), str(after.get("digest", ""))
    about = [
        record
        for record in records
        if record.object.kind == "ModelVersion"
        and record.object.name == f"{model}.v{version}"
        and record.digests.get("artifact") == found
        and record.sequence < bound.sequence
    ]
    registration = next((record for record in reversed(about) if record.action == Action.VERSION_REGISTERED), None)
    return Binding(
        model=model,
        alias=alias,
        version=version,
        digest=found,
        since=bound.time,
        until="",
        by=bound.actor,
        action=bound.action,
        reason=bound.reason,
        sequence=bound.sequence,
        approvals=_approvals(about, alias),
        registered=registration.after if registration else None,
        registered_by=registration.actor if registration else "",
    )


def _approvals(about: list[AuditRecord], alias: str) -> list[Approval]:
    """Return the approvals for the alias that were given and not revoked, in the order of their records."""
    standing: dict[str, Approval] = {}
    for record in about:
        state = (record.before if record.action == Action.APPROVAL_REVOKED else record.after) or {}
        if state.get("alias") != alias:
            continue
        name = str(state.get("id", ""))
        if record.action == Action.APPROVAL_GIVEN:
            approver = str(state.get("approver") or record.actor)
            standing[name] = Approval(approver, record.time, name, record.sequence)
        elif record.action == Action.APPROVAL_REVOKED:
            standing.pop(name, None)
    return list(standing.values())
