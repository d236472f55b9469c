import itertools
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from assay.api.modelalias import ModelAliasStatus, ServingStatus, SetAside
from assay.planning.promotion import binding
from assay.planning.promotion.binding import MAX_FOLLOWERS, MAX_HISTORY, Move
from assay.planning.promotion.policies import Requirement, Verdict
from tests.unit.planning.alias import Alias, digest
from tests.unit.planning.objects import NOW

pytestmark = pytest.mark.unit

ALLOWED = Verdict(True, ())


def at(minutes: int) -> datetime:
    return NOW + timedelta(minutes=minutes)


def move(version: int, minutes: int = 0, **fields: Any) -> Move:
    values: dict[str, Any] = {"actor": "walter", "reason": "", "generation": 1, **fields}
    return Move(version, digest(version), at=at(minutes), **values)


def bound(*versions: int, status: ModelAliasStatus | None = None) -> ModelAliasStatus:
    """Return the status after one binding a minute."""
    status = status or ModelAliasStatus()
    for minutes, version in enumerate(versions):
        status = binding.bind(status, move(version, minutes))
    return status


def aside(version: int, generation: int = 1, reason: Literal["RolledBack", "RolloutFailed"] = "RolledBack") -> SetAside:
    return SetAside(version=version, generation=generation, reason=reason, message=f"left v{version}", at=NOW)


def follower(name: str = "web", **fields: Any) -> ServingStatus:
    return ServingStatus(kind="Deployment", name=name, **fields)


def told(
    status: ModelAliasStatus, wanted: int, *followers: ServingStatus, generation: int = 1
) -> tuple[ModelAliasStatus, dict[str, tuple[str, str, str]]]:
    """Return the status as it is reported, and its conditions by type."""
    new = binding.summarise(status, wanted, followers, generation=generation, now=NOW)
    return new, {each.type: (each.status, each.reason, each.message) for each in new.conditions}


# A move


def test_a_binding_records_version_time_and_previous_version() -> None:
    status = bound(1, 2)
    assert (status.bound_version, status.bound_digest, status.bound_at) == (2, digest(2), at(1))
    assert (status.previous_version, status.bindings, status.set_aside) == (1, 2, None)
    first, second = status.history
    assert (first.version, first.from_, first.to) == (1, at(0), at(1))
    assert (second.version, second.from_, second.to, second.actor) == (2, at(1), None, "walter")


def test_an_alias_remembers_its_newest_bindings_and_counts_all() -> None:
    status = bound(*range(1, 31))
    assert [each.version for each in status.history] == list(range(31 - MAX_HISTORY, 31))
    assert (status.bindings, status.previous_version) == (30, 29)


def test_rebinding_the_live_version_keeps_the_previous_version() -> None:
    assert bound(1, 2, 2).previous_version == 1
    assert bound(1, 1).previous_version is None


def test_a_clock_set_back_neither_extends_nor_overlaps_live_periods() -> None:
    """A binding that looked a day old would have soaked for a day as soon as the clock is right again."""
    status = binding.bind(bound(1, 2), move(1, -24 * 60))
    spans = [(each.version, each.from_, each.to) for each in status.history]
    assert spans == [(1, at(0), at(1)), (2, at(1), at(1)), (1, at(1), None)]
    assert status.bound_at == at(1)


def test_long_actors_and_reasons_fit_into_the_status() -> None:
    status = binding.bind(ModelAliasStatus(), move(1, actor="a" * 2000, reason="r" * 5000))
    ModelAliasStatus.model_validate(status.to_dict())
    assert binding.bind(ModelAliasStatus(), move(1)).history[0].reason is None


def test_a_binding_forgets_what_was_missing_and_what_its_followers_did() -> None:
    status = binding.hold(bound(1), [Requirement("p", "approvals", False, "needs 1 more")], ["w"])
    failing = follower(failed=True, message="exit 1", version=1)
    status = bound(2, status=status.model_copy(update={"serving": [failing, follower("api", ready=True, proven=1)]}))
    assert (status.requirements, status.warnings) == ([], [])
    assert [(each.ready, each.failed, each.message) for each in status.serving] == [(False, False, None)] * 2


# The way back


def test_a_version_that_breaks_a_working_follower_is_rolled_back() -> None:
    failing = follower(failed=True, proven=1, version=2)
    assert binding.way_back(bound(1, 2), [follower("api"), failing]) == (failing, 1)


@pytest.mark.parametrize(
    "innocent",
    [
        follower(failed=True, version=2),
        follower(failed=True, version=2, proven=2),
        follower(failed=False, version=2, proven=1),
        follower(ready=True, version=2, proven=2),
    ],
    ids=["never worked", "worked with this one", "does not fail", "works"],
)
def test_other_follower_states_do_not_trigger_a_rollback(innocent: ServingStatus) -> None:
    assert binding.way_back(bound(1, 2), [innocent]) is None


def test_a_follower_that_already_failed_does_not_trigger_a_rollback() -> None:
    status = bound(1).model_copy(update={"serving": [follower(failed=True, proven=1, version=1)]})
    status = bound(2, status=status)
    assert binding.way_back(status, [status.serving[0].model_copy(update={"failed": True})]) is None


def test_a_version_reached_by_rollback_is_not_rolled_back_automatically() -> None:
    status = binding.bind(bound(1, 2), move(1, 9), aside(2, reason="RolloutFailed"))
    assert binding.way_back(status, [follower(failed=True, proven=2, version=1)]) is None


# What is said


def test_an_alias_that_was_never_bound_is_blocked() -> None:
    status, said = told(ModelAliasStatus(), 1)
    assert (status.phase, status.message) == ("Held", "v1 is blocked: not judged yet")
    assert {kind: found[:2] for kind, found in said.items()} == {
        "Ready": ("False", "RequirementsUnmet"),
        "Bound": ("False", "NothingBound"),
        "Held": ("True", "RequirementsUnmet"),
        "Degraded": ("False", "NothingFollows"),
    }


def test_a_blocked_alias_reports_unmet_requirements_and_their_policies() -> None:
    requirements = [
        Requirement("quality", "gate/f1", True, "fine"),
        Requirement("quality", "approvals", False, "needs 1 more approval"),
        Requirement("", "version/archived", False, "digits.v2 is archived"),
    ]
    status, said = told(binding.hold(bound(1), requirements), 2)
    words = "v2 is blocked: quality: needs 1 more approval; digits.v2 is archived"
    assert (status.phase, status.message) == ("Held", words)
    assert [each.met for each in status.requirements] == [False, False, True]
    assert said["Held"] == ("True", "RequirementsUnmet", words)
    assert said["Bound"] == ("False", "RequirementsUnmet", words)
    assert said["Ready"][0] == "False"


def test_a_missing_version_is_reported_as_missing() -> None:
    _, said = told(binding.hold(bound(1), [Requirement("", "version", False, "there is no digits.v2")]), 2)
    assert said["Held"][:2] == ("True", "VersionMissing")
    assert said["Ready"][:2] == ("False", "VersionMissing")


def test_an_alias_at_its_requested_version_is_ready() -> None:
    status, said = told(bound(1), 1)
    assert (status.phase, status.message) == ("Bound", None)
    assert said["Ready"] == ("True", "NothingFollows", "v1 is live")
    assert said["Bound"][0] == "True"
    assert (said["Held"][0], said["Degraded"][0]) == ("False", "False")
    _, said = told(bound(1), 1, follower(ready=True, version=1))
    assert said["Ready"][1] == said["Degraded"][1] == "Serving"


def test_requirements_are_cleared_when_the_version_is_no_longer_requested() -> None:
    status, _ = told(binding.hold(bound(1), [Requirement("p", "soak", False, "it never has")], ["w: no"]), 2)
    assert status.requirements
    assert status.warnings
    status, said = told(status, 1, generation=2)
    assert (status.phase, status.requirements, status.warnings) == ("Bound", [], [])
    assert said["Ready"][0] == "True"


def test_the_warnings_of_what_is_live_stay() -> None:
    status = bound(1).model_copy(update={"warnings": ["w: no"]})
    assert told(status, 1)[0].warnings == ["w: no"]


def test_a_running_rollout_is_not_ready_and_reports_its_progress() -> None:
    status, said = told(bound(1), 1, follower(message="1 of 2 pods ready"), follower("api", ready=True))
    assert (status.phase, status.message) == ("Bound", "Deployment web: 1 of 2 pods ready")
    assert said["Ready"][:2] == ("False", "RolloutInProgress")


def test_an_alias_with_a_blocked_workload_is_degraded() -> None:
    blocked = follower(version=1, blocked=True, message="the API server refuses what is to be set")
    status, said = told(bound(1, 2), 2, blocked, follower("api", ready=True, version=2))
    assert (status.phase, status.message) == ("Degraded", f"Deployment web: {blocked.message}")
    words = "the alias points to v2, which 1 of 2 workloads serve"
    assert said["Bound"] == ("False", "CannotServe", words)
    assert said["Ready"][:2] == ("False", "CannotServe")
    assert said["Degraded"][:2] == ("True", "CannotServe")
    assert binding.way_back(status, [blocked]) is None


@pytest.mark.parametrize("message", ["exit 1", None])
def test_a_failing_follower_degrades_the_alias_with_or_without_a_message(message: str | None) -> None:
    failing = follower(failed=True, message=message)
    status, said = told(bound(1), 1, failing, follower("api", message="1 of 2 pods ready"))
    assert status.phase == "Degraded"
    assert said["Ready"][:2] == ("False", "RolloutFailed")
    assert said["Degraded"][:2] == ("True", "RolloutFailed")
    assert status.message == (f"Deployment web: {message}" if message else None)


def test_an_automatically_rolled_back_alias_is_degraded_until_the_spec_changes() -> None:
    status = binding.bind(bound(1, 2), move(1, 9), aside(2, 4, "RolloutFailed"))
    now_told, said = told(status, 2, generation=4)
    assert (now_told.phase, now_told.message) == ("Degraded", "left v2")
    assert said["Bound"] == ("False", "RolloutFailed", "left v2")
    assert said["Held"][:2] == ("False", "RolloutFailed")
    assert told(status, 2, generation=5)[0].phase == "Held"
    assert told(status, 1, generation=5)[0].phase == "Bound"


def test_a_manually_rolled_back_alias_is_ready() -> None:
    status, said = told(binding.bind(bound(1, 2), move(1, 9), aside(2)), 2)
    assert (status.phase, status.message) == ("Bound", "left v2")
    assert said["Ready"] == ("True", "RolledBack", "left v2")
    assert said["Bound"][:2] == ("False", "RolledBack")


def test_requirements_and_warnings_fit_into_the_status() -> None:
    many = [Requirement("p" * 253, f"gate/{number}", number % 2 == 0, "m" * 2000) for number in range(300)]
    held = binding.hold(bound(1), many, ["w" * 2000] * 90)
    assert not any(each.met for each in held.requirements), "what is not met comes first"
    followers = [follower(f"web{number}", message="w" * 1024) for number in range(50)]
    status, _ = told(held, 2, *followers)
    ModelAliasStatus.model_validate(status.to_dict())
    assert len(status.serving) == MAX_FOLLOWERS


def test_summarising_again_changes_nothing() -> None:
    status, _ = told(binding.hold(bound(1), [Requirement("p", "soak", False, "not yet")]), 2, follower(failed=True))
    later = binding.summarise(status, 2, status.serving, generation=1, now=at(60))
    assert later == status


# Any sequence of operations


class Life(RuleBasedStateMachine):
    """An alias to which anything happens, and a clock that is sometimes put forward or back."""

    numbers = st.integers(1, 4)

    def __init__(self) -> None:
        super().__init__()
        self.alias, self.now = Alias(), NOW
        self.left: set[tuple[int, int]] = set()

    @rule(version=numbers)
    def want(self, version: int) -> None:
        self.alias.want(version)

    @rule(allowed=st.booleans())
    def reconcile(self, allowed: bool) -> None:
        before, aside = self.alias.status, (self.alias.wanted, self.alias.generation)
        refused = Verdict(False, (Requirement("p", "gate/g", False, "no"),), ("w: no",))
        self.alias.reconcile(lambda _: ALLOWED if allowed else refused, self._has_held, self.now)
        if self.alias.status.bindings > before.bindings:
            how = self.alias.moves[-1][2]
            assert how == "failed" or (allowed and aside not in self.left), "it was set aside, and is bound again"
        self._note()

    @rule()
    def reconcile_twice(self) -> None:
        self.alias.reconcile(lambda _: ALLOWED, self._has_held, self.now)
        self.alias.reconcile(lambda _: ALLOWED, self._has_held, self.now)
        before = self.alias.status
        self.alias.reconcile(lambda _: ALLOWED, self._has_held, self.now + timedelta(hours=1))
        assert self.alias.status == before, "a second look at the same world writes something"
        self._note()

    @rule(version=numbers)
    def roll_back(self, version: int) -> None:
        if self._has_held(version):
            self.alias.roll_back(version, self.now)
            self._note()

    @rule(works=st.booleans())
    def follow(self, works: bool) -> None:
        if self.alias.live is not None:
            self.alias.follow(works=works)

    @rule(minutes=st.sampled_from([0, 1, 60, -1, -60, 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    def _has_held(self, version: int) -> bool:
        return any(version == each for each, _, _ in self.alias.moves)

    def _note(self) -> None:
        aside = self.alias.status.set_aside
        if aside is not None:
            self.left.add((aside.version, aside.generation))

    @invariant()
    def one_entry_is_open_and_it_is_what_is_live(self) -> None:
        status = self.alias.status
        open_ = [(each.version, each.digest, each.from_) for each in status.history if each.to is None]
        expected = (
            [] if status.bound_version is None else [(status.bound_version, status.bound_digest, status.bound_at)]
        )
        assert open_ == expected
        assert not status.history or status.history[-1].to is None

    @invariant()
    def the_history_is_the_end_of_what_happened_without_gaps(self) -> None:
        history, moves = self.alias.status.history, self.alias.moves
        assert len(history) == min(MAX_HISTORY, len(moves))
        assert [each.version for each in history] == [version for version, _, _ in moves][-MAX_HISTORY:]
        assert self.alias.status.bindings == len(moves)
        assert all(one.to == next_.from_ for one, next_ in itertools.pairwise(history))
        assert all(each.from_ <= each.to for each in history if each.to is not None)
        assert all(each.from_ >= when for each, (_, when, _) in zip(history, moves[-MAX_HISTORY:], strict=True))

    @invariant()
    def the_version_before_is_another_one(self) -> None:
        status = self.alias.status
        assert status.previous_version is None or status.previous_version != status.bound_version

    @invariant()
    def it_is_not_taken_back_twice_for_one_spec_and_version(self) -> None:
        for one, other in itertools.pairwise(self.alias.moves):
            assert (one[2], other[2]) != ("failed", "failed"), "it was taken back from where it was taken back to"

    @invariant()
    def what_is_said_agrees_with_itself(self) -> None:
        status, said = self.alias.status, {each.type: each.status for each in self.alias.status.conditions}
        if not said or status.observed_generation != self.alias.generation:
            return
        assert (said["Held"] == "True") == (status.phase == "Held" or "is blocked" in (status.message or ""))
        assert (status.phase == "Degraded") == (said["Degraded"] == "True")
        assert not (said["Ready"] == "True" and "True" in (said["Held"], said["Degraded"]))
        assert (said["Bound"] == "True") == (status.bound_version == self.alias.wanted)
        assert bool(status.requirements) <= (said["Held"] == "True")


def test_any_sequence_of_operations() -> None:
    run_state_machine_as_test(Life, settings=settings(max_examples=100, stateful_step_count=40, deadline=None))


@given(st.lists(st.integers(1, 4), max_size=60))
def test_a_follower_that_works_only_with_some_versions_settles(wishes: list[int]) -> None:
    """Versions 3 and 4 break the workload. However often the spec is written, nothing is tried twice for one spec."""
    alias = Alias()
    for wish in wishes:
        alias.want(wish)
        before = len(alias.moves)
        for _ in range(6):
            alias.reconcile(lambda _: ALLOWED, lambda _: True, NOW)
            alias.follow(works=(alias.live or 0) <= 2)
        assert len(alias.moves) - before <= 2, "it goes to and fro"
        state = alias.status
        alias.reconcile(lambda _: ALLOWED, lambda _: True, at(1))
        assert alias.status == state


def test_a_version_that_failed_before_is_known_with_its_reason() -> None:
    """v1, then v3, which failed, then v1 again: the version before is the one that failed."""
    status = bound(1, 3)
    status = binding.bind(status, move(1, 2, actor="operator", reason="v3 failed in Deployment web: OOMKilled"))
    assert status.previous_version == 3
    assert binding.failure_of(status, 3) == "v3 failed in Deployment web: OOMKilled"
    assert binding.failure_of(status, 1) == ""
    status = bound(3, 1, status=status)
    assert binding.failure_of(status, 3) == "", "it has worked since"
