"""Notations of versions and aliases."""

import pytest

from assay.queries import references

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("text", ["digits.v24", "digits/24", "models:/digits/24", "models:/digits.v24"])
def test_a_version_is_written_in_many_ways(text: str) -> None:
    assert references.version_name(text) == "digits.v24"
    assert references.alias_name(text) is None


@pytest.mark.parametrize("text", ["digits.champion", "digits@champion", "models:/digits@champion"])
def test_an_alias_is_written_in_many_ways(text: str) -> None:
    assert references.alias_name(text) == "digits.champion"
    assert references.version_name(text) is None


def test_an_alias_may_begin_with_a_digit_and_may_begin_like_a_version() -> None:
    assert references.alias_name("digits.2026") == "digits.2026"
    assert references.alias_name("digits.vip") == "digits.vip"


@pytest.mark.parametrize("text", ["digits", "digits-3", "Digits.champion", "digits.v0", "digits..x", "a.b.c", ""])
def test_other_texts_are_neither(text: str) -> None:
    assert references.version_name(text) is None
    assert references.alias_name(text) is None


def test_only_similar_names_are_suggested() -> None:
    assert references.near("champoin", ["champion", "staging"]) == "did you mean champion?"
    assert references.near("x", ["champion", "staging"]) == ""
