"""The cluster as fixtures: one for the whole run, a namespace for every test.

    pytest --cluster=local                        (default) builds and starts its own, and takes it along
    pytest --cluster=local --cluster-name=dev     uses the detached cluster `dev`, starts it if needed, leaves it
    pytest --cluster=kind                         pytest-kind makes it; --keep-cluster keeps it
    pytest --cluster=current                      the current context of kubectl, or of --kubeconfig

A run whose tests need no cluster starts nothing. With `pytest -n` every worker has a local cluster of its own: an
operator works on a whole cluster, and tests break parts of it, so nothing but a cluster keeps two workers apart.
"""

import gc
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests import beside
from tests.cluster import LocalCluster, external
from tests.cluster.errors import ClusterError
from tests.cluster.external import ExternalCluster

# How long an example takes says more of the machine's other work than of the code.
settings.register_profile("assay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("assay")

Cluster = LocalCluster | ExternalCluster
TESTS = Path(__file__).parent
FULL, CONTROL_PLANE, LOCAL, CLEAN = "cluster", "control_plane", "local_cluster", "clean_cluster"
ARGO_CD = "argocd_cluster"

_with_node = pytest.StashKey[bool]()
_running = pytest.StashKey[Cluster]()

#: What takes minutes begins first, so that no worker is left with it at the end: whatever uses a cluster beside the
#: worker's own, these modules, then folder by folder. Attacks come last: the operator of other tests would act on what
#: they leave behind.
LONG = ("test_serving_chaos.py", "test_faults.py", "test_runs.py")
FOLDERS = ("gitops", "chart", "e2e", "cli", "server", "integration", "unit", "attacks")


#: Longer parameters, in characters or bytes, are not part of a test's name.
LONGEST_ID = 120


# Options, and which tests run


def pytest_addoption(parser: pytest.Parser) -> None:
    choices = ("local", "kind", "current")
    help_text = "where the tests run: a cluster of their own, one that kind makes, or the current context"
    parser.getgroup("assay").addoption("--cluster", choices=choices, default="local", help=help_text)


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups that are added here
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the local cluster can do, and find out how much of a cluster is needed."""
    if config.getoption("cluster") != "local":
        left_out = [
            item for item in items if {LOCAL, CLEAN, ARGO_CD} & _fixtures(item) or item.get_closest_marker("chaos")
        ]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=_place)
    for item in items:
        for name in beside.FIXTURES & _fixtures(item):
            item.add_marker(pytest.mark.xdist_group(name))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long values by their parameter: keys and bundles are made anew by each worker, so they are no names."""
    return argname if isinstance(val, (str, bytes)) and len(val) > LONGEST_ID else None


def _place(item: pytest.Item) -> tuple[str, int, int]:
    folder, file = item.path.relative_to(TESTS).parts[0], item.path.name
    return (
        # "~" is behind every letter.
        min(beside.FIXTURES & _fixtures(item), default="~"),
        LONG.index(file) if file in LONG and folder != "unit" else len(LONG),
        FOLDERS.index(folder) if folder in FOLDERS else 0,
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Note whether any selected test needs pods. Otherwise the cluster has no node."""
    session.config.stash[_with_node] = any({FULL, LOCAL} & _fixtures(item) for item in session.items)
    # Thousands of tests stay in memory until the end: no collection has to look at them.
    gc.collect()
    gc.freeze()


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


# Workers


class _Groups(LoadScopeScheduling):
    """Hands out whole modules in the order of collection, or all modules of an `xdist_group` together."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        _, _, group = nodeid.rpartition("]")[2].partition("@")
        return group or nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Groups | None:
    """Distribute by group and module with `--dist loadgroup`."""
    return _Groups(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None) and config.getoption("cluster") != "local":
        raise pytest.UsageError("-n needs --cluster=local: every worker has a cluster of its own")


# The cluster's life


def _start_local(config: pytest.Config) -> LocalCluster:
    """The run's own cluster, or the detached one that --cluster-name names; a worker's own of either kind."""
    detached = _detached(config)
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    # The random part keeps runs apart whose process numbers are the same (in containers).
    chosen = config.getoption("cluster_name") if detached else f"tests-{secrets.token_hex(4)}"
    name = "-".join(filter(None, (chosen, worker)))
    cluster = LocalCluster(name, with_node=config.stash[_with_node] or detached)
    if not cluster.running():
        cluster.start(detached=detached)
    return cluster


def _detached(config: pytest.Config) -> bool:
    """Whether a cluster was named, which stays: `pytest-kind` is the default of pytest-kind's option."""
    return config.getoption("cluster_name") != "pytest-kind"


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
    if isinstance(cluster, ExternalCluster) or not _detached(config):
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


@pytest.fixture(scope="session")
def clean_cluster() -> Iterator[LocalCluster]:
    """A local cluster for what installs Assay as its users do: nothing is installed in it but by the tests that ask."""
    yield beside.start("clean_cluster")
    beside.stop("clean_cluster")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop a cluster beside the worker's own behind the last test that uses it."""
    for name in beside.FIXTURES & _fixtures(item):
        if nextitem is None or name not in _fixtures(nextitem):
            beside.stop(name)


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have measured: `record_property(name, value)`."""
    reports = [each for found in terminalreporter.stats.values() for each in found if hasattr(each, "user_properties")]
    measured = dict.fromkeys((name, value) for each in reports for name, value in each.user_properties)
    if measured:
        terminalreporter.section("measured")
    for name, value in measured:
        terminalreporter.write_line(f"{name}: {value}")
