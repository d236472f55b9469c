"""What every reconciler needs: the API, the store, the cache, the queue and the configuration."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from assay.controllers.audit.recorder import Auditor
from assay.controllers.runtime.events import Events
from assay.controllers.runtime.model_cache import ModelCache
from assay.controllers.runtime.nodes import Nodes
from assay.controllers.runtime.queue import Key, WorkQueue
from assay.controllers.runtime.tracking_cache import TrackingCache
from assay.controllers.settings import Settings
from assay.controllers.tracking.kubelets import Kubelets
from assay.controllers.tracking.logs import LogReader
from assay.controllers.tracking.usage import Usage
from assay.kube.aio import Kube
from assay.planning.promotion.rules import Calm
from assay.planning.serving.rollout import Rollout
from assay.signing.keys import Keys
from assay.store.aio import AsyncStore


@dataclass
class Context:
    """One operator process."""

    settings: Settings
    kube: Kube
    store: AsyncStore
    tracking: TrackingCache
    models: ModelCache
    queue: WorkQueue
    events: Events
    audit: Auditor
    #: For copies of models, which take long: they must not keep others waiting.
    copies: AsyncStore
    #: What reads the logs of their pods.
    logs: LogReader = field(init=False)
    #: Whether nodes can mount images, and what their containers use.
    nodes: Nodes = field(init=False)
    kubelets: Kubelets = field(init=False)
    usage: Usage = field(init=False)
    #: UIDs of runs whose live summary is to be read at their next reconcile.
    observe: set[str] = field(default_factory=set)
    #: Takes in an object of the registry that was read or written, as the watches do: what they bring later is no news.
    ingest: Callable[[dict[str, Any]], object] = field(default=lambda _: None)
    #: Seconds in which changes of many runs fall together into one reconcile of their experiment.
    debounce: float = 0.2

    #: The operator's keys, as they are in their files now.
    keys: Keys = field(default_factory=Keys)
    #: UIDs of versions whose signature is not what their status says.
    unverified: set[str] = field(default_factory=set)
    #: How far each workload is with what it was given last.
    rollouts: dict[Key, Rollout] = field(default_factory=dict)
    #: The version that each workload was given last, and when.
    began: dict[Key, tuple[int, datetime]] = field(default_factory=dict)
    #: Since when the rules of each alias are what they are.
    calm: Calm = field(default_factory=Calm)
    _locks: defaultdict[tuple[str, str], asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def lock(self, namespace: str, model: str) -> asyncio.Lock:
        """Return what is held while a number of the model is allocated, or one of its aliases moves."""
        return self._locks[namespace, model]

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
