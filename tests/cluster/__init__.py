"""A real Kubernetes on this machine, for tests and demonstrations: no Docker, no image registry.

`LocalCluster` starts it, `python -m tests.cluster` does the same from a shell, docs/cluster.md explains it.
Nothing in here may be imported by the operator.
"""

from tests.cluster.local import LocalCluster
from tests.cluster.store import StoreEndpoint

__all__ = ["LocalCluster", "StoreEndpoint"]
