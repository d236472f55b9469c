"""A run read from its record, when it is gone: what is believed of it, and that a rerun can be compared with it."""

import hashlib
import itertools
import json
from typing import Any

import pytest

from assay.controllers.tracking import records
from assay.planning.runs import compare, reproduction
from assay.planning.runs.compare import Side
from assay.store import recorded
from assay.store.client import ObjectStore
from assay.store.errors import NotFound, RecordError
from assay.store.records import FileEntry, MetricSummary, PodManifest, Summary
from assay.store.verify import model_digest
from tests.s3 import S3Server

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
_numbers = itertools.count()
FILES = {"artifacts/model/weights": b"weights", "artifacts/model/config.json": b"{}", "artifacts/plot.png": b"png"}


@pytest.fixture(scope="module")
def store(minio: S3Server) -> ObjectStore:
    return minio.store()


@pytest.fixture
def run(store: ObjectStore) -> Raw:
    """A Run that no other test has, with the first part of its record."""
    name = f"done-{next(_numbers)}"
    metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "labels": {"assay.dev/experiment": "sweep"}}
    template = {"spec": {"containers": [{"name": "train", "image": "train:1"}]}}
    spec = {"parameters": {"lr": 0.1}, "model": {"path": "model"}, "job": {"template": template}}
    body = {"apiVersion": "assay.dev/v1alpha1", "kind": "Run", "metadata": metadata, "spec": spec}
    records.open_record(store, body)
    return body


def leave(store: ObjectStore, run: Raw, pod: str, score: float, finished: str = "2026-03-01T12:00:00Z") -> PodManifest:
    """Leave in the store what the recorder of a pod leaves."""
    prefix = f"{records.prefix_of(run)}/pods/{pod}"
    for path, data in FILES.items():
        store.put_bytes(f"{prefix}/{path}", data)
    files = [FileEntry(path=p, size=len(d), sha256=hashlib.sha256(d).hexdigest()) for p, d in FILES.items()]
    metric = MetricSummary(last=score, min=0, max=score, step=9, count=10, min_step=0, max_step=9)
    summary = Summary(pod=pod, updated=finished, points=10, metrics={"score": metric})
    manifest = PodManifest(pod=pod, started=finished, finished=finished, files=files, summary=summary)
    store.put_bytes(f"{prefix}/manifest.json", manifest.to_json())
    return manifest


def read(store: ObjectStore, run: Raw, **other: Any) -> Raw:
    metadata = run["metadata"]
    wanted = {"experiment": "sweep", "name": metadata["name"], "uid": metadata["uid"]} | other
    return recorded.read_run(store, "team", wanted["experiment"], wanted["name"], wanted["uid"])


def close(store: ObjectStore, run: Raw, *pods: str, outcome: records.Outcome = "Succeeded") -> records.Closed:
    return records.close_record(store, run, outcome, "JobComplete", pods, pods[-1] if pods else "")


def test_a_deleted_run_is_read_in_full_from_its_record(store: ObjectStore, run: Raw) -> None:
    manifest = leave(store, run, "p", 0.9)
    closed = close(store, run, "p")
    found = read(store, run)
    assert {key: found[key] for key in run} == run
    status = found["status"]
    assert (status["phase"], status["reason"]) == ("Succeeded", "JobComplete")
    assert status["metrics"] == {"score": {"last": 0.9, "min": 0.0, "max": 0.9, "step": 9, "count": 10}}
    assert status["model"] == {"path": "model", "digest": model_digest(manifest.files, "artifacts/model"), "size": 9}
    assert status["model"]["digest"] == closed.model_digest


def test_the_last_pod_counts_without_its_later_changes(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "first", 0.1)
    leave(store, run, "second", 0.2, finished="2026-03-01T13:00:00Z")
    leave(store, run, "third", 0.3, finished="2026-03-01T14:00:00Z")
    close(store, run, "first", "second", "third")
    assert read(store, run)["status"]["metrics"]["score"]["last"] == 0.3
    # Its credentials may outlive the run by hours.
    leave(store, run, "third", 1.0, finished="2026-03-01T14:00:00Z")
    assert read(store, run)["status"]["metrics"]["score"]["last"] == 0.2


def test_a_recorded_status_is_used_unchanged(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "p", 0.9)
    close(store, run, "p")
    said = {"phase": "Succeeded", "images": [{"container": "train", "image": "train:1", "digest": "x"}]}
    store.put_bytes(f"{records.prefix_of(run)}/status.json", json.dumps(said).encode())
    assert read(store, run)["status"] == said


def test_a_run_that_failed_left_no_result(store: ObjectStore, run: Raw) -> None:
    close(store, run, outcome="Failed")
    status = read(store, run)["status"]
    assert status["phase"] == "Failed"
    assert "metrics" not in status


def test_a_missing_record_is_distinguished_from_an_invalid_record(store: ObjectStore, run: Raw) -> None:
    with pytest.raises(NotFound):
        read(store, run, uid="another")
    with pytest.raises(NotFound):
        read(store, run, experiment=None)
    with pytest.raises(ValueError, match="cannot be part of a run's prefix"):
        read(store, run, name="../../other")
    with pytest.raises(RecordError, match="is missing"):
        read(store, run)
    close(store, run)
    key = f"{records.prefix_of(run)}/run.json"
    for damaged in (b"[]", b"{", b"[" * 100_000, b'{"metadata": {"uid": "other"}}'):
        store.put_bytes(key, damaged)
        with pytest.raises(RecordError):
            read(store, run)


def test_the_environment_of_the_pod_that_counts(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "p", 0.9)
    close(store, run, "p")
    found = read(store, run)
    assert recorded.read_environment(store, found) == {}
    assert recorded.read_environment(store, run) == {}, "a Run without a status"
    key = f"{records.prefix_of(run)}/pods/p/environment.json"
    store.put_bytes(key, b'{"source": "image", "packages": {"numpy": "2.3.1"}}')
    environment = recorded.read_environment(store, found)
    assert environment == {"source": "image", "packages": {"numpy": "2.3.1"}}
    other = environment | {"packages": {"numpy": "2.3.2"}}
    differences = compare.compare(Side(found, environment), Side(found, other))
    assert [(each.path, each.a, each.b) for each in differences] == [("environment.packages.numpy", "2.3.1", "2.3.2")]
    store.put_bytes(key, b"no json")
    assert recorded.read_environment(store, found) == {}


def test_a_rerun_is_compared_with_the_record(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "p", 0.9)
    closed = close(store, run, "p")
    original = read(store, run)
    reference = {"name": run["metadata"]["name"], "uid": run["metadata"]["uid"]}
    metric = {"last": 0.9, "min": 0, "max": 0.9, "best": 0.9, "step": 9, "count": 10}
    model = {"path": "model", "digest": closed.model_digest, "size": 9}
    rerun = {
        "spec": run["spec"] | {"rerunOf": reference},
        "status": {"phase": "Succeeded", "metrics": {"score": metric}, "model": model},
    }
    assert reproduction.judge(rerun, original)[:2] == ("True", "SameModel")
    metric["last"] = 0.8
    assert reproduction.judge(rerun, original)[:2] == ("False", "MetricsDiffer")
