"""What the operator remembers about the registry beside its objects. A restart loses it without harm."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from assay.controllers.runtime.queue import Key
from assay.planning.promotion.rules import Calm
from assay.planning.serving.rollout import Rollout


@dataclass
class RegistryState:
    """Rollouts of workloads, changes of rules, signatures to check again, and the locks of models."""

    #: The progress of each workload with the version that it was given last.
    rollouts: dict[Key, Rollout] = field(default_factory=dict)
    #: The version that each workload was given last, and when.
    began: dict[Key, tuple[int, datetime]] = field(default_factory=dict)
    #: Since when the rules of each alias are what they are.
    calm: Calm = field(default_factory=Calm)
    #: UIDs of versions whose signature differs from what their status says.
    unverified: set[str] = field(default_factory=set)
    _locks: defaultdict[tuple[str, str], asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def lock(self, namespace: str, model: str) -> asyncio.Lock:
        """Return the lock to hold while a version number of the model is allocated, or one of its aliases moves."""
        return self._locks[namespace, model]
