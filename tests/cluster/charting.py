"""Assay in a cluster as its users have it: the chart, installed by Helm itself, with the cluster's store behind it.

Helm comes as a library, so nobody needs its program. This module builds no image and brings none to a node.
"""

import json
from collections.abc import Iterator
from typing import Any

from helm_python.config import Config

from tests.cluster import calls, images, paths
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for

Raw = dict[str, Any]
CHART = paths.CHECKOUT / "charts" / "assay"
NAME, NAMESPACE, DEPLOYMENT, SECRET = "assay", "assay-system", "assay-operator", "assay-s3"
_REVISION = "deployment.kubernetes.io/revision"
HELM_SECONDS = 120
READY_SECONDS = 120
#: What a container waits for that does not pass by waiting.
HOPELESS = ("CrashLoopBackOff", "CreateContainerConfigError", "ErrImagePull", "ImagePullBackOff", "InvalidImageName")


class Release:
    """The chart's one release in a cluster; `values` are those that every installation and upgrade of it has."""

    def __init__(self, cluster: LocalCluster, namespace: str = NAMESPACE, **values: Any) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.helm = Config(kubeconfig_path=str(cluster.kubeconfig), namespace=namespace)
        self._values = values

    def values(self, **more: Any) -> Raw:
        """Values for the image of this checkout and the cluster's store, whose keys lie in a Secret."""
        repository, tag = images.ASSAY.reference.rsplit(":", 1)
        return {
            "image": {"repository": repository, "tag": tag},
            "store": {"endpoint": self.cluster.store.endpoint, "existingSecret": SECRET},
            **self._values,
            **more,
        }

    def command(self, verb: str, **more: Any) -> str:
        """What one types in the checkout for what `install` or `upgrade` does."""
        chart = CHART.relative_to(paths.CHECKOUT)
        start = f"helm {verb} {NAME} {chart} -n {self.namespace}"
        return " \\\n  ".join((start, *_options(self.values(**more))))

    # Helm's part

    def prepare(self) -> None:
        """Make the namespace, and the Secret with the store's keys."""
        store = self.cluster.store
        keys = {"accessKey": store.access_key, "secretKey": store.secret_key}
        metadata = {"name": SECRET, "namespace": self.namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys}
        for manifest in ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}, secret):
            self.cluster.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(manifest))

    def install(self, **more: Any) -> None:
        """Install it; return when the operator is ready."""
        self.prepare()
        self.helm.install(CHART, NAME, self.values(**more), namespace=self.namespace, timeout=HELM_SECONDS)
        self.wait_ready()

    def upgrade(self, **more: Any) -> None:
        """Upgrade it; return when every pod of the operator is a new one, and ready."""
        self.helm.upgrade(CHART, NAME, self.values(**more), namespace=self.namespace, timeout=HELM_SECONDS)
        self.wait_ready()

    def installed(self) -> bool:
        """Whether Helm knows the release."""
        return bool(self.helm.list(all_states=True, name_filter=f"^{NAME}$"))

    def uninstall(self) -> None:
        """Take it away. The kinds stay, and all that people have made."""
        self.helm.uninstall(NAME, timeout=HELM_SECONDS, wait="watcher")

    # The operator's

    def kubectl(self, *argv: str) -> str:
        """Run kubectl in the release's namespace."""
        return self.cluster.kubectl("-n", self.namespace, *argv)

    def leader(self) -> str:
        """The pod that holds the Lease, "" when none does."""
        lease = calls.one(self.cluster, self.namespace, "leases", DEPLOYMENT)
        return str(lease.get("spec", {}).get("holderIdentity") or "")

    def wait_ready(self) -> None:
        """Wait until the Deployment is rolled out. Raises ClusterError, at once when waiting does not help."""
        trouble = ""

        def decided() -> bool:
            nonlocal trouble
            trouble = self.trouble()
            return bool(trouble) or self.ready()

        wait_for("the operator to be ready", decided, seconds=READY_SECONDS, saw=self.seen)
        if trouble:
            raise ClusterError(f"the operator did not start: {trouble}")
        wait_for("the API server to take the kinds that it has just learnt of", self._kinds_are_taken, seconds=60)

    def _kinds_are_taken(self) -> bool:
        """Whether an Experiment could be created: policies that fill in its owner find out about a new kind late."""
        example = str(paths.CHECKOUT / "examples" / "quickstart" / "experiment.yaml")
        self.cluster.kubectl("create", "--dry-run=server", "-n", "default", "-f", example)
        return True

    def ready(self) -> bool:
        """Whether every pod of the operator is of the newest kind, and ready."""
        found = self.cluster.api.get(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{DEPLOYMENT}")
        status, wanted = found["status"], found["spec"]["replicas"]
        counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")}
        return status.get("observedGeneration") == found["metadata"]["generation"] and counts == {wanted}

    def trouble(self) -> str:
        """Why a pod of the operator does not run, with the end of its log; "" when all do, or still may.

        Pods that an upgrade replaces do not count: theirs may be the trouble that it ends.
        """
        for pod in self._pods():
            for status in pod["status"].get("containerStatuses", []):
                waiting = status["state"].get("waiting", {})
                if waiting.get("reason") in HOPELESS:
                    name = pod["metadata"]["name"]
                    log = self.log(name) if status["restartCount"] else ""
                    return f"{name}, {waiting['reason']}: {waiting.get('message', '')}\n{log}".strip()
        return ""

    def log(self, pod: str = "", lines: int = 15) -> str:
        """Return the end of a pod's log, the leader's by default."""
        return self.kubectl("logs", pod or self.leader(), f"--tail={lines}").strip()

    def seen(self) -> str:
        """Return the pods as a person would list them."""
        return self.kubectl("get", "pods", "--output=wide")

    def _pods(self) -> Iterator[Raw]:
        """The operator's pods of the newest kind, none before it is known which these are."""
        apps = f"/apis/apps/v1/namespaces/{self.namespace}"
        deployment = self.cluster.api.get(f"{apps}/deployments/{DEPLOYMENT}")
        metadata = deployment["metadata"]
        if deployment["status"].get("observedGeneration") != metadata["generation"]:
            return
        selector = "labelSelector=app.kubernetes.io%2Fcomponent%3Doperator"
        revision = metadata["annotations"][_REVISION]
        sets = self.cluster.api.get(f"{apps}/replicasets?{selector}")["items"]
        newest = {each["metadata"]["uid"] for each in sets if each["metadata"]["annotations"][_REVISION] == revision}
        for pod in self.cluster.api.get(f"/api/v1/namespaces/{self.namespace}/pods?{selector}")["items"]:
            if {owner["uid"] for owner in pod["metadata"].get("ownerReferences", [])} & newest:
                yield pod


def _options(values: Raw, prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _options(value, f"{prefix}{name}.")
        else:
            yield f"--set {prefix}{name}={value}"
