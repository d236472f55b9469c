"""What a verdict is made from: versions, approvals and policies as small frozen values.

They are views: made from the objects of the API, without anything that no rule asks for. ``policy_view`` makes the one
that needs thought. This module must not decide anything; the rules are in ``verdict``.
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
#: More than any clock will see; what is longer counts as this long.
LONGEST = timedelta(days=365 * 1000)


@dataclass(frozen=True)
class Approval:
    """One approval of a version. ``at`` is when it was first seen; None counts as this moment."""

    id: str
    alias: str
    digest: str
    approver: str
    comment: str = ""
    at: datetime | None = None
    #: The groups of the approver when it was given, as far as they were recorded.
    groups: tuple[str, ...] = ()
    #: Whether the approver does not hold the verb `approve` any more.
    lapsed: bool = False


@dataclass(frozen=True)
class Held:
    """A stretch of time in which an alias pointed to a version; ``until`` is None while it does."""

    alias: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class VersionView:
    """What the rules ask of a model version.

    ``metrics`` maps a metric to its summary (last, min, max, best, step); ``parameters`` a parameter to its value.
    ``held`` are the stretches of these very bytes, in any order.
    """

    name: str
    model: str
    version: int
    digest: str
    owner: str
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    #: The kinds of evidence that it has, by their names in `assay.api.evidence`.
    evidence: frozenset[str] = frozenset()
    #: Why it carries no valid signature, where that is known.
    unsigned: str = ""
    archived: bool = False
    deleting: bool = False
    held: tuple[Held, ...] = ()
    #: Whose run has made it; "" when that is not known, or no run has.
    run_owner: str = ""


@dataclass(frozen=True)
class AliasView:
    """The alias that is to point to a version."""

    model: str
    alias: str


@dataclass(frozen=True)
class Approvals:
    """How many people have to agree, whether the owner counts, and for how long an approval counts (None: for ever)."""

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
    """Which alias the version has to have held before, and how long without a break."""

    alias: str
    duration: timedelta


@dataclass(frozen=True)
class Once:
    """A freeze from ``start`` up to ``end``."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Weekly:
    """A freeze that begins on each of ``days`` (0 is Monday) at ``begin``.

    It ends at ``end`` of the same day, or of the next one when that is not later; None is midnight, the day's end.
    """

    name: str
    days: frozenset[int]
    begin: time
    end: time | None
    zone: str


@dataclass(frozen=True)
class Policy:
    """A PromotionPolicy. ``problem`` says why it cannot be read; it then keeps what it matches shut."""

    name: str
    models: tuple[str, ...] = ("*",)
    aliases: tuple[str, ...] = ("*",)
    mode: Literal["Enforce", "Warn"] = "Enforce"
    approvals: Approvals = Approvals()
    gates: tuple[Gate, ...] = ()
    #: The kinds of evidence that it requires, by their names in `assay.api.evidence`.
    evidence: frozenset[str] = evidence.DEFAULT
    soak: Soak | None = None
    freeze: tuple[Once | Weekly, ...] = ()
    problem: str = ""
    #: Which state of the object this is, and who has written it, for the record.
    generation: int = 0
    digest: str = ""
    changed_by: str = ""


@dataclass(frozen=True)
class Requirement:
    """One thing that a version needs; ``policy`` is empty when no policy asks for it."""

    policy: str
    requirement: str
    met: bool
    message: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether the alias may move, what that depends on, and when the clock alone can change the answer.

    ``requirements`` are those of Enforce policies, met or not; ``warnings`` the unmet ones of Warn policies in words.
    """

    allowed: bool
    requirements: tuple[Requirement, ...]
    warnings: tuple[str, ...] = ()
    next_change: datetime | None = None


def parse_duration(text: str) -> timedelta:
    """Return ``1d12h`` as a duration, at most a thousand years; raise ValueError for anything else."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text} is no duration such as 90m, 24h or 1d12h")
    seconds = sum(int(number) * timedelta(**{_UNITS[unit]: 1}).total_seconds() for number, unit in parts)
    return timedelta(seconds=min(seconds, LONGEST.total_seconds()))


def format_span(span: timedelta) -> str:
    """Return a duration as policies write it: ``24h``, ``2d12h``, down to seconds; days from two on."""
    seconds = max(0, int(span.total_seconds()))
    days, seconds = divmod(seconds, 86400) if seconds >= 2 * 86400 else (0, seconds)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def policy_view(name: str, spec: PromotionPolicySpec) -> Policy:
    """Return the view of a policy; what its schema could not refuse ends up in ``problem``, never in an exception."""
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
        raise ValueError(f"freeze {spec.name} is out of all bounds") from None
