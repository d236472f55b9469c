"""Reads a run from its record: the Run, which may be deleted in the cluster, its last status, and its environment.

Read-only. Files that a training pod could have written are trusted only if they match the run's manifest.
"""

from __future__ import annotations

import hashlib
import json

from assay.api.objects import Raw
from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, RecordError, TooLarge
from assay.store.limits import MAX_MANIFEST_BYTES
from assay.store.records import PodManifest, PodRecord, RunManifest
from assay.store.verify import model_digest, run_manifest

#: More than the API server's limit for an object.
_MAX_RUN_BYTES = 4 << 20
_MAX_ENVIRONMENT_BYTES = 16 << 20


def read_run(store: ObjectStore, namespace: str, experiment: str | None, name: str, uid: str) -> Raw:
    """The Run as it was created, with its final ``status`` as far as the record has it.

    Raises NotFound if there is no record of the run, RecordError if it did not end or its record is invalid, and
    ValueError for an invalid name.
    """
    prefix = layout.run_prefix(namespace, experiment, name, uid)
    run = _json(store, f"{prefix}/{layout.RUN}", _MAX_RUN_BYTES)
    if (run.get("metadata") or {}).get("uid") != uid:
        raise RecordError(f"{prefix}/{layout.RUN} belongs to another run")
    manifest = run_manifest(store, prefix)
    try:
        return {**run, "status": _json(store, f"{prefix}/{layout.STATUS}", _MAX_RUN_BYTES)}
    except NotFound:
        return {**run, "status": _status(store, prefix, run, manifest)}


def read_environment(store: ObjectStore, run: Raw) -> Raw:
    """The content of environment.json of the pod that produced the run's artifacts; {} if there is none.

    ``run`` is a raw Run with its status, live or from ``read_run``.
    """
    try:
        pod = layout.pod_prefix(layout.prefix_of(run), layout.counting_pod(run))
        return _json(store, f"{pod}/{layout.ENVIRONMENT}", _MAX_ENVIRONMENT_BYTES)
    except (NotFound, RecordError, ValueError):
        return {}


def _json(store: ObjectStore, key: str, limit: int) -> Raw:
    try:
        found = json.loads(store.get_bytes(key, limit))
    except (ValueError, RecursionError, TooLarge) as error:
        raise RecordError(f"{key} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise RecordError(f"{key} is not a JSON object")
    return found


# Reconstructing a status that was not recorded


def _status(store: ObjectStore, prefix: str, run: Raw, manifest: RunManifest) -> Raw:
    status: Raw = {
        "phase": "Succeeded" if manifest.outcome == "Succeeded" else "Failed",
        "reason": manifest.reason,
        "completionTime": manifest.written,
    }
    found = [pod for record in manifest.pods if (pod := _pod(store, prefix, record)) is not None]
    if not found:
        return status
    last = max(found, key=lambda pod: (pod.finished, pod.pod))
    metrics = {name: each.model_dump(include=_SUMMARY) for name, each in last.summary.metrics.items()}
    artifacts = f"s3://{store.config.bucket}/{layout.pod_prefix(prefix, last.pod)}/{layout.ARTIFACTS}/"
    return status | _model(run, last) | {"metrics": metrics, "record": {"artifacts": artifacts, "pod": last.pod}}


_SUMMARY = {"last", "min", "max", "step", "count"}


def _pod(store: ObjectStore, prefix: str, record: PodRecord) -> PodManifest | None:
    """The manifest of a pod; None if it has none, or if it differs from the one that the operator recorded."""
    try:
        data = store.get_bytes(f"{layout.pod_prefix(prefix, record.name)}/{layout.MANIFEST}", MAX_MANIFEST_BYTES)
        if not record.complete or hashlib.sha256(data).hexdigest() != record.manifest_sha256:
            return None
        return PodManifest.model_validate_json(data)
    except (NotFound, TooLarge, ValueError):
        return None


def _model(run: Raw, pod: PodManifest) -> Raw:
    path = ((run.get("spec") or {}).get("model") or {}).get("path")
    if not path:
        return {}
    where = f"{layout.ARTIFACTS}/{path}"
    try:
        digest = model_digest(pod.files, where)
    except NotFound:
        return {}
    size = sum(each.size for each in pod.files if each.path == where or each.path.startswith(where + "/"))
    return {"model": {"path": path, "digest": digest, "size": size}}
