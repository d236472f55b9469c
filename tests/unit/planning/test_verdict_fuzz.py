"""The verdict agrees with an obvious model of the rules, on anything; and no sequence of operations gets around it."""

import dataclasses
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from assay.api import evidence
from assay.planning.promotion import verdict
from assay.planning.promotion.policies import (
    AliasView,
    Approval,
    Approvals,
    Gate,
    Held,
    Once,
    Policy,
    Soak,
    VersionView,
    Weekly,
)
from tests.unit.planning import verdict_model as model

pytestmark = pytest.mark.unit

#: A stretch of two weeks in which no clock is put forward or back: what walls show is then what has passed.
START = datetime(2026, 11, 16, tzinfo=UTC)
DIGESTS = ["sha256:" + letter * 64 for letter in "ab"]
PEOPLE = ["ana", "ben", "carla", ""]
ALIASES = ["champion", "staging"]
NOTHING_KNOWN: frozenset[str] = frozenset()

hours = st.integers(0, 14 * 24)
moments = st.builds(lambda at, seconds: START + timedelta(hours=at, seconds=seconds), hours, st.integers(0, 1))
spans = st.builds(timedelta, hours=st.sampled_from([0, 1, 24, 48, 200]))
days = st.frozensets(st.integers(0, 6), min_size=1)
clocks = st.builds(time, st.integers(0, 23), st.sampled_from([0, 30]))
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"])
patterns = st.sampled_from(["*", "champion", "champ*", "?igits", "digits", "staging", "s*", "[a-z]*"])
globs = st.lists(patterns, max_size=3)

approvals = st.builds(
    Approval,
    id=st.text("ab", max_size=2),
    alias=st.sampled_from(ALIASES),
    digest=st.sampled_from(DIGESTS),
    approver=st.sampled_from(PEOPLE),
    at=st.none() | moments,
)
stretches = st.builds(Held, st.sampled_from(ALIASES), moments, st.none() | moments)
metrics = st.dictionaries(st.just("f1"), st.fixed_dictionaries({"last": st.sampled_from([0.1, 0.5, 0.9])}))
versions = st.builds(
    VersionView,
    name=st.just("digits.v1"),
    model=st.sampled_from(["digits", "digits", "digits", "letters"]),
    version=st.integers(1, 3),
    digest=st.sampled_from([*DIGESTS, *DIGESTS, ""]),
    owner=st.sampled_from(["ana", "ana", "ben", ""]),
    metrics=metrics,
    approvals=st.lists(approvals, max_size=5).map(tuple),
    evidence=st.frozensets(st.sampled_from([kind.name for kind in evidence.KINDS])),
    archived=st.sampled_from([False] * 5 + [True]),
    deleting=st.sampled_from([False] * 5 + [True]),
    held=st.lists(stretches, max_size=4).map(tuple),
)
weekly = st.builds(Weekly, st.just("w"), days, clocks, st.none() | clocks, zones)
once = st.builds(Once, st.just("o"), moments, moments)
rules_of_approval = st.builds(Approvals, st.integers(0, 3), st.booleans(), st.none() | spans)
policies = st.builds(
    Policy,
    name=st.sampled_from(["p", "q", "r"]),
    models=globs.map(tuple) | st.just(("*",)),
    aliases=globs.map(tuple) | st.just(("*",)),
    mode=st.sampled_from(["Enforce", "Enforce", "Warn"]),
    approvals=rules_of_approval | st.just(Approvals(0)),
    gates=st.lists(st.builds(Gate, st.just("g"), st.sampled_from(list(model.GATES))), max_size=2).map(tuple),
    evidence=st.frozensets(st.sampled_from([kind.name for kind in evidence.KINDS])) | st.just(NOTHING_KNOWN),
    soak=st.none() | st.none() | st.builds(Soak, st.sampled_from(ALIASES), spans),
    freeze=st.lists(weekly | once, max_size=2).map(tuple) | st.just(()),
    problem=st.sampled_from(["", "", "", "", "no duration"]),
)
aliases = st.builds(AliasView, st.just("digits"), st.sampled_from(ALIASES))
cases = st.fixed_dictionaries(
    {
        "alias": aliases,
        "candidate": versions,
        "current": st.none() | versions,
        "policies": st.lists(policies, max_size=3),
        "now": moments,
        "open_by_default": st.booleans(),
    }
)
Case = dict[str, Any]
many = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(cases)
def test_agrees_with_the_model(case: Case) -> None:
    answer = verdict.evaluate(**case)
    assert answer.allowed is model.allowed(**case)
    assert answer.allowed is all(each.met for each in answer.requirements)
    assert all(each.message for each in answer.requirements if not each.met)


ages = st.builds(lambda span, seconds: START - span + timedelta(seconds=seconds), spans, st.integers(-1, 1))
near_approvals = st.builds(
    Approval,
    id=st.text("ab", max_size=2),
    alias=st.sampled_from(["champion", "champion", "champion", "staging"]),
    digest=st.sampled_from([DIGESTS[0], DIGESTS[0], DIGESTS[0], DIGESTS[1]]),
    approver=st.sampled_from(PEOPLE),
    at=st.none() | ages,
)


@many
@given(st.lists(near_approvals, max_size=4), rules_of_approval, st.sampled_from(["ana", "ben", ""]))
def test_agrees_where_only_approvals_matter(given_ones: list[Approval], wanted: Approvals, owner: str) -> None:
    candidate = VersionView("digits.v1", "digits", 1, DIGESTS[0], owner, approvals=tuple(given_ones))
    alone = Policy("p", approvals=wanted, evidence=NOTHING_KNOWN)
    alias = AliasView("digits", "champion")
    answer = verdict.evaluate(alias, candidate, None, [alone], START)
    assert answer.allowed is model.allowed(alias, candidate, None, [alone], START, open_by_default=False)


@many
@given(cases, st.randoms())
def test_the_order_of_things_does_not_matter(case: Case, random: Any) -> None:
    shuffled = {**case, "policies": _shuffled(case["policies"], random)}
    candidate = case["candidate"]
    shuffled["candidate"] = dataclasses.replace(
        candidate,
        approvals=tuple(_shuffled(candidate.approvals, random)),
        held=tuple(_shuffled(candidate.held, random)),
    )
    one, other = verdict.evaluate(**case), verdict.evaluate(**shuffled)
    assert (one.allowed, one.next_change) == (other.allowed, other.next_change)
    assert sorted(one.requirements, key=repr) == sorted(other.requirements, key=repr)


@many
@given(cases, st.integers(0, 1000))
def test_nothing_changes_before_the_next_change(case: Case, share: int) -> None:
    answer = verdict.evaluate(**case)
    end = answer.next_change or case["now"] + timedelta(days=30)
    assert end > case["now"]
    later = case["now"] + (end - case["now"] - timedelta(microseconds=1)) * (share / 1000)
    again = verdict.evaluate(**{**case, "now": later})
    assert again.allowed is answer.allowed
    assert _met(again) == _met(answer)
    assert len(again.warnings) == len(answer.warnings)


@many
@given(cases, policies)
def test_another_policy_never_allows_what_was_refused(case: Case, policy: Policy) -> None:
    replaces_the_default = not case["open_by_default"] and not _enforced(case)
    stricter_than_the_default = policy.approvals.required >= 1 and policy.approvals.exclude_owner
    assume(not replaces_the_default or stricter_than_the_default or policy.mode == "Warn")
    if not verdict.evaluate(**case).allowed:
        assert not verdict.evaluate(**{**case, "policies": [*case["policies"], policy]}).allowed


@many
@given(cases, st.data())
def test_removing_an_approval_never_allows_a_binding(case: Case, data: st.DataObject) -> None:
    candidate = case["candidate"]
    assume(candidate.approvals)
    gone = data.draw(st.integers(0, len(candidate.approvals) - 1))
    left = candidate.approvals[:gone] + candidate.approvals[gone + 1 :]
    if not verdict.evaluate(**case).allowed:
        fewer = dataclasses.replace(candidate, approvals=left)
        assert not verdict.evaluate(**{**case, "candidate": fewer}).allowed


@many
@given(cases)
def test_other_bytes_void_all_approvals(case: Case) -> None:
    other = dataclasses.replace(case["candidate"], digest="sha256:" + "c" * 64)
    alone = dataclasses.replace(other, approvals=())
    with_approvals, without = (verdict.evaluate(**{**case, "candidate": each}) for each in (other, alone))
    assert with_approvals.allowed is without.allowed
    assert _met(with_approvals) == _met(without)


def _shuffled(items: Any, random: Any) -> list[Any]:
    copy = list(items)
    random.shuffle(copy)
    return copy


def _met(answer: verdict.Verdict) -> list[tuple[str, str, bool]]:
    return [(each.policy, each.requirement, each.met) for each in answer.requirements]


def _enforced(case: Case) -> bool:
    return any(policy.mode == "Enforce" and model.about(policy, case["alias"]) for policy in case["policies"])


class ModelCache(RuleBasedStateMachine):
    """A namespace with three versions and two aliases, and people who try everything."""

    numbers = st.integers(1, 3)

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.policies: dict[str, Policy] = {}
        self.versions = {number: self._new(number) for number in (1, 2, 3)}
        self.bound: dict[str, int | None] = dict.fromkeys(ALIASES)
        self.wanted: dict[str, int] = {}
        self.look_again: dict[str, datetime | None] = {}

    @staticmethod
    def _new(number: int) -> VersionView:
        f1 = {"f1": {"last": number / 4}}
        known = VersionView(f"digits.v{number}", "digits", number, DIGESTS[number % 2], "ana", f1)
        return dataclasses.replace(known, evidence=evidence.DEFAULT)

    @rule(number=numbers, approval=approvals)
    def approve(self, number: int, approval: Approval) -> None:
        given = dataclasses.replace(approval, at=self.now)
        self._change(number, approvals=(*self.versions[number].approvals, given))

    @rule(number=numbers, approver=st.sampled_from(["ben", "carla"]), alias=st.sampled_from(ALIASES))
    def approve_properly(self, number: int, approver: str, alias: str) -> None:
        given = Approval("x", alias, self.versions[number].digest, approver, at=self.now)
        self._change(number, approvals=(*self.versions[number].approvals, given))

    @rule(number=numbers)
    def revoke(self, number: int) -> None:
        self._change(number, approvals=self.versions[number].approvals[1:])

    @rule(number=numbers, archived=st.booleans(), verified=st.booleans(), proven=st.booleans())
    def relabel(self, number: int, archived: bool, verified: bool, proven: bool) -> None:
        known = {"artifactVerified": verified, "provenanceVerified": proven}
        found = frozenset(name for name, is_known in known.items() if is_known)
        self._change(number, archived=archived, evidence=found)

    @rule(policy=policies)
    def set_policy(self, policy: Policy) -> None:
        self.policies[policy.name] = policy
        self._reconcile()

    @rule()
    def drop_policies(self) -> None:
        self.policies.clear()
        self._reconcile()

    @rule(alias=st.sampled_from(ALIASES), number=numbers)
    def want(self, alias: str, number: int) -> None:
        self.wanted[alias] = number
        self._reconcile()

    @rule(span=st.sampled_from([1, 3600, 86400, 200_000]))
    def time_passes(self, span: int) -> None:
        """Nobody polls: the operator wakes up exactly when a verdict has told it to."""
        end = self.now + timedelta(seconds=span)
        while True:
            due = min((at for at in self.look_again.values() if at is not None and at <= end), default=None)
            if due is None:
                break
            self.now = due
            self._reconcile()
        self.now = end

    @precondition(lambda self: any(self.bound.values()))
    @rule(alias=st.sampled_from(ALIASES), number=numbers)
    def roll_back(self, alias: str, number: int) -> None:
        candidate = self.versions[number]
        if verdict.evaluate_rollback(AliasView("digits", alias), candidate).allowed:
            assert alias in [stretch.alias for stretch in candidate.held]
            assert not candidate.archived
            self.wanted[alias] = number
            self._bind(alias, number)
        self._reconcile()

    def _change(self, number: int, **changes: Any) -> None:
        self.versions[number] = dataclasses.replace(self.versions[number], **changes)
        self._reconcile()

    def _reconcile(self) -> None:
        for alias, number in self.wanted.items():
            self.look_again[alias] = None
            if self.bound[alias] == number:
                continue
            case = self._case(alias)
            answer = verdict.evaluate(**case)
            self.look_again[alias] = answer.next_change
            if answer.allowed:
                assert model.allowed(**case), f"bound what the rules refuse: {answer}"
                self._bind(alias, number)

    def _case(self, alias: str) -> Case:
        bound = self.bound[alias]
        return {
            "alias": AliasView("digits", alias),
            "candidate": self.versions[self.wanted[alias]],
            "current": None if bound is None else self.versions[bound],
            "policies": list(self.policies.values()),
            "now": self.now,
            "open_by_default": False,
        }

    def _bind(self, alias: str, number: int) -> None:
        for each, known in self.versions.items():
            held = tuple(self._ended(stretch) if stretch.alias == alias else stretch for stretch in known.held)
            self.versions[each] = dataclasses.replace(known, held=held)
        now_held = (*self.versions[number].held, Held(alias, self.now))
        self.versions[number] = dataclasses.replace(self.versions[number], held=now_held)
        self.bound[alias] = number

    def _ended(self, stretch: Held) -> Held:
        return stretch if stretch.until else dataclasses.replace(stretch, until=self.now)

    @invariant()
    def nothing_waits_that_the_rules_allow(self) -> None:
        for alias, number in self.wanted.items():
            if self.bound[alias] != number:
                assert not model.allowed(**self._case(alias)), f"{alias} could point to {number} at {self.now}"


def test_no_sequence_of_operations_binds_what_is_refused() -> None:
    run_state_machine_as_test(ModelCache, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
