"""The parts of one operator process. Reconcilers depend on the narrow protocols in ``parts``, and not on this."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from assay.controllers.audit.recorder import Auditor
from assay.controllers.runtime.events import Events
from assay.controllers.runtime.model_cache import ModelCache
from assay.controllers.runtime.queue import WorkQueue
from assay.controllers.runtime.registry_state import RegistryState
from assay.controllers.runtime.run_pods import RunPods
from assay.controllers.runtime.tracking_cache import TrackingCache
from assay.controllers.settings import Settings
from assay.kube.aio import Kube
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
    #: For copies of models. They take long, and must not delay other operations of the store.
    copies: AsyncStore
    pods: RunPods
    #: The operator's keys, as they are in their files now.
    keys: Keys = field(default_factory=Keys)
    registry: RegistryState = field(default_factory=RegistryState)
    #: Takes in an object of the registry that was read or written, so that its watch event brings no news.
    ingest: Callable[[dict[str, Any]], object] = field(default=lambda _: None)
    #: Seconds in which the changes of many runs are combined into one reconcile of their experiment.
    debounce: float = 0.2
