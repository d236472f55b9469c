"""Run: one attempt at an experiment's question, with its exact parameters, code, data and pod template.

A Run's spec never changes. What happened is in its status, the evidence in the object store.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import WithJsonSchema

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

#: As long as the recorder takes them.
MetricName = Annotated[str, Field(min_length=1, max_length=200)]


class Objective(Model):
    """The metric that says which run is better."""

    metric: Annotated[MetricName, Field(description="Name of the metric, as the training code writes it.")]
    direction: Annotated[
        Literal["maximize", "minimize"], Field(description="Whether more or less of the metric is better.")
    ]
    target: Annotated[
        float | None,
        Field(description="No further run is launched once a run that succeeded has reached this value."),
    ] = None


class Source(Model):
    """Where the training code comes from."""

    repository: Annotated[str, Field(min_length=1, max_length=2048, description="URL of the repository.")]
    revision: Annotated[
        str | None,
        Field(max_length=250, description="Commit, by its full hash if the run is to be repeatable."),
    ] = None
    path: Annotated[str | None, Field(max_length=1024, description="Folder inside the repository.")] = None
    dirty: Annotated[
        bool | None,
        Field(description="Whether the tree had changes that the revision does not have. Absent: it had none."),
    ] = None


class Dataset(Model):
    """One data set that the run reads."""

    name: Annotated[
        Name,
        Field(
            pattern=r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$",
            description="Short name, unique among the run's data sets.",
        ),
    ]
    uri: Annotated[
        str, Field(min_length=1, max_length=2048, description="Where it lies, e.g. s3://datasets/digits/2.1/")
    ]
    version: Annotated[str | None, Field(max_length=250, description="The publisher's name of this version.")] = None
    digest: Annotated[Digest | None, Field(description="sha256 of the content, as sha256:<64 hex digits>.")] = None


#: What can be fetched: an object or folder of a store, without what a policy of the store takes for a pattern, and a
#: file of a web server, without a name or password in its address.
DATASET_URI = (
    r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\\?#%*$\s\x00-\x1f\x7f]+)*/?"
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
            description="Name of a Secret of the namespace, with the keys accessKey and secretKey, and where needed "
            "sessionToken, endpoint, region and ca.",
        ),
    ]


class RunDataset(Dataset):
    """One data set that is brought to /assay/data/<name> before the training begins."""

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
            description="Where it lies: s3://<bucket>/<folder>/, s3://<bucket>/<file> or https://<host>/<file>.",
        ),
    ]
    secret_ref: Annotated[
        SecretReference | None,
        Field(
            description="The Secret to read it with. Without one it must lie below the namespace's own prefixes, or "
            "below one that is allowed for it."
        ),
    ] = None


class ModelOutput(Model):
    """Which artifact is the model."""

    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            description="File or folder below /assay/artifacts. A run that does not leave it there has failed.",
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
            "description": "The spec of the batch/v1 Job that runs the training: any field of a JobSpec. Assay adds "
            "the recorder as a native sidecar, the /assay volume and the PARAM_ variables, and nothing else. "
            "ttlSecondsAfterFinished takes effect once the run is recorded.",
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
                                    "description": "The training container, and others beside it.",
                                    "items": {
                                        "type": "object",
                                        "description": "A container, with any field that core/v1 has for it.",
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


#: What every common generator takes.
Seed = Annotated[
    int,
    Field(
        ge=0,
        le=2**32 - 1,
        description="Where the training's random numbers begin. The containers see it as ASSAY_SEED; it takes effect "
        "only where the training code uses it.",
    ),
]


class Recipe(Model):
    """What an experiment's template and a run have in common: code, data, model and Job."""

    source: Annotated[Source | None, Field(description="Where the training code comes from.")] = None
    datasets: Annotated[
        list[RunDataset],
        Field(
            max_length=64,
            description="The data sets that the run reads, brought to /assay/data/<name> before the training begins.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    model: Annotated[ModelOutput | None, Field(description="Which artifact is the model.")] = None
    seed: Seed | None = None
    job: Annotated[JobSpec, Field()]


PARAMETER_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"

#: CEL cannot see into this map, because its values have no one type; the operator checks the names.
Parameters = Annotated[
    dict[str, Scalar],
    WithJsonSchema(
        {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "maxProperties": 64,
            "description": "Parameters by name: numbers, strings or booleans. A container sees each as PARAM_<name>, "
            "and all of them in /assay/params.json.",
        }
    ),
]


Tolerance = Annotated[
    float,
    Field(ge=0, description="Largest relative difference, of the larger of two values, that counts as none."),
]


_OBJECT_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


class RerunOf(Model):
    """The run that is done again."""

    name: Annotated[Name, Field(pattern=_OBJECT_NAME, description="Name of the Run, in the same namespace.")]
    uid: Annotated[str, Field(min_length=1, max_length=64, description="UID of the Run.")]
    experiment: Annotated[
        Name | None,
        Field(
            pattern=_OBJECT_NAME,
            description="Name of its Experiment, by which its record is found once the Run itself is gone.",
        ),
    ] = None
    tolerance: Annotated[
        float,
        Field(
            ge=0,
            description="How far a metric may be from the original's: |a - b| is at most this times the larger of "
            "|a| and |b|. With 0 they have to be equal.",
        ),
    ] = 1e-6
    tolerances: Annotated[
        dict[MetricName, Tolerance],
        Field(max_length=100, description="The same for single metrics, by name."),
    ] = {}


class RunSpec(Recipe):
    """One attempt: exact parameters, code, data and pod template. It cannot be changed."""

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
            description="How long what it leaves behind is kept. Of a run of an Experiment the Experiment's counts, as "
            "it is now."
        ),
    ] = None
    rerun_of: Annotated[
        RerunOf | None,
        Field(description="The run that is done again: once this one has ended, its results are compared with it."),
    ] = None


class RunTemplateMetadata(Model):
    """Labels and annotations for the runs of an experiment."""

    labels: Annotated[Labels, Field(description="Labels of every Run and of its Job.")] = {}
    annotations: Annotated[Annotations, Field(description="Annotations of every Run.")] = {}


class RunTemplate(Recipe):
    """What becomes the spec of every Run of an experiment."""

    metadata: Annotated[RunTemplateMetadata | None, Field(description="Labels and annotations for the Runs.")] = None
