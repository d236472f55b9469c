"""ModelAlias: a named pointer to one version of a model, and the history of what it pointed to.

The spec is what is wanted, the status what is live. Whether the one may become the other is decided elsewhere.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from assay.api.common import Conditions, Digest, LongText, Model, Timestamp, rule, rules
from assay.api.modelversion import AliasName, ModelName, VersionNumber

Phase = Literal["Pending", "Held", "Bound", "Degraded"]


class ModelAliasSpec(Model):
    """Which version is wanted. Only version and reason can be changed."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        protected_namespaces=(),
        json_schema_extra=rules(
            rule("self.model == oldSelf.model", "model cannot be changed: create a new ModelAlias"),
            rule("self.alias == oldSelf.alias", "alias cannot be changed: create a new ModelAlias"),
            rule("!self.alias.matches('^v[0-9]+$')", "an alias cannot be named like a version"),
        ),
    )

    model: Annotated[ModelName, Field(description="Name of the model.")]
    alias: Annotated[AliasName, Field(description="Name of the alias, e.g. champion or staging.")]
    version: Annotated[
        VersionNumber, Field(description="The version that it shall point to. Can be changed, by who may bind.")
    ]
    reason: Annotated[
        str | None,
        Field(max_length=500, description="Why this version, in free words; recorded in the history. Can be changed."),
    ] = None


class RequirementStatus(Model):
    """One thing that the wanted version needs before the alias moves."""

    policy: Annotated[str, Field(max_length=253, description="Name of the PromotionPolicy; empty: the default.")]
    requirement: Annotated[str, Field(max_length=253, description="What is required, as one word or a gate's name.")]
    met: Annotated[bool, Field(description="Whether it holds.")]
    message: Annotated[str, Field(max_length=1024, description="What there is and what is missing, in words.")] = ""


class Binding(Model):
    """One version that the alias has pointed to."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    version: Annotated[VersionNumber, Field(description="Number of the version.")]
    digest: Annotated[Digest | None, Field(description="Digest of its artifact.")] = None
    from_: Annotated[Timestamp, Field(alias="from", description="When the alias began to point to it.")]
    to: Annotated[Timestamp | None, Field(description="When it ceased to; absent: it still does.")] = None
    actor: Annotated[str | None, Field(max_length=512, description="Who has moved it.")] = None
    reason: Annotated[str | None, Field(max_length=1024, description="Why.")] = None


class SetAside(Model):
    """A wanted version that the alias has left again, or does not move to, until its spec changes."""

    version: Annotated[VersionNumber, Field(description="Number of the version.")]
    generation: Annotated[int, Field(description="The generation of the spec that asked for it.")]
    reason: Annotated[Literal["RolledBack", "RolloutFailed"], Field(description="Why, as one word.")]
    message: Annotated[str, Field(max_length=1024, description="Why, in words.")] = ""
    at: Annotated[Timestamp, Field(description="Since when.")]


class ServingStatus(Model):
    """One workload that follows the alias."""

    kind: Annotated[str, Field(max_length=63, description="Deployment or StatefulSet.")]
    name: Annotated[str, Field(max_length=253, description="Its name.")]
    version: Annotated[int | None, Field(description="The version in its pod template.")] = None
    ready: Annotated[bool, Field(description="Whether all of its pods serve that version.")] = False
    proven: Annotated[
        int | None,
        Field(
            description="The version that all of its pods served last; when the next one fails, the alias goes back."
        ),
    ] = None
    failed: Annotated[bool, Field(description="Whether its pods cannot serve that version.")] = False
    message: Annotated[str | None, Field(max_length=1024, description="Why not, in words.")] = None


class ModelAliasStatus(Model):
    """What has been seen of an alias."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, protected_namespaces=())

    observed_generation: Annotated[int | None, Field(description="The generation this status was made from.")] = None
    phase: Annotated[Phase | None, Field(description="Pending, Held, Bound or Degraded.")] = None
    message: Annotated[LongText | None, Field(description="What it waits for, in words.")] = None
    bound_version: Annotated[int | None, Field(description="The version that is live.")] = None
    bound_digest: Annotated[Digest | None, Field(description="Digest of its artifact.")] = None
    bound_generation: Annotated[
        int | None, Field(description="The generation of the spec that led to this binding.")
    ] = None
    bound_at: Annotated[Timestamp | None, Field(description="Since when.")] = None
    previous_version: Annotated[int | None, Field(description="The version that was live before.")] = None
    bindings: Annotated[int, Field(description="How many times it was bound.")] = 0
    set_aside: Annotated[
        SetAside | None,
        Field(description="The wanted version, when the alias was taken back from it; a new spec is tried."),
    ] = None
    requirements: Annotated[
        list[RequirementStatus], Field(max_length=100, description="What the wanted version needs.")
    ] = []
    warnings: Annotated[
        list[Annotated[str, Field(max_length=1024, description="One warning.")]],
        Field(max_length=50, description="What policies in mode Warn find amiss."),
    ] = []
    history: Annotated[
        list[Binding],
        Field(max_length=20, description="The newest bindings, oldest first; the audit trail has all."),
    ] = []
    serving: Annotated[
        list[ServingStatus],
        Field(
            max_length=20,
            description="The workloads that follow it.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind", "name"]},
        ),
    ] = []
    conditions: Conditions = []
