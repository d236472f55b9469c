"""Settings of the endpoint: its run and its limits. The limits of names and values are those of MLflow."""

from __future__ import annotations

from dataclasses import dataclass

from assay.store.limits import MAX_METRIC_NAME_CHARS, MAX_MLFLOW_POINTS

KEY_CHARS = 250
METRIC_CHARS = min(KEY_CHARS, MAX_METRIC_NAME_CHARS)
PARAM_CHARS = 6000
TAG_CHARS = 8000
EXPERIMENT_NAME_CHARS = 500
EXPERIMENT_TAG_CHARS = 20_000
REGISTRY_TAG_CHARS = 100_000
BATCH_METRICS = 1000
BATCH_PARAMS = BATCH_TAGS = 100
BATCH_ALL = 1000
ALIAS_CHARS = 255
HISTORY_PAGE = 25_000
HISTORY_AT_ONCE = 500_000  # for old clients, which ask for everything at once
SEARCH_PAGE, SEARCH_MOST = 1000, 50_000


@dataclass(frozen=True)
class Limits:
    """Limits that protect the recorder. Sizes in bytes."""

    #: One request other than an upload.
    request_bytes: int = 8 << 20
    #: The journal in the spool: every point, parameter and tag, about 100 bytes a point.
    journal_bytes: int = 4 << 30
    #: Points that `get_metric_history` can return. More are recorded, but cannot be read back in the pod.
    history_points: int = MAX_MLFLOW_POINTS
    #: Parameters, tags, inputs and models in memory.
    metadata_bytes: int = 64 << 20
    #: Pairs of run and metric.
    series: int = 200_000
    runs: int = 100_000


@dataclass(frozen=True)
class Identity:
    """The Run of Assay that this pod belongs to."""

    #: The id of its run in MLflow: the UID of the Run without dashes.
    run_id: str
    run: str = "run"
    experiment: str = ""
