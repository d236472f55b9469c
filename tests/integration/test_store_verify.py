"""A record counts only when every file of it is in the store as its manifest says."""

import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.errors import RecordError
from assay.store.records import FileEntry, PodManifest, RunManifest, Summary
from assay.store.verify import read_summary, verify_pod, verify_run
from tests.s3 import S3Server

pytestmark = pytest.mark.integration

FILES = {"artifacts/a b/%ü+": b"model", "metrics.parquet": b"parquet", "summary.json": b"{}"}
NOW = "2026-01-01T00:00:00Z"


class Record:
    """A pod's record, complete until a test breaks it."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.run = layout.run_prefix("ns", "e", "r", str(uuid.uuid4()))
        self.pod = layout.pod_prefix(self.run, "p")
        for path, data in FILES.items():
            store.put_bytes(f"{self.pod}/{path}", data)
        entries = [
            FileEntry(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for path, data in FILES.items()
        ]
        self.manifest: dict[str, Any] = json.loads(
            PodManifest(
                pod="p", started=NOW, finished=NOW, files=entries, summary=Summary(pod="p", updated=NOW)
            ).to_json()
        )
        self.write()

    def write(self) -> None:
        self.store.put_bytes(f"{self.pod}/manifest.json", json.dumps(self.manifest).encode())


@pytest.fixture
def record(s3: S3Server) -> Record:
    return Record(s3.store())


@pytest.mark.parametrize("deep", [False, True])
def test_a_complete_record(record: Record, deep: bool) -> None:
    assert [entry.path for entry in verify_pod(record.store, record.pod, deep).files] == list(FILES)


def remove(record: Record) -> None:
    record.store.delete(f"{record.pod}/metrics.parquet")


def shorten(record: Record) -> None:
    record.store.put_bytes(f"{record.pod}/metrics.parquet", b"x")


def alter(record: Record) -> None:
    record.store.put_bytes(f"{record.pod}/metrics.parquet", b"PARQUET")


def rename(record: Record) -> None:
    record.manifest["pod"] = "other"


def climb(record: Record) -> None:
    record.manifest["files"][0]["path"] = "../p/summary.json"


def repeat(record: Record) -> None:
    record.manifest["files"].append(record.manifest["files"][0])


def spoil(record: Record) -> None:
    record.manifest["files"][0]["sha256"] = "x"


def lose(record: Record) -> None:
    record.store.delete(f"{record.pod}/manifest.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove, "metrics.parquet is missing in the store"),
        (shorten, "metrics.parquet has 1 bytes, its manifest says 7"),
        (alter, "metrics.parquet has another sha256 than its manifest says"),
        (rename, "is the manifest of another pod, 'other'"),
        (climb, "not a plain relative path"),
        (repeat, "twice"),
        (spoil, "is not a valid PodManifest: files.0.sha256"),
    ],
)
def test_a_damaged_record_is_refused_by_name(record: Record, damage: Callable[[Record], None], message: str) -> None:
    damage(record)
    record.write()
    with pytest.raises(RecordError) as caught:
        verify_pod(record.store, record.pod, deep=True)
    assert message in str(caught.value)
    assert record.pod in str(caught.value)


def test_a_record_without_manifest_is_incomplete(record: Record) -> None:
    lose(record)
    with pytest.raises(RecordError, match=r"manifest\.json is missing: the record is incomplete"):
        verify_pod(record.store, record.pod)


def test_the_live_summary(record: Record) -> None:
    assert read_summary(record.store, f"{record.run}/pods/none") is None
    with pytest.raises(RecordError, match="is not a valid Summary"):
        read_summary(record.store, record.pod)
    record.store.put_bytes(f"{record.pod}/summary.json", Summary(pod="p", updated=NOW, points=3).to_json())
    found = read_summary(record.store, record.pod)
    assert found is not None
    assert found.points == 3


def test_a_run(record: Record) -> None:
    key = layout.parse_run_prefix(record.run)
    files = [
        FileEntry(path=f"pods/p/{path}", size=len(data), sha256=hashlib.sha256(data).hexdigest())
        for path, data in FILES.items()
    ]
    manifest = RunManifest(
        namespace=key.namespace,
        name=key.run,
        uid=key.uid,
        experiment="e",
        outcome="Succeeded",
        files=files,
        written=NOW,
    )
    with pytest.raises(RecordError, match="incomplete"):
        verify_run(record.store, record.run)
    record.store.put_bytes(f"{record.run}/manifest.json", manifest.to_json())
    assert verify_run(record.store, record.run, deep=True) == manifest
    alter(record)
    verify_run(record.store, record.run)
    with pytest.raises(RecordError, match="another sha256"):
        verify_run(record.store, record.run, deep=True)
    other = manifest.model_copy(update={"uid": "other"})
    record.store.put_bytes(f"{record.run}/manifest.json", other.to_json())
    with pytest.raises(RecordError, match="another run, 'other'"):
        verify_run(record.store, record.run)
