"""Parsing lists item by item, whatever the items contain."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.queries.runs import reading

pytestmark = pytest.mark.unit

_TEXTS = st.text(max_size=20)
_ITEMS = st.lists(st.dictionaries(_TEXTS, st.one_of(st.none(), st.integers(), _TEXTS, st.lists(_TEXTS)), max_size=4))


@given(items=_ITEMS, compact=st.booleans())
def test_items_are_read_one_by_one(items: list[dict[str, Any]], compact: bool) -> None:
    separators = (",", ":") if compact else (", ", ": ")
    body = {"apiVersion": "assay.dev/v1alpha1", "items": items, "kind": "RunList", "metadata": {"resourceVersion": "1"}}
    assert list(reading._items(json.dumps(body, separators=separators))) == items


def test_a_list_without_items_has_none() -> None:
    assert list(reading._items('{"kind":"RunList","metadata":{}}')) == []


@pytest.mark.parametrize("text", ['{"items":[{"a":1},{"b":', '{"items":[{"a":1}', '{"items":[{"a":1},'])
def test_a_truncated_list_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        list(reading._items(text))
