"""What is nested too deeply is cut before it is parsed; every other text is parsed as it is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.kube.shallow import CUT, MAX_LEVELS, loads, shallow

pytestmark = pytest.mark.unit

_TEXTS = st.text('[]{}"\\,:a\n é') | st.sampled_from(['"', "\\", '\\"', "[" * 200, "{" * 200, "]" * 200])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=40,
)


@given(_VALUES, st.sampled_from([None, 1]), st.booleans())
def test_a_usual_text_is_parsed_as_it_is(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps([value] * 30, indent=indent, ensure_ascii=ascii_only).encode()
    assert shallow(text) is text
    assert loads(text) == [value] * 30


@given(_VALUES, st.lists(st.sampled_from([_TEXTS, None]), min_size=1, max_size=6), st.data())
def test_only_what_is_nested_too_deeply_is_cut(value: Any, shape: list[Any], data: st.DataObject) -> None:
    """The value is put below lists and objects, with neighbours before and after it."""
    beside = data.draw(_VALUES)
    keys = [None if each is None else data.draw(each) for each in shape]
    levels = data.draw(st.integers(MAX_LEVELS - 8, MAX_LEVELS + 8))
    whole: Any = value
    for number in range(levels):
        key = keys[number % len(keys)]
        whole = [beside, whole, beside] if key is None else {"!": beside, key: whole, "~": beside}
    assert loads(json.dumps(whole).encode()) == _cut(whole, 1)


def _cut(value: Any, level: int) -> Any:
    """Do the same to a parsed value."""
    if not isinstance(value, dict | list):
        return value
    if level > MAX_LEVELS:
        return CUT
    if isinstance(value, list):
        return [_cut(each, level + 1) for each in value]
    return {key: _cut(each, level + 1) for key, each in value.items()}


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"a":1,"b":', "[1,", '[{"[":'])
def test_any_depth_is_parsed(opening: str) -> None:
    closing = "".join({"[": "]", "{": "}"}.get(each, "") for each in reversed(opening.replace('"["', "")))
    deep = opening * 100_000 + "1" + closing * 100_000
    found = loads(f'{{"metadata": {{"name": "x"}}, "spec": {deep}, "status": [1]}}'.encode())
    assert (found["metadata"], found["status"]) == ({"name": "x"}, [1])
    assert json.dumps(found["spec"]).count(CUT) == 1


@pytest.mark.parametrize(
    "text", ["[" * 200, "[" * 200 + "]" * 199, "]" * 200, '"' + "[" * 200, "[" * 200 + '"', "{" * 101]
)
def test_a_broken_text_is_no_json(text: str) -> None:
    assert shallow(text.encode()) == text.encode()
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        loads(text.encode())
