"""The chart's tests: Helm itself renders it, and installs it into a cluster of its own."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helm_python.config import Config

from tests.cluster import images
from tests.cluster.local import LocalCluster

Raw = dict[str, Any]
CHART = Path(__file__).resolve().parents[2] / "charts/assay"
NAMESPACE = "ml-platform"


class Release:
    """One release of the chart in a cluster."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.helm = Config(kubeconfig_path=str(cluster.kubeconfig), namespace=NAMESPACE)

    def values(self, **more: Any) -> Raw:
        """Values for the image of this checkout and the cluster's store."""
        store = self.cluster.store
        return {
            "image": {"repository": "localhost/assay", "tag": "dev"},
            "replicas": 2,
            "store": {"endpoint": store.endpoint, "accessKey": store.access_key, "secretKey": store.secret_key},
            **more,
        }

    def install(self, **more: Any) -> None:
        self.helm.install(
            CHART, "assay", self.values(**more), namespace=NAMESPACE, create_namespace=True, timeout=180, wait="watcher"
        )

    def upgrade(self, **more: Any) -> None:
        self.helm.upgrade(CHART, "assay", self.values(**more), namespace=NAMESPACE, timeout=180, wait="watcher")

    def uninstall(self) -> None:
        self.helm.uninstall("assay", timeout=120, wait="watcher")

    def kubectl(self, *argv: str) -> str:
        return self.cluster.kubectl("-n", NAMESPACE, *argv)

    def leader(self) -> str:
        """The pod that holds the Lease, "" when none does."""
        return self.kubectl("get", "lease", "assay-operator", "-o", "jsonpath={.spec.holderIdentity}")


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    """The chart, installed by one call with two replicas."""
    with LocalCluster(f"chart-{os.getpid()}") as cluster:
        for archive in (images.assay_image(), images.quickstart_image()):
            cluster.load_image(archive)
        release = Release(cluster)
        release.install()
        yield release
