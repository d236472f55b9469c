"""Creates runs and experiments with the statuses and records that the operator and the recorder would leave."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.recorder.parquet import write_parquet
from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from tests import registry
from tests.cluster import calls
from tests.conftest import Cluster

Raw = dict[str, Any]
#: Metric, step, unix seconds, value.
Point = tuple[str, int, float, float]
BEGUN = "2026-03-01T12:00:00Z"


def metric(last: float, **more: float) -> Raw:
    """Return the summary of a metric as a Run's status has it."""
    return {"last": last, "min": last, "max": last, "step": 9, "count": 10, **more}


@dataclass(frozen=True)
class StandIn:
    """Plays the operator in one namespace: creates objects and sets their statuses."""

    cluster: Cluster
    namespace: str

    @property
    def store(self) -> ObjectStore:
        """The cluster's store, with its bucket."""
        found = ObjectStore(StoreConfig.from_environment(self.cluster.store.environment()))
        found.ensure_bucket()
        return found

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *argv, stdin=stdin)

    def create(self, manifest: Raw, status: Raw | None = None) -> Raw:
        """Create an object, give it a status as the operator would, and return it."""
        found = calls.create(self.cluster, self.namespace, registry.owned(self.cluster, manifest, ()))
        return self.set_status(found["kind"], found["metadata"]["name"], status) if status else found

    def set_status(self, kind: str, name: str, status: Raw) -> Raw:
        """Change the status of an object as the operator would, and return the object."""
        return calls.patch_status(self.cluster, self.namespace, kind, name, status, registry.OPERATOR)

    def run(self, name: str, status: Raw | None = None, *, experiment: str = "", **spec: Any) -> Raw:
        """Create a Run of its own or of an experiment, with a status."""
        manifest = registry.run(name, **spec)
        if not experiment:
            return self.create(manifest, status)
        # Only the operator labels a run as an experiment's.
        manifest["metadata"]["labels"] = {"assay.dev/experiment": experiment}
        manifest["spec"].setdefault("owner", "kubernetes-admin")
        calls.create(self.cluster, self.namespace, manifest, who=registry.OPERATOR_AS_MASTER)
        return self.set_status("run.assay.dev", name, status or {})

    def remove(self, kind: str, name: str) -> None:
        """Delete an object and wait until it is gone."""
        self.kubectl("delete", kind, name, *registry.AS_OPERATOR)

    def prefix(self, run: Raw) -> str:
        """Return a Run's prefix in the store."""
        metadata = run["metadata"]
        experiment = (metadata.get("labels") or {}).get("assay.dev/experiment")
        return layout.run_prefix(metadata["namespace"], experiment, metadata["name"], metadata["uid"])

    def streamed(self, run: Raw, pod: str, parts: Sequence[Iterable[Point]]) -> None:
        """Put points where the recorder of a running pod puts them, part by part."""
        for number, points in enumerate(parts, 1):
            key = f"{layout.intake_prefix(self.prefix(run), pod)}/{layout.part_path(number)}"
            self.store.put_bytes(key, packed(points))

    def compacted(self, run: Raw, pod: str, points: Sequence[Point], scratch: Path) -> None:
        """Put points where the recorder of a pod puts them at its end."""
        key = f"{layout.pod_prefix(self.prefix(run), pod)}/{layout.PARQUET}"
        self.store.put_bytes(key, compacted(points, scratch))


def compacted(points: Sequence[Point], scratch: Path) -> bytes:
    """Return points as the recorder of a pod has them at its end."""
    part, target = scratch / "part.jsonl.gz", scratch / "metrics.parquet"
    part.write_bytes(packed(points))
    write_parquet([part], len(points), target, scratch)
    return target.read_bytes()


def packed(points: Iterable[Point]) -> bytes:
    """Return points as a part has them."""
    rows = (dict(zip(("metric", "step", "time", "value"), point, strict=True)) for point in points)
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0)
