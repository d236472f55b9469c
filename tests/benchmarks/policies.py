"""What the admission policies cost a write, by the API server's own clock.

The server counts the seconds that its ValidatingAdmissionPolicy plugin takes; what it took for a hundred writes is
divided by a hundred. `other` are writes that have nothing to do with Assay, of ordinary and of large objects; `own`
are the operator's.
"""

import json
import os
import re
from typing import Any

from assay.planning.runs.job import JobSettings, build_job
from tests import registry
from tests.cluster.local import LocalCluster

Raw = dict[str, Any]

WRITES = 100
_PLUGIN = re.compile(
    r'^apiserver_admission_controller_admission_duration_seconds_sum\{name="ValidatingAdmissionPolicy",'
    r'operation="CREATE",[^}]*\} (\S+)$',
    re.MULTILINE,
)


async def measure() -> dict[str, float]:
    """Return seconds a write by name, and what the large pod costs beside the ordinary one."""
    with LocalCluster(f"bench-policies-{os.getpid()}", with_node=False) as cluster:
        registry.install_policies(cluster)
        return costs(cluster)


def costs(cluster: LocalCluster) -> dict[str, float]:
    """Return what the policies cost a write, on a cluster that has them."""
    return {f"policies_{name}_seconds": _cost(cluster, *what) for name, what in _writes().items()}


def _writes() -> dict[str, tuple[Raw, tuple[str, ...]]]:
    """Return by name an object to create, and as whom."""
    run = {**registry.run("bench"), "metadata": {"name": "bench", "namespace": "default", "uid": "bench"}}
    own = build_job(run, "runs/default/_/bench/bench", JobSettings("assay"))
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "bench"}, "spec": run["spec"]["job"]}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bench"}, "data": {"a": "b"}}
    return {
        "other_configmap": (config, ()),
        "other_pod": (registry.PLAIN_POD, ()),
        "other_large_pod": (_large(), ()),
        "other_job": (job, ()),
        "other_deployment": (registry.deployment("bench"), ()),
        "own_job": (own, registry.AS_OPERATOR),
    }


def _large() -> Raw:
    """Return a pod with 30 containers of 60 variables and 20 mounts each."""
    mounts = [{"name": f"data-{number}", "mountPath": f"/data/{number}"} for number in range(20)]
    environment = [{"name": f"VARIABLE_{number}", "value": "x" * 50} for number in range(60)]
    containers = [
        {"name": f"c-{number}", "image": "c", "env": environment, "volumeMounts": mounts} for number in range(30)
    ]
    volumes = [{"name": mount["name"], "emptyDir": {}} for mount in mounts]
    return {**registry.PLAIN_POD, "spec": {"containers": containers, "volumes": volumes}}


def _cost(cluster: LocalCluster, manifest: Raw, who: tuple[str, ...]) -> float:
    items = [{**manifest, "metadata": {**manifest["metadata"], "name": f"bench-{n}"}} for n in range(WRITES)]
    before = _seconds(cluster)
    everything = {"apiVersion": "v1", "kind": "List", "items": items}
    cluster.kubectl("create", "--dry-run=server", "--filename=-", *who, stdin=json.dumps(everything), timeout=300)
    return (_seconds(cluster) - before) / WRITES


def _seconds(cluster: LocalCluster) -> float:
    return sum(float(found) for found in _PLUGIN.findall(cluster.kubectl("get", "--raw", "/metrics")))
