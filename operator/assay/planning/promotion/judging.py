"""A verdict on objects as they are: what the rules say, and what no rule can waive. Pure.

The operator binds by it, and the command line foretells with it what the operator will do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from assay.api.modelversion import ModelVersionStatus
from assay.api.objects import Raw
from assay.planning.promotion import verdict
from assay.planning.promotion.policies import AliasView, Policy, Requirement, Verdict, VersionView


@dataclass(frozen=True)
class Live:
    """What an alias points to: its number, and the version, None when that does not exist any more."""

    version: int
    view: VersionView | None


def judge(
    alias: AliasView,
    candidate: Raw,
    view: VersionView,
    live: Live | None,
    policies: Sequence[Policy],
    now: datetime,
    *,
    open_by_default: bool,
) -> Verdict:
    """Return whether the alias may point to ``candidate``, a raw ModelVersion of which ``view`` is the view.

    ``live`` is None while nothing is bound. The rest is as in ``verdict.evaluate``.
    """
    current = live.view if live else None
    judged = verdict.evaluate(alias, view, current, policies, now, open_by_default=open_by_default)
    if live is not None and current is None:
        judged = _refused(
            judged,
            "current",
            f"v{live.version}, which is live, does not exist any more, and no gate can compare with it: "
            f"delete the alias and create it again",
        )
    return _with_bytes(judged, candidate)


def judge_rollback(alias: AliasView, candidate: Raw, view: VersionView) -> Verdict:
    """Return whether the alias may go back to ``candidate``."""
    return _with_bytes(verdict.evaluate_rollback(alias, view), candidate)


def missing(alias: AliasView, version: int) -> Verdict:
    """Return the verdict on a version that does not exist."""
    message = f"there is no {alias.model}.v{version}: register it, or choose another version"
    return Verdict(False, (Requirement("", "version", False, message),))


def _refused(judged: Verdict, requirement: str, message: str) -> Verdict:
    """Add what no policy can waive and is not met."""
    found = (*judged.requirements, Requirement("", requirement, False, message))
    return Verdict(False, found, judged.warnings, judged.next_change)


def _with_bytes(judged: Verdict, candidate: Raw) -> Verdict:
    """Add that the registered bytes are there, so that they can be fetched."""
    status = ModelVersionStatus.model_validate(candidate.get("status") or {})
    if status.registered is not None:
        return judged
    name = candidate["metadata"]["name"]
    said = f"{name} is {status.phase or 'Pending'}: {status.message or 'its bytes are not registered yet'}"
    return _refused(judged, "version/registered", said)
