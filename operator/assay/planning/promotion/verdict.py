"""Policies × version → verdict: whether an alias may point to a version now, and if not, what is missing.

Pure, total and deterministic: the same views at the same time give the same verdict, and every policy gives a verdict.
If a rule cannot be evaluated, the version fails it. docs/policies.md has the rules and all messages. This module must
not know where the views come from. Callers must not cache a verdict: it is valid only at ``now``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from assay.api import evidence
from assay.api.evidence import EvidenceKind
from assay.api.numbers import of_json
from assay.planning.promotion import expressions, windows
from assay.planning.promotion.policies import (
    AliasView,
    Approval,
    Approvals,
    Gate,
    Held,
    Once,
    Policy,
    Requirement,
    Soak,
    Verdict,
    VersionView,
    Weekly,
    format_span,
)

VARIABLES = ("candidate", "current")
_DEFAULT = Approvals(required=1, exclude_owner=True)
_MAX_MESSAGE = 1000


def evaluate(
    alias: AliasView,
    candidate: VersionView,
    current: VersionView | None,
    policies: Sequence[Policy],
    now: datetime,
    *,
    open_by_default: bool = False,
) -> Verdict:
    """Return whether ``alias`` may point to ``candidate`` at ``now`` (an aware time).

    ``current`` is the live version; None if nothing is bound. ``policies`` are all policies of the namespace, matching
    or not. With ``open_by_default``, an alias that no Enforce policy matches needs no approval.
    """
    case = _Case(alias, candidate, current, now)
    found = list(_version(alias, candidate))
    warned: list[_Finding] = []
    matching = sorted((policy for policy in policies if matches(policy, alias)), key=lambda policy: policy.name)
    for policy in matching:
        (found if policy.mode == "Enforce" else warned).extend(_policy(policy, case))
    if not open_by_default and not any(policy.mode == "Enforce" for policy in matching):
        found.append(_approvals("", _DEFAULT, case))
    changes = [finding.next_change for finding in (*found, *warned) if finding.next_change is not None]
    return Verdict(
        allowed=all(finding.met for finding in found),
        requirements=tuple(
            Requirement(each.policy, each.requirement, each.met, each.message[:_MAX_MESSAGE]) for each in found
        ),
        warnings=tuple(f"{each.policy}: {each.message}"[:_MAX_MESSAGE] for each in warned if not each.met),
        next_change=min(changes, default=None),
    )


def evaluate_rollback(alias: AliasView, candidate: VersionView) -> Verdict:
    """Return whether ``alias`` may roll back to ``candidate``: it must have pointed to these bytes before.

    Policies do not apply: a rollback must work during a freeze and with expired approvals. The checks of the version
    itself still apply.
    """
    requirements = [Requirement("", each.requirement, each.met, each.message) for each in _version(alias, candidate)]
    held = any(stretch.alias == alias.alias for stretch in candidate.held)
    message = "" if held else f"{candidate.name} has never been live in {alias.alias}, so this is not a rollback"
    requirements.append(Requirement("", "rollback", held, message))
    return Verdict(all(each.met for each in requirements), tuple(requirements))


def matches(policy: Policy, alias: AliasView) -> bool:
    """Return whether the policy matches the alias: one glob matches the model, and one matches the alias's name."""
    return any(_glob(glob, alias.model) for glob in policy.models) and any(
        _glob(glob, alias.alias) for glob in policy.aliases
    )


def problems(policy: Policy) -> list[str]:
    """Return the errors in the policy, each with its position, for the policy's condition."""
    found = [policy.problem] if policy.problem else []
    for gate in policy.gates:
        try:
            expressions.compile(gate.expression, VARIABLES)
        except expressions.ExpressionError as error:
            found.append(f"gate {gate.name}: {error}")
    for window in policy.freeze:
        try:
            windows.check(window)
        except windows.UnknownZone as error:
            found.append(f"freeze {window.name}: {error}")
    return found


@dataclass(frozen=True)
class _Finding:
    policy: str
    requirement: str
    met: bool
    message: str = ""
    next_change: datetime | None = None


class _Case:
    """The input of one verdict. The values for gates are computed once, when the first gate needs them."""

    def __init__(self, alias: AliasView, candidate: VersionView, current: VersionView | None, now: datetime) -> None:
        self.alias, self.candidate, self.current, self.now = alias, candidate, current, now.astimezone(UTC)
        self._values: expressions.Values | None = None

    @property
    def values(self) -> expressions.Values:
        if self._values is None:
            current = None if self.current is None else gate_values(self.current)
            self._values = expressions.Values({"candidate": gate_values(self.candidate), "current": current})
        return self._values


def gate_values(version: VersionView) -> dict[str, Any]:
    """Return the fields of a version for gates: all numbers in metrics are floats (also steps); no unknown values."""
    return {
        "name": version.name,
        "model": version.model,
        "version": version.version,
        "digest": version.digest,
        "owner": version.owner,
        "metrics": {
            metric: {key: of_json(value) for key, value in summary.items() if value is not None}
            for metric, summary in version.metrics.items()
        },
        "parameters": version.parameters,
    }


def _version(alias: AliasView, candidate: VersionView) -> Iterator[_Finding]:
    """Yield the reasons that block a version regardless of policies."""
    if candidate.model != alias.model:
        yield _Finding("", "version/model", False, f"{candidate.name} is not a version of {alias.model}")
    if candidate.archived:
        yield _Finding("", "version/archived", False, f"{candidate.name} is archived")
    if candidate.deleting:
        yield _Finding("", "version/deleting", False, f"{candidate.name} is being deleted")
    if not candidate.digest:
        yield _Finding("", "version/digest", False, f"{candidate.name} has no artifact digest")


def _policy(policy: Policy, case: _Case) -> Iterator[_Finding]:
    if policy.problem:
        yield _Finding(policy.name, "policy", False, f"the policy cannot be read: {policy.problem}")
        return
    yield _approvals(policy.name, policy.approvals, case)
    for gate in policy.gates:
        yield _gate(policy.name, gate, case)
    for kind in evidence.KINDS:
        if kind.name in policy.evidence:
            yield _evidence(policy.name, kind, case.candidate)
    if policy.soak is not None:
        yield _soak(policy.name, policy.soak, case)
    for window in policy.freeze:
        yield _freeze(policy.name, window, case.now)


def _evidence(policy: str, kind: EvidenceKind, candidate: VersionView) -> _Finding:
    why = candidate.unsigned if kind.name == evidence.SIGNED else ""
    message = f"{kind.unmet}: {why}" if why else kind.unmet
    met = kind.name in candidate.evidence
    return _Finding(policy, f"evidence/{kind.name}", met, "" if met else message)


# Approvals


def _approvals(policy: str, rule: Approvals, case: _Case) -> _Finding:
    alias, version = case.alias.alias, case.candidate
    given = [approval for approval in version.approvals if approval.alias == alias and approval.approver]
    if rule.exclude_owner and not version.owner and rule.required:
        message = f"{version.name} has no owner, so approvals cannot be checked against the owner"
        return _Finding(policy, "approvals", False, message)
    judged = [(approval, _ignored(approval, rule, case)) for approval in given]
    valid = [approval for approval, reason in judged if not reason]
    people = sorted({approval.approver for approval in valid})
    change = _expiry(valid, rule, case.now)
    if len(people) >= rule.required:
        message = f"{len(people)} of {rule.required} approvals for {alias}: {', '.join(people)}" if people else ""
        return _Finding(policy, "approvals", True, message, change)
    reasons = sorted({reason for approval, reason in judged if reason and approval.approver not in people})
    return _Finding(policy, "approvals", False, _needs(len(people), rule.required, alias, reasons), change)


def _ignored(approval: Approval, rule: Approvals, case: _Case) -> str:
    """Return why the approval does not count; "" if it does."""
    if approval.digest != case.candidate.digest:
        return f"{approval.approver}'s approval is for other bytes"
    if rule.exclude_owner and approval.approver == case.candidate.owner:
        return "the owner's approval does not count"
    if rule.exclude_owner and approval.approver == case.candidate.run_owner:
        return "the approval of the run's owner does not count"
    if approval.lapsed:
        return f"{approval.approver} no longer holds the verb approve"
    end = _end(approval, rule)
    if end is not None and end <= case.now:
        return f"{approval.approver}'s approval expired at {_time(end)}"
    return ""


def _end(approval: Approval, rule: Approvals) -> datetime | None:
    if rule.expire_after is None or approval.at is None:
        return None
    return _plus(approval.at, rule.expire_after)


def _expiry(valid: Iterable[Approval], rule: Approvals, now: datetime) -> datetime | None:
    ends = [_plus(approval.at or now, rule.expire_after) for approval in valid if rule.expire_after is not None]
    return min((end for end in ends if end > now), default=None)


def _needs(count: int, required: int, alias: str, reasons: list[str]) -> str:
    missing = required - count
    text = f"needs {missing} more approval{'s' if missing > 1 else ''} for {alias}: has {count} of {required}"
    return "; ".join([text, *reasons[:5]])


# Gates


def _gate(policy: str, gate: Gate, case: _Case) -> _Finding:
    name = f"gate/{gate.name}"
    try:
        expression = expressions.compile(gate.expression, VARIABLES)
    except expressions.ExpressionError as error:
        return _Finding(policy, name, False, f"gate {gate.name} cannot be read: {error}")
    outcome = expression.evaluate(case.values)
    if outcome.value:
        return _Finding(policy, name, True)
    if outcome.null == "current":
        reason = (
            f"nothing is bound to {case.alias.alias} yet; begin a gate that compares with the live version with "
            "current == null ||"
        )
    elif outcome.value is None:
        reason = cut(outcome, case.candidate.metrics_omitted)
    else:
        reason = expression.shown(case.values) or f"{gate.expression} is false"
    return _Finding(policy, name, False, f"{gate.message or f'gate {gate.name} is not met'}: {reason}")


def cut(outcome: expressions.Outcome, omitted: int) -> str:
    """Return the message of a failed evaluation, which says that not all metrics of the run are known here."""
    if omitted and outcome.lacks_metric:
        return f"{outcome.message}; {omitted} more metrics are in the run's record only, not in its status"
    return outcome.message


# Time


def _soak(policy: str, soak: Soak, case: _Case) -> _Finding:
    """Judge the longest uninterrupted period: several short periods do not add up to a long one."""
    stretches = [stretch for stretch in case.candidate.held if stretch.alias == soak.alias]
    ends = [(_plus(stretch.since, soak.duration), stretch) for stretch in stretches]
    enough = [(end, stretch) for end, stretch in ends if stretch.until is None or end <= stretch.until]
    needed = format_span(soak.duration)
    if any(end <= case.now for end, _ in enough):
        return _Finding(policy, "soak", True, f"has been live in {soak.alias} for {needed}")
    message = f"must have been live in {soak.alias} for {needed} without interruption"
    if enough:
        end, stretch = min(enough, key=lambda each: each[0])
        since = f"live since {_time(stretch.since)}, long enough at {_time(end)}"
        return _Finding(policy, "soak", False, f"{message}: {since}", end)
    if not stretches:
        return _Finding(policy, "soak", False, f"{message}: it has never been live there")
    longest = max(_length(stretch, case.now) for stretch in stretches)
    most = f"its longest stretch was {format_span(longest)}, and it is not live there now"
    return _Finding(policy, "soak", False, f"{message}: {most}")


def _length(stretch: Held, now: datetime) -> timedelta:
    end = now if stretch.until is None else min(now, stretch.until)
    return max(timedelta(), end - stretch.since)


def _freeze(policy: str, window: Once | Weekly, now: datetime) -> _Finding:
    name = f"freeze/{window.name}"
    try:
        state = windows.state(window, now)
    except windows.UnknownZone as error:
        return _Finding(policy, name, False, f"freeze {window.name} cannot be read: {error}")
    if not state.frozen:
        return _Finding(policy, name, True, "", state.next_change)
    until = f"until {_time(state.until)}" if state.until else "without end"
    return _Finding(policy, name, False, f"frozen by {window.name} {until}", state.next_change)


def _plus(moment: datetime, span: timedelta) -> datetime:
    try:
        return moment.astimezone(UTC) + span
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=65536)
def _glob(glob: str, text: str) -> bool:
    """Return whether the text matches. Only ``*`` and ``?`` are wildcards; ``fnmatch`` also has character sets."""
    return fnmatchcase(text, glob.replace("[", "[[]"))
