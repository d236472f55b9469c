"""What the tests with a real Argo CD share: a cluster of their own, Argo CD, an operator, and stages of the example."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import beside, operators, registry
from tests.argocd.customizations import CONFIG_MAP
from tests.argocd.stages import Stages
from tests.cluster.argocd import ArgoCd
from tests.cluster.local import LocalCluster

FIXTURE = "argocd_cluster"


@pytest.fixture(scope="session")
def argocd_cluster() -> Iterator[LocalCluster]:
    """A cluster with the kinds, the operator's rights and the admission policies."""
    cluster = beside.start(FIXTURE)
    registry.install_policies(cluster)
    yield cluster
    beside.stop(FIXTURE)


@pytest.fixture(scope="session")
def argo_cd(argocd_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> ArgoCd:
    """Argo CD as docs/gitops.md sets it up."""
    argo_cd = ArgoCd(argocd_cluster, tmp_path_factory.mktemp("argocd"))
    beside.stop_with(FIXTURE, argo_cd.stop)
    argo_cd.start()
    argo_cd.kubectl("patch", "configmap", "argocd-cm", "--type=merge", f"--patch-file={CONFIG_MAP}")
    argo_cd.configure("argocd-cm", application_sync_impersonation_enabled="true")
    return argo_cd


@pytest.fixture(scope="session")
def operator(argocd_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> operators.OperatorProcess:
    """The operator, as a process."""
    process = operators.OperatorProcess(argocd_cluster, tmp_path_factory.mktemp("operator") / "operator.log")
    beside.stop_with(FIXTURE, lambda: process.kill() if process.running else None)
    return process.start().wait_ready()


@pytest.fixture
def new_stages(argo_cd: ArgoCd, operator: operators.OperatorProcess, tmp_path: Path) -> Iterator[Callable[..., Stages]]:
    """A function that makes stages for a test. They go with it."""
    made: list[Stages] = []

    def make(*settings: str, **options: Any) -> Stages:
        made.append(Stages(argo_cd, tmp_path / f"stages-{len(made)}", settings, **options))
        return made[-1]

    assert operator.running, operator.tail()
    yield make
    for stages in made:
        stages.close()
