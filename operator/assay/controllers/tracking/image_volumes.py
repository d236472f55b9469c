"""Relaunch a run without the recorder's image mount if its pod cannot be created with it.

Capturing the environment must never keep a training from starting. The operator checks beforehand whether nodes can
mount images. This module handles nodes that report support and then fail.
"""

import logging

from assay.api.objects import Raw
from assay.api.resources import JOBS, RUNS
from assay.api.run_status import EnvironmentStatus, RunStatus
from assay.controllers.runtime import statuses
from assay.controllers.runtime.parts import JobParts, ObjectApi
from assay.controllers.runtime.queue import Requeue
from assay.controllers.runtime.tracking_cache import place
from assay.planning.runs import capture
from assay.planning.runs.facts import JobFacts, PodFacts
from assay.planning.runs.phases import Verdict

log = logging.getLogger(__name__)


def unseen(context: JobParts, status: RunStatus) -> str:
    """Return why the pods of a run have no image mounted for the recorder; "" if they have one."""
    known = status.environment
    return (known.message or "") if known and known.source == "recorder" else context.pods.nodes.unseen


async def relaunch(
    context: JobParts, body: Raw, status: RunStatus, job: JobFacts | None, pods: list[PodFacts], verdict: Verdict
) -> None:
    """Delete the Job if its pod cannot be created with an image. Raises Requeue; the next Job has no image."""
    if job is None or verdict.ended:
        return
    if job.uid in context.pods.nodes.abandoned:
        await _delete(context.kube, body, job.uid)
    problem = capture.refused(pods, verdict.message)
    namespace, name = place(body)
    if not problem or not _shows_image(await context.kube.get(JOBS, namespace, name), job.uid):
        return
    log.warning("run %s is launched again without the training image mounted: %s", name, problem)
    known = EnvironmentStatus(source="recorder", message=problem)
    new = status.model_copy(update={"job_uid": None, "environment": known})
    # Write the status first: otherwise the deletion of the Job would end the run.
    written = await statuses.write(context.kube, RUNS, body, new.to_dict(), context.tracking.upsert_run)
    if written is not None:
        context.tracking.upsert_run(written)
    context.tracking.abandon_job(body)
    context.pods.nodes.abandon(job.uid, problem)
    await _delete(context.kube, body, job.uid)


async def _delete(kube: ObjectApi, body: Raw, uid: str) -> None:
    """Delete a Job of a run and raise Requeue."""
    await kube.delete(JOBS, *place(body), uid)
    raise Requeue(0.5, "the Job is created again, without the image")


def _shows_image(job: Raw | None, uid: str) -> bool:
    return job is not None and job["metadata"]["uid"] == uid and capture.is_shown(job["spec"]["template"]["spec"])
