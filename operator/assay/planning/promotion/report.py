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
    ready = flag(False, names.CANNOT_BE_READ, wrong) if wrong else flag(True, names.COMPILED, "")
    return old.model_copy(
        update={
            "observed_generation": generation,
            "message": f"invalid policy; matching aliases stay blocked: {wrong}"[:4096] if wrong else None,
            "conditions": conditions(old.conditions, {names.READY: ready}, generation, now),
            **_required(body["spec"], wrong),
        }
    )


def _required(spec: Raw, wrong: str) -> dict[str, Any]:
    if wrong:
        return {"in_force": None, "omitted": None}
    found = PromotionPolicySpec.model_validate(spec)
    in_force = InForce(match=found.match, mode=found.mode, approvals=found.approvals, evidence=found.evidence)
    return {"in_force": in_force, "omitted": omitted(found) or None}
