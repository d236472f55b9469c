"""Derive the phase of a Run, with reason and message, from the facts of its Job and pods."""

from collections.abc import Sequence
from dataclasses import dataclass

from assay.api import names
from assay.api.run_status import Attempt, Phase
from assay.planning.conditions import parse_time
from assay.planning.runs.facts import JobFacts, PodFacts

MAX_ATTEMPTS = 10
_MAX_MESSAGE = 2000
_RESUMED = (
    "the experiment is suspended; its Job was resumed outside of Assay, and was suspended again: "
    "resume the experiment, or stop what resumes the Job"
)


@dataclass(frozen=True)
class Verdict:
    """The phase of a run and why. ``ended`` means that the Job has finished; the record decides the final phase."""

    phase: Phase
    reason: str
    message: str = ""
    ended: bool = False


def judge(job: JobFacts | None, pods: Sequence[PodFacts], *, held: bool) -> Verdict:
    """Return the phase of a run that has not ended yet.

    ``held`` means that the experiment is suspended. For a finished Job the verdict has ``ended`` set, and its phase
    follows from the Job alone.
    """
    if job is None:
        if held:
            return Verdict("Suspended", names.SUSPENDED_BY_SPEC, "the experiment is suspended")
        return Verdict("Pending", names.WAITING_FOR_JOB, "the Job is being created")
    if job.outcome:
        return _ended(job, pods)
    if job.suspended:
        if job.suspended_by == names.SUSPENDED_AGAIN:
            return Verdict("Suspended", names.JOB_RESUMED, _RESUMED)
        if job.suspended_by:
            return Verdict("Suspended", names.SUSPENDED_BY_SPEC, "the experiment is suspended")
        return Verdict("Suspended", names.JOB_SUSPENDED, "the Job was suspended outside of Assay; resume it there")
    return _active(job, pods)


def _ended(job: JobFacts, pods: Sequence[PodFacts]) -> Verdict:
    if any(not pod.finished for pod in pods):
        # Older clusters mark a Job as finished while its last pods are still terminating.
        return Verdict("Running", names.RECORDING, "the Job has finished; its last pods are terminating")
    if job.outcome == "Complete":
        return Verdict("Succeeded", names.JOB_COMPLETE, "", ended=True)
    failed = [pod for pod in pods if pod.failure_reason]
    message = job.message
    if job.reason == names.DEADLINE_EXCEEDED:
        return Verdict("Failed", names.DEADLINE_EXCEEDED, message[:_MAX_MESSAGE], ended=True)
    if failed:
        last = max(failed, key=lambda pod: (pod.created, pod.name))
        message = last.failure_message + (f" ({len(failed)} pods failed)" if len(failed) > 1 else "")
        return Verdict("Failed", last.failure_reason, message[:_MAX_MESSAGE], ended=True)
    return Verdict("Failed", job.reason or names.JOB_FAILED, message[:_MAX_MESSAGE], ended=True)


def _active(job: JobFacts, pods: Sequence[PodFacts]) -> Verdict:
    alive = [pod for pod in pods if not pod.finished and not pod.deleting]
    if any(pod.running for pod in alive):
        lingering = next((pod.lingering for pod in alive if pod.lingering), "")
        return Verdict("Running", names.TRAINING, lingering[:_MAX_MESSAGE] or _retries(pods))
    for pod in alive:
        if pod.waiting_reason:
            return Verdict("Pending", pod.waiting_reason, f"pod {pod.name}: {pod.waiting_message}"[:_MAX_MESSAGE])
    if any(pod.phase == "Running" for pod in alive):
        if any(pod.exit_code for pod in alive):
            return Verdict("Running", names.RETRYING, alive[0].failure_message[:_MAX_MESSAGE])
        return Verdict("Running", names.RECORDING, "training has ended; the recorder is uploading the rest")
    if alive:
        return Verdict("Pending", names.STARTING, _retries(pods) or f"pod {alive[0].name} is starting")
    if pods and pods[-1].phase == "Succeeded":
        return Verdict("Running", names.RECORDING, "the pod has ended; waiting for the Job to complete")
    if any(pod.finished for pod in pods):
        return Verdict("Running", names.RETRYING, _retries(pods))
    return Verdict("Pending", names.WAITING_FOR_POD, _no_pod(pods))


def _no_pod(pods: Sequence[PodFacts]) -> str:
    """Return why no pod is alive. A pod on a lost node remains terminating, and some Jobs wait for its end."""
    going = [pod for pod in pods if pod.deleting]
    if not going:
        return "the Job has no pod yet"
    last = max(going, key=lambda pod: (pod.created, pod.name))
    if not last.node:
        return f"pod {last.name} is being deleted; the Job has no other pod yet"
    return f"pod {last.name} is being deleted on node {last.node}; the Job has no other pod yet"


def _retries(pods: Sequence[PodFacts]) -> str:
    failed = [pod for pod in pods if pod.finished and pod.failure_reason]
    if not failed:
        return ""
    last = max(failed, key=lambda pod: (pod.created, pod.name))
    return f"retried: {last.failure_message}"[:_MAX_MESSAGE]


def attempts(known: Sequence[Attempt], pods: Sequence[PodFacts]) -> list[Attempt]:
    """Return the newest pods of the run, oldest first, including deleted pods in their last known state."""
    seen = {attempt.pod: attempt for attempt in known}
    for pod in sorted(pods, key=lambda pod: (pod.created, pod.name)):
        seen.pop(pod.name, None)
        seen[pod.name] = Attempt(
            pod=pod.name,
            phase=pod.phase,
            node=pod.node or None,
            reason=pod.failure_reason or None,
            exit_code=pod.exit_code,
            start_time=parse_time(pod.start_time),
        )
    return list(seen.values())[-MAX_ATTEMPTS:]
