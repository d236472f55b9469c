"""The chart's tests: Helm itself renders it, and installs it into a cluster of its own."""

import secrets
from collections.abc import Iterator

import pytest

from tests import beside
from tests.cluster import calls, charting, images, minio_image
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects

CHART = charting.CHART
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


class Release(charting.Release):
    """A release in a namespace that lets in no pod but what the pod security standard `restricted` allows."""

    def prepare(self) -> None:
        super().prepare()
        labels = [f"{key}={value}" for key, value in RESTRICTED.items()]
        self.cluster.kubectl("label", "--overwrite", "namespace", self.namespace, *labels)

    @property
    def user(self) -> str:
        """What the API server calls the operator."""
        return f"system:serviceaccount:{self.namespace}:{charting.DEPLOYMENT}"

    def wait_ready(self) -> None:
        """Wait until it is rolled out and one of its pods leads and has looked at all that it needs.

        One that is going may still hold the Lease, and one that waits for it is ready without having looked.
        """
        super().wait_ready()
        wait_for("one of them to lead", lambda: self.leader() in self.operators(), seconds=40, saw=self.seen)
        wait_for("the one that leads to find all in order", self._in_order, seconds=40, saw=self.log)

    def _in_order(self) -> bool:
        try:
            return "objects: ok" in self.readiness()
        except OSError:  # 503: something is not in order
            return False

    def operators(self) -> list[str]:
        """The names of the operator's pods that are not going."""
        pods = calls.many(self.cluster, self.namespace, "pods", "app.kubernetes.io/component=operator")
        found = [pod["metadata"] for pod in pods]
        return [metadata["name"] for metadata in found if "deletionTimestamp" not in metadata]

    def readiness(self) -> list[str]:
        """What the operator that leads says of itself, line by line."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.leader()}:9095/proxy/readyz"
        return self.cluster.api.text(path).splitlines()


@pytest.fixture(scope="session")
def chart_cluster() -> Iterator[LocalCluster]:
    """A cluster that knows nothing of Assay but its images. One release at a time is installed in it."""
    cluster = beside.start("chart_cluster")
    for archive in (images.assay_image(), images.quickstart_image(), minio_image.archive()):
        cluster.load_image(archive)
    yield cluster
    beside.stop("chart_cluster")


@pytest.fixture(scope="module")
def bare_release(chart_cluster: LocalCluster) -> Iterator[Release]:
    """The release of a module, which installs it itself. It goes with the module."""
    # Always the same, for the kinds stay, and Helm gives them to no release in another one.
    release = Release(chart_cluster, "ml-platform")
    yield release
    # The cluster stops with its last test, which may come before the end of the module.
    if chart_cluster.running() and release.installed():
        release.uninstall()


@pytest.fixture
def objects(chart_cluster: LocalCluster) -> Objects:
    """A fresh namespace of people who use Assay."""
    name = f"team-{secrets.token_hex(3)}"
    chart_cluster.create_namespace(name)
    return Objects(chart_cluster, name)
