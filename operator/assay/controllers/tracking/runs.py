"""Run controller: create the Job, follow its pods, close the record, and keep the status up to date."""

from datetime import datetime
from functools import partial
from typing import Any

from assay.api import names
from assay.api.objects import Raw
from assay.api.resources import JOBS, RUNS
from assay.api.run_status import TERMINAL, DatasetStatus, RunStatus, UsageStatus
from assay.controllers import metrics
from assay.controllers.audit import events as audit_events
from assay.controllers.registry import enrolment
from assay.controllers.runtime import statuses
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.handlers import DELETED_RUN
from assay.controllers.runtime.parts import RunParts
from assay.controllers.runtime.queue import BackOff, Key, Requeue
from assay.controllers.runtime.tracking_cache import place
from assay.controllers.tracking import credentials, image_volumes, jobs, provenance, records, refusals, reruns
from assay.controllers.tracking.refused import Refused
from assay.kube.errors import ApiError
from assay.planning.conditions import counted
from assay.planning.runs import logged, outcome, phases, retention, wanted
from assay.planning.runs.checks import InvalidTemplate
from assay.planning.runs.facts import JobFacts, PodFacts
from assay.store import layout
from assay.store.errors import StoreError, StoreUnavailable
from assay.store.records import Summary


async def reconcile(context: RunParts, key: Key) -> None:
    """Reconcile one Run."""
    body = context.tracking.active_runs.get((key.namespace, key.name))
    if body is None or body["metadata"].get("deletionTimestamp"):
        return
    status = RunStatus.model_validate(body.get("status") or {})
    status.experiment_uid = context.tracking.experiment_uid(body) or None
    if status.phase in TERMINAL:
        await _clean_up(context, body, status)
        return
    try:
        if not status.job_uid:
            records.check_prefix(body)
        job = await jobs.ensure_job(context, body, status)
    except Refused as error:
        await _end_unlaunched(context, body, status, error.reason, str(error))
        return
    except (ApiError, StoreError) as error:
        await _wait(context, body, status, error)
        raise
    except InvalidTemplate as error:
        await _end_unlaunched(context, body, status, names.INVALID_TEMPLATE, str(error))
        return
    if job is None and status.job_uid and not jobs.is_held(context, body):
        await _end_unlaunched(context, body, status, names.JOB_DELETED, "the Job was deleted before the run ended")
        return
    await _follow(context, body, status, job)


async def _wait(context: RunParts, body: Raw, status: RunStatus, error: ApiError | StoreError) -> None:
    """Report why a Run is not launched yet, and raise BackOff. Return if the error is to be handled by the queue."""
    if status.job_uid:
        return
    if isinstance(error, ApiError):
        if not error.refused:
            return
        why, message = names.LAUNCH_REFUSED, f"the run cannot be launched, retrying: {error.message}"
    else:
        why, message = names.STORE_UNREACHABLE, f"the run waits for the store: {error}"
    verdict = phases.Verdict("Pending", why, message[:2000])
    generation = body["metadata"]["generation"]
    new = outcome.follow(status, verdict, None, [], generation=generation, now=now())
    if why == names.STORE_UNREACHABLE:
        new = outcome.store_trouble(new, str(error), generation=generation, now=now())
    await _write(context, body, status, new)
    raise BackOff(message) from error


# Following


async def _follow(context: RunParts, body: Raw, status: RunStatus, job: JobFacts | None) -> None:
    pods = context.tracking.pods(body)
    verdict = phases.judge(job, pods, held=jobs.is_held(context, body))
    if verdict.ended and job is not None:
        await _close(context, body, status, verdict, job, pods)
        return
    if job is not None and not job.suspended and not job.outcome:
        await jobs.ensure_credentials(context, body, status)
        job = await jobs.end_retries(context, body, job, pods)
    verdict = await refusals.explain(context, body, job, verdict)
    await image_volumes.relaunch(context, body, status, job, pods, verdict)
    new = outcome.follow(status, verdict, job, pods, generation=body["metadata"]["generation"], now=now())
    new = await _observe(context, body, new, pods)
    await _write(context, body, status, new)


async def _observe(context: RunParts, body: Raw, status: RunStatus, pods: list[PodFacts]) -> RunStatus:
    """Read the recorder's live summary if the observer has requested it."""
    uid = body["metadata"]["uid"]
    if uid not in context.pods.observe or not pods:
        return status
    context.pods.observe.discard(uid)
    pod = pods[-1].name
    try:
        summary = await context.store.run(records.live_summary, context.store.blocking, body, pod)
    except StoreUnavailable as error:
        context.tracking.record_report(body, pod, None, now())
        return outcome.store_trouble(status, str(error), generation=body["metadata"]["generation"], now=now())
    context.tracking.record_report(body, pod, records.said_at(summary), now())
    return _with_summary(context, body, status, summary)


def _with_summary(context: RunParts, body: Raw, status: RunStatus, summary: Summary | None) -> RunStatus:
    if summary is None:
        return status
    policies = context.models.policies_of(body["metadata"]["namespace"])
    needed = wanted.metrics(body, context.tracking.experiment_of(body), policies)
    new = outcome.with_summary(status, body["spec"].get("objective"), summary, needed)
    found = logged.contradiction(body["spec"].get("parameters") or {}, summary)
    return _with_flag(body, new, names.PARAMETERS_MATCH, found, now())


def _with_flag(body: Raw, status: RunStatus, kind: str, found: logged.Flag | None, at: datetime) -> RunStatus:
    if found is None:
        return status
    return outcome.with_condition(status, kind, found, generation=body["metadata"]["generation"], now=at)


async def _close(
    context: RunParts,
    body: Raw,
    status: RunStatus,
    verdict: phases.Verdict,
    job: JobFacts,
    pods: list[PodFacts],
) -> None:
    """Verify the record after the Job has ended. Only then does the Run end."""
    succeeded = [pod.name for pod in sorted(pods, key=lambda p: (p.index, p.created)) if pod.phase == "Succeeded"]
    last = pods[-1].name if pods else (status.attempts[-1].pod if status.attempts else "")
    result: records.Outcome = "Succeeded" if verdict.phase == "Succeeded" else "Failed"
    try:
        if not context.pods.logs.finished(body, pods):
            return  # the log reader requeues the run
        original = await reruns.original_of(context, body)
        await context.pods.usage.finish(body)
        ended = partial(_ended, context, body, status, verdict, job, pods, original, now())
        closed = await context.store.run(
            records.close_record,
            context.store.blocking,
            body,
            result,
            verdict.reason,
            succeeded,
            last,
            ended,
            context.pods.logs.whole(body),
            {pod.name: pod.recorder_end for pod in pods},
        )
    except StoreUnavailable as error:
        waiting = phases.Verdict("Running", names.RECORDING, "the Job has ended, but the store is unreachable")
        new = outcome.follow(status, waiting, job, pods, generation=body["metadata"]["generation"], now=now())
        new = outcome.store_trouble(new, str(error), generation=body["metadata"]["generation"], now=now())
        await _write(context, body, status, new)
        raise
    new = ended(closed)
    new = await provenance.attest(context, body, new)
    await _write(context, body, status, new)


def _ended(
    context: RunParts,
    body: Raw,
    status: RunStatus,
    verdict: phases.Verdict,
    job: JobFacts | None,
    pods: list[PodFacts],
    original: Raw | None,
    at: datetime,
    closed: records.Closed,
) -> RunStatus:
    """Return the status of a run whose record is closed or about to be closed."""
    generation = body["metadata"]["generation"]
    ended = outcome.follow(status, verdict, job, pods, generation=generation, now=at)
    ended = _with_summary(context, body, ended, closed.summary)
    ended = outcome.end(ended, _record(context, body, closed), job, generation=generation, now=at)
    if closed.summary is not None:
        found = logged.objective(body["spec"].get("objective"), closed.summary)
        ended = _with_flag(body, ended, names.OBJECTIVE_RECORDED, found, at)
    return reruns.concluded(body, ended, original, at)


def _record(context: RunParts, body: Raw, closed: records.Closed) -> outcome.Record:
    base = f"s3://{context.settings.store.bucket}/{layout.prefix_of(body)}"
    return outcome.Record(
        succeeded=closed.outcome == "Succeeded",
        problem=closed.problem,
        uri=f"{base}/",
        artifacts=f"{base}/pods/{closed.pod}/artifacts/" if closed.pod else None,
        pod=closed.pod or None,
        manifest_digest=closed.manifest_digest,
        files=closed.files,
        bytes=closed.bytes,
        model_path=(body["spec"].get("model") or {}).get("path", ""),
        model_digest=closed.model_digest,
        model_size=closed.model_size,
        elsewhere=closed.elsewhere,
        missing=tuple(f"{each.path}: {each.reason}" for each in closed.missing),
        datasets=tuple(
            DatasetStatus(name=each.name, digest=each.digest, bytes=each.bytes, files=each.files)
            for each in closed.datasets
        ),
        environment=closed.captured.environment,
        usage=closed.captured.usage or UsageStatus(message=context.pods.usage.why_not(body)),
    )


async def _end_unlaunched(context: RunParts, body: Raw, status: RunStatus, reason: str, message: str) -> None:
    """End a run that has no Job as Failed. If it had one, close the record with what the store contains."""
    verdict = phases.Verdict("Failed", reason, message[:2000], ended=True)
    pods = context.tracking.pods(body)
    original = await reruns.original_of(context, body)
    if status.job_uid:
        last = status.attempts[-1].pod if status.attempts else ""
        await context.pods.usage.finish(body)
        ended = partial(_ended, context, body, status, verdict, None, pods, original, now())
        new = ended(
            await context.store.run(
                records.close_record,
                context.store.blocking,
                body,
                "Failed",
                reason,
                [],
                last,
                ended,
                context.pods.logs.whole(body),
            )
        )
    else:
        generation = body["metadata"]["generation"]
        new = outcome.follow(status, verdict, None, pods, generation=generation, now=now())
        new = outcome.end(new, None, None, generation=generation, now=now())
        new = reruns.concluded(body, new, original, now())
    await _write(context, body, status, new)


# After the end


async def _clean_up(context: RunParts, body: Raw, status: RunStatus) -> None:
    """Revoke what a run needs only while it runs, and start the Job's time to live."""
    namespace, name = place(body)
    if status.phase == "Succeeded" and status.credentials is not None:
        # The credentials are deleted last. A run that still has them has not been cleaned up, even after a crash.
        await enrolment.each_run(context, body)
    ttl = _seconds_to_live(context, body)
    job = context.tracking.job(body)
    if ttl is not None and job is not None and job.ttl is None:
        await context.kube.merge_patch(
            JOBS, namespace, name, {"metadata": {"uid": job.uid}, "spec": {"ttlSecondsAfterFinished": ttl}}
        )
    if status.credentials is not None:
        await credentials.revoke(context.kube, body)
        status.credentials = None
        written = await statuses.write(context.kube, RUNS, body, status.to_dict(), context.tracking.upsert_run)
        if written is not None:
            context.tracking.upsert_run(written)


def _seconds_to_live(context: RunParts, body: Raw) -> Any:
    """Return the Job's time to live in seconds: from the retention, else from the template; None for no limit."""
    experiment = context.tracking.experiment_of(body)
    kept = retention.keep_of(body, experiment).jobs
    return body["spec"]["job"].get("ttlSecondsAfterFinished") if kept is None else retention.seconds(kept)


async def close_deleted(context: RunParts, key: Key) -> None:
    """Close the record of a Run that was deleted before it ended, as Deleted, after its pods are gone."""
    body = context.tracking.deleted_runs.get(key.uid)
    if body is None:
        return
    status = RunStatus.model_validate(body.get("status") or {})
    try:
        records.check_prefix(body)
    except records.NoPrefix:  # nothing was ever recorded
        context.tracking.deleted_runs.pop(key.uid, None)
        return
    pods = context.tracking.pods(body)
    if any(not pod.finished for pod in pods):
        raise Requeue(2.0, "the pods of a deleted run are still stopping")
    if not context.pods.logs.finished(body, pods):
        raise Requeue(1.0, "the logs of a deleted run are still being read")
    verdict = phases.Verdict("Failed", "Deleted", "the Run was deleted before it ended", ended=True)
    await context.pods.usage.finish(body)
    await context.store.run(
        records.close_record,
        context.store.blocking,
        body,
        "Deleted",
        verdict.message,
        [],
        "",
        partial(_ended, context, body, status, verdict, None, pods, await reruns.original_of(context, body), now()),
        context.pods.logs.whole(body),
    )
    context.pods.logs.forget(body)
    context.pods.observe.discard(key.uid)
    await context.audit.record(audit_events.run_ended(body, status, "Deleted", operator=context.settings.user))
    context.tracking.close_run(key.uid)


# Writing


async def _write(context: RunParts, body: Raw, old: RunStatus, new: RunStatus) -> None:
    if new.phase in TERMINAL and old.phase not in TERMINAL:
        await context.audit.record(audit_events.run_ended(body, new, operator=context.settings.user))
    written = await statuses.write(context.kube, RUNS, body, new.to_dict(), context.tracking.upsert_run)
    if written is None:
        _enqueue_experiment(context, body)
        context.tracking.forget_run(body)
        context.queue.add(Key(DELETED_RUN, *place(body), body["metadata"]["uid"]))
        return
    context.tracking.upsert_run(written)
    _tell(context, body, old, new)
    if new.phase in TERMINAL:
        context.pods.logs.forget(body)
        context.pods.observe.discard(body["metadata"]["uid"])
        metrics.RUNS_ENDED.labels(new.phase, new.reason or "").inc()
        metrics.RECORDED_BYTES.inc((new.record and new.record.bytes) or 0)
        context.queue.add(Key(names.RUN, *place(body)))
    _enqueue_experiment(context, body)


def _enqueue_experiment(context: RunParts, body: Raw) -> None:
    experiment = context.tracking.experiment_of(body)
    if experiment is not None:
        context.queue.add(Key(names.EXPERIMENT, *place(experiment)), delay=context.debounce)


def _tell(context: RunParts, body: Raw, old: RunStatus, new: RunStatus) -> None:
    """Post events for the changes that matter to a reader of ``kubectl describe``."""
    if (old.phase, old.reason) == (new.phase, new.reason):
        return
    quiet = {*names.NORMAL_WAITS, names.JOB_SUSPENDED}
    if new.reason in quiet and new.phase != "Failed":
        return
    message = new.message or (f"on node {new.attempts[-1].node}" if new.attempts else "")
    if new.phase == "Succeeded" and new.record:
        message = f"{counted(new.record.files or 0, 'file')}, {new.record.bytes} bytes recorded in {new.record.uri}"
    worrying = (names.UNSCHEDULABLE, names.RETRYING, names.JOB_RESUMED)
    bad = new.phase == "Failed" or new.reason in worrying or new.phase == "Pending"
    context.events.post(body, new.reason or new.phase, message, warning=bad)
