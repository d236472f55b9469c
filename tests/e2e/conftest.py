"""What the end-to-end tests share: images in the cluster, one operator, one namespace a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import operators, registry
from tests.cluster import images
from tests.cluster.local import LocalCluster
from tests.objects import Objects


@pytest.fixture(scope="session")
def installed(cluster: LocalCluster) -> LocalCluster:
    """Return a cluster with the images, the CRDs, the operator's rights and the admission policies in force."""
    for archive in (images.assay_image(), images.quickstart_image()):
        cluster.load_image(archive)
    registry.install_policies(cluster)
    return cluster


@pytest.fixture(scope="module")
def operator_process(
    installed: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    """Return the one operator of a module. It must not outlive it: other tests play the operator's part themselves."""
    log: Path = tmp_path_factory.mktemp("operator") / "operator.log"
    with operators.OperatorProcess(installed, log) as process:
        yield process


@pytest.fixture
def operator(operator_process: operators.OperatorProcess) -> Iterator[operators.OperatorProcess]:
    """Return the operator, running; a test may kill it."""
    yield operator_process
    if not operator_process.running:
        operator_process.start().wait_ready()


@pytest.fixture
def objects(operator: operators.OperatorProcess, installed: LocalCluster, namespace: str) -> Objects:
    """Return a fresh namespace that the operator serves."""
    return Objects(installed, namespace)
