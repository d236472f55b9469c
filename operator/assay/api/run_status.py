"""What has been seen of a Run: its phase, pods and metrics, and where its record is. The evidence is in the store."""

from typing import Annotated, Literal

from pydantic import Field

from assay.api.common import Conditions, Digest, LongText, Model, Name, Timestamp

Phase = Literal["Pending", "Running", "Suspended", "Succeeded", "Failed"]
TERMINAL: frozenset[str] = frozenset({"Succeeded", "Failed"})


class MetricStatus(Model):
    """One metric's summary. The curve itself is in the object store."""

    last: Annotated[float, Field(description="The latest value.")]
    min: Annotated[float, Field(description="The smallest value.")]
    max: Annotated[float, Field(description="The largest value.")]
    best: Annotated[float | None, Field(description="The best value; only of the objective.")] = None
    step: Annotated[int, Field(description="The step of the latest value.")]
    count: Annotated[int, Field(description="How many points were recorded.")] = 0


class RecorderStatus(Model):
    """What the recorder of the newest pod has said last."""

    points: Annotated[int, Field(description="Metric points recorded.")] = 0
    rejected: Annotated[
        int, Field(description="Lines and values that were not recorded, because they are no metric.")
    ] = 0
    warnings: Annotated[
        list[Annotated[str, Field(max_length=600, description="One warning.")]],
        Field(max_length=20, description="What was rejected and why, quoted; the first ones."),
    ] = []
    store_error: Annotated[
        str | None, Field(max_length=1024, description="Why the store cannot be reached at the moment.")
    ] = None


class RecordStatus(Model):
    """Where the evidence of the run is, and whether it is whole."""

    uri: Annotated[str, Field(max_length=2048, description="The run's prefix in the object store.")]
    artifacts: Annotated[
        str | None, Field(max_length=2048, description="Prefix of the artifacts of the pod that counts.")
    ] = None
    complete: Annotated[bool, Field(description="Whether every file of the manifest was found in the store.")] = False
    manifest_digest: Annotated[Digest | None, Field(description="Digest of the run's manifest.json.")] = None
    files: Annotated[int | None, Field(description="How many files the manifest lists.")] = None
    bytes: Annotated[int | None, Field(description="Their size in bytes.")] = None
    expired: Annotated[
        Timestamp | None, Field(description="When its artifacts were removed, as spec.retention says.")
    ] = None


class ModelStatus(Model):
    """The model that the run has made."""

    path: Annotated[str, Field(max_length=1024, description="Path below the artifacts.")]
    digest: Annotated[
        Digest,
        Field(description="Of a file its sha256; of a folder the sha256 over its sorted 'digest  path' lines."),
    ]
    size: Annotated[int, Field(description="Size in bytes.")]


class Image(Model):
    """One container image of the run, by what was pulled."""

    container: Annotated[Name, Field(description="Name of the container.")]
    image: Annotated[str, Field(max_length=1024, description="The image as the pod named it.")]
    digest: Annotated[str | None, Field(max_length=1024, description="The image as it was pulled, by digest.")] = None


Images = Annotated[
    list[Image],
    Field(
        max_length=32,
        description="The images of the run's containers, of the newest pod.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["container"]},
    ),
]


class DatasetStatus(Model):
    """One data set as it was fetched and verified."""

    name: Annotated[Name, Field(description="Name of the data set.")]
    digest: Annotated[
        Digest,
        Field(description="Of a file its sha256; of a folder the sha256 over its sorted 'digest  path' lines."),
    ]
    bytes: Annotated[int, Field(description="Size in bytes.")]
    files: Annotated[int, Field(description="How many files it has.")]


class EnvironmentStatus(Model):
    """What is known of the software that the training container runs. All of it is in environment.json."""

    source: Annotated[
        Literal["image", "recorder"],
        Field(description="Who tells: the training container's image itself, or the recorder, who cannot see it."),
    ]
    python: Annotated[
        str | None, Field(max_length=250, description="Version of the Python that has the most packages.")
    ] = None
    packages: Annotated[int, Field(description="How many packages are known, with their versions.")] = 0
    message: Annotated[LongText | None, Field(description="Why this is not everything, in words.")] = None


class UsageStatus(Model):
    """What the containers of the run's pods have used, by the samples that were taken of them."""

    cpu_seconds: Annotated[
        float | None, Field(description="CPU time of all containers together, until the last sample.")
    ] = None
    max_memory_bytes: Annotated[
        int | None, Field(description="The largest working set that a container was seen with.")
    ] = None
    samples: Annotated[int, Field(description="How many samples were taken, of all containers together.")] = 0
    message: Annotated[LongText | None, Field(description="Why there are none, in words.")] = None


class Attempt(Model):
    """One pod of the run."""

    pod: Annotated[str, Field(max_length=253, description="Name of the pod.")]
    phase: Annotated[str, Field(max_length=32, description="The pod's phase when it was last seen.")]
    node: Annotated[str | None, Field(max_length=253, description="Node that it ran on.")] = None
    reason: Annotated[str | None, Field(max_length=250, description="Why it failed, as one word.")] = None
    exit_code: Annotated[int | None, Field(description="Exit code of the container that decided.")] = None
    start_time: Annotated[Timestamp | None, Field(description="When the kubelet began.")] = None


class CredentialsStatus(Model):
    """The Secret with the run's own store credentials, while there is one."""

    secret: Annotated[str, Field(max_length=253, description="Name of the Secret.")]
    expires: Annotated[Timestamp | None, Field(description="When the credentials expire; absent: never.")] = None


class RunStatus(Model):
    """What has been seen of a run."""

    observed_generation: Annotated[int | None, Field(description="The generation this status was made from.")] = None
    phase: Annotated[Phase, Field(description="Pending, Running, Suspended, Succeeded or Failed.")] = "Pending"
    reason: Annotated[str | None, Field(max_length=250, description="Why it is in this phase, as one word.")] = None
    message: Annotated[LongText | None, Field(description="Why it is in this phase, in words.")] = None
    start_time: Annotated[Timestamp | None, Field(description="When the Job began to run.")] = None
    completion_time: Annotated[Timestamp | None, Field(description="When it ended.")] = None
    duration: Annotated[str | None, Field(max_length=32, description="From start to end, e.g. 1h2m3s.")] = None
    job_uid: Annotated[str | None, Field(max_length=64, description="UID of the Job.")] = None
    objective: Annotated[str | None, Field(max_length=64, description="The objective's value, for tables.")] = None
    metrics: Annotated[
        dict[str, MetricStatus] | None,
        Field(max_length=100, description="Summary by metric: the objective and the first others by name."),
    ] = None
    recorder: Annotated[RecorderStatus | None, Field(description="What the recorder has said last.")] = None
    record: Annotated[RecordStatus | None, Field(description="Where the evidence is.")] = None
    model: Annotated[ModelStatus | None, Field(description="The model that the run has made.")] = None
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
            description="The data sets that the pod that counts has read.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    environment: Annotated[EnvironmentStatus | None, Field(description="What the pod that counts has run in.")] = None
    usage: Annotated[UsageStatus | None, Field(description="What the run has used of CPU and memory.")] = None
    credentials: Annotated[
        CredentialsStatus | None, Field(description="The Secret with the run's store credentials.")
    ] = None
    conditions: Conditions = []
