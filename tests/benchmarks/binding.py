"""How long it takes from an approval to the Deployment that has it, and from a wish to go back to the first new pod.

The admission policies are in force, the store is a real MinIO, and every version has bytes of its own.
"""

import asyncio
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from assay.api import names
from assay.api.resources import DEPLOYMENTS, MODEL_ALIASES, MODEL_VERSIONS, PODS, PROMOTION_POLICIES
from assay.kube.aio import Kube
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from tests import operators, registry
from tests.cluster import images
from tests.cluster.local import LocalCluster

Raw = dict[str, Any]

TRIES = 100
ROLLBACKS = 5
NAMESPACE, MODEL, ALIAS = "bench", "digits", "champion"
NAME = f"{MODEL}.{ALIAS}"
_PATIENCE = 120.0


async def measure() -> dict[str, float]:
    """Return bind_p50_seconds, bind_p95_seconds, rollback_first_pod_seconds and rollback_ready_seconds."""
    with LocalCluster(f"bench-{os.getpid()}") as cluster:
        cluster.load_image(images.assay_image())
        registry.install_policies(cluster)
        cluster.kubectl("create", "namespace", NAMESPACE)
        kube = Kube(20)
        await kube.connect(str(cluster.kubeconfig))
        log = Path(tempfile.mkdtemp(prefix="assay-bench-")) / "operator.log"
        environment = {"ASSAY_NAMESPACES": NAMESPACE, "ASSAY_LOG_LEVEL": "WARNING"}
        try:
            with operators.OperatorProcess(cluster, log, environment, program=True):
                return await _Bench(cluster, kube).measure()
        finally:
            await kube.close()


class _Bench:
    def __init__(self, cluster: LocalCluster, kube: Kube) -> None:
        self.cluster, self.kube = cluster, kube
        self.store = ObjectStore(StoreConfig.from_environment(cluster.store.environment()))
        self.user = json.loads(cluster.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]

    async def measure(self) -> dict[str, float]:
        self.store.ensure_bucket()
        await asyncio.gather(*(self._register(version) for version in range(1, TRIES + 2)))
        await self._until(self._all_ready)
        await self.kube.create(DEPLOYMENTS, NAMESPACE, _deployment("idle", 0))
        times = [await self._bound(version) for version in range(1, TRIES + 1)]
        await self.kube.create(DEPLOYMENTS, NAMESPACE, _deployment("busy", 1))
        await self._until(self._serves)
        pods, ready = [], []
        for turn in range(ROLLBACKS):
            first, served = await self._rolled_back(TRIES - turn % 2, TRIES - 1 + turn % 2)
            pods.append(first)
            ready.append(served)
        ordered = sorted(times)
        return {
            "bind_p50_seconds": statistics.median(ordered),
            "bind_p95_seconds": ordered[int(len(ordered) * 0.95) - 1],
            "rollback_first_pod_seconds": statistics.median(pods),
            "rollback_ready_seconds": statistics.median(ready),
        }

    async def _register(self, version: int) -> None:
        data = f"model {version}".encode()
        key = f"runs/{NAMESPACE}/_/r/u{version}/given/model.bin"
        await asyncio.to_thread(self.store.put_bytes, key, data, "application/octet-stream")
        artifact = {"uri": f"s3://{self.store.config.bucket}/{key}", "digest": _digest(data)}
        manifest = registry.model_version(MODEL, version, namespace=NAMESPACE, owner="dora", artifact=artifact)
        await self.kube.create(MODEL_VERSIONS, NAMESPACE, manifest)
        if version == 1:
            evidence = {"artifactVerified": True, "provenanceVerified": False}
            policy = {"metadata": {"name": "release"}, "spec": {"approvals": {"required": 1}, "evidence": evidence}}
            kind = {"apiVersion": names.API_VERSION, "kind": names.PROMOTION_POLICY}
            await self.kube.create(PROMOTION_POLICIES, NAMESPACE, {**kind, **policy})

    async def _all_ready(self) -> bool:
        found = [body async for body in self.kube.list(MODEL_VERSIONS, NAMESPACE)]
        return all((body.get("status") or {}).get("phase") == "Ready" for body in found)

    async def _bound(self, version: int) -> float:
        """Want a version, wait until it is held, approve of it; return the seconds until the Deployment has it."""
        if version == 1:
            await self.kube.create(MODEL_ALIASES, NAMESPACE, registry.model_alias(MODEL, ALIAS, 1))
        else:
            await self.kube.merge_patch(MODEL_ALIASES, NAMESPACE, NAME, {"spec": {"version": version}})
        await self._until(lambda: self._alias("phase", "Held"))
        value = f"{_digest(f'model {version}'.encode())} {self.user}"
        patch = {"metadata": {"annotations": {f"{ALIAS}{names.APPROVAL_SUFFIX}1": value}}}
        start = time.perf_counter()
        await self.kube.merge_patch(MODEL_VERSIONS, NAMESPACE, f"{MODEL}.v{version}", patch)
        await self._until(lambda: self._has("idle", version))
        return time.perf_counter() - start

    async def _rolled_back(self, current: int, target: int) -> tuple[float, float]:
        """Ask to go back; return the seconds until the first pod of that version exists, and until one is ready."""
        if not await self._alias("boundVersion", current):
            raise RuntimeError(f"v{current} was to be live")
        value = f"{target} {self.user}\nbenchmark"
        patch = {"metadata": {"annotations": {names.ANNOTATION_ROLLBACK: value}}}
        start = time.perf_counter()
        await self.kube.merge_patch(MODEL_ALIASES, NAMESPACE, NAME, patch)
        await self._until(lambda: self._pod(target, ready=False))
        first = time.perf_counter() - start
        await self._until(lambda: self._pod(target, ready=True))
        served = time.perf_counter() - start
        await self._until(self._serves)
        return first, served

    async def _alias(self, field: str, value: object) -> bool:
        found = await self.kube.get(MODEL_ALIASES, NAMESPACE, NAME) or {}
        status = found.get("status") or {}
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        return current and status.get(field) == value

    async def _has(self, deployment: str, version: int) -> bool:
        found = await self.kube.get(DEPLOYMENTS, NAMESPACE, deployment) or {}
        annotations = found["spec"]["template"]["metadata"].get("annotations") or {}
        return bool(annotations.get(f"{names.SERVED_PREFIX}version") == str(version))

    async def _serves(self) -> bool:
        found = await self.kube.get(MODEL_ALIASES, NAMESPACE, NAME) or {}
        serving = (found.get("status") or {}).get("serving") or []
        return len(serving) == 2 and all(each["ready"] for each in serving) and not await self._terminating()

    async def _terminating(self) -> bool:
        return any([pod["metadata"].get("deletionTimestamp") async for pod in self.kube.list(PODS, NAMESPACE)])

    async def _pod(self, version: int, *, ready: bool) -> bool:
        async for pod in self.kube.list(PODS, NAMESPACE, "app=busy"):
            marks = pod["metadata"].get("annotations") or {}
            if marks.get(f"{names.SERVED_PREFIX}version") == str(version) and not pod["metadata"].get(
                "deletionTimestamp"
            ):
                conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions") or []}
                return not ready or conditions.get("Ready") == "True"
        return False

    async def _until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not await holds():
            if time.monotonic() > deadline:
                found = await self.kube.get(MODEL_ALIASES, NAMESPACE, NAME)
                raise RuntimeError(f"not within {_PATIENCE:.0f} s: {json.dumps((found or {}).get('status'))}")
            await asyncio.sleep(0.005)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _deployment(name: str, replicas: int) -> Raw:
    server = {
        "name": "server",
        "image": operators.IMAGE,
        "command": ["python", "-m", "http.server", "8000"],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1},
    }
    body = registry.deployment(name, annotations={names.ANNOTATION_SERVE: NAME}, containers=[server])
    body["spec"]["replicas"] = replicas
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0
    return body


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=1))
