"""The cluster as fixtures: one for the whole run, a namespace for every test.

    pytest --cluster=local                        (default) builds and starts its own, and takes it along
    pytest --cluster=local --cluster-name=dev     uses the detached cluster `dev`, starts it if needed, leaves it
    pytest --cluster=kind                         pytest-kind makes it; --keep-cluster keeps it
    pytest --cluster=current                      the current context of kubectl, or of --kubeconfig

A run whose tests need no cluster starts nothing. With `pytest -n` all workers share one.
"""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster import LocalCluster, external
from tests.cluster.errors import ClusterError
from tests.cluster.external import ExternalCluster

# How long an example takes says more of the machine's other work than of the code.
settings.register_profile("assay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("assay")

Cluster = LocalCluster | ExternalCluster
FULL, CONTROL_PLANE, LOCAL, CLEAN = "cluster", "control_plane", "local_cluster", "clean_cluster"

_with_node = pytest.StashKey[bool]()
_owner = pytest.StashKey[Path]()
_running = pytest.StashKey[Cluster]()


# Options, and which tests run


def pytest_addoption(parser: pytest.Parser) -> None:
    choices = ("local", "kind", "current")
    help_text = "where the tests run: a cluster of their own, one that kind makes, or the current context"
    parser.getgroup("assay").addoption("--cluster", choices=choices, default="local", help=help_text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the local cluster can do, and find out how much of a cluster is needed."""
    if config.getoption("cluster") != "local":
        left_out = [item for item in items if {LOCAL, CLEAN} & _fixtures(item) or item.get_closest_marker("chaos")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Note whether any selected test needs pods. Otherwise the cluster has no node."""
    session.config.stash[_with_node] = any({FULL, LOCAL} & _fixtures(item) for item in session.items)


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


# The cluster's life. The process that the user started owns it, also when xdist's workers use it.


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.stash[_owner] = Path(config.workerinput["assay_owner"])
        return
    folder = Path(tempfile.mkdtemp(prefix="assay-tests-"))
    os.mkfifo(folder / "alive")
    config.stash[_owner] = folder
    # As long as this is open, the cluster lives; the kernel closes it, however this process ends.
    alive = os.open(folder / "alive", os.O_RDWR)
    config.add_cleanup(lambda: _release(folder, alive))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist which process owns the cluster."""
    node.workerinput["assay_owner"] = str(node.config.stash[_owner])


def _release(folder: Path, alive: int) -> None:
    os.close(alive)
    name = folder / "name"
    if name.exists():
        LocalCluster(name.read_text()).stop()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def _start_local(config: pytest.Config) -> LocalCluster:
    """The run's own cluster, or the detached one that --cluster-name names. The first who asks starts it."""
    folder = config.stash[_owner]
    wanted = str(config.getoption("cluster_name"))
    detached = wanted != "pytest-kind"  # the default of pytest-kind's option
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The folder's random part keeps runs apart whose process numbers are the same (in containers).
        name = wanted if detached else "tests-" + folder.name.removeprefix("assay-tests-").replace("_", "x")
        with_node = config.stash[_with_node] or detached
        cluster = LocalCluster(name, with_node=with_node)
        if not cluster.running():
            if not detached:
                (folder / "name").write_text(name)
            cluster.start(detached=detached, owner=None if detached else folder / "alive")
    return cluster


@pytest.fixture(scope="session")
def _any_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    config = request.config
    kind_of_cluster = config.getoption("cluster")
    delete: Callable[[], None] | None = None
    try:
        if kind_of_cluster == "local":
            cluster: Cluster = _start_local(config)
        elif kind_of_cluster == "current":
            cluster = external.current(config.getoption("kubeconfig"))
        else:
            options = (config.getoption(name) for name in ("cluster_name", "kind_image", "kind_bin"))
            cluster, delete = external.kind(*options)
    except ClusterError as error:
        pytest.exit(f"no cluster: {error}", returncode=3)
    config.stash[_running] = cluster
    yield cluster
    if isinstance(cluster, ExternalCluster):
        cluster.stop()
    if delete and not config.getoption("keep_cluster"):
        delete()


@pytest.fixture(scope="session")
def cluster(_any_cluster: Cluster) -> Cluster:
    """A cluster with a node, DNS and an object store."""
    return _any_cluster


@pytest.fixture(scope="session")
def control_plane(_any_cluster: Cluster) -> Cluster:
    """The same cluster. If no test of the run needs pods, it has no node: API server, controllers and store."""
    return _any_cluster


@pytest.fixture(scope="session")
def local_cluster(_any_cluster: Cluster) -> LocalCluster:
    """The same cluster, for tests that break parts of it: they are deselected unless --cluster=local."""
    assert isinstance(_any_cluster, LocalCluster)
    return _any_cluster


@pytest.fixture(scope="module")
def clean_cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """A local cluster that nothing was ever installed in, for the tests of one module."""
    name = request.node.path.stem.removeprefix("test_")
    with LocalCluster(f"{name}-{os.getpid()}") as cluster:
        yield cluster


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Have a test that breaks parts of the cluster run alone, where several workers share it."""
    if not hasattr(item.config, "workerinput") or "_any_cluster" not in _fixtures(item):
        yield
        return
    with (item.config.stash[_owner] / "turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX if item.get_closest_marker("chaos") else fcntl.LOCK_SH)
        yield


# What a test gets of it


@pytest.fixture
def namespace(_any_cluster: Cluster) -> Iterator[str]:
    """The name of a fresh namespace. It is deleted after the test, which does not wait for that."""
    name = f"test-{secrets.token_hex(4)}"
    _any_cluster.create_namespace(name)
    yield name
    _any_cluster.delete_namespace(name)


@pytest.fixture
def impersonate(_any_cluster: Cluster) -> Callable[..., Path]:
    """A function (user, *groups) that returns a kubeconfig file with which one acts as that user."""

    def kubeconfig(user: str, *groups: str) -> Path:
        return _any_cluster.kubeconfig_for(user, groups)

    return kubeconfig


@pytest.fixture
def service_account(_any_cluster: Cluster, namespace: str) -> Callable[[str], Path]:
    """A function (name) that makes a service account in the test's namespace; returns a kubeconfig with its token."""

    def kubeconfig(name: str) -> Path:
        _any_cluster.kubectl("create", "serviceaccount", name, f"--namespace={namespace}")
        return _any_cluster.token_kubeconfig(namespace, name)

    return kubeconfig


# What is said when a test fails


def pytest_runtest_setup(item: pytest.Item) -> None:
    running = item.config.stash.get(_running, None)
    if running:
        running.mark_logs()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[Any]:
    """Add to a failed test of the cluster what the cluster's logs say."""
    outcome: Any = yield
    report = outcome.get_result()
    cluster = item.config.stash.get(_running, None)
    if report.failed and cluster and "_any_cluster" in _fixtures(item):
        try:
            report.sections.append(("cluster", cluster.troubles()))
        except (ClusterError, OSError) as error:
            report.sections.append(("cluster", f"no news of it: {error}"))
