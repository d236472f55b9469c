"""The status of a PromotionPolicy: whether it is valid, and what it requires with the values of omitted fields."""

from datetime import datetime

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
    spec = None if wrong else PromotionPolicySpec.model_validate(body["spec"])
    ready = flag(not wrong, names.CANNOT_BE_READ if wrong else names.COMPILED, wrong if spec is None else _weak(spec))
    return old.model_copy(
        update={
            "observed_generation": generation,
            "message": f"invalid policy; matching aliases stay blocked: {wrong}"[:4096] if wrong else None,
            "conditions": conditions(old.conditions, {names.READY: ready}, generation, now),
            "in_force": None if spec is None else _in_force(spec),
            "omitted": None if spec is None else omitted(spec) or None,
        }
    )


def _weak(found: PromotionPolicySpec) -> str:
    """Return what a valid policy does not require, so that the tree of a GitOps tool shows it."""
    parts = []
    if found.mode == "Warn":
        parts.append("mode Warn: unmet requirements do not block the alias")
    if not found.approvals.required:
        parts.append("no approval is required")
    return "; ".join(parts)


def _in_force(spec: PromotionPolicySpec) -> InForce:
    return InForce(match=spec.match, mode=spec.mode, approvals=spec.approvals, evidence=spec.evidence)
