"""Run: its Job, created, suspended or resumed as the experiment wants it, with what its pods need."""

import logging
from datetime import UTC, datetime

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import JOBS, NAMESPACES
from assay.api.run_status import RunStatus
from assay.controllers import metrics
from assay.controllers.runtime.context import Context, now
from assay.controllers.runtime.queue import Requeue
from assay.controllers.runtime.tracking_cache import place
from assay.controllers.tracking import credentials, datasets, image_volumes, records
from assay.controllers.tracking.refused import Refused
from assay.planning.conditions import parse_time
from assay.planning.runs import pod_security
from assay.planning.runs.facts import JobFacts, controller_uid, job_facts
from assay.planning.runs.job import build_job
from assay.store import layout

log = logging.getLogger(__name__)


class NotAllowed(Refused):
    """The template asks for what runs may not have in this cluster."""

    reason = names.POD_SECURITY


class NameTaken(Refused):
    """Somebody else's Job has the name that this run's Job would have."""

    reason = names.NAME_TAKEN


def is_held(context: Context, body: Raw) -> bool:
    """Whether the experiment holds its runs back."""
    experiment = context.tracking.experiment_of(body)
    return bool(experiment and experiment["spec"].get("suspend"))


async def ensure_job(context: Context, body: Raw, status: RunStatus) -> JobFacts | None:
    """Return the Run's Job, created or resumed if need be; None when there is to be none, or none any more."""
    job, held = context.tracking.job(body), is_held(context, body)
    if job is None:
        if held or (status.job_uid and not await _find_job(context, body)):
            return None
        return context.tracking.job(body) or await _create_job(context, body, status, held=held)
    if job.outcome:
        return job
    if held and not job.suspended:
        return await _suspend(context, body, job, suspend=True)
    if not held and job.suspended and job.suspended_by:
        await ensure_credentials(context, body, status)
        return await _suspend(context, body, job, suspend=False)
    return job


async def _find_job(context: Context, body: Raw) -> bool:
    """Ask the API whether the Job that the status names is really gone: the cache may be behind."""
    found = await context.kube.get(JOBS, *place(body))
    if found is None:
        return False
    context.tracking.upsert_job(found)
    return context.tracking.job(body) is not None


async def _create_job(context: Context, body: Raw, status: RunStatus, *, held: bool) -> JobFacts:
    namespace, _ = place(body)
    await _check_pod_security(context, body)
    wanted = build_job(
        body,
        layout.prefix_of(body),
        context.settings.job,
        suspended_by=names.EXPERIMENT if held else "",
        unseen=image_volumes.unseen(context, status),
    )
    await datasets.check(context, body)
    if not wanted["spec"].get("suspend"):
        await ensure_credentials(context, body, status)
    created = await context.kube.create(JOBS, namespace, wanted)
    if created is None:
        await _make_room(context, body)
        raise Requeue(0.5, "a Job of that name was just deleted")
    if not status.job_uid and (since := parse_time(body["metadata"].get("creationTimestamp"))):
        metrics.LAUNCH_SECONDS.observe(max(0.0, (datetime.now(UTC) - since).total_seconds()))
    context.tracking.launched(body, created)
    return job_facts(created)


async def _make_room(context: Context, body: Raw) -> None:
    """Delete a Job that has this run's name and says that it is this run's; raise NameTaken when it is another's.

    The operator has not noted that it made this one. Either it ended before it could, or somebody else made it:
    which of the two cannot be known, so nothing that such a Job does is believed.
    """
    namespace, name = place(body)
    found = await context.kube.get(JOBS, namespace, name)
    if found is None:
        return
    uid = body["metadata"]["uid"]
    if (found["metadata"].get("labels") or {}).get(names.LABEL_RUN_UID) != uid:
        if found["metadata"].get("deletionTimestamp") or controller_uid(found, names.RUN):
            raise Requeue(1.0, "the Job of an earlier run of that name is being deleted")
        raise NameTaken(f"a Job named {name} exists and is not this run's: delete it, or choose another name")
    log.warning("run %s/%s: its Job was not noted in its status, and is created again", namespace, name)
    await context.kube.delete(JOBS, namespace, name, found["metadata"]["uid"])


async def _check_pod_security(context: Context, body: Raw) -> None:
    """Raise NotAllowed when the template asks for what nobody's run may have. The policy may not be installed."""
    level = context.settings.pod_security
    accounts = [] if level == pod_security.OFF else await _allowed_accounts(context, body)
    if refused := pod_security.refusal(body, level, accounts):
        raise NotAllowed(refused)


async def _allowed_accounts(context: Context, body: Raw) -> list[str]:
    """Ask the API server at this moment, and only for a run that names an account."""
    if pod_security.account_of(body) == "default":
        return []
    found = await context.kube.get(NAMESPACES, "", place(body)[0]) or {}
    return pod_security.allowed_accounts(found.get("metadata", {}).get("annotations") or {})


async def _suspend(context: Context, body: Raw, job: JobFacts, *, suspend: bool) -> JobFacts:
    """Suspend or resume a Job on behalf of the experiment; who suspended it is kept on the Job."""
    namespace, name = place(body)
    patch = {
        "metadata": {
            "uid": job.uid,
            "annotations": {names.ANNOTATION_SUSPENDED_BY: names.EXPERIMENT if suspend else None},
        },
        "spec": {"suspend": suspend},
    }
    written = await context.kube.merge_patch(JOBS, namespace, name, patch)
    if written is None:
        raise Requeue(0.2, "the Job is gone")
    context.tracking.upsert_job(written)
    return job_facts(written)


async def ensure_credentials(context: Context, body: Raw, status: RunStatus) -> None:
    """Write the recipe and the Secret that the pods need, unless the Secret is fresh; ``status`` then says so."""
    if not credentials.stale(status.credentials, context.settings.store.sts_duration, now()):
        return
    if status.credentials is None:
        await context.store.run(records.open_record, context.store.blocking, body)
    status.credentials = await credentials.issue(context, body)
