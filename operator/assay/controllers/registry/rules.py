"""Read the current rules of a namespace from the API server, for every judgement. Nothing is cached."""

from assay.api import names
from assay.api.resources import NAMESPACES, PROMOTION_POLICIES
from assay.controllers.runtime.parts import ObjectApi
from assay.planning.promotion import views
from assay.planning.promotion.rules import Rules


async def read(kube: ObjectApi, namespace: str) -> Rules:
    """Return the rules of a namespace. Raises ApiError."""
    policies = [views.policy_of(body) async for body in kube.list(PROMOTION_POLICIES, namespace)]
    found = await kube.get(NAMESPACES, "", namespace) or {"metadata": {}}
    open_ = (found["metadata"].get("annotations") or {}).get(names.ANNOTATION_OPEN) == "true"
    return Rules(tuple(policies), open_)
