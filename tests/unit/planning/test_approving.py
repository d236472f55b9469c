import hashlib
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.api.modelversion import ApprovalStatus, ModelVersionStatus
from assay.planning.promotion import approvals
from assay.planning.promotion.approvals import MAX_APPROVALS, MAX_OF_ONE_PERSON, Change
from tests.unit.planning.objects import NOW

pytestmark = pytest.mark.unit

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LATER = NOW + timedelta(hours=1)


def key(number: object = 1, alias: str = "champion") -> str:
    return f"{alias}.approval.assay.dev/{number}"


def look(annotations: dict[str, str], known: list[ApprovalStatus] | None = None, now: datetime = NOW) -> Change:
    return approvals.look(annotations, DIGEST, known or [], now)


def people(found: list[ApprovalStatus]) -> list[str]:
    return [each.approver for each in found]


def test_an_approval_is_given_once_and_keeps_its_time() -> None:
    annotations = {key(): f"{DIGEST} rita\nlooks good"}
    first = look(annotations)
    assert (people(first.given), first.gone) == (["rita"], [])
    known = first.known[0]
    assert (known.alias, known.id, known.since, known.valid) == ("champion", "1", NOW, True)
    assert known.fingerprint == hashlib.sha256(annotations[key()].encode()).hexdigest()
    assert look(annotations, first.known, LATER) == Change(first.known, [], [])


def test_another_comment_is_another_approval_with_a_time_of_its_own() -> None:
    known = look({key(): f"{DIGEST} rita"}).known
    again = look({key(): f"{DIGEST} rita\nstill good"}, known, LATER)
    assert again.gone == known
    assert [each.since for each in again.given] == [each.since for each in again.known] == [LATER]


def test_a_revoked_approval_is_removed_and_a_new_one_starts_over() -> None:
    annotations = {key(): f"{DIGEST} rita"}
    known = look(annotations).known
    taken = look({}, known, LATER)
    assert taken == Change([], [], known)
    assert look(annotations, taken.known, LATER).known[0].since == LATER


def test_an_approval_of_other_bytes_is_recorded_as_invalid() -> None:
    assert [each.valid for each in look({key(): f"{OTHER} rita"}).given] == [False]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("assay.dev/owner", f"{DIGEST} rita"),
        (key("x/y"), f"{DIGEST} rita"),
        ("Champion.approval.assay.dev/1", f"{DIGEST} rita"),
        ("digits.champion.approval.assay.dev/1", f"{DIGEST} rita"),
        (key(), DIGEST),
        (key(), f"{DIGEST} "),
        (key(), f" {DIGEST} rita"),
        (key(), f"{DIGEST}\nrita"),
        (key(), f"{DIGEST} " + "r" * 513),
        (key(), ""),
    ],
)
def test_invalid_approval_annotations_are_skipped(name: str, value: str) -> None:
    assert look({name: value}) == Change([], [], [])


@pytest.mark.parametrize("user", ["r" * 512, "rita the second", f"{OTHER} ben", "ri\u2028ta", " rita", "rita\r"])
def test_a_name_is_taken_as_it_is(user: str) -> None:
    assert people(look({key(): f"{DIGEST} {user}\nben"}).given) == [user]


def test_many_approvals_by_one_user_do_not_displace_those_of_others() -> None:
    flood = {key(f"a{number:04}", "staging"): f"{DIGEST} mallory" for number in range(1000)}
    assert len(look(flood).known) == MAX_OF_ONE_PERSON
    found = look(flood | {key("z"): f"{DIGEST} rita"}, look(flood).known)
    assert people(found.given) == ["rita"]
    assert people(look(flood | {key("z"): f"{DIGEST} rita"}).known).count("rita") == 1


def test_the_status_has_room_for_what_is_known() -> None:
    flood = {key(number): f"{DIGEST} user{number}" for number in range(MAX_APPROVALS + 50)}
    found = look(flood)
    assert len(found.known) == len(found.given) == MAX_APPROVALS
    ModelVersionStatus.model_validate({"approvals": [each.to_dict() for each in found.known]})
    assert look(flood, found.known, LATER) == Change(found.known, [], []), "those beyond the bound come and go"
    first = found.known[0]
    del flood[key(first.id)]
    after = look(flood, found.known, LATER)
    assert (after.gone, len(after.given)) == ([first], 1), "the place that becomes free is taken"


ids = st.sampled_from(["1", "2", "x"])
values = st.sampled_from(
    [f"{DIGEST} rita", f"{DIGEST} ben\nwell", f"{OTHER} rita", "nonsense", f"{DIGEST} " + "x" * 600]
)
notes = st.dictionaries(st.builds(key, ids, st.sampled_from(["champion", "staging"])), values, max_size=5)


@given(st.lists(notes, min_size=1, max_size=5))
def test_known_approvals_follow_given_and_revoked_ones(states: list[dict[str, str]]) -> None:
    """Every approval is given once and gone once for each time that it is there, and known in between."""
    known: list[ApprovalStatus] = []
    for step, annotations in enumerate(states):
        at = NOW + timedelta(minutes=step)
        change = approvals.look(annotations, DIGEST, known, at)
        before, after = ({(e.alias, e.id, e.fingerprint): e for e in part} for part in (known, change.known))
        assert [after[identity] for identity in after if identity not in before] == change.given
        assert [before[identity] for identity in before if identity not in after] == change.gone
        assert all(after[identity] == before[identity] for identity in after if identity in before)
        assert all(each.since == at for each in change.given)
        known = change.known
