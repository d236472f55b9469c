"""The input of a verdict: versions, approvals and policies as small frozen values.

They are views of API objects, with only the fields that the rules need. ``policy_view`` builds the view of a policy.
This module must not decide anything; the rules are in ``verdict``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

from assay.api import evidence
from assay.api.promotionpolicy import Freeze as FreezeSpec
from assay.api.promotionpolicy import PromotionPolicySpec

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"([0-9]+)([smhdw])")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: Maximum duration: longer ones are cut to it.
LONGEST = timedelta(days=365 * 1000)


@dataclass(frozen=True)
class Approval:
    """One approval of a version. ``at`` is when it was first seen; None means now."""

    id: str
    alias: str
    digest: str
    approver: str
    comment: str = ""
    at: datetime | None = None
    #: The approver's groups when the approval was given, if recorded.
    groups: tuple[str, ...] = ()
    #: Whether the approver no longer holds the verb `approve`.
    lapsed: bool = False


@dataclass(frozen=True)
class Held:
    """A period in which an alias pointed to a version; ``until`` is None while it still does."""

    alias: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class VersionView:
    """The fields of a model version that the rules need.

    ``metrics`` maps a metric to its summary (last, min, max, best, step). ``parameters`` maps a parameter to its value.
    ``held`` are the periods in which an alias pointed to exactly these bytes, in any order.
    """

    name: str
    model: str
    version: int
    digest: str
    owner: str
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    #: Number of metrics of the run that ``metrics`` lacks, because there was no room for them.
    metrics_omitted: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    #: The kinds of evidence that the version has, by their names in `assay.api.evidence`.
    evidence: frozenset[str] = frozenset()
    #: Why the version has no valid signature, if known.
    unsigned: str = ""
    archived: bool = False
    deleting: bool = False
    held: tuple[Held, ...] = ()
    #: The owner of the run that produced the version; "" if unknown or not from a run.
    run_owner: str = ""


@dataclass(frozen=True)
class AliasView:
    """The alias to move."""

    model: str
    alias: str


@dataclass(frozen=True)
class Approvals:
    """How many people must approve, whether the owner is excluded, and when an approval expires (None: never)."""

    required: int = 1
    exclude_owner: bool = True
    expire_after: timedelta | None = None


@dataclass(frozen=True)
class Gate:
    """A CEL expression over ``candidate`` and ``current``."""

    name: str
    expression: str
    message: str = ""


@dataclass(frozen=True)
class Soak:
    """The alias that must have pointed to the version before, and for how long without interruption."""

    alias: str
    duration: timedelta


@dataclass(frozen=True)
class Once:
    """A freeze from ``start`` (inclusive) to ``end`` (exclusive)."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Weekly:
    """A freeze that begins on each of ``days`` (0 is Monday) at ``begin``.

    It ends at ``end`` on the same day, or on the next day if ``end`` is not later than ``begin``. None is midnight at
    the end of the day.
    """

    name: str
    days: frozenset[int]
    begin: time
    end: time | None
    zone: str


@dataclass(frozen=True)
class Policy:
    """A PromotionPolicy. If it is invalid, ``problem`` says why, and matching aliases stay blocked."""

    name: str
    models: tuple[str, ...] = ("*",)
    aliases: tuple[str, ...] = ("*",)
    mode: Literal["Enforce", "Warn"] = "Enforce"
    approvals: Approvals = Approvals()
    gates: tuple[Gate, ...] = ()
    #: The kinds of evidence that the policy requires, by their names in `assay.api.evidence`.
    evidence: frozenset[str] = evidence.DEFAULT
    soak: Soak | None = None
    freeze: tuple[Once | Weekly, ...] = ()
    problem: str = ""
    #: The object's generation, the digest of its spec and its last writer, for the audit trail.
    generation: int = 0
    digest: str = ""
    changed_by: str = ""


@dataclass(frozen=True)
class Requirement:
    """One requirement of a version; ``policy`` is "" if it comes from no policy."""

    policy: str
    requirement: str
    met: bool
    message: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether the alias may move, why, and when the verdict can next change without a change of any object.

    ``requirements`` are those that block the alias, met or not. ``warnings`` are the messages of the unmet ones in Warn
    policies.
    """

    allowed: bool
    requirements: tuple[Requirement, ...]
    warnings: tuple[str, ...] = ()
    next_change: datetime | None = None


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as ``1d12h``, limited to a thousand years. Raises ValueError if it is invalid."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text} is not a duration such as 90m, 24h or 1d12h")
    seconds = sum(int(number) * timedelta(**{_UNITS[unit]: 1}).total_seconds() for number, unit in parts)
    return timedelta(seconds=min(seconds, LONGEST.total_seconds()))


def format_span(span: timedelta) -> str:
    """Return a duration as policies write it: ``24h``, ``2d12h``. The precision is a second; days start at two."""
    seconds = max(0, int(span.total_seconds()))
    days, seconds = divmod(seconds, 86400) if seconds >= 2 * 86400 else (0, seconds)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def policy_view(name: str, spec: PromotionPolicySpec) -> Policy:
    """Return the view of a policy. Errors that its schema does not catch go into ``problem``; this never raises."""
    empty = Policy(name, tuple(spec.match.models), tuple(spec.match.aliases), spec.mode)
    approvals = spec.approvals
    try:
        expiry = approvals.expire_after
        return replace(
            empty,
            approvals=Approvals(
                approvals.required, approvals.exclude_owner, None if expiry is None else parse_duration(expiry)
            ),
            gates=tuple(Gate(gate.name, gate.expression, gate.message or "") for gate in spec.gates),
            evidence=frozenset(name for name, required in spec.evidence.model_dump().items() if required),
            soak=None if spec.soak is None else Soak(spec.soak.alias, parse_duration(spec.soak.duration)),
            freeze=tuple(_freeze(freeze) for freeze in spec.freeze),
        )
    except ValueError as error:
        return replace(empty, problem=str(error))


def _freeze(spec: FreezeSpec) -> Once | Weekly:
    weekly = spec.weekly
    if weekly is not None:
        days = frozenset(DAYS.index(day) for day in weekly.days)
        if weekly.from_ == weekly.to or weekly.from_ == "24:00":
            raise ValueError(f"freeze {spec.name} is from {weekly.from_} to {weekly.to}")
        end = None if weekly.to == "24:00" else time.fromisoformat(weekly.to)
        return Weekly(spec.name, days, time.fromisoformat(weekly.from_), end, weekly.time_zone)
    if spec.start is None or spec.end is None:
        raise ValueError(f"freeze {spec.name} has neither weekly nor start and end")
    if spec.start.tzinfo is None or spec.end.tzinfo is None:
        raise ValueError(f"freeze {spec.name} has a time without a time zone")
    try:
        return Once(spec.name, spec.start.astimezone(UTC), spec.end.astimezone(UTC))
    except OverflowError:
        raise ValueError(f"freeze {spec.name} is out of range") from None
