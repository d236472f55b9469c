"""What the end-to-end tests share: images in the cluster, one operator, one namespace a test.

Most have an operator from the checkout: a process that they can kill, and that looks around more often than by default.
Those that use Assay as a user does have the one that the chart installs, in a cluster that they share.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import operators, registry
from tests.cluster import charting, images, paths
from tests.cluster.local import LocalCluster
from tests.objects import Objects


@pytest.fixture(scope="session")
def installed(cluster: LocalCluster) -> LocalCluster:
    """Return a cluster with the images, the CRDs, the operator's rights and the admission policies in force."""
    _load_images(cluster)
    registry.install_policies(cluster)
    return cluster


@pytest.fixture(scope="session")
def demonstration(clean_cluster: LocalCluster) -> str:
    """Return what `make demo` prints in a cluster without Assay. The result stays in its namespace."""
    release = charting.Release(clean_cluster)
    if release.installed():
        release.uninstall()
    command = [sys.executable, "-m", "tests.cluster", "demo", "--name", clean_cluster.name]
    done = subprocess.run(command, cwd=paths.CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def release(clean_cluster: LocalCluster) -> charting.Release:
    """Return Assay as Helm installs it, with the chart's own values but for image and store.

    It is shared: each of those who use it has a namespace of its own, and the demonstration may have installed it.
    """
    release = charting.Release(clean_cluster)
    if not release.installed():
        _load_images(clean_cluster)
        release.install()
    return release


def _load_images(cluster: LocalCluster) -> None:
    for archive in (images.assay_image(), images.quickstart_image()):
        cluster.load_image(archive)


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
