"""The rules that an alias is judged by: which are about it, and how long they have to stay as they are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from assay.planning.promotion import views
from assay.planning.promotion.policies import AliasView, Approvals, Policy
from assay.planning.promotion.rules import CALM, Calm, Rules

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CHAMPION = AliasView("digits", "champion")
PLACE = ("ml", "digits.champion")
STRICT = Rules((Policy("release", generation=4, digest="sha256:1"),), open_by_default=False)
OPEN = Rules((Policy("release", approvals=Approvals(required=0), generation=5, digest="sha256:2"),), False)
SHUT_AGAIN = Rules((replace(STRICT.policies[0], generation=6),), open_by_default=False)


def test_a_briefly_open_policy_does_not_unblock_an_alias() -> None:
    calm = Calm()
    assert not calm.remaining(PLACE, STRICT, NOW)
    assert calm.remaining(PLACE, OPEN, NOW + SECOND) == CALM
    assert calm.remaining(PLACE, SHUT_AGAIN, NOW + 2 * SECOND) == CALM
    assert calm.remaining(PLACE, OPEN, NOW + 3 * SECOND) == CALM


def test_stable_rules_apply_after_the_delay() -> None:
    calm = Calm()
    calm.remaining(PLACE, STRICT, NOW)
    assert calm.remaining(PLACE, OPEN, NOW + SECOND) == CALM
    assert calm.remaining(PLACE, OPEN, NOW + 2 * SECOND) == CALM - SECOND
    assert not calm.remaining(PLACE, OPEN, NOW + SECOND + CALM)
    assert not calm.remaining(PLACE, OPEN, NOW + 9 * SECOND + CALM)


@pytest.mark.parametrize(
    "opened",
    [
        Rules((), open_by_default=True),
        Rules((), open_by_default=False),
        Rules((*STRICT.policies, Policy("other", generation=1)), open_by_default=False),
    ],
    ids=["by the namespace", "a deleted policy", "one more"],
)
def test_changed_rules_must_stay_before_they_apply(opened: Rules) -> None:
    calm = Calm()
    calm.remaining(PLACE, STRICT, NOW)
    assert calm.remaining(PLACE, opened, NOW + SECOND) == CALM


def test_rules_of_another_alias_cause_no_delay() -> None:
    other = Policy("other", aliases=("staging",))
    rules = Rules((other, *STRICT.policies), open_by_default=False)
    assert rules.asks(CHAMPION) == STRICT
    assert rules.matching(AliasView("digits", "staging")) == (other, *STRICT.policies)


def test_a_policy_is_known_by_its_generation_its_spec_and_who_wrote_it() -> None:
    metadata = {"name": "p", "generation": 3, "annotations": {"assay.dev/changed-by": "paula"}}
    body = {"metadata": metadata, "spec": {"approvals": {"required": 2}}}
    found = views.policy_of(body)
    assert (found.generation, found.changed_by) == (3, "paula")
    reordered = views.policy_of({"metadata": {"name": "p"}, "spec": {"approvals": {"required": 2}}})
    changed = views.policy_of({"metadata": metadata, "spec": {"approvals": {"required": 1}}})
    unreadable = views.policy_of({"metadata": metadata, "spec": {"approvals": {"required": "x"}}})
    assert found.digest == reordered.digest != changed.digest
    assert unreadable.problem
    assert unreadable.digest not in ("", found.digest)
