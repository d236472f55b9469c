"""A pod's record with a model in it, and that model registered: what tests of models and of the fetch begin with."""

from __future__ import annotations

import hashlib
import uuid

from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.models import ModelSource, RegisteredModel, copy_model, source_of_pod
from assay.store.records import FileEntry, PodManifest, Summary

NOW = "2026-01-01T00:00:00Z"
FILES = {"weights.bin": b"w" * 100_000, "deep/er/config.json": b"{}", "a b/%ü+&?#": b"odd", "empty": b""}


class Trained:
    """A finished pod that left `files` at artifacts/model, a file of its own, and other artifacts."""

    def __init__(self, store: ObjectStore, files: dict[str, bytes] | None = None, namespace: str = "") -> None:
        self.store = store
        self.namespace = namespace or f"ns-{uuid.uuid4()}"
        self.pod = layout.pod_prefix(layout.run_prefix(self.namespace, "e", "r", str(uuid.uuid4())), "p")
        self.files = {f"artifacts/model/{path}": data for path, data in (FILES if files is None else files).items()}
        self.files |= {"artifacts/model.pkl": b"single", "artifacts/modelx/other": b"x", "metrics.parquet": b"m"}
        for path, data in self.files.items():
            store.put_bytes(f"{self.pod}/{path}", data)
        entries = [
            FileEntry(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for path, data in self.files.items()
        ]
        summary = Summary(pod="p", updated=NOW)
        record = PodManifest(pod="p", started=NOW, finished=NOW, files=entries, summary=summary)
        store.put_bytes(f"{self.pod}/manifest.json", record.to_json())

    def source(self, path: str = "model") -> ModelSource:
        return source_of_pod(self.store, self.pod, path)

    def register(self, path: str = "model", version: int = 1) -> RegisteredModel:
        source = self.source(path)
        return copy_model(self.store, source, self.namespace, "digits", version, source.digest)
