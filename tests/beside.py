"""Clusters beside that of the run or worker: for what has to find a cluster as users have it.

Each belongs to a fixture, and stops after the last test that uses the fixture: an idle cluster takes a tenth of a
processor. The hooks of `tests/conftest.py` keep the tests of one fixture together.
"""

import os

from tests.cluster.local import LocalCluster

#: The fixtures: everything that the chart's tests install, and one release for demonstration, examples and working day.
FIXTURES = frozenset({"chart_cluster", "clean_cluster"})

_started: dict[str, LocalCluster] = {}


def start(fixture: str) -> LocalCluster:
    """Start the cluster of a fixture."""
    assert fixture in FIXTURES, fixture
    cluster = _started[fixture] = LocalCluster(f"{fixture.partition('_')[0]}-{os.getpid()}")
    return cluster.start()


def stop(fixture: str) -> None:
    """Stop the cluster of a fixture, if it was started."""
    cluster = _started.pop(fixture, None)
    if cluster is not None:
        cluster.stop()
