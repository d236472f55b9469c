"""What all requests of one server share. It holds nothing of a user, except under the hash of their credentials.

Curves are given to whoever reads the identity of their object in the store with their own keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from assay.api.resources import Resource
from assay.server.kept_curves import KeptCurves
from assay.server.person import Lists
from assay.server.runs import Runs
from assay.server.streams.streams import Streams


@dataclass
class State:
    """The shared parts of one server."""

    runs: Runs
    lists: Lists | None = None
    streams: Streams = field(default_factory=Streams)
    curves: KeptCurves = field(default_factory=KeptCurves)

    def reach(self, resource: Resource, namespace: str, version: int) -> None:
        """Wait a moment until answers include a resource version of a kind: whoever learns of it asks at once."""
        self.runs.reach(resource, namespace, version)
        if self.lists is not None:
            self.lists.reach(resource, namespace, version)
