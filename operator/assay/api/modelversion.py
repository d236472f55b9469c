"""ModelVersion: one registered artifact, with its digest and its sources.

Its spec never changes, so an approved version cannot change. Each approval is one annotation. The admission policies
in ``charts/assay/policies`` control who may write it. Nothing here decides whether an approval counts.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SkipValidation
from pydantic.alias_generators import to_camel
from pydantic.json_schema import WithJsonSchema

from assay.api.common import Conditions, Digest, LongText, Model, Name, Owner, Timestamp, rule, rules
from assay.api.numbers import Number, Step
from assay.api.run import Dataset, MetricName, Seed, Source
from assay.api.run_status import BEST, LAST, CredentialsStatus, Images

#: Excludes dots, so ``digits.champion`` can be the name of an alias and never that of a model.
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
ModelName = Annotated[str, Field(min_length=1, max_length=50, pattern=DNS_LABEL)]
AliasName = Annotated[str, Field(min_length=1, max_length=40, pattern=DNS_LABEL)]
#: The maximum is that of the store's keys.
VersionNumber = Annotated[int, Field(ge=1, le=999_999_999)]

#: Admission compares prefixes of this address, so every client must read it alike: no empty part, query or escape.
ARTIFACT_URI = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\\?#%\s\x00-\x1f\x7f]+)+/?$"
_NO_DOTS = rule(
    "!self.split('/').exists(part, part == '.' || part == '..')",
    "no part of an artifact's address may be '.' or '..'",
)


class RunReference(Model):
    """The run that made the model."""

    name: Annotated[Name, Field(pattern=DNS_LABEL, description="Name of the Run, in the same namespace.")]
    uid: Annotated[str, Field(min_length=1, max_length=64, description="UID of the Run.")]
    experiment: Annotated[Name | None, Field(pattern=DNS_LABEL, description="Name of the run's Experiment.")] = None


class Artifact(Model):
    """The registered bytes."""

    uri: Annotated[
        str | None,
        Field(
            pattern=ARTIFACT_URI,
            max_length=1024,
            description="File or folder in the object store, below the namespace's own prefixes or below an "
            "allowed prefix. Omit it if a run is named.",
            json_schema_extra=rules(_NO_DOTS),
        ),
    ] = None
    digest: Annotated[
        Digest,
        Field(description="sha256 of the file, or of the folder's sorted 'digest  path' lines."),
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
    """A summary of one of the run's metrics at the time of registration."""

    last: Annotated[Number, Field(description=LAST)]
    min: Annotated[float | None, Field(description="The smallest finite value.")] = None
    max: Annotated[float | None, Field(description="The largest finite value.")] = None
    best: Annotated[float | None, Field(description=BEST)] = None
    step: Annotated[Step | None, Field(description="The step of the latest value.")] = None


#: Like the parameters of a Run, but without a check of the scalars: they are only displayed, never launched.
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
    """How the model was made."""

    parameters: RecordedParameters = {}
    metrics: Annotated[
        dict[MetricName, MetricRecord], Field(max_length=100, description="Summary of the run's metrics, by name.")
    ] = {}
    metrics_omitted: Annotated[
        int | None, Field(ge=0, description="Number of metrics of the run for which there was no room here.")
    ] = None
    source: Annotated[Source | None, Field(description="The training code.")] = None
    datasets: Annotated[
        list[Dataset],
        Field(
            max_length=64,
            description="The data sets that the run read.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    images: Images = []
    seed: Seed | None = None


class ModelVersionSpec(Model):
    """One registered artifact. Immutable."""

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
    version: Annotated[VersionNumber, Field(description="Version number. Never reused.")]
    owner: Owner = None
    run: Annotated[RunReference | None, Field(description="The run that made the version.")] = None
    artifact: Annotated[Artifact, Field(description="The registered bytes. Approvals apply to this digest.")]
    provenance: Annotated[Provenance | None, Field(description="How the version was made.")] = None


class ArtifactStatus(Model):
    """The registered copy."""

    uri: Annotated[str, Field(max_length=1024, description="Prefix of the copy in the object store.")]
    digest: Annotated[Digest | None, Field(description="Verified digest of the copied bytes.")] = None
    manifest_digest: Annotated[Digest | None, Field(description="Digest of the copy's manifest.json.")] = None
    path: Annotated[str | None, Field(max_length=1024, description="File name, if the model is a single file.")] = None
    files: Annotated[int | None, Field(description="Number of files.")] = None
    bytes: Annotated[int | None, Field(description="Total size of the files in bytes.")] = None


class SignatureStatus(Model):
    """The signature of the registered bytes."""

    uri: Annotated[str, Field(max_length=1024, description="Location of the bundle, which `model-signing` can verify.")]
    key_id: Annotated[str, Field(max_length=64, description="sha256 of the public key that verifies the signature.")]


class ApprovalStatus(Model):
    """One approval."""

    alias: Annotated[str, Field(max_length=63, description="The alias that the approval is for.")]
    approver: Annotated[str, Field(max_length=512, description="The approver.")]
    id: Annotated[str, Field(max_length=63, description="Last part of the annotation's name.")]
    since: Annotated[Timestamp, Field(description="When the operator first saw it. Expiry is measured from here.")]
    fingerprint: Annotated[
        str, Field(max_length=64, description="sha256 of the annotation's value. A changed value is a new approval.")
    ]
    valid: Annotated[bool, Field(description="Whether the approval applies to the bytes of this version.")]


class HeldStatus(Model):
    """A period during which an alias pointed to the version."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    alias: Annotated[AliasName, Field(description="Name of the alias.")]
    from_: Annotated[Timestamp, Field(alias="from", description="When the alias began to point to it.")]
    to: Annotated[Timestamp | None, Field(description="When it stopped. If absent, the alias still points to it.")] = (
        None
    )


class ModelVersionStatus(Model):
    """Observed state of a version."""

    observed_generation: Annotated[
        int | None, Field(description="The metadata.generation that this status describes.")
    ] = None
    phase: Annotated[
        Literal["Pending", "Ready", "Failed", "Archived"] | None,
        Field(description="Pending, Ready, Failed or Archived."),
    ] = None
    message: Annotated[LongText | None, Field(description="Explanation of the phase.")] = None
    registered: Annotated[Timestamp | None, Field(description="When the bytes were copied and verified.")] = None
    artifact: Annotated[ArtifactStatus | None, Field(description="The registered copy.")] = None
    aliases: Annotated[
        list[Annotated[AliasName, Field(description="Name of the alias.")]],
        Field(max_length=50, description="The aliases that point to the version now."),
    ] = []
    approvals: Annotated[list[ApprovalStatus], Field(max_length=200, description="The version's approvals.")] = []
    approval_changes: Annotated[
        int | None,
        Field(
            description="How often the list of approvals has changed. The audit trail identifies an approval by it, so "
            "that it is recorded once even if the operator stops before it writes this status."
        ),
    ] = None
    held: Annotated[
        list[HeldStatus],
        Field(
            max_length=100, description="The newest periods during which an alias pointed to the version, oldest first."
        ),
    ] = []
    provenance: Annotated[
        Provenance | None, Field(description="The run's provenance, if the spec omits any of it.")
    ] = None
    run_owner: Annotated[
        str | None, Field(max_length=512, description="The owner of the run, as the Run states it.")
    ] = None
    signature: Annotated[SignatureStatus | None, Field(description="The signature of the bytes.")] = None
    credentials: Annotated[
        CredentialsStatus | None, Field(description="The Secret with which pods fetch the version while it is served.")
    ] = None
    conditions: Conditions = []
