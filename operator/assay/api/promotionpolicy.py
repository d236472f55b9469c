"""PromotionPolicy: what a version needs before an alias that the policy matches may point to it.

Several policies that match all have to be satisfied. What these words come to is decided in ``planning``.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from assay.api.common import Conditions, Duration, LongText, Model, Name, Timestamp, rule, rules
from assay.api.modelversion import AliasName

Glob = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[-a-z0-9*?]+$", description="A name; * and ? stand for others.")
]
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$", max_length=5)]


class Match(Model):
    """Which aliases the policy is about."""

    models: Annotated[list[Glob], Field(min_length=1, max_length=50, description="Names or globs of models.")] = ["*"]
    aliases: Annotated[list[Glob], Field(min_length=1, max_length=50, description="Names or globs of aliases.")] = ["*"]


class Approvals(Model):
    """Who has to agree."""

    required: Annotated[int, Field(ge=0, le=50, description="How many distinct people have to approve.")] = 1
    exclude_owner: Annotated[bool, Field(description="Whether the owner's own approval does not count.")] = True
    expire_after: Annotated[
        Duration | None, Field(description="How long an approval counts, e.g. 30d. Absent: for ever.")
    ] = None


class Gate(Model):
    """One condition in CEL."""

    name: Annotated[Name, Field(description="Name of the gate, shown while it is not met.")]
    expression: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4096,
            description="CEL over candidate (the wanted version) and current (the live one, or null), e.g. "
            "candidate.metrics.val_f1.last >= 0.9",
        ),
    ]
    message: Annotated[str | None, Field(max_length=500, description="What to say while it is not met.")] = None


class Evidence(Model):
    """What has to be known of the version."""

    reproducible: Annotated[bool, Field(description="Its run's recipe is complete.")] = False
    artifact_verified: Annotated[bool, Field(description="Its bytes were verified when they were copied.")] = True
    provenance_verified: Annotated[
        bool, Field(description="Its metrics and parameters are those of its run, not what a manifest says.")
    ] = True
    signed: Annotated[bool, Field(description="Its bytes carry a valid signature.")] = False


class Soak(Model):
    """Where the version has to prove itself before, and how long."""

    alias: Annotated[AliasName, Field(description="The alias that has to have pointed to it.")]
    duration: Annotated[Duration, Field(description="For how long, e.g. 24h.")]


class Weekly(Model):
    """A window that returns every week. When it ends before it begins, it ends on the next day."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_extra=rules(rule("self.from != self.to", "from and to must differ")),
    )

    days: Annotated[
        list[Annotated[Day, Field(description="A day of the week.")]],
        Field(
            min_length=1,
            max_length=7,
            description="On which days it begins.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ]
    from_: Annotated[TimeOfDay, Field(alias="from", description="When it begins, as hh:mm.")] = "00:00"
    to: Annotated[TimeOfDay, Field(description="When it ends, as hh:mm.")] = "24:00"
    time_zone: Annotated[
        str,
        Field(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$", description="Name in the IANA time zone database."),
    ] = "UTC"


class Freeze(Model):
    """A window in which no alias moves: either from start to end, or every week."""

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

    name: Annotated[Name, Field(description="Name of the window, shown while it holds.")]
    start: Annotated[Timestamp | None, Field(description="When it begins.")] = None
    end: Annotated[Timestamp | None, Field(description="When it ends.")] = None
    weekly: Annotated[Weekly | None, Field(description="A window that returns every week.")] = None


class PromotionPolicySpec(Model):
    """What a version needs. What is left out has a strict default: one approval, and verified bytes."""

    match: Annotated[
        Match, Field(description="Which aliases it is about. Absent: all.", json_schema_extra={"default": {}})
    ] = Match()
    mode: Annotated[
        Literal["Enforce", "Warn"],
        Field(description="Enforce: the alias does not move until all is met. Warn: it moves, and its status says so."),
    ] = "Enforce"
    approvals: Annotated[Approvals, Field(description="Who has to agree.", json_schema_extra={"default": {}})] = (
        Approvals()
    )
    gates: Annotated[
        list[Gate],
        Field(
            max_length=50,
            description="Conditions in CEL, all of which have to hold.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    evidence: Annotated[
        Evidence, Field(description="What has to be known of the version.", json_schema_extra={"default": {}})
    ] = Evidence()
    soak: Annotated[Soak | None, Field(description="Where it has to prove itself before.")] = None
    freeze: Annotated[
        list[Freeze],
        Field(
            max_length=50,
            description="Windows in which no alias moves.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []


class PromotionPolicyStatus(Model):
    """What has been seen of a policy."""

    observed_generation: Annotated[int | None, Field(description="The generation this status was made from.")] = None
    message: Annotated[LongText | None, Field(description="What is wrong with it, in words.")] = None
    conditions: Conditions = []
