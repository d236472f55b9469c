"""From pydantic's JSON schema to a structural schema."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from assay.api.common import Model, rule, rules
from assay.api.schema import structural

pytestmark = pytest.mark.unit


class Inner(Model):
    """Something inside."""

    long_name: Annotated[int | None, Field(gt=0, le=9, description="A number.")] = None


class Outer(Model):
    """Something outside."""

    one: Annotated[Inner, Field(description="The field's own words.")]
    maybe: Inner | None = None
    many: Annotated[list[Inner], Field(max_length=3, default_factory=list)]
    by_name: Annotated[dict[str, Inner], Field(max_length=2, default_factory=dict)]
    unique: Annotated[set[str], Field(default_factory=set)]
    fixed: Literal["a"] = "a"
    choice: Literal["a", "b"] = "b"


def test_references_are_inlined_and_field_descriptions_win() -> None:
    found = structural(Outer)
    assert "$defs" not in found
    inner = {
        "longName": {
            "type": "integer",
            "minimum": 0,
            "exclusiveMinimum": True,
            "maximum": 9,
            "description": "A number.",
        }
    }
    assert found["properties"]["one"] == {
        "type": "object",
        "description": "The field's own words.",
        "properties": inner,
    }
    assert found["properties"]["maybe"]["description"] == "Something inside."
    assert found["properties"]["many"]["items"]["properties"] == inner
    assert found["properties"]["byName"]["additionalProperties"]["properties"] == inner


def test_an_optional_field_is_one_that_may_be_absent() -> None:
    found = structural(Outer)
    assert found["required"] == ["one"]
    assert "default" not in found["properties"]["maybe"]
    assert "nullable" not in found["properties"]["maybe"]


def test_bounds_and_choices() -> None:
    found = structural(Outer)["properties"]
    assert found["many"]["maxItems"] == 3
    assert found["byName"]["maxProperties"] == 2
    assert found["unique"]["x-kubernetes-list-type"] == "set"
    assert found["fixed"] == {"type": "string", "enum": ["a"], "default": "a"}
    assert found["choice"]["enum"] == ["a", "b"]


def test_a_union_has_no_structural_schema() -> None:
    class Union(BaseModel):
        field: int | str

    with pytest.raises(ValueError, match="a union of 2 types has no structural schema"):
        structural(Union)


def test_a_node_without_a_type_has_no_structural_schema() -> None:
    class Anything(BaseModel):
        field: object

    with pytest.raises(ValueError, match=r"Anything\.field: a structural schema requires a type"):
        structural(Anything)


def test_rules_of_cel() -> None:
    one = rule("self > 0", "it must be more than 0", reason="FieldValueInvalid")
    assert rules(one, oneOf=[]) == {
        "x-kubernetes-validations": [
            {"rule": "self > 0", "message": "it must be more than 0", "reason": "FieldValueInvalid"}
        ],
        "oneOf": [],
    }
