"""ModelAlias: a named pointer to one version of a model, and its history.

The spec is the desired version, the status the live one. ``planning`` decides whether the desired version may go live.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from assay.api.common import Conditions, Digest, LongText, Model, Timestamp, rule, rules
from assay.api.modelversion import AliasName, ModelName, VersionNumber

Phase = Literal["Pending", "Held", "Bound", "Degraded"]


class ModelAliasSpec(Model):
    """The requested version. Only version and reason can be changed."""

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
        VersionNumber,
        Field(description="The version that the alias should point to. Changing it requires the verb bind."),
    ]
    reason: Annotated[
        str | None,
        Field(max_length=500, description="Free text: why this version. Recorded in the history. Can be changed."),
    ] = None


class RequirementStatus(Model):
    """One requirement of the requested version."""

    policy: Annotated[str, Field(max_length=253, description="Name of the PromotionPolicy. Empty for the default.")]
    requirement: Annotated[str, Field(max_length=253, description="The requirement: a keyword or a gate's name.")]
    met: Annotated[bool, Field(description="Whether the requirement is met.")]
    message: Annotated[str, Field(max_length=1024, description="Explanation: what is present and what is missing.")] = (
        ""
    )


class Binding(Model):
    """One version that the alias pointed to."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    version: Annotated[VersionNumber, Field(description="Version number.")]
    digest: Annotated[Digest | None, Field(description="Digest of the version's artifact.")] = None
    from_: Annotated[Timestamp, Field(alias="from", description="When the alias began to point to it.")]
    to: Annotated[Timestamp | None, Field(description="When it stopped. If absent, the alias still points to it.")] = (
        None
    )
    actor: Annotated[str | None, Field(max_length=512, description="The user who moved the alias.")] = None
    reason: Annotated[str | None, Field(max_length=1024, description="Why the alias was moved.")] = None


class SetAside(Model):
    """A requested version that the alias rolled back from or does not move to until its spec changes."""

    version: Annotated[VersionNumber, Field(description="Version number.")]
    generation: Annotated[int, Field(description="The generation of the spec that requested it.")]
    reason: Annotated[
        Literal["RolledBack", "RolloutFailed"], Field(description="Reason, in CamelCase: RolledBack or RolloutFailed.")
    ]
    message: Annotated[str, Field(max_length=1024, description="Explanation of the reason.")] = ""
    at: Annotated[Timestamp, Field(description="When the version was set aside.")]


class ServingStatus(Model):
    """One workload that follows the alias."""

    kind: Annotated[str, Field(max_length=63, description="Deployment or StatefulSet.")]
    name: Annotated[str, Field(max_length=253, description="Name of the workload.")]
    version: Annotated[int | None, Field(description="The version in the pod template.")] = None
    ready: Annotated[bool, Field(description="Whether all pods serve that version.")] = False
    proven: Annotated[
        int | None,
        Field(
            description="The last version that all pods served. If the next version fails, the alias rolls back "
            "to this one."
        ),
    ] = None
    failed: Annotated[bool, Field(description="Whether the pods cannot serve that version.")] = False
    blocked: Annotated[
        bool, Field(description="Whether the operator cannot set the alias's version in the workload.")
    ] = False
    message: Annotated[str | None, Field(max_length=1024, description="Why the workload is not ready.")] = None


class ModelAliasStatus(Model):
    """Observed state of an alias."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, protected_namespaces=())

    observed_generation: Annotated[
        int | None, Field(description="The metadata.generation that this status describes.")
    ] = None
    phase: Annotated[Phase | None, Field(description="Pending, Held, Bound or Degraded.")] = None
    message: Annotated[LongText | None, Field(description="What the alias is waiting for.")] = None
    bound_version: Annotated[int | None, Field(description="The live version.")] = None
    bound_digest: Annotated[Digest | None, Field(description="Digest of the version's artifact.")] = None
    bound_generation: Annotated[
        int | None, Field(description="The generation of the spec that led to this binding.")
    ] = None
    bound_at: Annotated[Timestamp | None, Field(description="When the live version was bound.")] = None
    previous_version: Annotated[int | None, Field(description="The version that was live before.")] = None
    bindings: Annotated[int, Field(description="How many times the alias was bound.")] = 0
    set_aside: Annotated[
        SetAside | None,
        Field(
            description="The requested version, if the alias rolled back from it. The operator tries it again "
            "when the spec changes."
        ),
    ] = None
    requirements: Annotated[
        list[RequirementStatus], Field(max_length=100, description="Requirements of the requested version.")
    ] = []
    warnings: Annotated[
        list[Annotated[str, Field(max_length=1024, description="One warning.")]],
        Field(max_length=50, description="Unmet requirements of policies in mode Warn."),
    ] = []
    history: Annotated[
        list[Binding],
        Field(max_length=20, description="The newest bindings, oldest first. The audit trail has all of them."),
    ] = []
    serving: Annotated[
        list[ServingStatus],
        Field(
            max_length=20,
            description="Workloads that follow the alias.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind", "name"]},
        ),
    ] = []
    conditions: Conditions = []
