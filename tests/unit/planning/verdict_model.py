"""The rules of docs/policies.md once more: slow, obvious, and written without a look at the verdict function."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from assay.planning.promotion.policies import AliasView, Approvals, Once, Policy, VersionView, Weekly

#: Gates, and what they mean. ``c`` is the candidate, ``x`` the live version or None.
GATES = {
    "candidate.metrics.f1.last >= 0.5": lambda c, x: "f1" in c.metrics and c.metrics["f1"]["last"] >= 0.5,
    "candidate.metrics.f1.last >= current.metrics.f1.last": lambda c, x: (
        x is not None and "f1" in c.metrics and "f1" in x.metrics and c.metrics["f1"]["last"] >= x.metrics["f1"]["last"]
    ),
    "current == null || candidate.version > current.version": lambda c, x: x is None or c.version > x.version,
    "!has(candidate.metrics.f1)": lambda c, x: "f1" not in c.metrics,
    "candidate.metrics.f1.last >": lambda c, x: False,
    "true": lambda c, x: True,
}


def allowed(
    alias: AliasView,
    candidate: VersionView,
    current: VersionView | None,
    policies: list[Policy],
    now: datetime,
    open_by_default: bool,
) -> bool:
    if candidate.model != alias.model or candidate.archived or candidate.deleting or candidate.digest == "":
        return False
    enforced = [policy for policy in policies if policy.mode == "Enforce" and about(policy, alias)]
    if not enforced:
        return open_by_default or approved(Approvals(required=1, exclude_owner=True), alias, candidate, now)
    return all(satisfied(policy, alias, candidate, current, now) for policy in enforced)


def about(policy: Policy, alias: AliasView) -> bool:
    return some(policy.models, alias.model) and some(policy.aliases, alias.alias)


def some(globs: tuple[str, ...], name: str) -> bool:
    for glob in globs:
        pattern = "^"
        for letter in glob:
            pattern += ".*" if letter == "*" else "." if letter == "?" else re.escape(letter)
        if re.search(pattern + r"\Z", name):
            return True
    return False


def satisfied(
    policy: Policy, alias: AliasView, candidate: VersionView, current: VersionView | None, now: datetime
) -> bool:
    if policy.problem:
        return False
    if not approved(policy.approvals, alias, candidate, now):
        return False
    for gate in policy.gates:
        if not GATES[gate.expression](candidate, current):
            return False
    if "reproducible" in policy.evidence and "reproducible" not in candidate.evidence:
        return False
    if "artifactVerified" in policy.evidence and "artifactVerified" not in candidate.evidence:
        return False
    if "provenanceVerified" in policy.evidence and "provenanceVerified" not in candidate.evidence:
        return False
    if "signed" in policy.evidence and "signed" not in candidate.evidence:
        return False
    if policy.soak and not soaked(policy.soak.alias, policy.soak.duration, candidate, now):
        return False
    return not any(frozen(window, now) for window in policy.freeze)


def approved(rule: Approvals, alias: AliasView, candidate: VersionView, now: datetime) -> bool:
    people = set()
    for approval in candidate.approvals:
        if approval.alias != alias.alias:
            continue
        if approval.digest != candidate.digest:
            continue
        if approval.approver == "":
            continue
        if rule.exclude_owner and (candidate.owner == "" or approval.approver == candidate.owner):
            continue
        if rule.expire_after is not None and approval.at is not None and now - approval.at >= rule.expire_after:
            continue
        people.add(approval.approver)
    return len(people) >= rule.required


def soaked(alias: str, duration: timedelta, candidate: VersionView, now: datetime) -> bool:
    return any(
        (now if stretch.until is None or stretch.until > now else stretch.until) - stretch.since >= duration
        for stretch in candidate.held
        if stretch.alias == alias
    )


def frozen(window: Once | Weekly, now: datetime) -> bool:
    if isinstance(window, Once):
        return window.start <= now < window.end
    return on_the_wall(window, now.astimezone(ZoneInfo(window.zone)).replace(tzinfo=None)) or skipped(window, now)


def on_the_wall(window: Weekly, wall: datetime) -> bool:
    begins_today = wall.weekday() in window.days
    began_yesterday = (wall.weekday() - 1) % 7 in window.days
    if window.end is None:
        return begins_today and wall.time() >= window.begin
    if window.begin < window.end:
        return begins_today and window.begin <= wall.time() < window.end
    return (begins_today and wall.time() >= window.begin) or (began_yesterday and wall.time() < window.end)


def skipped(window: Weekly, now: datetime) -> bool:
    """Whether no clock has shown any minute of a window, and it would be now if the clocks had not been put forward."""
    if window.end is None or window.end <= window.begin:
        return False
    zone = ZoneInfo(window.zone)
    for day in (-1, 0, 1):
        date = now.astimezone(zone).date() + timedelta(days=day)
        if date.weekday() not in window.days:
            continue
        begin, end = datetime.combine(date, window.begin), datetime.combine(date, window.end)
        minutes = int((end - begin) / timedelta(minutes=1))
        shown = [begin + timedelta(minutes=minute) for minute in range(minutes) if exists(begin, minute, zone)]
        start = begin.replace(tzinfo=zone).timestamp()
        if not shown and start <= now.timestamp() < start + minutes * 60:
            return True
    return False


def exists(begin: datetime, minute: int, zone: ZoneInfo) -> bool:
    wall = (begin + timedelta(minutes=minute)).replace(tzinfo=zone)
    return wall.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None)
