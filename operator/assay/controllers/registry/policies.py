"""Reconcile a PromotionPolicy: report whether it is valid, and record its changes in the audit trail."""

from assay.api import names
from assay.api.promotionpolicy import PromotionPolicyStatus
from assay.api.resources import PROMOTION_POLICIES
from assay.controllers.audit import events as audit_events
from assay.controllers.runtime import statuses
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import PolicyParts
from assay.controllers.runtime.queue import Key
from assay.planning.promotion import report


async def reconcile(context: PolicyParts, key: Key) -> None:
    """Update the status of one PromotionPolicy. Aliases evaluate it afresh each time; nothing is cached here."""
    body = context.models.get(key)
    if body is None:
        return
    old = PromotionPolicyStatus.model_validate(body.get("status") or {})
    generation = body["metadata"]["generation"]
    if old.observed_generation != generation:
        await context.audit.record(audit_events.policy_changed(body))
    new = report.status(body, old, now())
    written = await statuses.write(context.kube, PROMOTION_POLICIES, body, new.to_dict(), context.ingest)
    if written is not None:
        context.ingest(written)
        if new.message and old.message != new.message:
            context.events.post(body, names.CANNOT_BE_READ, new.message, warning=True)


async def forget(context: PolicyParts, key: Key) -> None:
    """Record the deletion of a policy, which may unblock aliases."""
    body = context.models.deleted.get(key.uid)
    if body is not None:
        await context.audit.record(audit_events.policy_changed(body, deleted=True))
        context.models.deleted.pop(key.uid, None)
