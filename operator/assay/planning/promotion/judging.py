"""The verdict on raw objects: the policies' rules, plus requirements that no policy can waive. Pure.

The operator binds aliases by it; the command line uses it to predict what the operator will do.
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
    """The live version of an alias: its number and its view; ``view`` is None when the version no longer exists."""

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
    """Return whether the alias may point to ``candidate``, a raw ModelVersion; ``view`` is its view.

    ``live`` is None while nothing is bound. The other arguments are those of ``verdict.evaluate``.
    """
    current = live.view if live else None
    judged = verdict.evaluate(alias, view, current, policies, now, open_by_default=open_by_default)
    if live is not None and current is None:
        judged = _refused(
            judged,
            "current",
            f"the live version v{live.version} no longer exists, so no gate can compare with it: "
            f"delete the alias and create it again",
        )
    return _with_bytes(judged, candidate)


def judge_rollback(alias: AliasView, candidate: Raw, view: VersionView) -> Verdict:
    """Return whether the alias may roll back to ``candidate``."""
    return _with_bytes(verdict.evaluate_rollback(alias, view), candidate)


def missing(alias: AliasView, version: int) -> Verdict:
    """Return the verdict on a version that does not exist."""
    message = f"{alias.model}.v{version} does not exist: register it, or choose another version"
    return Verdict(False, (Requirement("", "version", False, message),))


def _refused(judged: Verdict, requirement: str, message: str) -> Verdict:
    """Add an unmet requirement that no policy can waive."""
    found = (*judged.requirements, Requirement("", requirement, False, message))
    return Verdict(False, found, judged.warnings, judged.next_change)


def _with_bytes(judged: Verdict, candidate: Raw) -> Verdict:
    """Require that the version's bytes are registered, so that pods can fetch them."""
    status = ModelVersionStatus.model_validate(candidate.get("status") or {})
    if status.registered is not None:
        return judged
    name = candidate["metadata"]["name"]
    message = f"{name} is {status.phase or 'Pending'}: {status.message or 'its bytes are not registered yet'}"
    return _refused(judged, "version/registered", message)
