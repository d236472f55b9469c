"""Retention: how long Assay keeps the data of a run. An absent field means for ever.

``planning.runs.retention`` decides when data is due for removal and what prevents it.
"""

from typing import Annotated

from pydantic import Field

from assay.api.common import Duration, Model


class Retention(Model):
    """How long a run's data is kept after its end, such as 90m, 24h or 1d12h."""

    jobs: Annotated[
        Duration | None,
        Field(
            description="How long the Job and its pods are kept. Replaces the Job's ttlSecondsAfterFinished. "
            "Their logs remain in the store."
        ),
    ] = None
    archive_after: Annotated[
        Duration | None,
        Field(description="How long the Run object is kept. Its record in the store remains."),
    ] = None
    artifacts_after: Annotated[
        Duration | None,
        Field(
            description="How long the artifacts are kept in the store, unless a ModelVersion names the run. "
            "Metrics, logs and manifests remain."
        ),
    ] = None
