"""Experiments and Runs for tests: building them, applying them, waiting for them, reading their records."""

import contextlib
import json
import tempfile
import textwrap
import time
from collections.abc import Callable
from typing import Any

from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from tests.cluster import calls
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import PATIENCE

Raw = dict[str, Any]
TRAINING_IMAGE = "localhost/assay-quickstart:dev"


def pod_spec(script: str, **more: Any) -> Raw:
    """Return the spec of a pod that runs a Python script, non-root, with small requests."""
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 40,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000},
        "containers": [
            {
                "name": "train",
                "image": TRAINING_IMAGE,
                "command": ["python", "-u", "-c", _PRELUDE + textwrap.dedent(script)],
                "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
            }
        ],
        **more,
    }


# A training script ends when it is told to, as PID 1 does only if it asks for it.
_PRELUDE = """
import json, os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
def log(**point):
    with open('/assay/metrics.jsonl', 'a') as file:
        file.write(json.dumps(point) + '\\n')
artifacts = pathlib.Path('/assay/artifacts')
"""


def run(name: str, script: str, *, parameters: Raw | None = None, job: Raw | None = None, **spec: Any) -> Raw:
    """Return a Run manifest. ``job`` are fields of the JobSpec beside the template."""
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Run",
        "metadata": {"name": name},
        "spec": {
            "parameters": parameters or {},
            **spec,
            "job": {"backoffLimit": 0, **(job or {}), "template": {"spec": pod_spec(script)}},
        },
    }


def experiment(name: str, script: str, *, job: Raw | None = None, **spec: Any) -> Raw:
    """Return an Experiment manifest whose runs are those of ``run``."""
    template = {"job": {"backoffLimit": 0, **(job or {}), "template": {"spec": pod_spec(script)}}}
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {"objective": {"metric": "score", "direction": "maximize"}, **spec, "template": template},
    }


class Objects:
    """One namespace of a cluster, as a user sees it."""

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.store = ObjectStore(StoreConfig.from_environment(cluster.store.environment()))

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *argv, stdin=stdin)

    def apply(self, manifest: Raw) -> None:
        """Apply one manifest, on the server's side."""
        calls.apply(self.cluster, self.namespace, manifest)

    def shared_volume(self, name: str) -> Raw:
        """Return a volume of a pod template that outlives its pods: runs may have no host path of their own."""
        volume = f"{self.namespace}-{name}"
        size = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
        source = {"hostPath": {"path": f"/tmp/{volume}", "type": "DirectoryOrCreate"}}
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": volume},
                "spec": {**size, **source, "capacity": {"storage": "1Mi"}, "persistentVolumeReclaimPolicy": "Delete"},
            }
        )
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name},
                "spec": {**size, "volumeName": volume, "resources": {"requests": {"storage": "1Mi"}}},
            }
        )
        return {"name": name, "persistentVolumeClaim": {"claimName": name}}

    def get(self, kind: str, name: str) -> Raw:
        """Return one object, {} when there is none."""
        return calls.one(self.cluster, self.namespace, kind, name)

    def all(self, kind: str, selector: str = "") -> list[Raw]:
        """Return the objects of a kind."""
        return calls.many(self.cluster, self.namespace, kind, selector)

    def wait(self, kind: str, name: str, what: str, holds: Callable[[Raw], Any], seconds: float = 90) -> Raw:
        """Wait until something holds of an object, and return the object. An exception counts as "not yet"."""
        seconds *= PATIENCE
        deadline = time.monotonic() + seconds
        last: object = None
        while time.monotonic() < deadline:
            try:
                for seen in calls.changes(self.cluster, self.namespace, kind, name):
                    last = seen.get("status")
                    with contextlib.suppress(LookupError, TypeError):
                        if seen and holds(seen):
                            return seen
                    if time.monotonic() > deadline:
                        break
            except Exception as error:  # the API server may be down
                last = repr(error)
                time.sleep(0.2)
        raise ClusterError(f"{kind} {name}: {what}: not within {seconds:.0f} s; last seen: {last}")

    def wait_phase(self, kind: str, name: str, *phases: str, seconds: float = 120) -> Raw:
        """Wait until an Experiment or Run is in one of the phases, and return it."""
        return self.wait(kind, name, " or ".join(phases), lambda o: o.get("status", {}).get("phase") in phases, seconds)

    def prefix(self, run: Raw) -> str:
        """Return a Run's prefix in the store."""
        metadata = run["metadata"]
        experiment = metadata.get("labels", {}).get("assay.dev/experiment", "_")
        return f"runs/{metadata['namespace']}/{experiment}/{metadata['name']}/{metadata['uid']}"

    def stored(self, run: Raw) -> list[str]:
        """Return the keys of a Run in the store, below its prefix."""
        prefix = self.prefix(run)
        return [info.key.removeprefix(prefix + "/") for info in self.store.list(prefix + "/")]

    def read_json(self, run: Raw, path: str) -> Any:
        """Return a JSON file of a Run's record."""
        return json.loads(self.read(run, path))

    def read(self, run: Raw, path: str) -> bytes:
        """Return a file of a Run's record."""
        return self.store.get_bytes(f"{self.prefix(run)}/{path}", 10 << 20)

    def points(self, run: Raw, pod: str = "") -> list[tuple[str, int, float]]:
        """Return the points (metric, step, value) of a pod's metrics.parquet; of the only or newest pod by default."""
        import duckdb

        name = pod or run["status"]["attempts"][-1]["pod"]
        data = self.store.get_bytes(f"{self.prefix(run)}/pods/{name}/metrics.parquet", 100 << 20)
        with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
            file.write(data)
            file.flush()
            rows = duckdb.sql(f"SELECT metric, step, value FROM '{file.name}' ORDER BY metric, step").fetchall()
        return [(metric, step, value) for metric, step, value in rows]


def condition(found: Raw, kind: str) -> Raw:
    """Return a condition of an object, {} when it has none of that type."""
    return next((c for c in found.get("status", {}).get("conditions", []) if c["type"] == kind), {})
