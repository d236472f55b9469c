"""Why a Job has no pod: a pod that the API server refuses leaves no trace but events of the Job.

Pod security, a quota, a missing service account: the Job controller tries again for ever, each time with another
event, and the Job's status says nothing. This module must not decide when to ask for the events.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from assay.api import names
from assay.api.objects import Raw
from assay.planning.conditions import parse_time
from assay.planning.runs.phases import Verdict

#: How long a Job may be without a pod before anybody asks why, and how seldom it is asked in the end, in seconds.
PATIENCE, LONGEST = 5.0, 600.0
#: The reason of such events, whoever manages the pods.
EVENT_REASON = "FailedCreate"
_MAX_MESSAGE = 2000
#: What stands before the server's own words. The pod's name is another one each time.
_PREAMBLE = re.compile(
    r'\A(?:\(combined from similar events\): )?(?:Error creating: )?(?:[Pp]ods? "[^"]*" is (?:forbidden|invalid): )?'
)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def explain(waiting: Verdict, events: Iterable[Raw], since: datetime) -> Verdict:
    """Return the verdict on a Run whose Job has no pod: PodsRefused if one was refused since ``since``, else as it is.

    ``events`` are those of the Job with EVENT_REASON, raw and in any order.
    """
    found = max(events, key=_time, default=None)
    if found is None or _time(found) < since:
        return waiting
    words = _PREAMBLE.sub("", found.get("message") or "", count=1)
    return Verdict("Pending", names.PODS_REFUSED, f"the Job's pods are refused: {words}"[:_MAX_MESSAGE])


def next_look(waited: float) -> float:
    """Return in how many seconds to ask (again), ``waited`` seconds after the Job began: ever more seldom."""
    if waited < PATIENCE:
        return min(PATIENCE, PATIENCE - waited)
    return min(LONGEST, waited)


def _time(event: Raw) -> datetime:
    series = event.get("series") or {}
    text = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return parse_time(text or event["metadata"].get("creationTimestamp")) or _LONG_AGO
