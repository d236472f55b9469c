"""At the end of a run: whether it is reproducible, and whether a rerun reproduced the result of its original."""

from datetime import datetime

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import RUNS
from assay.api.run import RerunOf
from assay.api.run_status import RunStatus
from assay.controllers.runtime import tenancy
from assay.controllers.runtime.parts import TenancyParts
from assay.planning.runs import outcome, recipe, reproduction
from assay.store import layout, recorded
from assay.store.errors import NotFound, RecordError


async def original_of(context: TenancyParts, body: Raw) -> Raw | None:
    """Return the run that a rerun repeats: the live object, or its record after deletion; None if neither exists.

    Returns None if the run is not a rerun. Raises ApiError and StoreError if the API server or the store is
    unavailable.
    """
    if not body["spec"].get("rerunOf"):
        return None
    namespace, wanted = body["metadata"]["namespace"], RerunOf.model_validate(body["spec"]["rerunOf"])
    live = await context.kube.get(RUNS, namespace, wanted.name)
    if live is not None and live["metadata"]["uid"] == wanted.uid:
        return live
    try:
        prefix = layout.run_prefix(namespace, wanted.experiment, wanted.name, wanted.uid)
        if await tenancy.refusal(context, namespace, [f"s3://{context.settings.store.bucket}/{prefix}/"]):
            return None
        return await context.store.run(
            recorded.read_run, context.store.blocking, namespace, wanted.experiment, wanted.name, wanted.uid
        )
    except (NotFound, RecordError, ValueError):
        return None


def concluded(body: Raw, ended: RunStatus, original: Raw | None, now: datetime) -> RunStatus:
    """Return the final status with the condition Reproducible and, for a rerun, Reproduced."""
    generation, run = body["metadata"]["generation"], {**body, "status": ended.to_dict()}
    found = recipe.condition(run)
    new = outcome.with_condition(ended, names.REPRODUCIBLE, found, generation=generation, now=now)
    if not body["spec"].get("rerunOf"):
        return new
    found = reproduction.judge(run, original)
    return outcome.with_condition(new, names.REPRODUCED, found, generation=generation, now=now)
