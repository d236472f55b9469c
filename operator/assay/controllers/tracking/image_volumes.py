"""Launches a run again, without the image for the recorder, whose pod cannot be created with it.

No capture may keep a training from starting. Whether nodes can mount an image is asked before; this is for those that
say so and cannot.
"""

import logging

from assay.api.objects import Raw
from assay.api.resources import JOBS, RUNS
from assay.api.run_status import EnvironmentStatus, RunStatus
from assay.controllers.runtime import statuses
from assay.controllers.runtime.context import Context
from assay.controllers.runtime.queue import Requeue
from assay.controllers.runtime.tracking_cache import place
from assay.planning.runs import capture
from assay.planning.runs.facts import JobFacts, PodFacts
from assay.planning.runs.phases import Verdict

log = logging.getLogger(__name__)


def unseen(context: Context, status: RunStatus) -> str:
    """Return why the pods of a run have no image for the recorder, "" when they have."""
    known = status.environment
    return (known.message or "") if known and known.source == "recorder" else context.nodes.unseen


async def relaunch(
    context: Context, body: Raw, status: RunStatus, job: JobFacts | None, pods: list[PodFacts], verdict: Verdict
) -> None:
    """Delete the Job of a run whose pod cannot be created with an image; raises Again, and then another is created."""
    if job is None or verdict.ended:
        return
    if job.uid in context.nodes.abandoned:
        await _delete(context, body, job.uid)
    problem = capture.refused(pods, verdict.message)
    namespace, name = place(body)
    if not problem or not _shows_image(await context.kube.get(JOBS, namespace, name), job.uid):
        return
    log.warning("run %s is launched again without the image of its training: %s", name, problem)
    known = EnvironmentStatus(source="recorder", message=problem)
    new = status.model_copy(update={"job_uid": None, "environment": known})
    # First the status: without it, the Job's end would be the run's.
    written = await statuses.write(context.kube, RUNS, body, new.to_dict(), context.tracking.upsert_run)
    if written is not None:
        context.tracking.upsert_run(written)
    context.tracking.abandon_job(body)
    context.nodes.abandon(job.uid, problem)
    await _delete(context, body, job.uid)


async def _delete(context: Context, body: Raw, uid: str) -> None:
    """Delete a Job of a run; raises Again."""
    await context.kube.delete(JOBS, *place(body), uid)
    raise Requeue(0.5, "the Job is created again, without the image")


def _shows_image(job: Raw | None, uid: str) -> bool:
    return job is not None and job["metadata"]["uid"] == uid and capture.is_shown(job["spec"]["template"]["spec"])
