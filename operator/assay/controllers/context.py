"""What every reconciler needs: the API, the store, the cache, the queue and the configuration."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from assay.controllers.events import Events
from assay.controllers.kube import Kube
from assay.controllers.queue import WorkQueue
from assay.controllers.settings import Settings
from assay.controllers.world import World
from assay.store.aio import AsyncStore


@dataclass
class Context:
    """One operator process."""

    settings: Settings
    kube: Kube
    store: AsyncStore
    world: World
    queue: WorkQueue
    events: Events
    #: UIDs of runs whose live summary is to be read at their next reconcile.
    observe: set[str] = field(default_factory=set)
    #: Seconds in which changes of many runs fall together into one reconcile of their experiment.
    settle: float = 0.2

    @staticmethod
    async def gather(work: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Do all of it, and then raise the first failure: one bad object must not stop its siblings."""
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


def now() -> datetime:
    """Return the present time in UTC to the second, the precision of Kubernetes' times."""
    return datetime.now(UTC).replace(microsecond=0)
