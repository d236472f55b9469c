"""The rules one by one, and every message of docs/policies.md."""

import dataclasses
import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from assay.api import evidence
from assay.api.promotionpolicy import PromotionPolicySpec
from assay.planning.promotion import policies, verdict
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
    Weekly,
)

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # a Saturday
HOUR = timedelta(hours=1)
DIGEST, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
CHAMPION = AliasView("digits", "champion")
NOTHING_KNOWN: frozenset[str] = frozenset()
FREE = Policy("release", approvals=Approvals(required=0), evidence=NOTHING_KNOWN)
DOCS = Path(__file__).parents[3] / "docs" / "policies.md"


def version(number: int = 23, **changes: Any) -> VersionView:
    plain = VersionView(f"digits.v{number}", "digits", number, DIGEST, "ana", {"val_f1": {"last": 0.9}})
    return dataclasses.replace(plain, **changes)


def approval(approver: str, **changes: Any) -> Approval:
    return dataclasses.replace(Approval(f"of-{approver}", "champion", DIGEST, approver, at=NOW - HOUR), **changes)


def judge(candidate: VersionView, *rules: Policy, current: VersionView | None = None, **more: Any) -> Verdict:
    return verdict.evaluate(CHAMPION, candidate, current, rules, NOW, **more)


def with_rule(**changes: Any) -> Policy:
    return dataclasses.replace(FREE, **changes)


def knowing(*kinds: str) -> Policy:
    return with_rule(evidence=frozenset(kinds))


def gate(expression: str, message: str = "") -> Policy:
    return with_rule(gates=(Gate("better", expression, message),))


def held(alias: str, since: float, until: float | None = None) -> Held:
    """Return a stretch that began ``since`` hours ago and ended ``until`` hours ago."""
    return Held(alias, NOW - since * HOUR, None if until is None else NOW - until * HOUR)


WORSE = "candidate.metrics.val_f1.last >= current.metrics.val_f1.last - 0.005"
TWO = with_rule(approvals=Approvals(required=2, expire_after=timedelta(days=30)))
NO_OWNER = with_rule(approvals=Approvals(required=1, exclude_owner=False))
SOAK = with_rule(soak=Soak("staging", 24 * HOUR))
WEEKEND = Weekly("weekend", frozenset({5, 6}), time(0), None, "Europe/Berlin")
ALWAYS = dataclasses.replace(WEEKEND, days=frozenset(range(7)))

#: Each gives one unmet requirement or warning, whose message is quoted in the documentation.
MESSAGES: dict[str, Callable[[], Verdict]] = {
    "nobody": lambda: judge(version()),
    "the run's owner": lambda: judge(version(run_owner="ben", approvals=(approval("ben"),))),
    "right gone": lambda: judge(version(approvals=(approval("ben", lapsed=True),))),
    "one there": lambda: judge(version(approvals=(approval("ben"), approval("ana"))), TWO),
    "other bytes": lambda: judge(version(approvals=(approval("ben", digest=OTHER),)), NO_OWNER),
    "expired": lambda: judge(version(approvals=(approval("ben", at=NOW - timedelta(days=31)), approval("carla"))), TWO),
    "no owner": lambda: judge(version(owner="", approvals=(approval("ben"),)), TWO),
    "gate": lambda: judge(version(), gate(WORSE), current=version(22, metrics={"val_f1": {"last": 0.95}})),
    "gate in words": lambda: judge(version(), gate("candidate.metrics.val_f1.last >= 0.95", "F1 is below 0.95")),
    "no metric": lambda: judge(version(), gate("candidate.metrics.val_auc.last > 0.9")),
    "nothing bound": lambda: judge(version(), gate(WORSE)),
    "bad gate": lambda: judge(version(), gate("candidate.metrics.val_f1.last >= oops")),
    "two types": lambda: judge(version(), gate("candidate.metrics.val_f1.last % 2 == 1")),
    "too long": lambda: judge(
        version(parameters={"text": "x" * 100_000}),
        gate("[candidate.parameters.text].map(x, x + x + x)[0].contains(candidate.parameters.text)"),
    ),
    "recipe": lambda: judge(version(), knowing("reproducible")),
    "unverified": lambda: judge(
        version(evidence=frozenset({"provenanceVerified"})), with_rule(evidence=evidence.DEFAULT)
    ),
    "only claimed": lambda: judge(
        version(evidence=frozenset({"artifactVerified"})), with_rule(evidence=evidence.DEFAULT)
    ),
    "unsigned": lambda: judge(version(), knowing("signed")),
    "no signature": lambda: judge(
        version(unsigned="models/team/digits/signatures/v23.sig does not exist"), knowing("signed")
    ),
    "never soaked": lambda: judge(version(), SOAK),
    "soaking": lambda: judge(version(held=(held("staging", 3),)), SOAK),
    "soaked too little": lambda: judge(version(held=(held("staging", 30, 20), held("staging", 60, 45.5))), SOAK),
    "frozen": lambda: judge(version(), with_rule(freeze=(Once("stocktaking", NOW - HOUR, NOW + 9 * HOUR),))),
    "frozen weekly": lambda: judge(version(), with_rule(freeze=(WEEKEND,))),
    "always frozen": lambda: judge(
        version(), with_rule(freeze=(dataclasses.replace(WEEKEND, days=frozenset(range(7))),))
    ),
    "no zone": lambda: judge(version(), with_rule(freeze=(dataclasses.replace(WEEKEND, zone="Europe/Bärlin"),))),
    "unreadable": lambda: judge(version(), with_rule(problem="freeze winter has neither weekly nor start and end")),
    "archived": lambda: judge(version(archived=True), FREE),
    "deleting": lambda: judge(version(deleting=True), FREE),
    "no digest": lambda: judge(version(digest=""), FREE),
    "other model": lambda: verdict.evaluate(AliasView("letters", "champion"), version(), None, [FREE], NOW),
    "warned": lambda: judge(version(), FREE, dataclasses.replace(SOAK, name="advice", mode="Warn")),
    "no rollback": lambda: verdict.evaluate_rollback(CHAMPION, version()),
}


def said(answer: Verdict) -> list[str]:
    return [each.message for each in answer.requirements if not each.met] + list(answer.warnings)


def documented() -> list[str]:
    """Return what stands in the first column of the table of messages."""
    section = DOCS.read_text().split("## Messages", 1)[1].split("\n## ", 1)[0]
    return [row.replace("\\|", "|") for row in re.findall(r"^\| `(.*?)` \|", section, re.MULTILINE)]


@pytest.mark.parametrize("name", MESSAGES)
def test_each_message_is_documented(name: str) -> None:
    answer = MESSAGES[name]()
    (message,) = said(answer)
    assert message in documented()
    assert answer.allowed is (name == "warned")


def test_each_documented_message_is_produced() -> None:
    produced = {message for make in MESSAGES.values() for message in said(make())}
    assert set(documented()) == produced


def test_closed_by_default_unless_the_namespace_opens_it() -> None:
    assert not judge(version()).allowed
    assert judge(version(), open_by_default=True).allowed
    assert not judge(version(approvals=(approval("ana"),))).allowed
    assert judge(version(approvals=(approval("ben"),))).allowed


def test_a_policy_that_only_warns_does_not_open_the_default() -> None:
    assert not judge(version(), dataclasses.replace(FREE, mode="Warn")).allowed


def test_all_policies_that_match_have_to_pass() -> None:
    assert judge(version(), FREE).allowed
    assert not judge(version(), FREE, dataclasses.replace(SOAK, name="second")).allowed
    assert judge(version(), FREE, dataclasses.replace(SOAK, name="second", aliases=("staging",))).allowed


@pytest.mark.parametrize(
    ("glob", "name", "match"),
    [
        ("*", "champion", True),
        ("champion", "champion", True),
        ("champ", "champion", False),
        ("ch*on", "champion", True),
        ("ch??????", "champion", True),
        ("ch?", "champion", False),
        ("[a-z]*", "champion", False),
        ("c.ampion", "champion", False),
        ("", "champion", False),
        ("*" * 30 + "x", "champion", False),
        ("*n*", "champion", True),
        ("a*" * 31, "a" * 50, True),
        ("*a" * 31 + "b", "a" * 63, False),
    ],
)
def test_globs(glob: str, name: str, match: bool) -> None:
    alias = AliasView("digits", name)
    assert verdict.matches(Policy("p", aliases=(glob,)), alias) is match
    assert verdict.matches(Policy("p", models=(glob,)), AliasView(name, "champion")) is match


def test_one_person_counts_once() -> None:
    given = (approval("ben"), approval("ben", id="again"))
    assert not judge(version(approvals=given), TWO).allowed
    assert judge(version(approvals=(*given, approval("carla"))), TWO).allowed


def test_an_approval_is_for_one_alias() -> None:
    assert not judge(version(approvals=(approval("ben", alias="staging"),))).allowed


def test_the_owner_counts_when_the_policy_says_so() -> None:
    assert judge(version(approvals=(approval("ana"),)), NO_OWNER).allowed


def test_an_approval_expires_to_the_second() -> None:
    at = NOW - timedelta(days=30)
    fresh, stale = approval("ben", at=at + timedelta(seconds=1)), approval("ben", at=at)
    answer = judge(version(approvals=(fresh, approval("carla"))), TWO)
    assert answer.allowed
    assert answer.next_change == NOW + timedelta(seconds=1)
    assert not judge(version(approvals=(stale, approval("carla"))), TWO).allowed


def test_an_approval_seen_just_now_does_not_expire_yet() -> None:
    answer = judge(version(approvals=(approval("ben", at=None), approval("carla", at=None))), TWO)
    assert answer.allowed
    assert answer.next_change == NOW + timedelta(days=30)


def test_sufficient_approvals_list_their_approvers() -> None:
    answer = judge(version(approvals=(approval("carla"), approval("ben"))), TWO)
    assert [each.message for each in answer.requirements] == ["2 of 2 approvals for champion: ben, carla"]


def test_a_gate_can_allow_the_first_binding() -> None:
    assert judge(version(), gate(f"current == null || {WORSE}")).allowed


def test_a_gate_sees_numbers_as_floats_and_leaves_out_what_is_unknown() -> None:
    candidate = version(metrics={"loss": {"last": 1, "best": None}}, parameters={"depth": 3})
    assert judge(candidate, gate("candidate.metrics.loss.last + 0.5 == 1.5 && candidate.parameters.depth == 3")).allowed
    assert judge(candidate, gate("!has(candidate.metrics.loss.best)")).allowed


def test_a_soak_is_the_longest_stretch_and_once_done_stays_done() -> None:
    assert judge(version(held=(held("staging", 24),)), SOAK).allowed
    assert judge(version(held=(held("staging", 90, 60),)), SOAK).allowed
    assert not judge(version(held=tuple(held("staging", start, start - 12) for start in (90, 70, 50))), SOAK).allowed
    assert not judge(version(held=(held("canary", 90),)), SOAK).allowed


def test_a_soak_has_its_next_change() -> None:
    assert judge(version(held=(held("staging", 3),)), SOAK).next_change == NOW + 21 * HOUR


def test_a_freeze_has_its_next_change() -> None:
    start, end = NOW + HOUR, NOW + 9 * HOUR
    frozen = with_rule(freeze=(Once("stocktaking", start, end),))
    candidate = version()
    for moment, allowed, change in [
        (NOW, True, start),
        (start, False, end),
        (end - timedelta(seconds=1), False, end),
        (end, True, None),
    ]:
        answer = verdict.evaluate(CHAMPION, candidate, None, [frozen], moment)
        assert (answer.allowed, answer.next_change) == (allowed, change)


@pytest.mark.parametrize(
    ("window", "moment", "until"),
    [
        # Friday 17:00 to Saturday 06:00 in New York, which is five hours behind.
        (Weekly("w", frozenset({4}), time(17), time(6), "America/New_York"), datetime(2026, 11, 21, 10, 59), "11:00"),
        (Weekly("w", frozenset({4}), time(17), time(6), "America/New_York"), datetime(2026, 11, 21, 11, 0), None),
        (Weekly("w", frozenset({4}), time(17), time(6), "America/New_York"), datetime(2026, 11, 20, 21, 59), None),
        (Weekly("w", frozenset({5}), time(9), time(17), "UTC"), datetime(2026, 11, 21, 9, 0), "17:00"),
        # The clocks of Berlin go back on 25 October 2026: 03:30 is then half past two in UTC, not half past one.
        (Weekly("w", frozenset({6}), time(1), time(3, 30), "Europe/Berlin"), datetime(2026, 10, 25, 2, 15), "02:30"),
        (Weekly("w", frozenset({6}), time(1), time(3, 30), "Europe/Berlin"), datetime(2026, 10, 25, 2, 30), None),
        # They go forward on 29 March 2026.
        (Weekly("w", frozenset({6}), time(1), time(3, 30), "Europe/Berlin"), datetime(2026, 3, 29, 1, 15), "01:30"),
    ],
)
def test_weekly_windows_follow_the_clock_on_the_wall(window: Weekly, moment: datetime, until: str | None) -> None:
    answer = verdict.evaluate(CHAMPION, version(), None, [with_rule(freeze=(window,))], moment.replace(tzinfo=UTC))
    assert answer.allowed is (until is None)
    if until:
        assert said(answer)[0].endswith(f"T{until}:00Z")


def test_no_rule_blocks_a_rollback_to_a_previous_version() -> None:
    there = version(held=(held("champion", 90, 80),))
    assert verdict.evaluate_rollback(CHAMPION, there).allowed
    assert not verdict.evaluate_rollback(CHAMPION, version(held=(held("staging", 90, 80),))).allowed
    assert not verdict.evaluate_rollback(CHAMPION, dataclasses.replace(there, archived=True)).allowed
    assert not verdict.evaluate_rollback(CHAMPION, dataclasses.replace(there, deleting=True)).allowed


def test_the_views_of_a_policy_are_made_from_its_spec() -> None:
    spec = PromotionPolicySpec.model_validate(
        {
            "match": {"models": ["dig*"], "aliases": ["champion"]},
            "mode": "Warn",
            "approvals": {"required": 2, "excludeOwner": False, "expireAfter": "1d12h"},
            "gates": [{"name": "f1", "expression": "true", "message": "no"}],
            "evidence": {"reproducible": True, "artifactVerified": False, "provenanceVerified": False},
            "soak": {"alias": "staging", "duration": "90m"},
            "freeze": [
                {"name": "once", "start": "2026-12-20T00:00:00+01:00", "end": "2027-01-07T00:00:00Z"},
                {"name": "week", "weekly": {"days": ["Sat", "Sun"], "timeZone": "Europe/Berlin"}},
            ],
        }
    )
    assert policies.policy_view("release", spec) == Policy(
        "release",
        ("dig*",),
        ("champion",),
        "Warn",
        Approvals(2, False, timedelta(hours=36)),
        (Gate("f1", "true", "no"),),
        frozenset({"reproducible"}),
        Soak("staging", timedelta(minutes=90)),
        (
            Once("once", datetime(2026, 12, 19, 23, tzinfo=UTC), datetime(2027, 1, 7, tzinfo=UTC)),
            dataclasses.replace(WEEKEND, name="week"),
        ),
    )


@pytest.mark.parametrize(
    ("freeze", "problem"),
    [
        ({"name": "f"}, "freeze f has neither weekly nor start and end"),
        ({"name": "f", "start": "2026-12-20T00:00:00", "end": "2026-12-21T00:00:00"}, "freeze f has a time without"),
        ({"name": "f", "weekly": {"days": ["Mon"], "from": "09:00", "to": "09:00"}}, "freeze f is from 09:00 to 09:00"),
        ({"name": "f", "start": "2026-12-20T00:00:00Z", "end": "9999-12-31T23:59:59-12:00"}, "freeze f is out of"),
    ],
)
def test_invalid_windows_accepted_by_the_schema_block_the_alias(freeze: dict[str, Any], problem: str) -> None:
    policy = policies.policy_view("p", PromotionPolicySpec.model_validate({"freeze": [freeze]}))
    assert policy.problem.startswith(problem)
    assert verdict.problems(policy) == [policy.problem]
    assert not judge(version(approvals=(approval("ben"),)), policy).allowed


def test_problems_of_a_policy_name_the_gate_and_the_position() -> None:
    policy = with_rule(
        gates=(Gate("a", "true"), Gate("b", "candidate.x >")), freeze=(dataclasses.replace(WEEKEND, zone="X"),)
    )
    assert verdict.problems(policy) == [
        "gate b: line 1, column 14: Syntax error: mismatched input end of the expression",
        "freeze weekend: unknown time zone X",
    ]


@pytest.mark.parametrize(
    ("text", "hours"), [("90m", 1.5), ("24h", 24), ("7d", 168), ("1d12h", 36), ("2w", 336), ("60s", 1 / 60)]
)
def test_durations(text: str, hours: float) -> None:
    assert policies.parse_duration(text) == hours * HOUR


@pytest.mark.parametrize("text", ["", "h", "1", "1y", "-1h", "1.5h", "1h "])
def test_texts_that_are_not_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        policies.parse_duration(text)


def test_durations_are_capped() -> None:
    assert policies.parse_duration("999999w999999w") == policies.LONGEST


@pytest.mark.parametrize("exclude", [True, False])
def test_the_owner_of_the_run_counts_where_the_owner_does(exclude: bool) -> None:
    rule = with_rule(approvals=Approvals(required=1, exclude_owner=exclude))
    answer = judge(version(run_owner="ben", approvals=(approval("ben"),)), rule)
    assert answer.allowed is not exclude


def test_an_approval_by_a_former_approver_does_not_hide_a_valid_one() -> None:
    approvals = (approval("ben", lapsed=True), approval("ben", id="2"), approval("carla", lapsed=True))
    assert judge(version(approvals=approvals)).allowed
    assert not judge(version(approvals=(approvals[0], approvals[2]))).allowed
