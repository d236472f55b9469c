"""Events of promotion policies."""

from assay.api import names
from assay.api.objects import Raw
from assay.controllers.audit.events.shape import NOT_SEEN, UNKNOWN, new_event
from assay.store.audit import Action, AuditEvent


def policy_changed(policy: Raw, before: Raw | None = None, *, deleted: bool = False) -> AuditEvent:
    """A policy was created, changed or deleted. ``before`` is the previous spec, if known."""
    spec, generation = policy["spec"], policy["metadata"].get("generation", 0)
    annotations = policy["metadata"].get("annotations") or {}
    return new_event(
        policy,
        names.PROMOTION_POLICY,
        Action.POLICY_CHANGED,
        "deleted" if deleted else f"changed/g{generation}",
        actor=UNKNOWN if deleted else annotations.get(names.ANNOTATION_CHANGED_BY) or UNKNOWN,
        before={"spec": spec if deleted else before} if deleted or before else None,
        after=None if deleted else {"spec": spec, "generation": generation},
        reason=NOT_SEEN if deleted or names.ANNOTATION_CHANGED_BY not in annotations else "",
    )
