"""What the operator believes of a pod's datasets.json: what the Run has declared, and nothing that disagrees."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

import pytest

from assay.controllers.tracking import records
from assay.store import layout
from assay.store.client import ObjectStore
from assay.store.records import FileEntry, PodManifest, Summary
from tests.s3 import S3Server

pytestmark = pytest.mark.integration

NOW = "2026-01-01T00:00:00Z"
A, B = ("sha256:" + character * 64 for character in "ab")
Raw = dict[str, Any]


def told(name: str, digest: str = A, **more: Any) -> Raw:
    return {"name": name, "digest": digest, "bytes": 7, "files": 1, "uri": "s3://d/x", **more}


def closed(store: ObjectStore, report: bytes | None, *, listed: bool = True, **declared: str | None) -> list[Raw]:
    """Close the record of a run with such a report; give the data sets that it is said to have read."""
    metadata = {"name": "r", "namespace": f"ns-{uuid.uuid4()}", "uid": str(uuid.uuid4())}
    datasets = [
        {"name": name, "uri": "s3://d/x", **({"digest": digest} if digest else {})} for name, digest in declared.items()
    ]
    run: Raw = {"metadata": metadata, "spec": {"datasets": datasets}}
    prefix = layout.pod_prefix(records.prefix_of(run), "p")
    entries = []
    if report is not None:
        store.put_bytes(f"{prefix}/{layout.DATASETS}", report)
    if report is not None and listed:
        sha256 = hashlib.sha256(report).hexdigest()
        entries.append(FileEntry(path=layout.DATASETS, size=len(report), sha256=sha256))
    summary = Summary(pod="p", updated=NOW)
    manifest = PodManifest(pod="p", started=NOW, finished=NOW, files=entries, summary=summary)
    store.put_bytes(f"{prefix}/{layout.MANIFEST}", manifest.to_json())
    found = records.close_record(store, run, "Succeeded", "JobComplete", ["p"], "p")
    assert (found.outcome, found.problem) == ("Succeeded", None)
    return [each.model_dump() for each in found.datasets]


def of(*datasets: Raw) -> bytes:
    return json.dumps({"version": 1, "datasets": datasets}).encode()


@pytest.fixture
def store(minio: S3Server) -> ObjectStore:
    return minio.store()


def test_found_and_declared_digests_are_recorded(store: ObjectStore) -> None:
    found = closed(store, of(told("x"), told("y", B)), y=B, x=None)
    assert found == [
        {"name": "y", "digest": B, "bytes": 7, "files": 1},
        {"name": "x", "digest": A, "bytes": 7, "files": 1},
    ]


@pytest.mark.parametrize(
    ("report", "names"),
    [
        (of(told("x"), told("other")), ["x"]),
        (of(told("x"), told("x", B)), ["x"]),
        (of(told("x"), told("y", A)), ["x"]),
        (of(told("x", "sha256:x")), []),
        (of(told("x", bytes=2**63)), []),
        (of(told("x", bytes=-1)), []),
        (of(*(told(f"x{number}") for number in range(65))), []),
        (b"nonsense", []),
        (b"[]", []),
        (b" " * (2 << 20), []),
        (None, []),
    ],
)
def test_untrusted_reports_are_ignored_and_do_not_fail_the_run(
    store: ObjectStore, report: bytes | None, names: list[str]
) -> None:
    assert [each["name"] for each in closed(store, report, x=None, y=B)] == names


def test_a_report_missing_from_the_manifest_is_ignored(store: ObjectStore) -> None:
    assert closed(store, of(told("x")), listed=False, x=None) == []
