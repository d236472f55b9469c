"""Clusters beside that of the run or worker: for what has to find a cluster as users have it.

Each belongs to a fixture, and stops after the last test that uses the fixture: an idle cluster takes a tenth of a
processor. The hooks of `tests/conftest.py` keep the tests of one fixture together.
"""

import os
from collections.abc import Callable

from tests.cluster.local import LocalCluster

#: The fixtures: a real Argo CD, everything that the chart's tests install, and one release for demonstration, examples
#: and working day.
FIXTURES = frozenset({"argocd_cluster", "chart_cluster", "clean_cluster"})

_started: dict[str, LocalCluster] = {}
_with: dict[str, list[Callable[[], None]]] = {}


def start(fixture: str) -> LocalCluster:
    """Start the cluster of a fixture."""
    assert fixture in FIXTURES, fixture
    cluster = _started[fixture] = LocalCluster(f"{fixture.partition('_')[0]}-{os.getpid()}")
    return cluster.start()


def stop_with(fixture: str, stop: Callable[[], None]) -> None:
    """Have something stopped just before the cluster of a fixture."""
    _with.setdefault(fixture, []).append(stop)


def stop(fixture: str) -> None:
    """Stop the cluster of a fixture, if it was started, and what stops with it."""
    for each in reversed(_with.pop(fixture, [])):
        each()
    cluster = _started.pop(fixture, None)
    if cluster is not None:
        cluster.stop()
