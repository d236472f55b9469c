"""The status of a PromotionPolicy: whether it is valid, and what it requires with the values of omitted fields."""

from datetime import datetime
from typing import Any

from assay.api import names
from assay.api.objects import Raw
from assay.api.promotionpolicy import InForce, PromotionPolicySpec, PromotionPolicyStatus
from assay.planning.conditions import conditions, flag
from assay.planning.defaults import omitted
from assay.planning.promotion import verdict, views


def status(body: Raw, old: PromotionPolicyStatus, now: datetime) -> PromotionPolicyStatus:
    """Return the new status of a policy."""
    generation = body["metadata"]["generation"]
    wrong = "; ".join(verdict.problems(views.policy_of(body)))[:4000]
    required = _required(body["spec"], wrong)
    ready = flag(not wrong, names.CANNOT_BE_READ if wrong else names.COMPILED, wrong or _weak(required["in_force"]))
    return old.model_copy(
        update={
            "observed_generation": generation,
            "message": f"invalid policy; matching aliases stay blocked: {wrong}"[:4096] if wrong else None,
            "conditions": conditions(old.conditions, {names.READY: ready}, generation, now),
            **required,
        }
    )


def _weak(found: InForce) -> str:
    """Return what a valid policy does not require, so that the tree of a GitOps tool shows it."""
    parts = []
    if found.mode == "Warn":
        parts.append("mode Warn: unmet requirements do not block the alias")
    if not found.approvals.required:
        parts.append("no approval is required")
    return "; ".join(parts)


def _required(spec: Raw, wrong: str) -> dict[str, Any]:
    if wrong:
        return {"in_force": None, "omitted": None}
    found = PromotionPolicySpec.model_validate(spec)
    in_force = InForce(match=found.match, mode=found.mode, approvals=found.approvals, evidence=found.evidence)
    return {"in_force": in_force, "omitted": omitted(found) or None}
