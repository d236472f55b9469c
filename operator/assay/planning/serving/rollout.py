"""Rollout of the version in a workload's pod template: its progress and failures, from the workload and its pods.

Pure. It reports a failure as soon as it is certain, in words that a user can act on. Whether to roll back is decided
elsewhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from assay.api import names
from assay.api.objects import Raw
from assay.planning.conditions import format_duration, parse_time
from assay.planning.serving.injection import in_template

MAX_MESSAGE = 1000
MAX_RESTARTS = 3
_MAX_LOOPS = 2
#: Exit codes of `python -m assay.fetch`: permanent failures, and an unreachable store, which may recover.
_REFUSED, _STORE_SILENT = (1, 2), 3
_DEADLINE = "ProgressDeadlineExceeded"
#: Reasons of a container that only waits for its turn.
_IN_ORDER = ("", "PodInitializing", "ContainerCreating")
#: Maximum length of the quoted output of a container, in characters.
_MAX_QUOTE = 400


@dataclass(frozen=True)
class Rollout:
    """Rollout of the version in a workload's pod template; ``version`` is None if there is none."""

    version: int | None
    #: blocked: the operator could not set the version in it.
    state: Literal["progressing", "ready", "failed", "blocked"]
    #: What the rollout waits for or why it fails, at most MAX_MESSAGE characters.
    message: str
    #: Whether at least one pod of this version is Ready.
    some_ready: bool


def judge(workload: Raw, pods: list[Raw], now: datetime, started: datetime | None, patience: timedelta) -> Rollout:
    """Return the rollout of a raw Deployment or StatefulSet to the version in its pod template.

    ``pods`` are the raw pods that it controls (``members.pods_of``). Pods of other versions and pods that are being
    deleted do not count. ``started`` is the time when the version was set in the template (aware; None: unknown).
    ``patience`` is the maximum duration from then on. Earlier events do not count against the version.
    """
    mine, others = _sorted(workload, pods)
    ready = sum(_is_ready(pod) for pod in mine)
    state, message = _state(workload, mine, others, ready, now, started, patience)
    return Rollout(in_template(workload), state, _shortened(message), ready > 0)


def blocking(workload: Raw, pods: list[Raw]) -> list[str]:
    """Return the names of the pods of abandoned versions that block a StatefulSet.

    With podManagementPolicy OrderedReady, the controller replaces no pod while another one is not Ready, even if that
    pod has an abandoned template. The rollout continues only after somebody deletes the pod. It is not recreated from
    that template, because it belongs to neither of the revisions that the controller creates pods from.
    """
    status = workload.get("status") or {}
    created_from = (status.get("currentRevision"), status.get("updateRevision"))
    return [
        pod["metadata"]["name"]
        for pod in _in_the_way(workload, _sorted(workload, pods)[1])
        if (pod["metadata"].get("labels") or {}).get("controller-revision-hash") not in (None, *created_from)
    ]


def _state(
    workload: Raw,
    mine: list[Raw],
    others: list[Raw],
    ready: int,
    now: datetime,
    started: datetime | None,
    patience: timedelta,
) -> tuple[Literal["progressing", "ready", "failed"], str]:
    wanted = _replicas(workload)
    count = f"{ready} of {wanted} pods ready"
    waits = _stateful_waits(workload) if workload["kind"] == "StatefulSet" else _deployment_waits(workload)
    if waits is None:
        return "ready", count if wanted else "the workload is scaled to zero"
    waiting = _waiting(workload, mine, others) or waits
    failure = next(_failures(mine, started), "")
    if failure:
        return "failed", failure
    if _deadline_exceeded(workload, started):
        return "failed", f"{count} when the Deployment's progressDeadlineSeconds expired: {waiting}"
    if _standstill(workload):
        return "progressing", f"{count}; {_standstill(workload)}"
    if started is not None and now - started > patience:
        return "failed", f"{count} after {format_duration(started, now)}: {waiting}"
    return "progressing", f"{count}; {waiting}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


# Status from Kubernetes' controllers. As `kubectl rollout status` (kubectl's polymorphichelpers/rollout_status.go)


def _deployment_waits(workload: Raw) -> str | None:
    """Return what a Deployment waits for; None if its rollout is complete."""
    status = workload.get("status") or {}
    if not _observed(workload):
        return "waiting for the Deployment controller to see the new template"
    updated, total = status.get("updatedReplicas") or 0, status.get("replicas") or 0
    if updated < _replicas(workload):
        return f"created so far: {updated}"
    if total > updated:
        return f"pods of the previous revision still stopping: {total - updated}"
    if (status.get("availableReplicas") or 0) < updated:
        return "the last pods are not available yet"
    return None


def _stateful_waits(workload: Raw) -> str | None:
    """Return what a StatefulSet waits for; None if its rollout is complete."""
    status, wanted = workload.get("status") or {}, _replicas(workload)
    if not _observed(workload):
        return "waiting for the StatefulSet controller to see the new template"
    updated = status.get("updatedReplicas") or 0
    if (status.get("readyReplicas") or 0) < wanted:
        return f"created so far: {updated}"
    # kubectl compares the revisions instead, and reports a half-finished return to the current one as complete.
    partition = ((workload["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0
    left = wanted - partition - updated
    return f"pods of the previous revision: {left}" if left > 0 else None


def _observed(workload: Raw) -> bool:
    seen = (workload.get("status") or {}).get("observedGeneration") or 0
    return seen > 0 and bool(seen >= (workload["metadata"].get("generation") or 0))


def _replicas(workload: Raw) -> int:
    wanted = workload["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


def _standstill(workload: Raw) -> str:
    """Return which setting of the user halts the rollout; "" if none does. Such a rollout never times out."""
    spec = workload["spec"]
    if spec.get("paused"):
        return "the Deployment is paused; run `kubectl rollout resume`"
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return "the update strategy is OnDelete: delete the pods of the previous revision"
    return ""


def _deadline_exceeded(workload: Raw, started: datetime | None) -> bool:
    found = _condition(workload, "Progressing")
    if found.get("status") != "False" or found.get("reason") != _DEADLINE or not _observed(workload):
        return False
    # The controller keeps the condition of an earlier template until something changes.
    return _not_before(started, found.get("lastUpdateTime") or found.get("lastTransitionTime"))


def _condition(owner: Raw, kind: str) -> Raw:
    found = (owner.get("status") or {}).get("conditions") or []
    return next((each for each in found if each.get("type") == kind), {})


def _not_before(started: datetime | None, text: str | None) -> bool:
    """Whether a time from the API server, in whole seconds, is not before the start."""
    when = parse_time(text)
    return started is None or when is None or when >= started.replace(microsecond=0)


# Status of the pods


def _sorted(workload: Raw, pods: Iterable[Raw]) -> tuple[list[Raw], list[Raw]]:
    """Return the pods that serve what the pod template contains now, and the others, without pods being deleted."""
    wanted = _served(workload["spec"]["template"].get("metadata") or {})
    mine: list[Raw] = []
    others: list[Raw] = []
    for pod in sorted(pods, key=_order):
        if not pod["metadata"].get("deletionTimestamp"):
            (mine if _served(pod["metadata"]) == wanted else others).append(pod)
    return mine, others


def _served(metadata: Raw) -> dict[str, str]:
    annotations = metadata.get("annotations") or {}
    return {key: value for key, value in annotations.items() if key.startswith(names.SERVED_PREFIX)}


def _order(pod: Raw) -> tuple[bool, str, str]:
    """Sort the oldest pods first. Evicted pods are replaced and say little, so they come last."""
    over = (pod.get("status") or {}).get("phase") == "Failed"
    return over, pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]


def _is_ready(pod: Raw) -> bool:
    return _condition(pod, "Ready").get("status") == "True"


def _containers(pod: Raw) -> list[Raw]:
    """Return the statuses of a pod's containers in start order."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _failures(pods: Iterable[Raw], started: datetime | None) -> Iterator[str]:
    """Yield one sentence for each failure that does not resolve by waiting."""
    for pod in pods:
        for container in _containers(pod):
            if _waits_itself(pod, container["name"]):
                continue
            ended = _last_end(container)
            if ended and _hopeless(container, ended, started):
                yield f"pod {pod['metadata']['name']}: {_ending(container, ended)}"


def _waits_itself(pod: Raw, container: str) -> bool:
    """Whether this is an init container of the user's: it often fails until something else is there.

    Nothing is concluded from that before the deadline of the rollout.
    """
    init = [each["name"] for each in (pod.get("status") or {}).get("initContainerStatuses") or []]
    return container != names.FETCH_CONTAINER and container in init


def _last_end(container: Raw) -> Raw:
    """Return how a container last terminated; {} if it never did."""
    state, last = container.get("state") or {}, container.get("lastState") or {}
    found: Raw = state.get("terminated") or last.get("terminated") or {}
    return found


def _hopeless(container: Raw, ended: Raw, started: datetime | None) -> bool:
    code, restarts = ended.get("exitCode") or 0, container.get("restartCount") or 0
    done = code == 0 and bool((container.get("state") or {}).get("terminated"))  # a completed init container
    if done or container.get("ready"):
        return False
    if container["name"] == names.FETCH_CONTAINER and code in (*_REFUSED, _STORE_SILENT):
        return code != _STORE_SILENT
    looping = _waits(container).get("reason") == "CrashLoopBackOff"
    often = restarts >= MAX_RESTARTS or (looping and restarts >= _MAX_LOOPS)
    return often and _not_before(started, ended.get("finishedAt"))


def _ending(container: Raw, ended: Raw) -> str:
    """Return a message that says how a container ended."""
    name, said = container["name"], (ended.get("message") or "").strip()
    if name == names.FETCH_CONTAINER and said:
        return f"the model could not be fetched: {_quoted(said)}"
    if ended.get("reason") == names.OOM_KILLED:
        text = f"container {name} exceeded its memory limit and was killed"
    else:
        reason = ended.get("reason") or ""
        text = f"container {name} ended with exit code {ended.get('exitCode')}"
        text += f" ({reason})" if reason not in ("", "Error", "Completed") else ""
    restarts = container.get("restartCount") or 0
    text += f", restarted {restarts} times" if restarts > 1 else ""
    return f"{text}: it wrote {_quoted(said)}" if said else text


def _quoted(text: str) -> str:
    """Return the output of a container as a quotation: on one line, without control characters, and bounded."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split()).replace('"', "'")
    return f'"{line if len(line) <= _MAX_QUOTE else line[: _MAX_QUOTE - 1] + "…"}"'


def _waiting(workload: Raw, mine: list[Raw], others: list[Raw]) -> str:
    """Return what the first unready pod waits for; without one, what blocks the rollout; "" if unknown."""
    for pod in mine:
        if not _is_ready(pod):
            return f"pod {pod['metadata']['name']}: {_pod_waits(pod)}"
    refused = _condition(workload, "ReplicaFailure")
    if refused.get("status") == "True":
        return f"no pod can be created: {refused.get('message') or refused.get('reason')}"
    for pod in _in_the_way(workload, others):
        name = pod["metadata"]["name"]
        return (
            f"pod {name} of the previous revision is not ready, which blocks the StatefulSet's rollout: delete that pod"
        )
    return ""


def _in_the_way(workload: Raw, others: list[Raw]) -> list[Raw]:
    """Return the pods of other versions that block a StatefulSet."""
    policy = workload["spec"].get("podManagementPolicy") or "OrderedReady"
    if workload["kind"] != "StatefulSet" or policy != "OrderedReady":
        return []
    return [pod for pod in others if not _is_ready(pod)]


def _pod_waits(pod: Raw) -> str:
    status = pod.get("status") or {}
    if status.get("phase") == "Failed" and status.get("reason"):
        return f"{status['reason']}: {status.get('message') or 'the pod has failed'}"
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"it cannot be scheduled: {scheduled.get('message') or scheduled.get('reason')}"
    for container in _containers(pod):
        text = _container_waits(container)
        if text:
            return text
    return _unstarted(pod)


def _container_waits(container: Raw) -> str:
    """Return what delays a container; "" if it is complete or ready, or waits for its turn."""
    waits, ended = _waits(container), _last_end(container)
    reason = waits.get("reason") or ""
    if container.get("ready"):
        return ""
    if ended and ended.get("exitCode") and reason in ("CrashLoopBackOff", *_IN_ORDER):
        return _ending(container, ended)
    if reason not in _IN_ORDER:
        return f"container {container['name']} waits: {reason}: {waits.get('message') or 'no further details'}"
    if "running" not in (container.get("state") or {}):
        return ""
    if container["name"] == names.FETCH_CONTAINER:
        return "the model is being fetched"
    return f"container {container['name']} is running but not ready: its readiness probe has not succeeded"


def _unstarted(pod: Raw) -> str:
    """Return the state of a pod whose containers have no problem."""
    if not (pod.get("spec") or {}).get("nodeName"):
        return "not scheduled yet"
    if all(container.get("ready") for container in _containers(pod)) and _containers(pod):
        return "its containers are ready, but its readiness gates are not"
    return "its volumes or containers are being prepared; see `kubectl describe pod`"


def _waits(container: Raw) -> Raw:
    found: Raw = (container.get("state") or {}).get("waiting") or {}
    return found
