"""No sequence of operations binds a version that its policy refuses: the pure parts together, against the slow model.

What the operator does between the API server and the store is played here: it takes in approvals, judges, moves
aliases and remembers who held what, each by the function that the controllers call. Beside it runs a ledger that is
written down as things happen, and never cut or worked out from anything; the rules are asked of the ledger.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from assay.api import evidence
from assay.api.common import Condition
from assay.api.modelversion import HeldStatus, ModelVersionStatus
from assay.planning.promotion import approvals, binding, pointers, verdict, views
from assay.planning.promotion.pointers import History
from assay.planning.promotion.policies import (
    AliasView,
    Approval,
    Approvals,
    Gate,
    Held,
    Once,
    Policy,
    Soak,
    Verdict,
    VersionView,
)
from tests import registry
from tests.unit.planning import verdict_model as model
from tests.unit.planning.alias import Alias, digest

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
START = datetime(2026, 11, 16, tzinfo=UTC)
OWNER, PEOPLE, NAMES, NUMBERS = "ana", ["ana", "ben", "carla"], ["champion", "staging"], [1, 2, 3]
F1 = {1: 0.4, 2: 0.6, 3: 0.8}
#: What nobody can take away again: the third one claims more than its run bears out.
EVIDENCE = {1: ("ArtifactVerified", "ProvenanceVerified"), 2: ("ArtifactVerified", "ProvenanceVerified"), 3: ()}

spans = st.sampled_from([timedelta(hours=1), timedelta(days=1)])
freezes = st.builds(
    lambda begin, length: (Once("o", START + timedelta(hours=begin), START + timedelta(hours=begin + length)),),
    st.integers(0, 60),
    st.integers(1, 20),
)
policies = st.builds(
    Policy,
    name=st.sampled_from(["p", "q"]),
    models=st.sampled_from([("*",), ("digits",), ("other",)]),
    aliases=st.sampled_from([("*",), ("champion",), ("stag*",)]),
    mode=st.sampled_from(["Enforce", "Enforce", "Warn"]),
    approvals=st.builds(Approvals, st.sampled_from([0, 0, 1, 2]), st.booleans(), st.none() | spans),
    gates=st.just(()) | st.sampled_from(list(model.GATES)).map(lambda text: (Gate("g", text),)),
    evidence=st.sampled_from([evidence.DEFAULT, frozenset[str]()]),
    soak=st.none() | st.none() | st.builds(Soak, st.sampled_from(NAMES), spans),
    freeze=st.just(()) | st.just(()) | freezes,
    problem=st.sampled_from([""] * 9 + ["it cannot be read"]),
)
numbers, names, people = st.sampled_from(NUMBERS), st.sampled_from(NAMES), st.sampled_from(PEOPLE)


class Version:
    """A ModelVersion as the API server has it, and what people have really written on it."""

    def __init__(self, number: int) -> None:
        self.number, self.archived = number, False
        self.annotations: dict[str, str] = {}
        self.status = ModelVersionStatus(
            conditions=[
                Condition(type=kind, status="True", reason="Verified", last_transition_time=START)
                for kind in EVIDENCE[number]
            ]
        )
        #: Of each annotation: what it says, and when the operator first saw it say so.
        self.ledger: dict[str, tuple[Approval, datetime]] = {}

    def body(self) -> Raw:
        labels = {"assay.dev/archived": "true"} if self.archived else {}
        body = registry.model_version(
            "digits",
            self.number,
            namespace="ml",
            owner=OWNER,
            artifact={"uri": "s3://assay/runs/ml/x/", "digest": digest(self.number)},
            provenance={"metrics": {"f1": {"last": F1[self.number]}}},
            metadata={"annotations": self.annotations, "labels": labels},
        )
        return body | {"status": self.status.to_dict()}

    def approve(self, key: str, alias: str, number: int, person: str, comment: str) -> None:
        self.annotations[key] = f"{digest(number)} {person}\n{comment}"

    def take_in(self, now: datetime) -> None:
        """Do what ``controllers.versions.take_in_approvals`` does, and write it down."""
        change = approvals.look(self.annotations, digest(self.number), self.status.approvals, now)
        self.status = self.status.model_copy(update={"approvals": change.known})
        for key in [key for key in self.ledger if key not in self.annotations]:
            del self.ledger[key]
        for key, value in self.annotations.items():
            words, comment = value.split("\n")
            bytes_, person = words.split(" ")
            said = Approval(key.split("/")[1], key.split(".")[0], bytes_, person, comment)
            if self.ledger.get(key, (None,))[0] != said:
                self.ledger[key] = (said, now)

    def look(self, histories: list[History], now: datetime) -> None:
        self.status = self.status.model_copy(update={"held": self.held(histories, now)})

    def held(self, histories: list[History], now: datetime) -> list[HeldStatus]:
        return pointers.held(self.status.held, self.number, digest(self.number), histories, now)

    def slow_view(self, held: list[Held]) -> VersionView:
        """Return what the rules are asked about, made from the ledger alone."""
        given = [Approval(a.id, a.alias, a.digest, a.approver, a.comment, at) for a, at in self.ledger.values()]
        return VersionView(
            f"digits.v{self.number}",
            "digits",
            self.number,
            digest(self.number),
            OWNER,
            metrics={"f1": {"last": F1[self.number]}},
            approvals=tuple(given),
            evidence=frozenset(kind.name for kind in evidence.KINDS if kind.condition in EVIDENCE[self.number]),
            archived=self.archived,
            held=tuple(held),
        )


class Namespace(RuleBasedStateMachine):
    """Three versions, two aliases with a workload each, and people who try everything."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.open, self.away = START, False, False
        self.policies: dict[str, Policy] = {}
        self.versions = {number: Version(number) for number in NUMBERS}
        self.aliases: dict[str, Alias] = {}
        self.look_again: dict[str, datetime | None] = {}
        #: (alias, version or None, when): every move that there ever was.
        self.ledger: list[tuple[str, int | None, datetime]] = []
        #: What was left: (alias, how often its name was taken, generation, version).
        self.left: set[tuple[str, int, int, int]] = set()
        self.lives = dict.fromkeys(NAMES, 0)

    # What people do

    @rule(number=numbers, alias=names, person=people, own=st.sampled_from(NUMBERS), key=st.sampled_from("ab"))
    def approve(self, number: int, alias: str, person: str, own: int, key: str) -> None:
        self.versions[number].approve(f"{alias}.approval.assay.dev/{key}", alias, own, person, "")
        self._settle()

    @rule(number=numbers, alias=names, person=st.sampled_from(["ben", "carla"]), comment=st.sampled_from("xy"))
    def approve_properly(self, number: int, alias: str, person: str, comment: str) -> None:
        self.versions[number].approve(f"{alias}.approval.assay.dev/{person}", alias, number, person, comment)
        self._settle()

    @rule(number=numbers, alias=names)
    def promote_properly(self, number: int, alias: str) -> None:
        for person in ("ben", "carla"):
            self.versions[number].approve(f"{alias}.approval.assay.dev/{person}", alias, number, person, "")
        self.versions[number].archived = False
        self.want(alias, number)

    @rule(number=numbers)
    def revoke(self, number: int) -> None:
        for key in sorted(self.versions[number].annotations)[:1]:
            del self.versions[number].annotations[key]
        self._settle()

    @rule(number=numbers, archived=st.booleans())
    def archive(self, number: int, archived: bool) -> None:
        self.versions[number].archived = archived
        self._settle()

    @rule(policy=policies)
    def set_policy(self, policy: Policy) -> None:
        self.policies[policy.name] = policy
        self._settle()

    @rule(soak=st.none() | st.builds(Soak, names, spans), expire=st.none() | spans, required=st.sampled_from([0, 1, 2]))
    def set_a_policy_that_can_be_met(self, soak: Soak | None, expire: timedelta | None, required: int) -> None:
        nothing: frozenset[str] = frozenset()
        self.policies = {"p": Policy("p", approvals=Approvals(required, True, expire), soak=soak, evidence=nothing)}
        self._settle()

    @rule(name=st.sampled_from("pq"), open_=st.booleans())
    def drop_policy(self, name: str, open_: bool) -> None:
        self.policies.pop(name, None)
        self.open = open_
        self._settle()

    @rule(alias=names, number=numbers)
    def want(self, alias: str, number: int) -> None:
        if alias in self.aliases:
            self.aliases[alias].want(number)
        else:
            self.aliases[alias] = Alias(alias, number)
            self.lives[alias] += 1
        self._settle()

    @rule(alias=names)
    def delete(self, alias: str) -> None:
        if self.aliases.pop(alias, None) is not None:
            self.ledger.append((alias, None, self.now))
            self.look_again.pop(alias, None)
            self._look()

    @rule(alias=names, number=numbers)
    def roll_back(self, alias: str, number: int) -> None:
        found = self.aliases.get(alias)
        if found is not None and not self.away and self._may_return(alias, number):
            found.roll_back(number, self.now)
            self._moved(found)
            self._settle()

    # What happens by itself

    @rule(alias=names, works=st.booleans())
    def roll_out(self, alias: str, works: bool) -> None:
        found = self.aliases.get(alias)
        if found is not None and found.live is not None:
            found.follow(works=works)
            self._settle()

    @rule(alias=names, number=numbers)
    def break_what_works(self, alias: str, number: int) -> None:
        self.roll_out(alias, works=True)
        self.promote_properly(number, alias)
        self.roll_out(alias, works=False)

    @rule(away=st.sampled_from([False, False, True]))
    def the_operator_goes_or_comes(self, away: bool) -> None:
        self.away = away
        self._settle()

    @rule(span=st.sampled_from([1, 3600, 86400, 200_000]))
    def time_passes(self, span: int) -> None:
        """Nobody polls: the operator wakes up exactly when a verdict has told it to."""
        end = self.now + timedelta(seconds=span)
        while not self.away:
            due = min((at for at in self.look_again.values() if at is not None and at <= end), default=None)
            if due is None:
                break
            self.now = due
            self._settle()
        self.now = end

    # What the operator does

    def _settle(self) -> None:
        if self.away:
            return
        for version in self.versions.values():
            version.take_in(self.now)
        # A move can wake the other alias, by what it soaks on; it never takes more than a few rounds.
        for _ in range(8):
            before = [alias.status for alias in self.aliases.values()]
            for alias in self.aliases.values():
                self._reconcile(alias)
            if before == [alias.status for alias in self.aliases.values()]:
                return
        raise AssertionError("the aliases do not come to rest")

    def _reconcile(self, alias: Alias) -> None:
        self.look_again[alias.name] = None
        allowed, moves = self._rules_allow(alias), len(alias.moves)
        before = (alias.name, self.lives[alias.name], alias.generation, alias.wanted)
        alias.reconcile(
            lambda number: self._judge(alias, number), lambda number: self._may_return(alias.name, number), self.now
        )
        if len(alias.moves) > moves:
            if alias.moves[-1][2] == "promoted":
                assert allowed, f"{alias.name} was bound to what the rules refuse"
                assert before not in self.left, f"{alias.name} was bound again to what it had left"
            self._moved(alias)

    def _judge(self, alias: Alias, number: int) -> Verdict:
        live = alias.live
        answer = verdict.evaluate(
            AliasView("digits", alias.name),
            self._view(number),
            None if live is None else self._view(live),
            list(self.policies.values()),
            self.now,
            open_by_default=self.open,
        )
        assert answer.allowed is self._rules_allow(alias)
        self.look_again[alias.name] = answer.next_change
        return answer

    def _may_return(self, alias: str, number: int) -> bool:
        answer = verdict.evaluate_rollback(AliasView("digits", alias), self._view(number)).allowed
        held = any((alias, number) == entry[:2] for entry in self.ledger)
        assert answer is (held and not self.versions[number].archived)
        return answer

    def _view(self, number: int) -> VersionView:
        version = self.versions[number]
        return views.version_view(version.body(), version.held(self._histories(), self.now))

    def _histories(self) -> list[History]:
        return [History(alias.name, alias.status.history) for alias in self.aliases.values()]

    def _moved(self, alias: Alias) -> None:
        self.ledger.append((alias.name, alias.live, self.now))
        aside = alias.status.set_aside
        if aside is not None:
            self.left.add((alias.name, self.lives[alias.name], aside.generation, aside.version))
        self._look()

    def _look(self) -> None:
        for version in self.versions.values():
            version.look(self._histories(), self.now)

    # What is true

    def _rules_allow(self, alias: Alias) -> bool:
        live = alias.live
        return model.allowed(
            AliasView("digits", alias.name),
            self._slow_view(alias.wanted),
            None if live is None else self._slow_view(live),
            list(self.policies.values()),
            self.now,
            open_by_default=self.open,
        )

    def _slow_view(self, number: int) -> VersionView:
        return self.versions[number].slow_view(list(self._stretches(number)))

    def _stretches(self, number: int) -> Iterator[Held]:
        for place, (alias, to, since) in enumerate(self.ledger):
            if to == number:
                later = [each[2] for each in self.ledger[place + 1 :] if each[0] == alias]
                yield Held(alias, since, later[0] if later else None)

    @invariant()
    def nothing_waits_that_the_rules_allow(self) -> None:
        for alias in self.aliases.values() if not self.away else ():
            if alias.live != alias.wanted and not alias.is_set_aside:
                assert not self._rules_allow(alias), f"{alias.name} could point to {alias.wanted} at {self.now}"
                assert binding.unmet(alias.status.requirements), "it is held, and nobody is told why"

    @invariant()
    def what_is_remembered_is_what_was(self) -> None:
        for number, version in self.versions.items():
            found = [Held(each.alias, each.from_, each.to) for each in version.held(self._histories(), self.now)]
            lasting = [each for each in found if each.since != each.until]
            really = [each for each in self._stretches(number) if each.since != each.until]
            assert lasting == sorted(really, key=lambda each: (each.since, each.alias))
            assert pointers.holding(version.status.held) == sorted(
                alias.name for alias in self.aliases.values() if alias.live == number
            )


def test_no_sequence_of_operations_binds_what_its_policy_refuses() -> None:
    run_state_machine_as_test(Namespace, settings=settings(max_examples=200, stateful_step_count=40, deadline=None))
