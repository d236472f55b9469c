import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api.modelalias import Binding
from assay.api.modelversion import HeldStatus, ModelVersionStatus
from assay.planning.promotion import pointers
from assay.planning.promotion.binding import MAX_HISTORY
from assay.planning.promotion.pointers import MAX_STRETCHES, History, Past
from tests.unit.planning.objects import NOW

pytestmark = pytest.mark.unit

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
Span = tuple[str, int, int | None]


def at(minutes: int) -> datetime:
    return NOW + timedelta(minutes=minutes)


def bound(version: int, begin: int, end: int | None = None, digest: str | None = DIGEST) -> Binding:
    return Binding(version=version, digest=digest, from_=at(begin), to=None if end is None else at(end))


def stretch(alias: str, begin: int, end: int | None = None) -> HeldStatus:
    return HeldStatus(alias=alias, from_=at(begin), to=None if end is None else at(end))


def held(
    *histories: tuple[str, list[Binding]], known: list[HeldStatus] | None = None, version: int = 1, now: int = 1000
) -> list[HeldStatus]:
    return pointers.held(known or [], version, DIGEST, [History(*each) for each in histories], at(now))


def test_each_binding_of_the_version_is_a_stretch() -> None:
    champion = [bound(1, 0, 5), bound(2, 5, 9), bound(1, 9)]
    found = held(("champion", champion), ("staging", [bound(1, 1, 3)]))
    assert found == [stretch("champion", 0, 5), stretch("staging", 1, 3), stretch("champion", 9)]
    assert pointers.holding(found) == ["champion"]
    assert held(("champion", champion), version=3) == []


def test_other_bytes_under_the_same_number_are_another_version() -> None:
    assert held(("champion", [bound(1, 0, 5, OTHER), bound(1, 5, None, None)])) == [stretch("champion", 5)]


def test_a_version_keeps_periods_dropped_by_its_alias() -> None:
    known = held(("champion", [bound(1, 0, 5), bound(2, 5)]))
    assert held(("champion", [bound(2, 5)]), known=known) == [stretch("champion", 0, 5)]
    assert held(known=known) == [stretch("champion", 0, 5)]


def test_a_live_period_ends_when_its_alias_is_deleted() -> None:
    known = [stretch("champion", 0)]
    assert held(known=known, now=7) == [stretch("champion", 0, 7)]
    assert held(known=held(known=known, now=7), now=9) == [stretch("champion", 0, 7)], "it ends once"
    assert held(known=known, now=-7) == [stretch("champion", 0, 0)], "the clock was put back"


def test_a_dropped_live_period_ends_with_the_next_known_move() -> None:
    """Else what was live for a minute would look as if it had soaked until the operator came back."""
    forgotten = [bound(number, number, number + 1) for number in range(5, 24)]
    assert held(("champion", forgotten), known=[stretch("champion", 3)]) == [stretch("champion", 3, 5)]


def test_a_recreated_alias_leaves_no_overlapping_live_periods() -> None:
    found = held(("champion", [bound(1, 50)]), known=[stretch("champion", 0)], now=60)
    assert found == [stretch("champion", 0, 50), stretch("champion", 50)]


def test_the_alias_history_overrides_the_known_periods() -> None:
    known = [stretch("champion", 0, 3)]
    assert held(("champion", [bound(1, 0)]), known=known) == [stretch("champion", 0)]


def test_two_moves_within_a_second() -> None:
    there_and_back = [bound(1, 0, 4), bound(2, 4, 4), bound(1, 4)]
    assert held(("champion", there_and_back)) == [stretch("champion", 0, 4), stretch("champion", 4)]
    assert held(("champion", [bound(1, 4, 4), bound(2, 4)])) == [stretch("champion", 4, 4)]
    assert held(("champion", [bound(1, 4, 4), bound(2, 4, 4), bound(1, 4, 9), bound(3, 9)])) == [
        stretch("champion", 4, 9)
    ]


def test_a_frequently_moved_alias_does_not_displace_periods_of_others() -> None:
    """A version that looks free loses its label, and with it its protection from deletion."""
    known = [stretch("staging", 10 + 2 * number, 11 + 2 * number) for number in range(3 * MAX_STRETCHES)]
    known += [stretch("canary", 3, 4)]
    found = held(("champion", [bound(1, 0)]), known=known)
    assert pointers.holding(found) == ["champion"]
    assert stretch("canary", 3, 4) in found
    assert len(found) == MAX_STRETCHES
    assert found == sorted(found, key=lambda each: each.from_)
    assert found[-1] == known[-2], "of those that go, the oldest go"
    assert held(("champion", [bound(1, 0)]), known=found) == found
    ModelVersionStatus.model_validate({"held": [each.to_dict() for each in found]})


def test_current_live_periods_are_never_dropped() -> None:
    """However many aliases have held the version since."""
    since = [stretch(f"a{number}", 10, 20) for number in range(2 * MAX_STRETCHES)]
    found = held(("champion", [bound(1, 0)]), known=since)
    assert (len(found), pointers.holding(found)) == (MAX_STRETCHES, ["champion"])


# Any sequence of moves, seen by the version now and then


class Ledger:
    """What aliases have pointed to, all of it: a list that forgets nothing beside histories that do."""

    def __init__(self) -> None:
        self.moves: list[tuple[str, int | None, int]] = []

    def move(self, alias: str, version: int | None, minute: int) -> None:
        self.moves.append((alias, version, minute))

    def spans(self, version: int) -> list[Span]:
        found: list[Span] = []
        for place, (alias, to, begin) in enumerate(self.moves):
            if to == version:
                later = [each[2] for each in self.moves[place + 1 :] if each[0] == alias]
                found.append((alias, begin, later[0] if later else None))
        return sorted(found, key=lambda each: (each[1], each[0]))

    def history(self, alias: str) -> list[Binding]:
        """Return the bindings since the alias was last deleted, the newest of them."""
        found: list[Binding] = []
        mine = [each for each in self.moves if each[0] == alias]
        for place, (_, to, begin) in enumerate(mine):
            end = mine[place + 1][2] if place + 1 < len(mine) else None
            found = [] if to is None else [*found, bound(to, begin, end)]
        return found[-MAX_HISTORY:]


moves = st.lists(
    st.tuples(st.sampled_from(["champion", "staging"]), st.sampled_from([1, 1, 2, 3, None]), st.integers(1, 3)),
    max_size=60,
)


@settings(deadline=None)
@given(moves, st.integers(1, 10))
def test_a_version_knows_all_stretches_of_all_aliases(steps: list[tuple[str, int | None, int]], every: int) -> None:
    """An alias keeps 20 moves and takes them along when it is deleted: until then the version has to have looked."""
    ledger, known, minute = Ledger(), dict[int, list[HeldStatus]]({1: [], 2: []}), 0
    for count, (alias, version, waited) in enumerate(steps):
        minute += waited
        ledger.move(alias, version, minute)
        at_deletion = None in (version, *(to for _, to, _ in steps[count + 1 : count + 2]))
        if count % every == 0 or at_deletion or count + 1 == len(steps):
            histories = [History(each, ledger.history(each)) for each in ("champion", "staging")]
            for number in known:
                known[number] = pointers.held(known[number], number, DIGEST, histories, at(minute))
    for number, found in known.items():
        assert found == [stretch(*each) for each in ledger.spans(number)]
    ends = [(each.alias, each.from_, each.to) for found in known.values() for each in found]
    for alias in ("champion", "staging"):
        mine = sorted((begin, end or at(minute + 1)) for who, begin, end in ends if who == alias)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(mine))
        assert sum(who == alias and end is None for who, _, end in ends) <= 1


minutes = st.integers(0, 40)
stretches = st.builds(stretch, st.sampled_from(["champion", "staging"]), minutes, st.none() | minutes)
bindings = st.lists(st.builds(bound, st.integers(1, 3), minutes, st.none() | minutes), max_size=25)


@given(st.lists(stretches, max_size=150), bindings, bindings, minutes)
def test_computing_live_periods_twice_changes_nothing(
    known: list[HeldStatus], one: list[Binding], two: list[Binding], now: int
) -> None:
    found = held(("champion", one), ("staging", two), known=known, now=now)
    assert held(("champion", one), ("staging", two), known=found, now=now + 5) == found
    assert len(found) <= MAX_STRETCHES


# An alias that is created again


def test_a_recreated_alias_keeps_the_bindings_of_the_deleted_one() -> None:
    first = Past(1, DIGEST, [HeldStatus(alias="champion", from_=at(0), to=at(5))])
    second = Past(2, DIGEST, [HeldStatus(alias="champion", from_=at(5)), HeldStatus(alias="shadow", from_=at(1))])
    found = pointers.remembered("champion", [second, first], [], at(9))
    assert [(each.version, each.from_, each.to) for each in found] == [(1, at(0), at(5)), (2, at(5), at(9))]
    # What is remembered says the same of the versions as they said before.
    again = held(("champion", found), known=[HeldStatus(alias="champion", from_=at(0), to=at(5))], now=10)
    assert again == [HeldStatus(alias="champion", from_=at(0), to=at(5))]


def test_an_alias_recreated_at_once_keeps_bindings_not_yet_on_its_versions() -> None:
    first = Past(1, DIGEST, [HeldStatus(alias="champion", from_=at(0))])
    versions = [first, Past(2, DIGEST, []), Past(3, OTHER, [])]
    deleted = [
        History("champion", [bound(1, 0, 5), bound(2, 5, 8), bound(3, 6, 7), bound(4, 7, 8)]),
        History("shadow", [bound(2, 1, 8)]),
    ]
    found = pointers.remembered("champion", versions, deleted, at(9))
    assert [(each.version, each.from_, each.to) for each in found] == [(1, at(0), at(5)), (2, at(5), at(8))]


def test_an_alias_recreated_within_a_second_keeps_bindings_of_that_second() -> None:
    """The API server cuts the fraction off the time at which an object was created."""
    bound_at = at(9) + timedelta(milliseconds=400)
    past = Past(1, DIGEST, [HeldStatus(alias="champion", from_=bound_at, to=bound_at + timedelta(milliseconds=100))])
    found = pointers.remembered("champion", [past], [], at(9))
    assert [(each.version, each.from_, each.to) for each in found] == [(1, bound_at, bound_at)]


def test_a_new_alias_has_no_history() -> None:
    past = Past(1, DIGEST, [HeldStatus(alias="shadow", from_=at(0), to=at(5))])
    assert pointers.remembered("champion", [past], [History("shadow", [bound(1, 0, 5)])], at(9)) == []
