"""Explain from a pod's status why its recorder left no complete record. Pure; nothing is decided by it."""

from datetime import datetime

from assay.api import names
from assay.api.objects import Raw
from assay.planning.conditions import parse_time

#: The kubelet's default grace period.
_DEFAULT_GRACE = 30
#: From this share of the grace period on, it is the reason for the recorder's end.
_MOST = 0.8


def recorder_end(pod: Raw) -> str:
    """Return how a recorder ended that failed or was killed, and what to do; "" if there is nothing to explain."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    statuses = {each["name"]: each for each in status.get("initContainerStatuses") or []}
    ended = _ended(statuses.get(names.RECORDER_CONTAINER) or {})
    if ended is None or ended.get("exitCode") == 0:
        return ""
    reason = ended.get("reason") or ""
    said = f" ({reason})" if reason not in ("", "Error") else ""
    text = f"container {names.RECORDER_CONTAINER} ended with exit code {ended.get('exitCode')}{said}"
    grace = spec.get("terminationGracePeriodSeconds")
    return text + _why(spec, status, statuses, ended, _DEFAULT_GRACE if grace is None else grace)


def _why(spec: Raw, status: Raw, statuses: dict[str, Raw], ended: Raw, grace: float) -> str:
    trained = _latest(status.get("containerStatuses") or [])
    if trained is None:
        return ""
    wanted = f"set terminationGracePeriodSeconds in the template to {max(60, 2 * int(grace))} or more"
    for container in spec.get("initContainers") or []:
        name = container["name"]
        ours = name in (names.RECORDER_CONTAINER, names.STANDBY_CONTAINER)
        if ours or container.get("restartPolicy") != "Always" or name not in statuses:
            continue
        stopped = _latest([statuses[name]])
        if stopped and (stopped - trained).total_seconds() >= _MOST * grace:
            return (
                f": container {name} needed {(stopped - trained).total_seconds():.0f} s of the pod's grace period of "
                f"{grace} s to stop; let it end at SIGTERM, or {wanted}"
            )
    finished = parse_time(ended.get("finishedAt"))
    if finished and (finished - trained).total_seconds() >= _MOST * grace:
        return f": the pod's grace period of {grace} s was over; {wanted}"
    return ""


def _ended(status: Raw) -> Raw | None:
    found: Raw | None = (status.get("state") or {}).get("terminated")
    if found is None and "waiting" in (status.get("state") or {}):
        found = (status.get("lastState") or {}).get("terminated")
    return found


def _latest(statuses: list[Raw]) -> datetime | None:
    ends = (parse_time((_ended(each) or {}).get("finishedAt")) for each in statuses)
    return max(filter(None, ends), default=None)
