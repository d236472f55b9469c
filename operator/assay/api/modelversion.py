"""ModelVersion: one registered artifact, with its digest and what it was made from.

Its spec never changes, so what was approved cannot change. Approvals are annotations, one each; who may write which
is held by the admission policies of ``charts/assay/policies``. Nothing here decides whether an approval counts.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SkipValidation
from pydantic.alias_generators import to_camel
from pydantic.json_schema import WithJsonSchema

from assay.api.common import Conditions, Digest, LongText, Model, Name, Owner, Timestamp, rule, rules
from assay.api.run import Dataset, MetricName, Seed, Source
from assay.api.run_status import CredentialsStatus, Images

#: No dots: ``digits.champion`` can be the name of an alias, and never that of a model.
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
ModelName = Annotated[str, Field(min_length=1, max_length=50, pattern=DNS_LABEL)]
AliasName = Annotated[str, Field(min_length=1, max_length=40, pattern=DNS_LABEL)]
#: As many as a key of the store can hold.
VersionNumber = Annotated[int, Field(ge=1, le=999_999_999)]

#: What admission compares prefixes with must mean the same to every client: no empty part, no query, no escapes.
ARTIFACT_URI = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\\?#%\s\x00-\x1f\x7f]+)+/?$"
_NO_DOTS = rule(
    "!self.split('/').exists(part, part == '.' || part == '..')",
    "no part of an artifact's address may be '.' or '..'",
)


class RunReference(Model):
    """The run that made the model."""

    name: Annotated[Name, Field(pattern=DNS_LABEL, description="Name of the Run, in the same namespace.")]
    uid: Annotated[str, Field(min_length=1, max_length=64, description="UID of the Run.")]
    experiment: Annotated[Name | None, Field(pattern=DNS_LABEL, description="Name of its Experiment.")] = None


class Artifact(Model):
    """The registered bytes."""

    uri: Annotated[
        str | None,
        Field(
            pattern=ARTIFACT_URI,
            max_length=1024,
            description="File or folder in the object store, below the namespace's own prefixes or below one that "
            "is allowed for it. Left out when a run is named.",
            json_schema_extra=rules(_NO_DOTS),
        ),
    ] = None
    digest: Annotated[
        Digest,
        Field(description="Of a file its sha256; of a folder the sha256 over its sorted 'digest  path' lines."),
    ]
    path: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1024,
            description="File or folder below the run's artifacts.",
            json_schema_extra=rules(
                rule(
                    "!self.startsWith('/') && !self.split('/').exists(part, part == '..' || part == '')",
                    "path is relative, without '..', without a slash at either end",
                )
            ),
        ),
    ] = None
    size: Annotated[int | None, Field(ge=0, description="Size in bytes.")] = None


class MetricRecord(Model):
    """One metric of the run, as it was when the version was registered."""

    last: Annotated[float, Field(description="The latest value.")]
    min: Annotated[float | None, Field(description="The smallest value.")] = None
    max: Annotated[float | None, Field(description="The largest value.")] = None
    best: Annotated[float | None, Field(description="The best value; only of the objective.")] = None
    step: Annotated[int | None, Field(description="The step of the latest value.")] = None


#: As in a Run, but without a check of the scalars: what a version says of its parameters is shown, not launched.
RecordedParameters = Annotated[
    dict[str, SkipValidation[Any]],
    WithJsonSchema(
        {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "maxProperties": 64,
            "description": "Parameters by name: numbers, strings or booleans.",
        }
    ),
]


class Provenance(Model):
    """What the model was made from."""

    parameters: RecordedParameters = {}
    metrics: Annotated[
        dict[MetricName, MetricRecord], Field(max_length=100, description="Summary of the run's metrics, by name.")
    ] = {}
    source: Annotated[Source | None, Field(description="Where the training code comes from.")] = None
    datasets: Annotated[
        list[Dataset],
        Field(
            max_length=64,
            description="The data sets that the run has read.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    images: Images = []
    seed: Seed | None = None


class ModelVersionSpec(Model):
    """One registered artifact. It cannot be changed."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        protected_namespaces=(),
        json_schema_extra=rules(
            rule("self == oldSelf", "a ModelVersion's spec cannot be changed: register a new version"),
            rule("has(self.run) || has(self.artifact.uri)", "either run or artifact.uri must say where the bytes are"),
        ),
    )

    model: Annotated[ModelName, Field(description="Name of the model.")]
    version: Annotated[VersionNumber, Field(description="Number of the version; never used twice.")]
    owner: Owner = None
    run: Annotated[RunReference | None, Field(description="The run that made it.")] = None
    artifact: Annotated[Artifact, Field(description="The registered bytes. Approvals are for this digest.")]
    provenance: Annotated[Provenance | None, Field(description="What it was made from.")] = None


class ArtifactStatus(Model):
    """Where the registered copy is."""

    uri: Annotated[str, Field(max_length=1024, description="Prefix of the copy in the object store.")]
    digest: Annotated[Digest | None, Field(description="Digest of the copied bytes, as verified.")] = None
    manifest_digest: Annotated[Digest | None, Field(description="Digest of the copy's manifest.json.")] = None
    path: Annotated[
        str | None, Field(max_length=1024, description="Name of the file, when the model is one file and no folder.")
    ] = None
    files: Annotated[int | None, Field(description="How many files it has.")] = None
    bytes: Annotated[int | None, Field(description="Their size in bytes.")] = None


class SignatureStatus(Model):
    """The signature over the registered bytes."""

    uri: Annotated[str, Field(max_length=1024, description="The bundle that `model-signing` verifies.")]
    key_id: Annotated[str, Field(max_length=64, description="sha256 of the public key that verifies it.")]


class ApprovalStatus(Model):
    """One approval, as the operator reads it."""

    alias: Annotated[str, Field(max_length=63, description="The alias it is for.")]
    approver: Annotated[str, Field(max_length=512, description="Who has given it.")]
    id: Annotated[str, Field(max_length=63, description="Last part of the annotation's name.")]
    since: Annotated[Timestamp, Field(description="When it was first seen; expiry counts from here.")]
    fingerprint: Annotated[
        str, Field(max_length=64, description="sha256 of the annotation's value: another value is another approval.")
    ]
    valid: Annotated[bool, Field(description="Whether it is for the bytes of this version.")]


class HeldStatus(Model):
    """One stretch of time in which an alias pointed to the version."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    alias: Annotated[AliasName, Field(description="Name of the alias.")]
    from_: Annotated[Timestamp, Field(alias="from", description="When the alias began to point to it.")]
    to: Annotated[Timestamp | None, Field(description="When it ceased to; absent: it still does.")] = None


class ModelVersionStatus(Model):
    """What has been seen of a version."""

    observed_generation: Annotated[int | None, Field(description="The generation this status was made from.")] = None
    phase: Annotated[
        Literal["Pending", "Ready", "Failed", "Archived"] | None,
        Field(description="Pending, Ready, Failed or Archived."),
    ] = None
    message: Annotated[LongText | None, Field(description="Why it is in this phase, in words.")] = None
    registered: Annotated[Timestamp | None, Field(description="When its bytes were copied and verified.")] = None
    artifact: Annotated[ArtifactStatus | None, Field(description="Where the registered copy is.")] = None
    aliases: Annotated[
        list[Annotated[AliasName, Field(description="Name of the alias.")]],
        Field(max_length=50, description="The aliases that point to it at the moment."),
    ] = []
    approvals: Annotated[list[ApprovalStatus], Field(max_length=200, description="The approvals it carries.")] = []
    held: Annotated[
        list[HeldStatus],
        Field(max_length=100, description="When which alias pointed to it, oldest first; the newest stretches."),
    ] = []
    provenance: Annotated[Provenance | None, Field(description="What its run says of it, when the spec does not.")] = (
        None
    )
    signature: Annotated[SignatureStatus | None, Field(description="The signature over its bytes.")] = None
    credentials: Annotated[
        CredentialsStatus | None, Field(description="The Secret with which pods fetch it, while it is served.")
    ] = None
    conditions: Conditions = []
