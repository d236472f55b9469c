"""The records that the recorder and the operator write to the store.

The operator reads files that training pods could have written, so these models also validate untrusted input: every
string and list is bounded, numbers are finite, and unknown fields are ignored. They must not do any I/O.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from assay.api import numbers
from assay.store.limits import (
    MAX_DATASETS,
    MAX_FILES,
    MAX_KEY_BYTES,
    MAX_LOGGED,
    MAX_LOGGED_CHARS,
    MAX_METRIC_NAME_CHARS,
    MAX_METRICS,
    MAX_MISSING,
    MAX_PACKAGES,
    MAX_PODS,
    MAX_PREFIXES,
    MAX_REFUSED,
    MAX_REQUEST_CHARS,
    MAX_REQUESTS,
    MAX_TEXT_CHARS,
    MAX_VARIABLES,
    MAX_WANTED_METRICS,
    MAX_WARNINGS,
)

Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
ShortText = Annotated[str, Field(max_length=250)]
LoggedText = Annotated[str, Field(max_length=MAX_LOGGED_CHARS)]
Path = Annotated[str, Field(min_length=1, max_length=MAX_KEY_BYTES)]
Name = Annotated[str, Field(max_length=253)]
RequestName = Annotated[str, Field(min_length=1, max_length=MAX_REQUEST_CHARS)]
MetricName = Annotated[str, Field(min_length=1, max_length=MAX_METRIC_NAME_CHARS)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
#: JSON has the strings "NaN", "Infinity" and "-Infinity" for values that are not finite.
AnyNumber = Annotated[float, PlainSerializer(numbers.to_json, return_type=Any, when_used="json")]
Timestamp = Annotated[str, Field(max_length=40)]


class Record(BaseModel):
    """Base of all records. Records are immutable and ignore fields that a newer writer adds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    def to_json(self) -> bytes:
        """The bytes that are stored."""
        return self.model_dump_json(indent=1).encode()


class MetricSummary(Record):
    """The summary of one metric. "Last" and "first" refer to the order in which points were written.

    `last` may be NaN or infinite. `min` and `max` are those of the finite values, None without one. `step` is the step
    of the last point; `min_step` and `max_step` are those at which the smallest and the largest value were first
    reached. Steps may be fractional.
    """

    last: AnyNumber
    min: Finite | None = None
    max: Finite | None = None
    step: Finite
    count: Count
    min_step: Finite | None = None
    max_step: Finite | None = None


class ArtifactCount(Record):
    """The number of artifacts in the store so far, and their size in bytes."""

    count: Count = 0
    bytes: Count = 0


class Summary(Record):
    """`summary.json`: a summary of what a pod has recorded so far. Overwritten while the pod runs."""

    version: Literal[1] = 1
    pod: Name
    updated: Timestamp
    points: Count = 0
    #: Child runs that the training code started, as in MLflow.
    children: Count = 0
    metrics: Annotated[dict[MetricName, MetricSummary], Field(max_length=MAX_METRICS + MAX_WANTED_METRICS)] = {}
    #: Metrics without a point, and why their first value was refused.
    refused: Annotated[dict[MetricName, Text], Field(max_length=MAX_REFUSED)] = {}
    #: What the training code itself has logged.
    parameters: Annotated[dict[MetricName, LoggedText], Field(max_length=MAX_LOGGED)] = {}
    tags: Annotated[dict[MetricName, LoggedText], Field(max_length=MAX_LOGGED)] = {}
    #: Artifacts that the training code wants to be registered, by the name of the registered model. Set at the end.
    requests: Annotated[dict[RequestName, Path], Field(max_length=MAX_REQUESTS)] = {}
    rejected: Count = 0
    warnings: Annotated[list[Text], Field(max_length=MAX_WARNINGS)] = []
    artifacts: ArtifactCount = ArtifactCount()
    store_error: Text = ""


class FileEntry(Record):
    """One file of a manifest. `path` is relative to the manifest's prefix; `size` in bytes."""

    path: Path
    size: Count
    sha256: Digest


class MissingEntry(Record):
    """Something that could not be recorded, and the reason."""

    path: Annotated[str, Field(max_length=MAX_KEY_BYTES)]
    reason: Text


class DatasetRecord(Record):
    """One data set that was available to a pod. `digest` is "sha256:<hex>"; `bytes` is the size of all its files."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    bytes: Count
    files: Count


class Datasets(Record):
    """`datasets.json` of a pod: the data sets that its training could read, with verified or computed digests."""

    version: Literal[1] = 1
    datasets: Annotated[list[DatasetRecord], Field(max_length=MAX_DATASETS)] = []


class PodManifest(Record):
    """`pods/<pod>/manifest.json`: written last by the recorder, so its presence means a complete record.

    `files` is what the pod left. `history` has artifacts that are in the store and were deleted from the folder before
    the end; nothing that is deleted counts as a model, and no check reads it.
    """

    version: Literal[1] = 1
    pod: Name
    started: Timestamp
    finished: Timestamp
    files: Annotated[list[FileEntry], Field(max_length=MAX_FILES)]
    history: Annotated[list[FileEntry], Field(max_length=MAX_FILES)] = []
    missing: Annotated[list[MissingEntry], Field(max_length=MAX_MISSING)] = []
    summary: Summary


class PodRecord(Record):
    """A pod's part of a run's record. `manifest_sha256` is empty if the pod has no manifest."""

    name: Name
    complete: bool
    manifest_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


class RunManifest(Record):
    """`manifest.json` of a run: written last, by the operator. Paths are relative to the run's prefix."""

    version: Literal[1] = 1
    namespace: Name
    name: Name
    uid: Name
    experiment: Name = ""
    outcome: Literal["Succeeded", "Failed", "Deleted"]
    reason: Text = ""
    pods: Annotated[list[PodRecord], Field(max_length=MAX_PODS)] = []
    files: Annotated[list[FileEntry], Field(max_length=MAX_FILES)] = []
    missing: Annotated[list[MissingEntry], Field(max_length=MAX_MISSING)] = []
    written: Timestamp


class ExpiredFile(Record):
    """One deleted artifact. `sha256` is empty if no manifest listed it."""

    path: Path
    size: Count
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


class Expired(Record):
    """`expired.json` of a run: the list of its deleted artifacts. Paths are relative to the run's prefix.

    It is written before the first deletion; `finished` is empty until the last one. `more` counts artifacts that did
    not fit in `files`; none of them was listed in a manifest.
    """

    version: Literal[1] = 1
    reason: Text
    begun: Timestamp
    finished: Timestamp = ""
    files: Annotated[list[ExpiredFile], Field(max_length=MAX_FILES)] = []
    more: Count = 0


class Expiring(Record):
    """An archived run whose artifacts will be deleted at the time in the key of this record."""

    version: Literal[1] = 1
    prefix: Annotated[str, Field(max_length=MAX_KEY_BYTES)]
    reason: Text


class RunIdentity(Record):
    """The run that produced a model."""

    namespace: Name
    name: Name
    uid: Name
    experiment: Name = ""


class ModelManifest(Record):
    """`manifest.json` of a registered model: written last and once. Paths are relative to the model's prefix.

    `digest` is that of the file or folder `path`, which is "artifact" for a folder and "artifact/<name>" for one file.
    `source` is the URI that the bytes were copied from.
    """

    version: Literal[1] = 1
    namespace: Name
    model: Name
    number: Annotated[int, Field(ge=1)]
    path: Path
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    files: Annotated[list[FileEntry], Field(min_length=1, max_length=MAX_FILES)]
    source: Annotated[str, Field(max_length=2048)]
    run: RunIdentity | None = None
    written: Timestamp


class PrefixRecord(Record):
    """One folder in which packages are installed, and the number of packages."""

    name: Text
    python: ShortText = ""
    packages: Count = 0


class EnvironmentRecord(Record):
    """`pods/<pod>/environment.json`: the environment of a training container.

    `source` is "image" if the container's image was read. Otherwise it is "recorder": the installed packages are
    unknown, and `problems` lists the reasons. `variables` are names without values. `packages` has the version by name.
    """

    version: Literal[1] = 1
    source: Literal["image", "recorder"]
    problems: Annotated[list[Text], Field(max_length=20)] = []
    container: Name = ""
    image: Annotated[str, Field(max_length=1024)] = ""
    os: Annotated[dict[ShortText, ShortText], Field(max_length=10)] = {}
    python: ShortText = ""
    prefixes: Annotated[list[PrefixRecord], Field(max_length=MAX_PREFIXES)] = []
    packages: Annotated[dict[ShortText, Text], Field(max_length=MAX_PACKAGES)] = {}
    conda: Annotated[dict[ShortText, ShortText], Field(max_length=MAX_PACKAGES)] = {}
    cuda: Annotated[dict[ShortText, ShortText], Field(max_length=10)] = {}
    variables: Annotated[list[Text], Field(max_length=MAX_VARIABLES)] = []
