"""Find out from events why a Job has no pod. Only for Jobs without a pod for some seconds, at growing intervals."""

import logging

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
    """Return the verdict on a Run. If the API server refuses its pods, the verdict quotes the server's message."""
    since = parse_time(job.start_time) if job else None
    if verdict.reason != names.WAITING_FOR_POD or job is None or job.active or since is None:
        return verdict
    waited = (now() - since).total_seconds()
    # Requeue, because neither the Run nor its Job changes.
    context.queue.add(Key(names.RUN, *place(body)), delay=refusals.next_look(waited))
    if waited < refusals.PATIENCE:
        return verdict
    fields = f"involvedObject.uid={job.uid},reason={refusals.EVENT_REASON}"
    try:
        events = [event async for event in context.kube.list(EVENTS, place(body)[0], fields=fields)]
    except ApiError as error:
        # Only the explanation is missing; the Run's reconcile continues.
        log.warning(
            "cannot list the events of Job %s: %s",
            job.name,
            error,
            extra={"namespace": place(body)[0]},
        )
        return verdict
    return refusals.explain(verdict, events, since)
