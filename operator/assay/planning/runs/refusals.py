"""Explain why a Job has no pod, or why a pod does not start: some causes appear only in events.

If pod security, a quota or a missing service account refuses a pod, the Job controller retries for ever and posts an
event each time; the Job's status does not mention it.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from assay.api import names
from assay.api.objects import Raw
from assay.planning.conditions import parse_time
from assay.planning.runs.phases import Verdict

#: Seconds that a Job may be without a pod before its events are read, and the maximum interval between reads.
PATIENCE, LONGEST = 5.0, 600.0
#: The reason of such events.
EVENT_REASON = "FailedCreate"
#: The reason of the kubelet's events about volumes; how long a pod may start before they are read, and how long one
#: counts: the kubelet repeats it every two minutes.
MOUNT_REASON, MOUNT_PATIENCE, MOUNT_VALID = "FailedMount", 15.0, 300.0
_MAX_MESSAGE = 2000
#: The prefix of the API server's message. It contains the pod's name, which differs in each event.
_PREAMBLE = re.compile(
    r'\A(?:\(combined from similar events\): )?(?:Error creating: )?(?:[Pp]ods? "[^"]*" is (?:forbidden|invalid): )?'
)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def explain(waiting: Verdict, events: Iterable[Raw], since: datetime) -> Verdict:
    """Return PodsRefused if a pod of the waiting Run's Job was refused since ``since``, else ``waiting`` unchanged.

    ``events`` are the Job's raw events with EVENT_REASON, in any order.
    """
    found = max(events, key=_time, default=None)
    if found is None or _time(found) < since:
        return waiting
    message = _PREAMBLE.sub("", found.get("message") or "", count=1)
    return Verdict("Pending", names.PODS_REFUSED, f"the Job's pods are refused: {message}"[:_MAX_MESSAGE])


def explain_start(waiting: Verdict, events: Iterable[Raw], since: datetime) -> Verdict:
    """Return FailedMount if a volume of the starting pod cannot be mounted since ``since``, else ``waiting`` unchanged.

    Such as a missing ConfigMap or Secret: no status mentions it. ``events`` are the pod's raw events with MOUNT_REASON.
    The kubelet repeats them.
    """
    found = max(events, key=_time, default=None)
    if found is None or _time(found) < since:
        return waiting
    message = " ".join(str(found.get("message") or "").split())
    return Verdict("Pending", names.FAILED_MOUNT, f"{waiting.message}: {message}"[:_MAX_MESSAGE])


def next_look(waited: float) -> float:
    """Return the seconds until the next read of the events; the interval grows with ``waited``, the Job's age."""
    if waited < PATIENCE:
        return min(PATIENCE, PATIENCE - waited)
    return min(LONGEST, waited)


def _time(event: Raw) -> datetime:
    series = event.get("series") or {}
    text = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return parse_time(text or event["metadata"].get("creationTimestamp")) or _LONG_AGO
