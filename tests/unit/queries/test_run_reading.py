"""How lists are taken apart: item by item, whatever stands in them."""

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
def test_items_come_one_by_one_as_they_stand_in_the_list(items: list[dict[str, Any]], compact: bool) -> None:
    separators = (",", ":") if compact else (", ", ": ")
    body = {"apiVersion": "assay.dev/v1alpha1", "items": items, "kind": "RunList", "metadata": {"resourceVersion": "1"}}
    assert list(reading._items(json.dumps(body, separators=separators))) == items


def test_a_list_without_items_has_none() -> None:
    assert list(reading._items('{"kind":"RunList","metadata":{}}')) == []


@pytest.mark.parametrize("text", ['{"items":[{"a":1},{"b":', '{"items":[{"a":1}', '{"items":[{"a":1},'])
def test_a_list_that_breaks_off_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        list(reading._items(text))
