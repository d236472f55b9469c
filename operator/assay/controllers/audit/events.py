"""The events of the audit trail, in the shapes that docs/audit.md lists: one function per event.

Pure. Each function takes the object as read, before its status is written. It returns the same ``event`` name each time
it is called for the same event. Callers record the event first and write the status afterwards, so that a crash leads
to no duplicate record. ``at`` is the time of the event; the default is now.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from assay.api import names
from assay.api.approvals import read_approval, read_rollback
from assay.api.modelversion import ApprovalStatus, ArtifactStatus, Provenance
from assay.api.objects import Raw
from assay.api.run_status import RunStatus
from assay.planning.promotion.policies import Policy
from assay.store.audit import Action, AuditEvent, AuditObject

UNKNOWN = "unknown"
NOT_SEEN = "who did it is not known here; the API server's audit log knows"
#: Limit for each of ``before`` and ``after`` as JSON. Both together fit into a record.
MAX_STATE_BYTES = 100 << 10
_MAX_REASON = 2000
_MAX_ACTOR = 1024


class Pointed(NamedTuple):
    """A version that an alias points to, and the digest of its artifact."""

    version: int
    digest: str

    def state(self) -> Raw:
        """Return it in the form of ``before`` and ``after``."""
        return {"version": self.version, "digest": self.digest}


# Runs


def run_ended(run: Raw, status: RunStatus, outcome: str = "", *, operator: str) -> AuditEvent:
    """A run ended. The actor is its owner, or the operator if it has no owner.

    ``outcome`` defaults to the run's phase; it is ``Deleted`` for a deleted run.
    """
    spec, model, record = run["spec"], status.model, status.record
    after: Raw = {
        "outcome": outcome or status.phase,
        "reason": status.reason,
        "experiment": _label(run, names.LABEL_EXPERIMENT) or None,
        "owner": spec.get("owner"),
        "model": model.to_dict() if model else None,
        "record": record.uri if record else None,
    }
    digests = {"artifact": model.digest if model else None, "manifest": record.manifest_digest if record else None}
    return _event(
        run,
        names.RUN,
        Action.RUN_ENDED,
        "ended",
        actor=spec.get("owner") or operator,
        digests=digests,
        after=after,
        reason=status.message or "",
        at=status.completion_time,
    )


# Versions


def version_registered(
    version: Raw,
    artifact: ArtifactStatus,
    provenance: Provenance | None = None,
    *,
    actor: str = "",
    verified: bool | None = None,
    at: datetime | None = None,
) -> AuditEvent:
    """A version's bytes were copied and verified.

    ``provenance`` is the run's, if it differs from the spec's. ``verified`` says whether the run's record confirms the
    provenance. The actor defaults to the owner.
    """
    spec = version["spec"]
    # A manifest may contain less provenance than its run.
    said = provenance.to_dict() if provenance else spec.get("provenance") or {}
    run = spec.get("run")
    after: Raw = {
        "run": run,
        "experiment": (run or {}).get("experiment"),
        "owner": spec.get("owner"),
        "uri": artifact.uri,
        "provenanceVerified": verified,
        **{name: said.get(name) for name in ("source", "datasets", "parameters", "metrics", "images")},
    }
    return _event(
        version,
        names.MODEL_VERSION,
        Action.VERSION_REGISTERED,
        "registered",
        actor=actor or spec.get("owner") or UNKNOWN,
        digests={"artifact": artifact.digest or _digest_of(version), "manifest": artifact.manifest_digest},
        after=after,
        at=at,
    )


def registration_refused(subject: Raw, reason: str, *, operator: str, kind: str = names.MODEL_VERSION) -> AuditEvent:
    """A version's bytes were refused. If a run could not become a version, ``subject`` is the run and ``kind`` Run."""
    return _event(
        subject,
        kind,
        Action.REGISTRATION_REFUSED,
        f"registration-refused/{_short(reason)}",
        actor=operator,
        digests={"artifact": _digest_of(subject)},
        after={"owner": subject["spec"].get("owner")},
        reason=reason,
    )


def version_archived(version: Raw, archived: bool, *, at: datetime | None = None) -> AuditEvent:
    """A version was archived or unarchived. ``version`` still has its previous condition Archived."""
    return _event(
        version,
        names.MODEL_VERSION,
        Action.VERSION_ARCHIVED,
        f"archived/{archived}/after-{_transition(version, names.ARCHIVED)}",
        digests={"artifact": _digest_of(version)},
        before={"archived": not archived},
        after={"archived": archived},
        reason=NOT_SEEN,
        at=at,
    )


def version_deleted(version: Raw, *, at: datetime | None = None) -> AuditEvent:
    """A version was deleted. Its number stays taken."""
    return _event(
        version,
        names.MODEL_VERSION,
        Action.VERSION_DELETED,
        "deleted",
        digests={"artifact": _digest_of(version)},
        before={"owner": version["spec"].get("owner"), "run": version["spec"].get("run")},
        reason=NOT_SEEN,
        at=at,
    )


def approval_given(version: Raw, approval: ApprovalStatus) -> AuditEvent:
    """An approval was seen for the first time. The record of an invalid one has the digest in the approval, if any."""
    key = f"{approval.alias}{names.APPROVAL_SUFFIX}{approval.id}"
    read = read_approval(key, (version["metadata"].get("annotations") or {}).get(key) or "")
    digest = _digest_of(version) if approval.valid else (read.digest if read else None)
    return _event(
        version,
        names.MODEL_VERSION,
        Action.APPROVAL_GIVEN,
        _approval_name("approval", key, approval),
        actor=approval.approver,
        digests={"artifact": digest},
        after={"alias": approval.alias, "id": approval.id, "approver": approval.approver, "valid": approval.valid},
        reason=read.comment if read else "",
        at=approval.since,
    )


def approval_revoked(version: Raw, approval: ApprovalStatus, *, at: datetime | None = None) -> AuditEvent:
    """A known approval was removed or changed."""
    key = f"{approval.alias}{names.APPROVAL_SUFFIX}{approval.id}"
    return _event(
        version,
        names.MODEL_VERSION,
        Action.APPROVAL_REVOKED,
        _approval_name("revoked", key, approval),
        digests={"artifact": _digest_of(version) if approval.valid else None},
        before={"alias": approval.alias, "id": approval.id, "approver": approval.approver},
        reason=NOT_SEEN,
        at=at,
    )


def _approval_name(verb: str, key: str, approval: ApprovalStatus) -> str:
    # The name includes the time: if the same approval is revoked and given again, it is a new event.
    return f"{verb}/{key}/{approval.fingerprint[:32]}/{_time(approval.since)}"


# Aliases


def binding_refused(
    alias: Raw, version: int, digest: str | None, unmet: Sequence[str], generation: int, *, actor: str = ""
) -> AuditEvent:
    """A wanted version is held. ``unmet`` lists the unmet requirements. There is one record per generation."""
    return _event(
        alias,
        names.MODEL_ALIAS,
        Action.BINDING_REFUSED,
        f"refused/v{version}/g{generation}",
        actor=actor or moved_by(alias),
        digests={"artifact": digest},
        after={"version": version, "digest": digest, "unmet": [text[:1024] for text in unmet[:100]]},
        reason="; ".join(unmet),
    )


def alias_bound(
    alias: Raw,
    before: Pointed | None,
    after: Pointed,
    actor: str,
    reason: str,
    number: int,
    *,
    at: datetime | None = None,
) -> AuditEvent:
    """An alias now points to a version. ``number`` counts the alias's bindings, including this one."""
    return _moved(Action.ALIAS_BOUND, alias, before, after.state(), actor, reason, number, at)


def judged_by(event: AuditEvent, policies: Sequence[Policy], *, open_by_default: bool) -> AuditEvent:
    """Return the event of a binding with each policy that it was judged by, in its state at that time."""
    stated = [
        {
            "name": policy.name,
            "mode": policy.mode,
            "generation": policy.generation,
            "digest": policy.digest,
            "changedBy": policy.changed_by or UNKNOWN,
        }
        for policy in policies
    ]
    after = {**(event.after or {}), "policies": stated, "openByDefault": open_by_default}
    return event.model_copy(update={"after": _bounded(after)})


def rolled_back(
    alias: Raw,
    before: Pointed | None,
    after: Pointed,
    actor: str,
    reason: str,
    number: int,
    *,
    automatic: bool = False,
    at: datetime | None = None,
) -> AuditEvent:
    """An alias returned to an earlier version, on a user's request or (``automatic``) after a failed rollout."""
    who = actor or UNKNOWN
    return _moved(Action.ROLLED_BACK, alias, before, after.state() | {"automatic": automatic}, who, reason, number, at)


def _moved(
    action: Action,
    alias: Raw,
    before: Pointed | None,
    after: Raw,
    actor: str,
    reason: str,
    number: int,
    at: datetime | None,
) -> AuditEvent:
    generation = alias["metadata"].get("generation", 0)
    return _event(
        alias,
        names.MODEL_ALIAS,
        action,
        f"binding/{number}/v{after['version']}/g{generation}",
        actor=actor or UNKNOWN,
        digests={"artifact": after["digest"]},
        before=before.state() if before else None,
        after=after,
        reason=reason,
        at=at,
    )


def rollback_refused(alias: Raw, why: str) -> AuditEvent:
    """A requested rollback was refused. ``alias`` still has the annotation with the request."""
    asked = (alias["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROLLBACK) or ""
    read = read_rollback(asked)
    return _event(
        alias,
        names.MODEL_ALIAS,
        Action.BINDING_REFUSED,
        f"rollback-refused/{_short(asked)}/{alias['metadata'].get('resourceVersion', '')}",
        actor=read.user if read else UNKNOWN,
        after={"version": read.version if read else None, "unmet": [why[:1024]]},
        reason=why,
    )


def alias_degraded(
    alias: Raw,
    version: int,
    reason: str,
    *,
    operator: str,
    digest: str | None = None,
    at: datetime | None = None,
) -> AuditEvent:
    """A follower of the alias cannot serve a version. ``alias`` still has its previous condition Degraded."""
    status = alias.get("status") or {}
    known = digest or (status.get("boundDigest") if status.get("boundVersion") == version else None)
    return _event(
        alias,
        names.MODEL_ALIAS,
        Action.ALIAS_DEGRADED,
        f"degraded/{status.get('bindings', 0)}/v{version}/g{alias['metadata'].get('generation', 0)}"
        f"/after-{_transition(alias, names.DEGRADED)}",
        actor=operator,
        digests={"artifact": known},
        after={"version": version, "digest": known},
        reason=reason,
        at=at,
    )


def alias_released(alias: Raw, *, actor: str = "", reason: str = "", at: datetime | None = None) -> AuditEvent:
    """An alias was deleted. ``alias`` is its last known state."""
    status = alias.get("status") or {}
    version, digest = status.get("boundVersion"), status.get("boundDigest")
    return _event(
        alias,
        names.MODEL_ALIAS,
        Action.ALIAS_RELEASED,
        f"released/{status.get('bindings', 0)}",
        actor=actor or UNKNOWN,
        digests={"artifact": digest},
        before={"version": version, "digest": digest},
        reason=reason or ("" if actor else NOT_SEEN),
        at=at,
    )


def moved_by(alias: Raw) -> str:
    """Return who wrote the alias's current spec, as the API server recorded it in an annotation."""
    return str((alias["metadata"].get("annotations") or {}).get(names.ANNOTATION_MOVED_BY) or UNKNOWN)


# Policies


def policy_changed(policy: Raw, before: Raw | None = None, *, deleted: bool = False) -> AuditEvent:
    """A policy was created, changed or deleted. ``before`` is the previous spec, if known."""
    spec, generation = policy["spec"], policy["metadata"].get("generation", 0)
    annotations = policy["metadata"].get("annotations") or {}
    return _event(
        policy,
        names.PROMOTION_POLICY,
        Action.POLICY_CHANGED,
        "deleted" if deleted else f"changed/g{generation}",
        actor=UNKNOWN if deleted else annotations.get(names.ANNOTATION_CHANGED_BY) or UNKNOWN,
        before={"spec": spec if deleted else before} if deleted or before else None,
        after=None if deleted else {"spec": spec, "generation": generation},
        reason=NOT_SEEN if deleted or names.ANNOTATION_CHANGED_BY not in annotations else "",
    )


# Helpers


def _event(
    body: Raw,
    kind: str,
    action: Action,
    name: str,
    *,
    actor: str = UNKNOWN,
    digests: dict[str, str | None] | None = None,
    before: Raw | None = None,
    after: Raw | None = None,
    reason: str = "",
    at: datetime | None = None,
) -> AuditEvent:
    metadata = body["metadata"]
    return AuditEvent(
        event=f"{metadata['uid']}/{name}",
        time=_time(at) if at else "",
        actor=_actor(actor),
        action=action,
        object=AuditObject(kind=kind, namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]),
        digests={what: digest for what, digest in (digests or {}).items() if digest},
        before=_bounded(before),
        after=_bounded(after),
        reason=reason if len(reason) <= _MAX_REASON else reason[: _MAX_REASON - 1] + "…",
    )


def _bounded(state: Raw | None) -> Raw | None:
    """Return the state without None values. Size and sha256 replace the largest values until it fits into a record."""
    if state is None:
        return None
    found = {name: value for name, value in state.items() if value is not None}
    sizes = {name: len(_json(value)) for name, value in found.items()}
    while sum(sizes.values()) > MAX_STATE_BYTES:
        name = max(sizes, key=lambda each: sizes[each])
        data = _json(found[name])
        found[name] = {"leftOut": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        sizes[name] = len(_json(found[name]))
    return found


def _actor(name: str) -> str:
    """Return the name, shortened to fit into a record. A hash keeps long names distinct."""
    if len(name) <= _MAX_ACTOR:
        return name or UNKNOWN
    mark = "…sha256:" + hashlib.sha256(name.encode()).hexdigest()
    return name[: _MAX_ACTOR - len(mark)] + mark


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _digest_of(version: Raw) -> str | None:
    return (version["spec"].get("artifact") or {}).get("digest")


def _label(body: Raw, name: str) -> str:
    return str((body["metadata"].get("labels") or {}).get(name, ""))


def _transition(body: Raw, kind: str) -> str:
    """Return when a condition last changed; ``none`` if it is missing.

    It makes an event name unique, also across restarts.
    """
    conditions = (body.get("status") or {}).get("conditions") or []
    return next((str(each["lastTransitionTime"]) for each in conditions if each["type"] == kind), "none")
