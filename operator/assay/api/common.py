"""Types that several kinds share: scalars of parameters, conditions, bounded strings.

Every string has a ``max_length``; every list and map has a bound. The API server refuses CEL rules over unbounded
values, because it computes their worst-case cost in advance.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation
from pydantic.alias_generators import to_camel
from pydantic.json_schema import WithJsonSchema

#: A parameter's value in JSON and YAML: a number, string or boolean. A structural schema cannot express that union, so
#: the API server accepts anything here; ``planning.search`` refuses other types, with a message in the status.
Scalar = Annotated[
    bool | int | float | str,
    SkipValidation,
    WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True, "description": "A number, string or boolean."}),
]

Name = Annotated[str, Field(min_length=1, max_length=63)]
LongText = Annotated[str, Field(max_length=4096)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
Timestamp = Annotated[datetime, WithJsonSchema({"type": "string", "format": "date-time"})]
#: ``90m``, ``24h``, ``7d``, ``1d12h``.
Duration = Annotated[str, Field(pattern=r"^([0-9]{1,6}[smhdw])+$", max_length=32)]
#: A username exactly as the API server reports it. Compare it for equality only; never parse it.
Owner = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=512,
        description="The user who created the object, or on whose behalf it was created. The API server fills "
        "it in; naming another user requires the verb delegate. Immutable.",
    ),
]
LabelValue = Annotated[str, Field(max_length=63, description="Value of the label.")]
AnnotationValue = Annotated[str, Field(max_length=4096, description="Value of the annotation.")]
Labels = Annotated[dict[str, LabelValue], Field(max_length=64)]
Annotations = Annotated[dict[str, AnnotationValue], Field(max_length=64)]


#: For an object whose fields are all optional. Server-side apply of `{}`, after fields of it were removed, would leave
#: null if every field had a manager of its own, and the API server would refuse that.
ATOMIC: dict[str, Any] = {"x-kubernetes-map-type": "atomic"}
REPLACED_AS_ONE: dict[str, Any] = {"default": {}, **ATOMIC}

#: For the status of a kind: the API server stores no defaults, so that a line that is removed from Git leaves no trace.
Omitted = Annotated[
    list[Annotated[str, Field(max_length=256, description="A field and its value, e.g. approvals.required: 1.")]],
    Field(max_length=100, description="Fields that the spec omits, with the values that count instead."),
]


def rule(expression: str, message: str, **more: str) -> dict[str, str]:
    """Return one CEL rule in the form of ``x-kubernetes-validations``."""
    return {"rule": expression, "message": message, **more}


def rules(*items: dict[str, str], **more: Any) -> dict[str, Any]:
    """Return the schema extras of a model or field with CEL rules."""
    return {"x-kubernetes-validations": list(items), **more}


class Model(BaseModel):
    """Base of every model: camelCase in JSON, snake_case in Python. Unknown fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: camelCase keys, RFC 3339 times, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Condition(Model):
    """One aspect of an object's state, following the Kubernetes API conventions."""

    type: Annotated[str, Field(max_length=316, description="Condition type, in CamelCase.")]
    status: Annotated[Literal["True", "False", "Unknown"], Field(description="Whether the condition is true.")]
    reason: Annotated[str, Field(max_length=1024, description="Machine-readable reason, in CamelCase.")]
    message: Annotated[LongText, Field(description="Human-readable explanation.")] = ""
    last_transition_time: Annotated[Timestamp, Field(description="When status last changed.")]
    observed_generation: Annotated[
        int | None, Field(description="The metadata.generation that this condition describes.")
    ] = None


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        description="Conditions, keyed by type.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
