"""The end of a series is found with few requests, wherever it is and whatever gaps it has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.store import layout, sequences

pytestmark = pytest.mark.unit

LIMIT = layout.MAX_NUMBER + 1
numbers = st.integers(1, LIMIT - 1)


@given(st.sets(numbers | st.integers(1, 50), max_size=30), st.integers(0, 60) | numbers)
def test_the_last_element_is_found_with_few_requests(taken: set[int], after: int) -> None:
    asked: list[int] = []

    def any_behind(number: int) -> bool:
        asked.append(number)
        assert 0 <= number < LIMIT
        return any(each > number for each in taken)

    assert sequences.last(any_behind, after, LIMIT) == max({after, *taken})
    assert len(asked) <= 2 * LIMIT.bit_length() + 2
    if after >= max(taken, default=0):
        assert asked == [after]


@given(numbers)
def test_the_name_of_a_claim_round_trips(number: int) -> None:
    assert layout.parse_number_name(layout.number_name(number)) == number


def test_names_of_claims_sort_as_their_numbers_do() -> None:
    found = [layout.number_name(number) for number in (1, 2, 9, 10, 99, 100, 123_456_789, layout.MAX_NUMBER)]
    assert found == sorted(found)
    assert found[0] == "000000001.json"


@pytest.mark.parametrize("name", ["000000000.json", "1.json", "0000000001.json", "000000001", "00000000١.json", "v1"])
def test_invalid_names_of_claims(name: str) -> None:
    assert layout.parse_number_name(name) is None


@pytest.mark.parametrize("number", [-1, 0, layout.MAX_NUMBER + 1])
def test_invalid_version_numbers(number: int) -> None:
    with pytest.raises(ValueError, match="cannot be the number of a version"):
        layout.number_name(number)


def test_the_keys_of_claims() -> None:
    assert layout.number_prefix("ml", "digits") == "models/ml/digits/numbers"
    assert layout.number_prefix("ml", "digits", layout.PASSED) == "models/ml/digits/passed"
    assert layout.claimant_key("ml", "digits", "a" * 64, 7) == f"models/ml/digits/claimants/{'a' * 64}/007.json"
    for model in ("", "..", "a/b", "A"):
        with pytest.raises(ValueError, match="cannot be part of a model's prefix"):
            layout.number_prefix("ml", model)
    for sha256, attempt in (("a" * 63, 0), ("a" * 64, 1000), ("../" + "a" * 61, 0), ("a" * 64, -1)):
        with pytest.raises(ValueError, match="cannot be an attempt of a claimant"):
            layout.claimant_key("ml", "digits", sha256, attempt)
