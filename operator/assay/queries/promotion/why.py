"""Explains why an alias points to its version, by the requirements of the requested version."""

from __future__ import annotations

from typing_extensions import TypedDict

from assay.api.modelalias import ModelAliasStatus, RequirementStatus
from assay.planning.promotion import binding
from assay.queries.promotion import cases
from assay.queries.promotion.cases import Case, Requirement


class Operator(TypedDict):
    """The result in the operator's status; ``current``: it is for the current spec."""

    current: bool
    phase: str | None
    message: str | None
    requirements: list[Requirement]


class Workload(TypedDict):
    """One workload that follows an alias."""

    kind: str
    name: str
    version: int | None
    ready: bool
    message: str | None


class Why(TypedDict):
    """The answer about ``version``. A live version has no requirements: it is bound already."""

    alias: str
    version: int
    live: int | None
    wanted: int | None
    met: bool
    summary: str
    requirements: list[Requirement]
    warnings: list[str]
    operator: Operator | None
    serving: list[Workload]
    notes: list[str]


def answer(case: Case, version: int | None = None) -> Why:
    """Return the answer about a version, by default the requested one. Raises AssayError."""
    requested = case.body["spec"]["version"] if case.body else None
    number, live = version or requested or 0, case.status.bound_version
    candidate = None if number == live else case.version(number)
    judged = None if number == live else case.judge(number, candidate)
    values = case.values(candidate) if candidate else None
    return {
        "alias": case.name,
        "version": number,
        "live": live,
        "wanted": requested,
        "met": judged is None or (judged.allowed and not _set_aside(case, number)),
        "summary": _summary(case, number, judged.allowed if judged else True),
        "requirements": cases.requirements(judged, values, case.policies) if judged else [],
        "warnings": list(judged.warnings if judged else case.status.warnings),
        "operator": _operator(case) if number == requested else None,
        "serving": serving(case.status),
        "notes": case.notes,
    }


def serving(status: ModelAliasStatus) -> list[Workload]:
    """Return the workloads that follow an alias."""
    return [
        {
            "kind": each.kind,
            "name": each.name,
            "version": each.version,
            "ready": each.ready,
            "message": each.message,
        }
        for each in status.serving
    ]


def _set_aside(case: Case, number: int) -> bool:
    generation = case.body["metadata"]["generation"] if case.body else 0
    return binding.is_set_aside(case.status, number, generation)


def _summary(case: Case, number: int, allowed: bool) -> str:
    status = case.status
    live = f"v{status.bound_version} is live" if status.bound_version else "nothing is bound"
    if number == status.bound_version:
        last = status.history[-1] if status.history else None
        since = f" since {status.bound_at:%Y-%m-%dT%H:%M:%SZ}" if status.bound_at else ""
        who = f", moved by {last.actor}" if last and last.actor else ""
        return live + since + who + (f": {last.reason}" if last and last.reason else "")
    if status.set_aside and _set_aside(case, number):
        return f"{live}, v{number} was set aside: {status.set_aside.message}"
    state = "meets all requirements" if allowed else "is blocked"
    if case.body is None or case.body["spec"]["version"] != number:
        state = "would meet all requirements" if allowed else "would be blocked"
    return f"{live}, v{number} {state}"


def _operator(case: Case) -> Operator | None:
    if case.body is None:
        return None
    status = case.status
    return {
        "current": status.observed_generation == case.body["metadata"]["generation"],
        "phase": status.phase,
        "message": status.message,
        "requirements": [_requirement(each) for each in status.requirements],
    }


def _requirement(each: RequirementStatus) -> Requirement:
    return {"policy": each.policy, "requirement": each.requirement, "met": each.met, "message": each.message}
