"""Report in an object's status that it cannot be reconciled, and why: users do not read the operator's log.

The condition `Stalled` is True while reconciling fails. The next successful reconcile rewrites the conditions and so
removes it. Transient failures are left to the reconcilers, which report them in their own words.
"""

import logging
from datetime import datetime

from assay.api import names
from assay.api.common import Condition
from assay.api.objects import Raw
from assay.api.resources import EXPERIMENTS, MODEL_ALIASES, MODEL_VERSIONS, PROMOTION_POLICIES, RUNS, Resource
from assay.controllers.runtime import statuses
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import DefectParts
from assay.controllers.runtime.queue import Key, Requeue
from assay.kube.errors import ApiError
from assay.planning.conditions import merge_conditions
from assay.store.errors import StoreUnavailable

log = logging.getLogger(__name__)

_RESOURCES: dict[str, Resource] = {
    names.EXPERIMENT: EXPERIMENTS,
    names.RUN: RUNS,
    names.MODEL_VERSION: MODEL_VERSIONS,
    names.MODEL_ALIAS: MODEL_ALIASES,
    names.PROMOTION_POLICY: PROMOTION_POLICIES,
}
_MAX_MESSAGE = 1000


def passes(error: BaseException) -> bool:
    """Whether a failure is transient and not caused by the object."""
    if isinstance(error, ApiError):
        return not error.refused
    return isinstance(error, Requeue | StoreUnavailable)


def stalled(body: Raw, error: BaseException, at: datetime) -> Raw:
    """Return the status of an object that cannot be reconciled because of this error. Pure."""
    status = body.get("status") or {}
    why = str(error).strip() or type(error).__name__
    message = f"reconcile failed, retrying: {why}"[:_MAX_MESSAGE]
    known = [Condition.model_validate(each) for each in status.get("conditions") or []]
    new = Condition(
        type=names.STALLED,
        status="True",
        reason=names.CANNOT_BE_RECONCILED,
        message=message,
        last_transition_time=at,
        observed_generation=body["metadata"].get("generation"),
    )
    others = [each for each in known if each.type != names.STALLED]
    conditions = [each.to_dict() for each in merge_conditions(known, [*others, new])]
    return {**status, "phase": status.get("phase") or "Pending", "message": message, "conditions": conditions}


async def report(context: DefectParts, key: Key, error: BaseException) -> None:
    """Write to an object's status why it cannot be reconciled. Never raises: the original error is what matters."""
    resource = _RESOURCES.get(key.kind)
    if resource is None or passes(error):  # a deleted object has no status, and is in no cache
        return
    body = _known(context, key)
    if body is None:
        return
    status = stalled(body, error, now())
    if key.kind == names.PROMOTION_POLICY:
        status.pop("phase")
    try:
        written = await statuses.write(context.kube, resource, body, status, context.ingest)
    except (Requeue, ApiError) as failure:
        log.warning("the status of %s %s/%s cannot be written: %s", key.kind, key.namespace, key.name, failure)
    else:
        if written is not None and written is not body:
            context.ingest({**written, "kind": key.kind})


def _known(context: DefectParts, key: Key) -> Raw | None:
    place = key.namespace, key.name
    if key.kind == names.RUN:
        return context.tracking.active_runs.get(place)
    if key.kind == names.EXPERIMENT:
        return context.tracking.experiments.get(place)
    return context.models.get(key)
