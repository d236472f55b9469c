"""The Job of a Run: create it with what its pods need, and suspend or resume it for the experiment."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import JOBS, NAMESPACES
from assay.api.run_status import RunStatus
from assay.controllers import metrics
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import JobParts, ObjectApi
from assay.controllers.runtime.queue import Requeue
from assay.controllers.runtime.tracking_cache import place
from assay.controllers.tracking import credentials, datasets, image_volumes, printed, records
from assay.controllers.tracking.refused import Refused
from assay.kube.errors import ApiError
from assay.planning.conditions import parse_time
from assay.planning.runs import pod_security, template, wanted
from assay.planning.runs.checks import InvalidTemplate
from assay.planning.runs.facts import JobFacts, PodFacts, controller_uid, job_facts
from assay.planning.runs.job import build_job
from assay.store import layout

log = logging.getLogger(__name__)


class NotAllowed(Refused):
    """The template requests something that runs may not have in this cluster."""

    reason = names.POD_SECURITY


class NameTaken(Refused):
    """Another owner's Job has the name that this run's Job needs."""

    reason = names.NAME_TAKEN


def is_held(context: JobParts, body: Raw) -> bool:
    """Whether the experiment suspends its runs."""
    experiment = context.tracking.experiment_of(body)
    return bool(experiment and experiment["spec"].get("suspend"))


async def ensure_job(context: JobParts, body: Raw, status: RunStatus) -> JobFacts | None:
    """Return the Run's Job, created or resumed if necessary; None while the run is held, or if the Job was deleted."""
    job, held = context.tracking.job(body), is_held(context, body)
    if job is None:
        if held or (status.job_uid and not await _find_job(context, body)):
            return None
        return context.tracking.job(body) or await _create_job(context, body, status, held=held)
    if job.outcome:
        return job
    if held and not job.suspended:
        # The operator resumes a Job and removes the annotation in one step, so something else resumed this one.
        return await _suspend(context, body, job, names.SUSPENDED_AGAIN if job.suspended_by else names.EXPERIMENT)
    if not held and job.suspended_by:
        await ensure_credentials(context, body, status)
        return await _suspend(context, body, job, None)
    return job


async def _find_job(context: JobParts, body: Raw) -> bool:
    """Check with the API server whether the Job in the status is really gone. The cache may lag behind."""
    found = await context.kube.get(JOBS, *place(body))
    if found is None:
        return False
    context.tracking.upsert_job(found)
    return context.tracking.job(body) is not None


async def _create_job(context: JobParts, body: Raw, status: RunStatus, *, held: bool) -> JobFacts:
    namespace, _ = place(body)
    await _check_pod_security(context, body)
    if fault := template.first(body["spec"]["job"], with_data=bool(body["spec"].get("datasets"))):
        raise InvalidTemplate(fault)
    printed.check(body)
    job = build_job(
        body,
        layout.prefix_of(body),
        context.settings.job,
        suspended_by=names.EXPERIMENT if held else "",
        unseen=image_volumes.unseen(context, status),
        metrics=wanted.metrics(body, context.tracking.experiment_of(body), context.models.policies_of(namespace)),
    )
    await datasets.check(context, body)
    if not job["spec"].get("suspend"):
        await ensure_credentials(context, body, status)
    try:
        created = await _create(context.kube, namespace, job)
    except ApiError as error:
        if error.permanent:
            raise InvalidTemplate(error.message) from None
        raise
    if created is None:
        await _make_room(context.kube, body)
        raise Requeue(0.5, "a Job of that name was deleted")
    if not status.job_uid and (since := parse_time(body["metadata"].get("creationTimestamp"))):
        metrics.LAUNCH_SECONDS.observe(max(0.0, (datetime.now(UTC) - since).total_seconds()))
    context.tracking.launched(body, created)
    return job_facts(created)


async def _create(kube: ObjectApi, namespace: str, job: Raw) -> Raw | None:
    """Create the Job. Raises InvalidTemplate for fields that no Job has."""
    try:
        return await kube.create(JOBS, namespace, job, strict=True)
    except ApiError as error:
        if unknown := template.unknown_fields(error.message, job):
            raise InvalidTemplate(unknown) from None
        raise


async def _make_room(kube: ObjectApi, body: Raw) -> None:
    """Delete a Job that has this run's name and claims to belong to it. Raise NameTaken if it belongs to another owner.

    The status does not show that the operator created this Job. Either the operator stopped before it could write the
    status, or somebody else created the Job. The two cases cannot be distinguished, so the Job's results are not
    trusted.
    """
    namespace, name = place(body)
    found = await kube.get(JOBS, namespace, name)
    if found is None:
        return
    uid = body["metadata"]["uid"]
    if (found["metadata"].get("labels") or {}).get(names.LABEL_RUN_UID) != uid:
        if found["metadata"].get("deletionTimestamp") or controller_uid(found, names.RUN):
            raise Requeue(1.0, "the Job of an earlier run with this name is being deleted")
        raise NameTaken(f"a Job named {name} exists and does not belong to this run: delete it, or choose another name")
    log.warning("run %s/%s: its Job was not noted in its status, and is created again", namespace, name)
    await kube.delete(JOBS, namespace, name, found["metadata"]["uid"])


async def _check_pod_security(context: JobParts, body: Raw) -> None:
    """Raise NotAllowed if the template violates pod security. The admission policy may not be installed."""
    level = context.settings.pod_security
    accounts = [] if level == pod_security.OFF else await _allowed_accounts(context.kube, body)
    if refused := pod_security.refusal(body, level, accounts):
        raise NotAllowed(refused)


async def _allowed_accounts(kube: ObjectApi, body: Raw) -> list[str]:
    """Read the allowed accounts from the API server, without a cache and only if the run names an account."""
    if pod_security.account_of(body) == "default":
        return []
    found = await kube.get(NAMESPACES, "", place(body)[0]) or {}
    return pod_security.allowed_accounts(found.get("metadata", {}).get("annotations") or {})


async def _suspend(context: JobParts, body: Raw, job: JobFacts, suspended_by: str | None) -> JobFacts:
    """Suspend a Job for the experiment, or resume it (None). An annotation on the Job records who suspended it."""
    namespace, name = place(body)
    patch = {
        "metadata": {
            "uid": job.uid,
            "annotations": {names.ANNOTATION_SUSPENDED_BY: suspended_by},
        },
        "spec": {"suspend": suspended_by is not None},
    }
    written = await context.kube.merge_patch(JOBS, namespace, name, patch)
    if written is None:
        raise Requeue(0.2, "the Job is gone")
    context.tracking.upsert_job(written)
    return job_facts(written)


async def end_retries(context: JobParts, body: Raw, job: JobFacts, pods: Sequence[PodFacts]) -> JobFacts:
    """Let a Job create no more pods if its data sets make every pod fail. The Job controller then ends the Job.

    A rule in ``podFailurePolicy`` would do the same, but a Job with one does not replace the pod of a lost node.
    """
    if job.backoff_limit == 0 or not any(pod.final for pod in pods):
        return job
    namespace, name = place(body)
    patch = {"metadata": {"uid": job.uid}, "spec": {"backoffLimit": 0}}
    written = await context.kube.merge_patch(JOBS, namespace, name, patch)
    if written is None:
        raise Requeue(0.2, "the Job is gone")
    context.tracking.upsert_job(written)
    return job_facts(written)


async def ensure_credentials(context: JobParts, body: Raw, status: RunStatus) -> None:
    """Write the recipe and the Secret that the pods need, unless the Secret is fresh. Updates ``status``."""
    if not credentials.stale(status.credentials, context.settings.store.sts_duration, now()):
        return
    if status.credentials is None:
        await context.store.run(records.open_record, context.store.blocking, body)
    status.credentials = await credentials.issue(context, body, lambda: context.tracking.exists(body))
