"""One alias as the operator's controller moves it, step for step, with nothing around it: no API, no store, no pods."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from assay.api.modelalias import ModelAliasStatus, ServingStatus, SetAside
from assay.planning.promotion import binding
from assay.planning.promotion.binding import Move
from assay.planning.promotion.policies import Verdict

OPERATOR = "operator"


def digest(version: int) -> str:
    """Return the digest of a version's artifact: another one for each."""
    return f"sha256:{version:064x}"


@dataclass
class Alias:
    """The wish, the status, and one workload that follows. ``moves`` keeps all that ever happened, oldest first."""

    name: str = "champion"
    wanted: int = 1
    generation: int = 1
    status: ModelAliasStatus = field(default_factory=ModelAliasStatus)
    follower: ServingStatus | None = None
    #: (version, when, how).
    moves: list[tuple[int, datetime, Literal["promoted", "asked", "failed"]]] = field(default_factory=list)

    @property
    def live(self) -> int | None:
        """The version that is live."""
        return self.status.bound_version

    @property
    def is_set_aside(self) -> bool:
        """Whether the wanted version was left."""
        return binding.is_set_aside(self.status, self.wanted, self.generation)

    def want(self, version: int) -> None:
        """Write the spec anew."""
        self.wanted, self.generation = version, self.generation + 1

    def follow(self, *, works: bool) -> None:
        """Let the workload come up with what is live, or fail."""
        before = self.follower or ServingStatus(kind="Deployment", name="web")
        change = {"version": self.live, "ready": works, "failed": not works, "message": None if works else "exit 1"}
        self.follower = before.model_copy(update={**change, **({"proven": self.live} if works else {})})

    def reconcile(self, judge: Callable[[int], Verdict], may_return: Callable[[int], bool], now: datetime) -> None:
        """Do one step of ``controllers.aliases.reconcile``."""
        found = binding.way_back(self.status, [self.follower] if self.follower else [])
        if found is not None and may_return(found[1]):
            self._go_back(found[1], OPERATOR, "RolloutFailed", self.status.bound_version or self.wanted, now)
        elif self.wanted == self.live or self.is_set_aside:
            self._report(self.status, now)
        else:
            judged = judge(self.wanted)
            if judged.allowed:
                self._bind(self.wanted, "walter", now, None, "promoted")
            else:
                self._report(binding.hold(self.status, judged.requirements, judged.warnings), now)

    def roll_back(self, version: int, now: datetime) -> None:
        """Go back because somebody has asked for it."""
        self._go_back(version, "rita", "RolledBack", self.wanted, now)

    def _go_back(
        self, version: int, actor: str, reason: Literal["RolledBack", "RolloutFailed"], left: int, now: datetime
    ) -> None:
        message = f"left v{self.live} for v{version}"
        aside = SetAside(version=left, generation=self.generation, reason=reason, message=message, at=now)
        self._bind(version, actor, now, aside, "asked" if reason == "RolledBack" else "failed")

    def _bind(
        self,
        version: int,
        actor: str,
        now: datetime,
        aside: SetAside | None,
        how: Literal["promoted", "asked", "failed"],
    ) -> None:
        move = Move(version, digest(version), actor, "", now, self.generation)
        self._report(binding.bind(self.status, move, aside), now, moved=True)
        self.moves.append((version, now, how))

    def _report(self, status: ModelAliasStatus, now: datetime, *, moved: bool = False) -> None:
        followers = status.serving if moved or self.follower is None else [self.follower]
        new = binding.summarise(status, self.wanted, followers, generation=self.generation, now=now)
        # As it comes back from the API server, which refuses what its schema does not allow.
        self.status = ModelAliasStatus.model_validate(new.to_dict())
        if moved and self.follower is not None:
            # What its pods did with the version before says nothing of this one; what was never reported is not known.
            name = ServingStatus(kind=self.follower.kind, name=self.follower.name)
            self.follower = self.status.serving[0] if self.status.serving else name
