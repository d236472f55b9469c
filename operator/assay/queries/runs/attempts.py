"""Says when the metrics of a run are those of one pod, and other pods of it have more. Explains, decides nothing."""

from __future__ import annotations

import re

from assay.api import names
from assay.api.objects import Raw
from assay.api.run_status import TERMINAL
from assay.queries.runs import recorded

#: The part of the condition Recorded that the operator writes when other pods recorded points.
_ELSEWHERE = re.compile(r"metrics and curves show pod [^;]*")
_SHOWN = 3


def other_pods(run: Raw) -> str:
    """Return a sentence about the pods of a raw Run whose points its metrics and curves lack; "" if there are none."""
    status = run.get("status") or {}
    if status.get("phase") in TERMINAL:
        said = [each.get("message") for each in status.get("conditions") or [] if each.get("type") == names.RECORDED]
        found = _ELSEWHERE.search(str(said[0])) if said else None
        return found[0].strip() if found else ""
    counting = recorded.pod_of(run)
    others = [str(each["pod"]) for each in status.get("attempts") or [] if each["pod"] != counting]
    if not others:
        return ""
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    return f"metrics and curves show pod {counting} only: other attempts or workers: {', '.join(others[:_SHOWN])}{more}"


def note_of(run: Raw) -> str:
    """Return the same with the run's name, for answers about several runs."""
    found = other_pods(run)
    return f"{run['metadata']['name']}: {found}" if found else ""
