"""PromotionPolicy: the requirements of a version before an alias that the policy matches may point to it.

If several policies match, the version must meet all of them. ``planning`` evaluates the requirements.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

from assay.api import evidence
from assay.api.common import (
    REPLACED_AS_ONE,
    Conditions,
    Duration,
    LongText,
    Model,
    Name,
    Omitted,
    Timestamp,
    rule,
    rules,
)
from assay.api.modelversion import AliasName

Glob = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=r"^[-a-z0-9*?]+$",
        description="A name. * matches any characters, ? matches one.",
    ),
]
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$", max_length=5)]


class Match(Model):
    """The aliases that the policy applies to."""

    models: Annotated[list[Glob], Field(min_length=1, max_length=50, description="Names or globs of models.")] = ["*"]
    aliases: Annotated[list[Glob], Field(min_length=1, max_length=50, description="Names or globs of aliases.")] = ["*"]


class Approvals(Model):
    """Who must approve."""

    required: Annotated[int, Field(ge=0, le=50, description="Number of distinct approvers.")] = 1
    exclude_owner: Annotated[bool, Field(description="Do not count the owner's approval.")] = True
    expire_after: Annotated[
        Duration | None, Field(description="How long an approval counts, e.g. 30d. If omitted, it does not expire.")
    ] = None


class Gate(Model):
    """A CEL expression that must be true."""

    name: Annotated[Name, Field(description="Name of the gate, shown while the gate is not met.")]
    expression: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4096,
            description="CEL over candidate (the requested version) and current (the live version, or null), e.g. "
            "candidate.metrics.val_f1.last >= 0.9",
        ),
    ]
    message: Annotated[str | None, Field(max_length=500, description="Message while the gate is not met.")] = None


if TYPE_CHECKING:
    Evidence = Model
else:
    _FIELDS = {
        kind.name: (Annotated[bool, Field(description=kind.description)], kind.default) for kind in evidence.KINDS
    }
    Evidence = create_model(
        "Evidence", __base__=Model, __doc__="Conditions that must be true of the version.", **_FIELDS
    )


class Soak(Model):
    """Another alias that must have pointed to the version, and for how long."""

    alias: Annotated[AliasName, Field(description="The alias that must have pointed to the version.")]
    duration: Annotated[Duration, Field(description="For how long without a break, e.g. 24h.")]


class Weekly(Model):
    """A window that repeats every week. If it ends before it starts, it ends on the next day."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_extra=rules(
            rule(
                "(has(self.from) ? self.from : '00:00') != (has(self.to) ? self.to : '24:00')",
                "from and to must differ",
            )
        ),
    )

    days: Annotated[
        list[Annotated[Day, Field(description="A day of the week.")]],
        Field(
            min_length=1,
            max_length=7,
            description="Days on which the window starts.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ]
    from_: Annotated[TimeOfDay, Field(alias="from", description="Start, as hh:mm.")] = "00:00"
    to: Annotated[TimeOfDay, Field(description="End, as hh:mm.")] = "24:00"
    time_zone: Annotated[
        str,
        Field(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$", description="Name in the IANA time zone database."),
    ] = "UTC"


class Freeze(Model):
    """A window in which no alias moves: from start to end, or every week."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_extra=rules(
            rule(
                "has(self.weekly) ? !has(self.start) && !has(self.end) : has(self.start) && has(self.end)",
                "a freeze has either start and end, or weekly",
            ),
            rule("!has(self.start) || !has(self.end) || self.start < self.end", "start must be before end"),
        ),
    )

    name: Annotated[Name, Field(description="Name of the window, shown during the window.")]
    start: Annotated[Timestamp | None, Field(description="Start of the window.")] = None
    end: Annotated[Timestamp | None, Field(description="End of the window.")] = None
    weekly: Annotated[Weekly | None, Field(description="A window that repeats every week.")] = None


class PromotionPolicySpec(Model):
    """What a version needs. Omitted fields have strict defaults: one approval, and verified bytes."""

    match: Annotated[
        Match,
        Field(
            description="The aliases that the policy applies to. If omitted, all.", json_schema_extra=REPLACED_AS_ONE
        ),
    ] = Match()
    mode: Annotated[
        Literal["Enforce", "Warn"],
        Field(
            description="Enforce: the alias does not move until every requirement is met. Warn: it moves, and its "
            "status lists unmet requirements."
        ),
    ] = "Enforce"
    approvals: Annotated[Approvals, Field(description="Who must approve.", json_schema_extra=REPLACED_AS_ONE)] = (
        Approvals()
    )
    gates: Annotated[
        list[Gate],
        Field(
            max_length=50,
            description="CEL expressions that must all be true.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    evidence: Annotated[
        Evidence, Field(description="Conditions that must be true of the version.", json_schema_extra=REPLACED_AS_ONE)
    ] = Evidence()
    soak: Annotated[Soak | None, Field(description="Require that the version was live under another alias first.")] = (
        None
    )
    freeze: Annotated[
        list[Freeze],
        Field(
            max_length=50,
            description="Windows in which no alias moves.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []


class InForce(Model):
    """What the operator requires, with the values of omitted fields."""

    match: Annotated[Match, Field(description="The aliases that the policy applies to.")]
    mode: Annotated[Literal["Enforce", "Warn"], Field(description="Enforce or Warn.")]
    approvals: Annotated[Approvals, Field(description="Who must approve.")]
    evidence: Annotated[Evidence, Field(description="Conditions that must be true of the version.")]


class PromotionPolicyStatus(Model):
    """Observed state of a policy."""

    observed_generation: Annotated[
        int | None, Field(description="The metadata.generation that this status describes.")
    ] = None
    message: Annotated[LongText | None, Field(description="What is wrong with the policy.")] = None
    in_force: Annotated[
        InForce | None,
        Field(description="What the operator requires, with the values of omitted fields. Absent if it is invalid."),
    ] = None
    omitted: Omitted | None = None
    conditions: Conditions = []
