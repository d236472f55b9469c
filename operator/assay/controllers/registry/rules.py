"""Read the current rules of a namespace from the API server, for every judgement. Nothing is judged by the cache."""

from collections.abc import Mapping

from assay.api import names
from assay.api.resources import NAMESPACES, PROMOTION_POLICIES
from assay.controllers.runtime.model_cache import KnownNamespace, ModelCache
from assay.controllers.runtime.parts import ObjectApi
from assay.planning.promotion import views
from assay.planning.promotion.rules import Rules


async def read(kube: ObjectApi, namespace: str) -> Rules:
    """Return the rules of a namespace. Raises ApiError."""
    policies = [views.policy_of(body) async for body in kube.list(PROMOTION_POLICIES, namespace)]
    found = await kube.get(NAMESPACES, "", namespace) or {"metadata": {}}
    return Rules(tuple(policies), _is_open(found["metadata"].get("annotations") or {}))


def known(models: ModelCache, namespace: str) -> Rules:
    """Return the rules of a namespace as the watches have shown them, to notice that they change."""
    annotations = models.namespaces.get(namespace, KnownNamespace()).annotations
    return Rules(tuple(map(views.policy_of, models.policies_of(namespace))), _is_open(annotations))


def _is_open(annotations: Mapping[str, str]) -> bool:
    return annotations.get(names.ANNOTATION_OPEN) == "true"
