"""Shared state of all reconcilers: API client, store, caches, queue and configuration."""

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
    """State of one operator process."""

    settings: Settings
    kube: Kube
    store: AsyncStore
    tracking: TrackingCache
    models: ModelCache
    queue: WorkQueue
    events: Events
    audit: Auditor
    #: For copies of models, which take long and must not delay other requests.
    copies: AsyncStore
    #: Reads the logs of training pods.
    logs: LogReader = field(init=False)
    #: Whether nodes can mount images, and the resource usage of their containers.
    nodes: Nodes = field(init=False)
    kubelets: Kubelets = field(init=False)
    usage: Usage = field(init=False)
    #: UIDs of runs whose live summary is read at their next reconcile.
    observe: set[str] = field(default_factory=set)
    #: Upserts a registry object that was read or written, so that a later watch event of the same version is ignored.
    ingest: Callable[[dict[str, Any]], object] = field(default=lambda _: None)
    #: Seconds over which changes of many runs are debounced into one reconcile of their experiment.
    debounce: float = 0.2

    #: The operator's keys, as currently in their files.
    keys: Keys = field(default_factory=Keys)
    #: UIDs of versions whose signature does not match their status.
    unverified: set[str] = field(default_factory=set)
    #: Rollout of each workload for the version that it was given last.
    rollouts: dict[Key, Rollout] = field(default_factory=dict)
    #: The version that each workload was given last, and when.
    began: dict[Key, tuple[int, datetime]] = field(default_factory=dict)
    #: When the rules of each alias last changed.
    calm: Calm = field(default_factory=Calm)
    _locks: defaultdict[tuple[str, str], asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def lock(self, namespace: str, model: str) -> asyncio.Lock:
        """Return the lock to hold while a version number of the model is allocated or one of its aliases moves."""
        return self._locks[namespace, model]

    @staticmethod
    async def gather(work: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Await all of it, then raise the first failure: one bad object must not stop its siblings."""
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


def now() -> datetime:
    """Return the current time in UTC, truncated to seconds as in Kubernetes' timestamps."""
    return datetime.now(UTC).replace(microsecond=0)
