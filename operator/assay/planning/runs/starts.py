"""Which logs a pod has: one per container start, as far as its node still has them. Pure."""

from dataclasses import dataclass

from assay.api import names
from assay.api.objects import Raw


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a container in its pod."""

    container: str
    #: The number of restarts before this start.
    attempt: int
    #: The runtime's container ID; "" when the node lost the container.
    id: str
    running: bool
    #: Whether the logs API serves it as ``previous``.
    previous: bool
    #: Whether the kubelet may start the container again.
    restartable: bool


def starts(pod: Raw) -> tuple[Start, ...]:
    """Return the starts whose logs the pod's node should have, in the order of the pod's spec, earlier starts first."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    reported = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    by_name = {each["name"]: each for each in reported}
    found: list[Start] = []
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        if container["name"] in by_name and not _slept(container["name"], by_name):
            found += _of(by_name[container["name"]], _restartable(spec, container))
    return tuple(found)


def _slept(container: str, statuses: dict[str, Raw]) -> bool:
    """Whether a container is the recorder's standby and has had nothing to do yet, so that it has no log."""
    if container != names.STANDBY_CONTAINER:
        return False
    state = (statuses.get(names.RECORDER_CONTAINER) or {}).get("state") or {}
    return (state.get("terminated") or {}).get("exitCode") == 0 or "terminated" not in state


def _restartable(spec: Raw, container: Raw) -> bool:
    """Whether the kubelet may restart a container. The container's own policy or rules override the pod's policy."""
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
        # restartCount belongs to the current start. While the container waits for its next start, to the last one.
        attempt = max(0, restarts - 1) if current else restarts
        found.append(Start(name, attempt, last["containerID"], False, True, restartable))
    if "running" in state:
        found.append(Start(name, restarts, status.get("containerID") or "", True, False, restartable))
    elif ended.get("containerID"):
        found.append(Start(name, restarts, ended["containerID"], False, False, restartable))
    elif ended.get("reason") == "ContainerStatusUnknown":
        found.append(Start(name, restarts, "", False, False, restartable))
    return found
