"""``Experiment.spec.adoptRecords``: read the records of an earlier Experiment of the same name from the store."""

import asyncio

from assay.api.experiment import ExperimentSpec
from assay.api.objects import Raw
from assay.controllers.runtime.parts import AdoptionParts
from assay.planning.search import adoption, space
from assay.store import archive

#: Number of runs whose records are read at once.
_TOGETHER = 32


async def records(context: AdoptionParts, body: Raw, spec: ExperimentSpec, count: int) -> list[Raw]:
    """Return the records that equal the first runs of an experiment: at most ``count``, until one run has none."""
    found: list[Raw] = []
    for start in range(0, count, _TOGETHER):
        indexes = range(start, min(start + _TOGETHER, count))
        for record in await asyncio.gather(*(_record(context, body, spec, index) for index in indexes)):
            if record is None:
                return found
            found.append(record)
    return found


async def _record(context: AdoptionParts, body: Raw, spec: ExperimentSpec, index: int) -> Raw | None:
    metadata, store = body["metadata"], context.store
    name = space.run_name(metadata["name"], index)
    closed = await store.run(archive.closed, store.blocking, metadata["namespace"], metadata["name"], name)
    return adoption.choose(body, spec, index, closed)
