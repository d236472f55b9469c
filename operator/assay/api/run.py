"""Run: one attempt at an experiment's question, with its exact parameters, code, data and pod template.

A Run's spec never changes. Its status describes what happened; the object store has the evidence.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import WithJsonSchema

from assay.api.collect import Collect
from assay.api.common import (
    Annotations,
    Digest,
    Labels,
    Model,
    Name,
    Owner,
    Scalar,
    rule,
    rules,
)
from assay.api.retention import Retention

#: The maximum length is that of the recorder.
MetricName = Annotated[str, Field(min_length=1, max_length=200)]


class Objective(Model):
    """The metric that decides which run is better."""

    metric: Annotated[MetricName, Field(description="Name of the metric as the training code writes it.")]
    direction: Annotated[
        Literal["maximize", "minimize"], Field(description="Whether higher or lower values are better.")
    ]
    value: Annotated[
        Literal["best", "last"],
        Field(
            description="The value of a run that counts: its best one, or its last one. A run whose last value is not "
            "a finite number has none."
        ),
    ] = "best"
    target: Annotated[
        float | None,
        Field(description="When a successful run reaches this value, no further run is launched."),
    ] = None


class Source(Model):
    """The training code."""

    repository: Annotated[str, Field(min_length=1, max_length=2048, description="URL of the repository.")]
    revision: Annotated[
        str | None,
        Field(max_length=250, description="Commit. Use the full hash to make the run repeatable."),
    ] = None
    path: Annotated[str | None, Field(max_length=1024, description="Folder inside the repository.")] = None
    dirty: Annotated[
        bool | None,
        Field(description="Whether the working tree had uncommitted changes. If omitted, it had none."),
    ] = None


class Dataset(Model):
    """A data set that the run reads."""

    name: Annotated[
        Name,
        Field(
            pattern=r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$",
            description="Short name, unique among the run's data sets.",
        ),
    ]
    uri: Annotated[str, Field(min_length=1, max_length=2048, description="Location, e.g. s3://datasets/digits/2.1/")]
    version: Annotated[str | None, Field(max_length=250, description="The publisher's name for this version.")] = None
    digest: Annotated[Digest | None, Field(description="sha256 of the content, as sha256:<64 hex digits>.")] = None


#: The address of an object or folder in a store, or of a file on a web server. An s3 address excludes characters that a
#: store's policy reads as a pattern; an https address excludes a user name and password. In an s3 address, %20 is a
#: space and %25 a percent sign; a percent sign without two hexadecimal digits is itself.
DATASET_URI = (
    r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\\?*\x00-\x1f\x7f]+)*/?"
    r"|https://[^/@?#\s\x00-\x1f\x7f]+/[^\s\x00-\x1f\x7f]*)$"
)


class SecretReference(Model):
    """A Secret in the same namespace."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
            description="Name of a Secret of the namespace, with the keys accessKey and secretKey, and optionally "
            "sessionToken, endpoint, region and ca.",
        ),
    ]


class RunDataset(Dataset):
    """A data set that is fetched to /assay/data/<name> before the training starts."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_extra=rules(
            rule(
                "!self.uri.startsWith('https://') || has(self.digest)",
                "a data set from an https:// address needs a digest",
            ),
            rule(
                "!self.uri.startsWith('s3://') || !self.uri.split('/').exists(part, part == '.' || part == '..')",
                "no part of a data set's address may be '.' or '..'",
            ),
        ),
    )

    uri: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            pattern=DATASET_URI,
            description="Location: s3://<bucket>/<folder>/, s3://<bucket>/<file> or https://<host>/<file>.",
        ),
    ]
    secret_ref: Annotated[
        SecretReference | None,
        Field(
            description="The Secret with credentials for the data set. Without one, it must be below the "
            "namespace's own prefixes or below an allowed prefix."
        ),
    ] = None


class ModelOutput(Model):
    """The artifact that is the model."""

    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            description="File or folder below /assay/artifacts. A run that does not write it fails.",
            json_schema_extra=rules(
                rule(
                    "!self.startsWith('/') && !self.split('/').exists(part, part == '..' || part == '')",
                    "path is relative to /assay/artifacts, without '..', without a slash at either end",
                )
            ),
        ),
    ]


JobSpec = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "description": "The spec of the batch/v1 Job that runs the training; any field of a JobSpec is allowed. "
            "Assay adds only the recorder as a native sidecar, the /assay volume and the PARAM_ "
            "variables. ttlSecondsAfterFinished takes effect when the run is recorded.",
            "x-kubernetes-preserve-unknown-fields": True,
            "required": ["template"],
            "properties": {
                "template": {
                    "type": "object",
                    "description": "The pod template.",
                    "x-kubernetes-preserve-unknown-fields": True,
                    "required": ["spec"],
                    "properties": {
                        "spec": {
                            "type": "object",
                            "description": "The pod's spec.",
                            "x-kubernetes-preserve-unknown-fields": True,
                            "required": ["containers"],
                            "properties": {
                                "containers": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 32,
                                    "description": "The training container and any others.",
                                    "items": {
                                        "type": "object",
                                        "description": "A container; any field of core/v1 is allowed.",
                                        "x-kubernetes-preserve-unknown-fields": True,
                                    },
                                }
                            },
                        }
                    },
                }
            },
        }
    ),
]


#: The range that every common random number generator accepts.
Seed = Annotated[
    int,
    Field(
        ge=0,
        le=2**32 - 1,
        description="Seed of the training's random numbers. The containers get it as ASSAY_SEED; the training "
        "code must use it.",
    ),
]


class Recipe(Model):
    """What an experiment's template and a run have in common: code, data, model and Job."""

    source: Annotated[Source | None, Field(description="The training code.")] = None
    datasets: Annotated[
        list[RunDataset],
        Field(
            max_length=64,
            description="The data sets that the run reads, fetched to /assay/data/<name> before the training starts.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    model: Annotated[ModelOutput | None, Field(description="The artifact that is the model.")] = None
    seed: Seed | None = None
    collect: Annotated[
        Collect | None,
        Field(description="Where the metrics come from. By default, every source that needs no settings is read."),
    ] = None
    job: Annotated[JobSpec, Field()]


#: A valid name of an environment variable.
PARAMETER_NAME = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
PARAMETER_NAME_RULE = (
    "a parameter's name has at most 63 letters, digits, '_', '-' and '.', and does not begin with a digit"
)

#: CEL cannot access this map, because its values have no single type, so the operator checks the names.
Parameters = Annotated[
    dict[str, Scalar],
    WithJsonSchema(
        {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "maxProperties": 64,
            "description": "Parameters by name: numbers, strings or booleans. A container gets each as PARAM_<name>, "
            "and all in /assay/params.json.",
        }
    ),
]


Tolerance = Annotated[
    float,
    Field(ge=0, description="Maximum difference, relative to the larger of the two values."),
]


_OBJECT_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


class RerunOf(Model):
    """The original run, if this is a rerun."""

    name: Annotated[Name, Field(pattern=_OBJECT_NAME, description="Name of the Run, in the same namespace.")]
    uid: Annotated[str, Field(min_length=1, max_length=64, description="UID of the Run.")]
    experiment: Annotated[
        Name | None,
        Field(
            pattern=_OBJECT_NAME,
            description="Name of the run's Experiment. Needed to find the record after the Run itself is gone.",
        ),
    ] = None
    tolerance: Annotated[
        float,
        Field(
            ge=0,
            description="Maximum difference of a metric from the original: |a - b| is at most this times the "
            "larger of |a| and |b|. With 0 they must be equal.",
        ),
    ] = 1e-6
    tolerances: Annotated[
        dict[MetricName, Tolerance],
        Field(max_length=100, description="Tolerances of individual metrics, by name."),
    ] = {}


class RunSpec(Recipe):
    """One training: parameters, code, data and pod template. Immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        json_schema_extra=rules(
            rule("self == oldSelf", "a Run's spec cannot be changed: create a new Run"),
        ),
    )

    owner: Owner = None
    objective: Annotated[Objective | None, Field(description="The metric to report as the run's result.")] = None
    parameters: Parameters = {}
    retention: Annotated[
        Retention | None,
        Field(
            description="How long the run's data is kept. For a run of an Experiment, the Experiment's current "
            "value counts."
        ),
    ] = None
    rerun_of: Annotated[
        RerunOf | None,
        Field(description="The original run, if this is a rerun. The results are compared when this run has ended."),
    ] = None


class RunTemplateMetadata(Model):
    """Labels and annotations for the runs of an experiment."""

    labels: Annotated[Labels, Field(description="Labels of every Run and of its Job.")] = {}
    annotations: Annotated[Annotations, Field(description="Annotations of every Run.")] = {}


class RunTemplate(Recipe):
    """The spec of every Run of an experiment."""

    metadata: Annotated[RunTemplateMetadata | None, Field(description="Labels and annotations for the Runs.")] = None
