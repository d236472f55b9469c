"""Which logs a pod has: one for every start of every container, as far as its node still has them. No I/O."""

from dataclasses import dataclass

from assay.api.objects import Raw


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a container in its pod."""

    container: str
    #: How often the container had been restarted before.
    attempt: int
    #: The runtime's name of it; "" when the node has lost it.
    id: str
    running: bool
    #: Whether the API calls it the previous one of its container.
    previous: bool
    #: Whether the kubelet may start the container again.
    restartable: bool


def starts(pod: Raw) -> tuple[Start, ...]:
    """Return the starts whose logs a pod's node should have, in the order of the pod's spec, earlier ones first."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    reported = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    by_name = {each["name"]: each for each in reported}
    found: list[Start] = []
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        if container["name"] in by_name:
            found += _of(by_name[container["name"]], _restartable(spec, container))
    return tuple(found)


def _restartable(spec: Raw, container: Raw) -> bool:
    """Whether a container may be restarted. A container's own policy (of a sidecar, or with rules) goes before."""
    if container.get("restartPolicyRules"):
        return True
    return (container.get("restartPolicy") or spec.get("restartPolicy") or "Always") != "Never"


def _of(status: Raw, restartable: bool) -> list[Start]:
    name, restarts = status["name"], status.get("restartCount") or 0
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated") or {}
    ended = state.get("terminated") or {}
    found: list[Start] = []
    current = bool("running" in state or ended)
    if last.get("containerID"):
        # While it waits for its next start, the last one is the one that was counted last.
        attempt = max(0, restarts - 1) if current else restarts
        found.append(Start(name, attempt, last["containerID"], False, True, restartable))
    if "running" in state:
        found.append(Start(name, restarts, status.get("containerID") or "", True, False, restartable))
    elif ended.get("containerID"):
        found.append(Start(name, restarts, ended["containerID"], False, False, restartable))
    elif ended.get("reason") == "ContainerStatusUnknown":
        found.append(Start(name, restarts, "", False, False, restartable))
    return found
