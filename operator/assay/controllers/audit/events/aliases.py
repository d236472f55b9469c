"""Events of aliases: bound, blocked, rolled back, degraded, released."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from assay.api import names
from assay.api.approvals import read_rollback
from assay.api.objects import Raw
from assay.controllers.audit.events.shape import NOT_SEEN, UNKNOWN, bounded, new_event, short, transition
from assay.planning.promotion.policies import Policy
from assay.store.audit import Action, AuditEvent


class Pointed(NamedTuple):
    """A version that an alias points to, and the digest of its artifact."""

    version: int
    digest: str

    def state(self) -> Raw:
        """Return it in the form of ``before`` and ``after``."""
        return {"version": self.version, "digest": self.digest}


def binding_refused(
    alias: Raw, version: int, digest: str | None, unmet: Sequence[str], generation: int, *, actor: str = ""
) -> AuditEvent:
    """A wanted version is held. ``unmet`` lists the unmet requirements. There is one record per generation."""
    return new_event(
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
    return event.model_copy(update={"after": bounded(after)})


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
    return new_event(
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
    return new_event(
        alias,
        names.MODEL_ALIAS,
        Action.BINDING_REFUSED,
        f"rollback-refused/{short(asked)}/{alias['metadata'].get('resourceVersion', '')}",
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
    return new_event(
        alias,
        names.MODEL_ALIAS,
        Action.ALIAS_DEGRADED,
        f"degraded/{status.get('bindings', 0)}/v{version}/g{alias['metadata'].get('generation', 0)}"
        f"/after-{transition(alias, names.DEGRADED)}",
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
    return new_event(
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
