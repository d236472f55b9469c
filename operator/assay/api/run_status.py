"""The observed state of a Run: its phase, pods, metrics and the address of its record. The store has the evidence."""

from typing import Annotated, Any, Literal

from pydantic import Field, SkipValidation
from pydantic.json_schema import WithJsonSchema

from assay.api.common import Conditions, Digest, LongText, Model, Name, Timestamp
from assay.api.numbers import Number, Step

Phase = Literal["Pending", "Running", "Suspended", "Succeeded", "Failed"]
TERMINAL: frozenset[str] = frozenset({"Succeeded", "Failed"})


LAST = 'The latest value: a number, "NaN", "Infinity" or "-Infinity".'
BEST = (
    "The value by which runs are compared; only for the objective's metric. It is the smallest or the largest "
    "value, or the latest one if objective.value is last. Absent if the latest value is not finite."
)


class MetricStatus(Model):
    """Summary of one metric. The object store has all points."""

    last: Annotated[Number, Field(description=LAST)]
    min: Annotated[float | None, Field(description="The smallest finite value.")] = None
    max: Annotated[float | None, Field(description="The largest finite value.")] = None
    best: Annotated[float | None, Field(description=BEST)] = None
    step: Annotated[Step, Field(description="The step of the latest value.")]
    count: Annotated[int, Field(description="Number of points recorded.")] = 0


#: CEL cannot access this map, because its values have no single type.
LoggedParameters = Annotated[
    dict[str, SkipValidation[Any]],
    WithJsonSchema(
        {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "maxProperties": 100,
            "description": "Parameters by name: numbers, booleans or strings of up to 250 characters.",
        }
    ),
]


class RecorderStatus(Model):
    """The latest report of the newest pod's recorder."""

    points: Annotated[int, Field(description="Metric points recorded.")] = 0
    child_runs: Annotated[
        int | None, Field(description="Child runs that the training code started, as MLflow's nested runs.")
    ] = None
    rejected: Annotated[
        int, Field(description="Lines and values that were not recorded because they are not metrics.")
    ] = 0
    warnings: Annotated[
        list[Annotated[str, Field(max_length=600, description="One warning.")]],
        Field(max_length=20, description="The first rejected lines and values, quoted, and why they were rejected."),
    ] = []
    store_error: Annotated[
        str | None, Field(max_length=1024, description="Why the store is unreachable at the moment.")
    ] = None


class RecordStatus(Model):
    """The run's record in the store, and whether it is complete."""

    uri: Annotated[str, Field(max_length=2048, description="The run's prefix in the object store.")]
    artifacts: Annotated[
        str | None, Field(max_length=2048, description="Prefix of the artifacts of the pod that counts.")
    ] = None
    pod: Annotated[
        str | None, Field(max_length=253, description="Name of the pod whose artifacts and metrics count.")
    ] = None
    complete: Annotated[bool, Field(description="Whether every file of the manifest was found in the store.")] = False
    manifest_digest: Annotated[Digest | None, Field(description="Digest of the run's manifest.json.")] = None
    files: Annotated[int | None, Field(description="Number of files in the manifest.")] = None
    bytes: Annotated[int | None, Field(description="Total size of the files in bytes.")] = None
    expired: Annotated[
        Timestamp | None, Field(description="When the artifacts were deleted because of spec.retention.")
    ] = None


class ModelStatus(Model):
    """The model that the run made."""

    path: Annotated[str, Field(max_length=1024, description="Path below the artifacts.")]
    digest: Annotated[
        Digest,
        Field(description="sha256 of the file, or of the folder's sorted 'digest  path' lines."),
    ]
    size: Annotated[int, Field(description="Size in bytes.")]


class Image(Model):
    """One container image of the run."""

    container: Annotated[Name, Field(description="Name of the container.")]
    image: Annotated[str, Field(max_length=1024, description="The image as named in the pod.")]
    digest: Annotated[str | None, Field(max_length=1024, description="The pulled image, by digest.")] = None


Images = Annotated[
    list[Image],
    Field(
        max_length=32,
        description="The images of the containers in the run's newest pod.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["container"]},
    ),
]


class DatasetStatus(Model):
    """A data set as it was fetched and verified."""

    name: Annotated[Name, Field(description="Name of the data set.")]
    digest: Annotated[
        Digest,
        Field(description="sha256 of the file, or of the folder's sorted 'digest  path' lines."),
    ]
    bytes: Annotated[int, Field(description="Size in bytes.")]
    files: Annotated[int, Field(description="Number of files.")]


class EnvironmentStatus(Model):
    """Summary of the software in the training container. environment.json has all of it."""

    source: Annotated[
        Literal["image", "recorder"],
        Field(
            description="With image: read from the training container's image. With recorder: the installed packages "
            "are unknown."
        ),
    ]
    python: Annotated[
        str | None, Field(max_length=250, description="Version of the Python that has the most packages.")
    ] = None
    packages: Annotated[int, Field(description="Number of packages with known versions.")] = 0
    message: Annotated[LongText | None, Field(description="Why the information is incomplete.")] = None


class UsageStatus(Model):
    """Resource usage of the containers of the run's pods, from samples."""

    cpu_seconds: Annotated[float | None, Field(description="CPU time of all containers until their last sample.")] = (
        None
    )
    max_memory_bytes: Annotated[int | None, Field(description="The largest working set of a single container.")] = None
    samples: Annotated[int, Field(description="Number of samples of all containers.")] = 0
    message: Annotated[LongText | None, Field(description="Why there are no samples.")] = None


class Logged(Model):
    """Parameters and tags that the training code has logged, for example with MLflow. The record has all of them."""

    parameters: LoggedParameters = {}
    tags: Annotated[
        dict[str, Annotated[str, Field(max_length=250, description="Value of the tag.")]],
        Field(max_length=50, description="Tags by name."),
    ] = {}
    omitted: Annotated[int | None, Field(description="Number of parameters and tags that had no room here.")] = None


class Requested(Model):
    """A version of a registered model that the code asked for. Only the Experiment's spec.register grants it."""

    model: Annotated[str, Field(max_length=250, description="Name of the registered model, as the code wrote it.")]
    path: Annotated[str, Field(max_length=1024, description="The file or folder below the run's artifacts.")]


class Attempt(Model):
    """One pod of the run."""

    pod: Annotated[str, Field(max_length=253, description="Name of the pod.")]
    phase: Annotated[str, Field(max_length=32, description="The pod's last known phase.")]
    node: Annotated[str | None, Field(max_length=253, description="Node that the pod ran on.")] = None
    reason: Annotated[str | None, Field(max_length=250, description="Why the pod failed, in CamelCase.")] = None
    exit_code: Annotated[int | None, Field(description="Exit code of the container that made the pod fail.")] = None
    start_time: Annotated[Timestamp | None, Field(description="When the kubelet started the pod.")] = None


class CredentialsStatus(Model):
    """The Secret with the run's store credentials, while it exists."""

    secret: Annotated[str, Field(max_length=253, description="Name of the Secret.")]
    expires: Annotated[Timestamp | None, Field(description="When the credentials expire. If absent, never.")] = None


class RunStatus(Model):
    """Observed state of a run."""

    observed_generation: Annotated[
        int | None, Field(description="The metadata.generation that this status describes.")
    ] = None
    phase: Annotated[Phase, Field(description="Pending, Running, Suspended, Succeeded or Failed.")] = "Pending"
    reason: Annotated[str | None, Field(max_length=250, description="Reason for the phase, in CamelCase.")] = None
    message: Annotated[LongText | None, Field(description="Explanation of the phase.")] = None
    start_time: Annotated[Timestamp | None, Field(description="When the Job started.")] = None
    completion_time: Annotated[Timestamp | None, Field(description="When the Job ended.")] = None
    duration: Annotated[str | None, Field(max_length=32, description="Time from start to end, e.g. 1h2m3s.")] = None
    job_uid: Annotated[str | None, Field(max_length=64, description="UID of the Job.")] = None
    experiment_uid: Annotated[
        str | None, Field(max_length=64, description="UID of the Experiment that created the run.")
    ] = None
    objective: Annotated[
        str | None, Field(max_length=64, description="The objective's value, formatted for tables.")
    ] = None
    metrics: Annotated[
        dict[str, MetricStatus] | None,
        Field(
            max_length=100,
            description="Summaries by metric: the objective and what an expression needs, then other metrics in "
            "order of their names.",
        ),
    ] = None
    metrics_omitted: Annotated[
        int | None,
        Field(description="Number of summarised metrics for which there was no room here. The record has them."),
    ] = None
    logged: Annotated[Logged | None, Field(description="What the training code itself has logged.")] = None
    requested: Annotated[
        list[Requested] | None,
        Field(max_length=20, description="Versions of registered models that the training code asked for."),
    ] = None
    recorder: Annotated[RecorderStatus | None, Field(description="The latest report of the recorder.")] = None
    record: Annotated[RecordStatus | None, Field(description="The run's record in the store.")] = None
    model: Annotated[ModelStatus | None, Field(description="The model that the run made.")] = None
    attempts: Annotated[
        list[Attempt],
        Field(
            max_length=10,
            description="The newest pods of the run, oldest first.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["pod"]},
        ),
    ] = []
    images: Images = []
    datasets: Annotated[
        list[DatasetStatus],
        Field(
            max_length=64,
            description="The data sets that the pod that counts read.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    environment: Annotated[
        EnvironmentStatus | None, Field(description="Software environment of the pod that counts.")
    ] = None
    usage: Annotated[UsageStatus | None, Field(description="CPU and memory usage of the run.")] = None
    credentials: Annotated[
        CredentialsStatus | None, Field(description="The Secret with the run's store credentials.")
    ] = None
    conditions: Conditions = []
