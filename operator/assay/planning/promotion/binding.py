"""The status of an alias: bound, held or rolled back, and its followers. ``verdict`` decides whether it may move."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from assay.api import names
from assay.api.modelalias import Binding, ModelAliasStatus, RequirementStatus, ServingStatus, SetAside
from assay.planning.conditions import Status, conditions, flag
from assay.planning.promotion.pointers import MAX_HISTORY
from assay.planning.promotion.policies import Requirement

MAX_FOLLOWERS = 20


@dataclass(frozen=True)
class Move:
    """One binding: the version and its digest, the actor, the reason, the time, and the generation of the spec."""

    version: int
    digest: str
    actor: str
    reason: str
    at: datetime
    generation: int


def bind(status: ModelAliasStatus, move: Move, set_aside: SetAside | None = None) -> ModelAliasStatus:
    """Return the status after a move. ``set_aside`` is the version to set aside, if the move is a rollback."""
    # If the clock was set back, this move must not precede the last one: a period would look longer than it was.
    at = max([move.at, *(each.to or each.from_ for each in status.history)])
    history = [each if each.to is not None else each.model_copy(update={"to": at}) for each in status.history]
    history.append(
        Binding(
            version=move.version,
            digest=move.digest,
            from_=at,
            actor=move.actor[:512],
            reason=move.reason[:1024] or None,
        )
    )
    return status.model_copy(
        update={
            "bound_version": move.version,
            "bound_digest": move.digest,
            "bound_generation": move.generation,
            "bound_at": at,
            "previous_version": _previous(history, move.version, set_aside),
            "bindings": status.bindings + 1,
            "set_aside": set_aside,
            "requirements": [],
            "warnings": [],
            "history": history[-MAX_HISTORY:],
            "serving": [_before_rollout(each) for each in status.serving],
        }
    )


def _previous(history: Sequence[Binding], live: int, set_aside: SetAside | None) -> int | None:
    """Return the latest earlier version that is neither live nor set aside; None if there is none."""
    left = (live, set_aside.version if set_aside else None)
    return next((each.version for each in reversed(history) if each.version not in left), None)


def _before_rollout(follower: ServingStatus) -> ServingStatus:
    """Return a follower at the start of a rollout.

    If the follower has already failed, its next failure must not cause a rollback, so it has no proven version.
    """
    proven = None if follower.failed else follower.proven
    return follower.model_copy(
        update={"ready": False, "failed": False, "blocked": False, "message": None, "proven": proven}
    )


def way_back(status: ModelAliasStatus, followers: Sequence[ServingStatus]) -> tuple[ServingStatus, int] | None:
    """Return the follower whose failure triggers a rollback, and the version to roll back to; None if there is none.

    The live version is the cause if the follower served another version before. A workload that is new or has never
    worked triggers no rollback. While a version is set aside, there is no further automatic rollback.
    """
    if status.set_aside is not None:
        return None
    for each in followers:
        if each.failed and each.proven is not None and each.proven != status.bound_version:
            return each, each.proven
    return None


def hold(
    status: ModelAliasStatus, requirements: Sequence[Requirement], warnings: Sequence[str] = ()
) -> ModelAliasStatus:
    """Return the status while the wanted version is blocked."""
    shown = [
        RequirementStatus(policy=each.policy, requirement=each.requirement, met=each.met, message=each.message[:1024])
        for each in requirements
    ]
    # The list is truncated: put unmet requirements first.
    shown.sort(key=lambda each: each.met)
    return status.model_copy(update={"requirements": shown[:100], "warnings": [text[:1024] for text in warnings][:50]})


def unmet(requirements: Sequence[RequirementStatus]) -> str:
    """Return the messages of the unmet requirements as one text."""
    missing = [
        f"{each.policy}: {each.message}" if each.policy else each.message for each in requirements if not each.met
    ]
    return "; ".join(missing)


def is_set_aside(status: ModelAliasStatus, version: int, generation: int) -> bool:
    """Whether the wanted version is set aside and the spec has not changed since."""
    aside = status.set_aside
    return aside is not None and (aside.version, aside.generation) == (version, generation)


def summarise(
    status: ModelAliasStatus,
    wanted: int,
    followers: Sequence[ServingStatus],
    *,
    generation: int,
    now: datetime,
) -> ModelAliasStatus:
    """Return the status with phase, message and conditions. ``followers`` is the current state of the workloads."""
    new = status.model_copy(update={"serving": list(followers)[:MAX_FOLLOWERS], "observed_generation": generation})
    facts = _Facts(new, wanted, generation)
    if not facts.is_held and new.requirements:
        # They belong to a version that is no longer wanted. The warnings of a binding come without requirements.
        new = new.model_copy(update={"requirements": [], "warnings": []})
    flags: dict[str, tuple[Status, str, str]] = {
        names.READY: facts.ready(),
        names.BOUND: facts.bound(),
        names.HELD: facts.held(),
        names.DEGRADED: facts.degraded(),
    }
    return new.model_copy(
        update={
            "phase": facts.phase(),
            "message": facts.message()[:4000] or None,
            "conditions": conditions(status.conditions, flags, generation, now),
        }
    )


class _Facts:
    """The facts behind the phase, the message and the conditions."""

    def __init__(self, status: ModelAliasStatus, wanted: int, generation: int) -> None:
        self.status, self.wanted = status, wanted
        self.live = status.bound_version
        self.aside = status.set_aside if is_set_aside(status, wanted, generation) and self.live != wanted else None
        self.failing = [each for each in status.serving if each.failed]
        self.blocked = [each for each in status.serving if each.blocked]
        self.waiting = [each for each in status.serving if not each.ready and not each.failed and not each.blocked]

    @property
    def troubled(self) -> list[ServingStatus]:
        """The workloads that explain why the alias is not served: failed and blocked ones, else pending ones."""
        return self.failing + self.blocked or self.waiting

    @property
    def is_held(self) -> bool:
        return self.live != self.wanted and self.aside is None

    @property
    def trouble(self) -> str:
        """The reason for the condition Degraded."""
        return names.CANNOT_SERVE if self.blocked and not self.failing else names.ROLLOUT_FAILED

    def phase(self) -> str:
        if self.failing or self.blocked or (self.aside is not None and self.aside.reason == names.ROLLOUT_FAILED):
            return "Degraded"
        if self.is_held:
            return "Held"
        return "Bound" if self.live is not None else "Pending"

    def message(self) -> str:
        parts = []
        if self.aside is not None:
            parts.append(self.aside.message)
        elif self.is_held:
            parts.append(f"v{self.wanted} is blocked: {unmet(self.status.requirements) or 'not judged yet'}")
        parts += [f"{each.kind} {each.name}: {each.message}" for each in self.troubled if each.message]
        return "; ".join(parts)

    def bound(self) -> tuple[Status, str, str]:
        if self.live is None:
            return flag(False, names.NOTHING_BOUND, self.message())
        if self.live == self.wanted:
            return flag(not self.blocked, names.CANNOT_SERVE if self.blocked else names.REQUIREMENTS_MET, self.served())
        return flag(False, self.aside.reason if self.aside else names.REQUIREMENTS_UNMET, self.message())

    def served(self) -> str:
        """Return a message on how many workloads serve the bound version: a binding alone serves nothing."""
        if not self.troubled:
            return f"v{self.live} is live"
        ready = sum(each.ready for each in self.status.serving)
        return f"the alias points to v{self.live}, which {ready} of {len(self.status.serving)} workloads serve"

    def held(self) -> tuple[Status, str, str]:
        if self.is_held:
            missing = any(each.requirement == "version" for each in self.status.requirements)
            return flag(True, names.VERSION_MISSING if missing else names.REQUIREMENTS_UNMET, self.message())
        return flag(False, self.aside.reason if self.aside else names.REQUIREMENTS_MET, "")

    def degraded(self) -> tuple[Status, str, str]:
        if self.phase() == "Degraded":
            return flag(True, self.trouble, self.message())
        return flag(False, names.SERVING if self.status.serving else names.NOTHING_FOLLOWS, "")

    def ready(self) -> tuple[Status, str, str]:
        """Return Ready as kstatus and Argo CD define it: the wanted version is live, and all followers serve it."""
        if self.live is None or self.is_held:
            return flag(False, self.held()[1], self.message())
        if self.phase() == "Degraded":
            return flag(False, self.trouble, self.message())
        if self.waiting:
            return flag(False, names.ROLLOUT_IN_PROGRESS, self.message())
        if self.aside is not None:
            return flag(True, self.aside.reason, self.message())
        return flag(True, names.SERVING if self.status.serving else names.NOTHING_FOLLOWS, f"v{self.live} is live")


def failure_of(status: ModelAliasStatus, version: int) -> str:
    """Return why a version failed when the alias pointed to it last; "" if it did not. For people; decides nothing."""
    after = [new for old, new in itertools.pairwise(status.history) if old.version == version]
    reason = (after[-1].reason or "") if after else ""
    return reason if reason.startswith(f"v{version} failed in ") else ""
