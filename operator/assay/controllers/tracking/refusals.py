"""Find out from events why a Job has no pod or a pod does not start, after some seconds and at growing intervals."""

import logging
from datetime import timedelta

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import EVENTS
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import RunParts
from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.tracking_cache import place
from assay.kube.errors import ApiError
from assay.planning.conditions import parse_time
from assay.planning.runs import refusals
from assay.planning.runs.facts import JobFacts
from assay.planning.runs.phases import Verdict

log = logging.getLogger(__name__)


async def explain(context: RunParts, body: Raw, job: JobFacts | None, verdict: Verdict) -> Verdict:
    """Return the verdict on a Run; if its pods are refused or cannot start, with the event that says why."""
    if verdict.reason == names.STARTING:
        return await _explain_start(context, body, verdict)
    since = parse_time(job.start_time) if job else None
    if verdict.reason != names.WAITING_FOR_POD or job is None or job.active or since is None:
        return verdict
    waited = (now() - since).total_seconds()
    # Requeue, because neither the Run nor its Job changes.
    context.queue.add(Key(names.RUN, *place(body)), delay=refusals.next_look(waited))
    if waited < refusals.PATIENCE:
        return verdict
    events = await _events(context, body, job.uid, refusals.EVENT_REASON)
    return refusals.explain(verdict, events, since)


async def _explain_start(context: RunParts, body: Raw, verdict: Verdict) -> Verdict:
    """Explain why the newest pod does not start, once it has been starting for a while."""
    pods = context.tracking.pods(body)
    since = parse_time(pods[-1].created) if pods else None
    if since is None:
        return verdict
    waited = (now() - since).total_seconds()
    context.queue.add(
        Key(names.RUN, *place(body)), delay=max(refusals.MOUNT_PATIENCE - waited, refusals.next_look(waited))
    )
    if waited < refusals.MOUNT_PATIENCE:
        return verdict
    events = await _events(context, body, pods[-1].uid, refusals.MOUNT_REASON)
    return refusals.explain_start(verdict, events, now() - timedelta(seconds=refusals.MOUNT_VALID))


async def _events(context: RunParts, body: Raw, uid: str, reason: str) -> list[Raw]:
    """Return an object's events with a reason; none if they cannot be read: only the explanation is missing."""
    fields = f"involvedObject.uid={uid},reason={reason}"
    try:
        return [event async for event in context.kube.list(EVENTS, place(body)[0], fields=fields)]
    except ApiError as error:
        log.warning("cannot list the events of %s: %s", uid, error, extra={"namespace": place(body)[0]})
        return []
