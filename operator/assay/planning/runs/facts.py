"""The facts about Jobs, pods and Runs that Assay needs, extracted from raw objects as small immutable values.

The operator caches these instead of the objects; ten thousand of them take a few megabytes.
"""

import re
import sys
from dataclasses import dataclass, field
from functools import lru_cache

from assay.api import names
from assay.api.objects import Raw
from assay.planning.runs import datasets
from assay.planning.runs.checks import is_ours
from assay.planning.runs.job import RECORDER, STANDBY
from assay.planning.runs.recorder_end import recorder_end
from assay.planning.runs.starts import Start, starts

_MAX_TEXT = 1024
#: The part of an imageID after its scheme: an optional repository and a digest.
_PULLED = re.compile(r"(?:[^\s@]+@)?[a-z0-9]+:[0-9a-f]{64,128}")
_SCHEME = re.compile(r"\A[a-z][a-z-]*://")


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One Job of a run."""

    name: str
    uid: str
    suspended: bool
    suspended_by: str
    active: int
    failed: int
    start_time: str
    completion_time: str
    #: "Complete", "Failed" or "".
    outcome: str
    reason: str
    message: str
    ended_at: str
    ttl: int | None
    backoff_limit: int | None = None


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod of a run. Times are RFC 3339 strings, "" when absent."""

    name: str
    uid: str
    phase: str
    created: str
    start_time: str
    node: str
    index: int
    #: UID of the Job that controls it; "" when no Job does.
    owner: str
    deleting: bool
    #: Why it is not scheduled or its containers do not start: a CamelCase word and a sentence; "" when not blocked.
    waiting_reason: str
    waiting_message: str
    #: Why it failed: Evicted, OOMKilled, NonZeroExit … and a sentence; "" when it has not failed.
    failure_reason: str
    failure_message: str
    exit_code: int | None
    #: Whether every other pod of its Job would fail in the same way, because of the data sets.
    final: bool
    #: Whether one of the user's containers is running.
    running: bool
    #: (container, image in the spec, pulled digest) of the user's containers; the digest is "" while unknown.
    images: tuple[tuple[str, str, str], ...] = ()
    #: Which containers still run although the training, the first one, has ended well; "" otherwise.
    lingering: str = ""
    #: Why the recorder may have left no complete record; "" when it ended as it should. Explains, and decides nothing.
    recorder_end: str = field(default="", compare=False)
    #: The container starts that have logs. Excluded from comparison: a change here alone triggers no reconcile.
    starts: tuple[Start, ...] = field(default=(), compare=False)

    @property
    def finished(self) -> bool:
        """Whether the pod has terminated."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The facts about one Run that its Experiment needs."""

    index: int
    name: str
    phase: str
    value: float | None
    #: Why an ended run has no value of its objective; "" if it has one or there is no objective.
    objective_problem: str = ""
    #: Why it is in this phase.
    reason: str = ""

    @property
    def active(self) -> bool:
        """Whether the run counts towards the experiment's parallelism."""
        return self.phase not in ("Succeeded", "Failed")


def job_facts(job: Raw) -> JobFacts:
    """Return the facts of a raw Job."""
    spec, status = job.get("spec") or {}, job.get("status") or {}
    ended: Raw = next(
        (
            c
            for c in status.get("conditions") or []
            if c.get("type") in ("Complete", "Failed") and c.get("status") == "True"
        ),
        {},
    )
    return JobFacts(
        name=job["metadata"]["name"],
        uid=job["metadata"]["uid"],
        suspended=bool(spec.get("suspend")),
        suspended_by=(job["metadata"].get("annotations") or {}).get(names.ANNOTATION_SUSPENDED_BY, ""),
        active=status.get("active") or 0,
        failed=status.get("failed") or 0,
        start_time=status.get("startTime") or "",
        completion_time=status.get("completionTime") or "",
        outcome=ended.get("type") or "",
        reason=ended.get("reason") or "",
        message=ended.get("message") or "",
        ended_at=ended.get("lastTransitionTime") or "",
        ttl=spec.get("ttlSecondsAfterFinished"),
        backoff_limit=spec.get("backoffLimit"),
    )


def pod_facts(pod: Raw) -> PodFacts:
    """Return the facts of a raw pod."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    phase = status.get("phase") or "Pending"
    containers = status.get("containerStatuses") or []
    waiting_reason, waiting_message = _waiting(pod.get("spec") or {}, status) if phase == "Pending" else ("", "")
    failure_reason, failure_message, exit_code = _failure(status, containers)
    return PodFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        phase=phase,
        created=metadata.get("creationTimestamp") or "",
        start_time=status.get("startTime") or "",
        node=(pod.get("spec") or {}).get("nodeName") or "",
        index=_index((metadata.get("annotations") or {}).get("batch.kubernetes.io/job-completion-index"), 0),
        owner=controller_uid(pod, "Job"),
        deleting=bool(metadata.get("deletionTimestamp")),
        waiting_reason=waiting_reason,
        waiting_message=waiting_message,
        failure_reason=failure_reason,
        failure_message=failure_message,
        exit_code=exit_code,
        final=datasets.is_final(pod),
        running=any("running" in (c.get("state") or {}) for c in containers),
        images=_images(pod.get("spec") or {}, status),
        lingering=_lingering(pod.get("spec") or {}, containers),
        recorder_end=recorder_end(pod),
        starts=starts(pod),
    )


def _lingering(spec: Raw, containers: list[Raw]) -> str:
    first = next((each["name"] for each in spec.get("containers") or []), "")
    states = {each["name"]: each.get("state") or {} for each in containers}
    ended = (states.get(first) or {}).get("terminated")
    if not ended or ended.get("exitCode") != 0:
        return ""
    others = ", ".join(name for name, state in states.items() if "running" in state)
    return f"container {first} has ended; the pod runs until these end too: {others}" if others else ""


def _images(spec: Raw, status: Raw) -> tuple[tuple[str, str, str], ...]:
    statuses = (status.get("containerStatuses") or []) + (status.get("initContainerStatuses") or [])
    pulled = {each["name"]: image_digest(each.get("imageID") or "") for each in statuses}
    named = [
        (each["name"], each.get("image") or "")
        for part in ("containers", "initContainers")
        for each in spec.get(part) or []
    ]
    return tuple((name, image[:_MAX_TEXT], pulled.get(name, "")) for name, image in named if not is_ours(name))


@lru_cache(maxsize=4096)
def image_digest(image_id: str) -> str:
    """Return the digest in the ``imageID`` of a container's status; "" when it has none.

    ``<repository>@sha256:…`` was pulled and can be pulled again. ``sha256:…`` is the image ID of an image that was
    imported into the node and never pulled. Docker prefixes both with a scheme.
    """
    text = _SCHEME.sub("", image_id)
    if re.fullmatch(r"[0-9a-f]{64}", text):  # CRI-O's form of an image ID
        return f"sha256:{text}"
    return text if len(text) <= _MAX_TEXT and _PULLED.fullmatch(text) else ""


def controller_uid(child: Raw, kind: str) -> str:
    """Return the UID of a child's controller of that kind; "" when it has none."""
    for reference in child["metadata"].get("ownerReferences") or []:
        if reference.get("controller") and reference.get("kind") == kind:
            return str(reference.get("uid") or "")
    return ""


def _index(text: str | None, otherwise: int) -> int:
    """Return the index in a label or annotation; ``otherwise`` when it is not a number, because users can edit it."""
    return int(text) if text and text.isascii() and text.isdigit() else otherwise


def _waiting(spec: Raw, status: Raw) -> tuple[str, str]:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return names.UNSCHEDULABLE, condition.get("message") or ""
    for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason") or ""
        if reason and reason not in ("PodInitializing", "ContainerCreating"):
            message = _last_fetch_error(container) or waiting.get("message") or reason
            return reason, f"container {_waits(spec, container['name'], reason, message)}: {message}"
        if datasets.is_fetch(container["name"]) and "running" in (container.get("state") or {}):
            return names.FETCHING_DATA, "the data sets are being fetched"
    return "", ""


def _last_fetch_error(container: Raw) -> str:
    """Return why the previous attempt to fetch data sets failed, for a container that is restarted in place."""
    ended = (container.get("lastState") or {}).get("terminated") or {}
    return str(ended.get("message") or "").strip() if datasets.is_fetch(container["name"]) else ""


def _waits(spec: Raw, container: str, reason: str, message: str) -> str:
    """Return the container to name in a message: the recorder's image volume is the training container's image."""
    first: Raw = next(iter(spec.get("containers") or []), {})
    about = container == RECORDER and "Image" in reason and f'"{first.get("image")}"' in message
    return str(first["name"]) if about else container


def _failure(status: Raw, containers: list[Raw]) -> tuple[str, str, int | None]:
    """Return (reason, message, exit code) of a failed pod. The pod's own reason (Evicted, NodeLost) comes first."""
    ended = [(c["name"], (c.get("state") or {}).get("terminated")) for c in containers]
    bad = [(name, t) for name, t in ended if t and t.get("exitCode") != 0]
    if not bad:
        # A container restarted by the kubelet has its failure in lastState.
        last = [(c["name"], (c.get("lastState") or {}).get("terminated")) for c in containers]
        bad = [(name, t) for name, t in last if t and t.get("exitCode") != 0 and status.get("phase") != "Succeeded"]
    if not bad and status.get("phase") == "Failed":
        # One of the user's init containers. The exit code of the recorder, a sidecar, does not count.
        bad = [(c["name"], t) for c in status.get("initContainerStatuses") or [] if (t := _failed_init(c))]
    name, terminated = bad[0] if bad else ("", None)
    exit_code = terminated.get("exitCode") if terminated else None
    if status.get("phase") == "Failed" and status.get("reason"):
        return status["reason"], status.get("message") or status["reason"], exit_code
    if terminated is None:
        return ("", "", None) if status.get("phase") != "Failed" else (names.POD_LOST, "the pod failed", None)
    if terminated.get("reason") == names.OOM_KILLED:
        return names.OOM_KILLED, f"container {name} exceeded its memory limit and was killed", exit_code
    message = (terminated.get("message") or "").strip()
    if datasets.is_fetch(name) and message:
        return datasets.REASONS.get(exit_code or 0, names.DATASET_UNAVAILABLE), message, exit_code
    text = f"container {name} ended with exit code {exit_code}"
    return names.NON_ZERO_EXIT, f"{text}: {message}" if message else text, exit_code


def _failed_init(container: Raw) -> Raw | None:
    terminated: Raw | None = (container.get("state") or {}).get("terminated")
    ours = container["name"] in (RECORDER, STANDBY)
    return terminated if terminated and terminated.get("exitCode") != 0 and not ours else None


def run_facts(run: Raw) -> RunFacts:
    """Return the facts of a raw Run."""
    metadata, status = run["metadata"], run.get("status") or {}
    objective = (run.get("spec") or {}).get("objective") or {}
    summary = (status.get("metrics") or {}).get(objective.get("metric"), {})
    return RunFacts(
        index=_index((metadata.get("labels") or {}).get(names.LABEL_INDEX), -1),
        name=metadata["name"],
        phase=status.get("phase") or "Pending",
        value=summary.get("best"),
        objective_problem=_objective_problem(status),
        reason=status.get("reason") or "",
    )


def _objective_problem(status: Raw) -> str:
    for condition in status.get("conditions") or []:
        if condition.get("type") == names.OBJECTIVE_RECORDED and condition.get("status") == "False":
            # Usually all runs of an experiment have the same message.
            return sys.intern(str(condition.get("message") or "")[:_MAX_TEXT])
    return ""
