"""The archive and the expiry of artifacts over a real store: what is listed, what is deleted, what verifies."""

import hashlib
import json
import uuid
from typing import Any

import pytest

from assay.store import archive, expiry, layout, models
from assay.store.client import ObjectStore
from assay.store.errors import ArtifactsExpired, Busy, RecordError, StoreDenied, StoreUnavailable
from assay.store.records import FileEntry, PodManifest, PodRecord, RunManifest, Summary
from assay.store.verify import read_expired, verify_pod, verify_record, verify_run
from tests.s3 import S3Server, add_user

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
TIME = "2026-03-01T12:00:00Z"
FILES = {
    "artifacts/model/w": b"weights",
    "artifacts/a b/%ü+&?#<": b"odd",
    "metrics.parquet": b"PAR1",
    "metrics/part-00001.jsonl.gz": b"m",
}


@pytest.fixture(scope="module")
def store(minio: S3Server) -> ObjectStore:
    return minio.store()


@pytest.fixture
def namespace() -> str:
    return f"ns-{uuid.uuid4()}"


def entries(files: dict[str, bytes], below: str = "") -> list[FileEntry]:
    return [
        FileEntry(path=below + path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        for path, data in files.items()
    ]


class Recorded:
    """The closed record of a run with one pod, and a file of another pod that left no manifest."""

    def __init__(
        self, store: ObjectStore, namespace: str, experiment: str | None = "sweep", name: str = "sweep-0"
    ) -> None:
        self.store, self.uid = store, str(uuid.uuid4())
        self.prefix = layout.run_prefix(namespace, experiment, name, self.uid)
        self.pod = layout.pod_prefix(self.prefix, "p")
        labels = {"assay.dev/experiment": experiment} if experiment else {}
        self.body: Raw = {
            "kind": "Run",
            "metadata": {"namespace": namespace, "name": name, "uid": self.uid, "labels": labels},
            "spec": {"parameters": {"lr": 0.1}, "owner": "dora", "job": {}},
        }
        self.status = {
            "phase": "Succeeded",
            "reason": "JobComplete",
            "completionTime": TIME,
            "metrics": {"a": {"last": 1}},
        }
        own = {"run.json": json.dumps(self.body).encode(), "status.json": json.dumps(self.status).encode()}
        pod = PodManifest(
            pod="p", started=TIME, finished=TIME, files=entries(FILES), summary=Summary(pod="p", updated=TIME)
        ).to_json()
        written = own | {f"pods/p/{path}": data for path, data in FILES.items()} | {"pods/p/manifest.json": pod}
        for path, data in written.items():
            store.put_bytes(f"{self.prefix}/{path}", data)
        store.put_bytes(f"{self.prefix}/pods/killed/artifacts/half", b"half")
        store.put_bytes(f"{self.prefix}/pods/killed/metrics/part-00001.jsonl.gz", b"m")
        manifest = RunManifest(
            namespace=namespace,
            name=name,
            uid=self.uid,
            experiment=experiment or "",
            outcome="Succeeded",
            pods=[
                PodRecord(name="killed", complete=False),
                PodRecord(name="p", complete=True, manifest_sha256=hashlib.sha256(pod).hexdigest()),
            ],
            files=entries(written),
            written=TIME,
        )
        store.put_bytes(f"{self.prefix}/manifest.json", manifest.to_json())

    def paths(self) -> set[str]:
        return {info.key.removeprefix(self.prefix + "/") for info in self.store.list(self.prefix + "/")}


@pytest.fixture
def recorded(store: ObjectStore, namespace: str) -> Recorded:
    return Recorded(store, namespace)


# Artifacts that expire


def test_expiry_deletes_only_artifacts(recorded: Recorded) -> None:
    before = recorded.paths()
    expiry.begin(recorded.store, recorded.prefix, "artifactsAfter: 1d")
    assert recorded.paths() == before | {"expired.json"}
    done = expiry.finish(recorded.store, recorded.prefix)
    gone = {"pods/p/artifacts/model/w", "pods/p/artifacts/a b/%ü+&?#<", "pods/killed/artifacts/half"}
    assert recorded.paths() == (before - gone) | {"expired.json"}
    assert {(file.path, file.size) for file in done.files} == {
        ("pods/p/artifacts/model/w", 7),
        ("pods/p/artifacts/a b/%ü+&?#<", 3),
        ("pods/killed/artifacts/half", 4),
    }
    digests = {file.path: file.sha256 for file in done.files}
    assert digests["pods/p/artifacts/model/w"] == hashlib.sha256(b"weights").hexdigest()
    assert digests["pods/killed/artifacts/half"] == "", "nobody has ever listed it"
    assert read_expired(recorded.store, recorded.prefix) == done
    assert done.begun <= done.finished
    assert expiry.finish(recorded.store, recorded.prefix) == done, "doing it twice has changed the tombstone"


def test_a_record_with_expired_artifacts_verifies_and_reports_them(recorded: Recorded) -> None:
    assert verify_record(recorded.store, recorded.prefix).expired is None
    expiry.begin(recorded.store, recorded.prefix, "artifactsAfter: 1d")
    assert verify_record(recorded.store, recorded.prefix, deep=True).expired is not None
    expiry.finish(recorded.store, recorded.prefix)
    found = verify_record(recorded.store, recorded.prefix, deep=True)
    assert found.expired is not None
    assert (found.expired.reason, len(found.expired.files)) == ("artifactsAfter: 1d", 3)
    assert verify_run(recorded.store, recorded.prefix) == found.manifest
    assert verify_pod(recorded.store, recorded.pod, deep=True).pod == "p"


@pytest.mark.parametrize("path", ["metrics.parquet", "metrics/part-00001.jsonl.gz"])
def test_a_tombstone_covers_only_artifacts(recorded: Recorded, path: str) -> None:
    expired = expiry.begin(recorded.store, recorded.prefix, "x").model_dump()
    data = FILES[path]
    expired["files"].append({"path": f"pods/p/{path}", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    recorded.store.put_bytes(f"{recorded.prefix}/expired.json", json.dumps(expired).encode())
    expiry.finish(recorded.store, recorded.prefix)
    assert f"pods/p/{path}" in recorded.paths(), "something else than an artifact was deleted"
    recorded.store.delete(f"{recorded.pod}/{path}")
    with pytest.raises(RecordError, match="is missing in the store"):
        verify_run(recorded.store, recorded.prefix)


def test_files_lost_before_expiry_are_still_reported(recorded: Recorded) -> None:
    recorded.store.delete(f"{recorded.pod}/artifacts/model/w")
    expiry.begin(recorded.store, recorded.prefix, "x")
    expiry.finish(recorded.store, recorded.prefix)
    with pytest.raises(RecordError, match="artifacts/model/w is missing in the store"):
        verify_run(recorded.store, recorded.prefix)


def test_files_altered_before_expiry_are_still_reported(recorded: Recorded) -> None:
    recorded.store.put_bytes(f"{recorded.pod}/artifacts/model/w", b"WEIGHTS")
    recorded.store.put_bytes(f"{recorded.pod}/artifacts/a b/%ü+&?#<", b"longer")
    expiry.begin(recorded.store, recorded.prefix, "x")
    expiry.finish(recorded.store, recorded.prefix)
    with pytest.raises(RecordError, match="is missing in the store"):
        verify_run(recorded.store, recorded.prefix)


def test_an_interrupted_expiry_is_finished(recorded: Recorded) -> None:
    first = expiry.begin(recorded.store, recorded.prefix, "x")
    recorded.store.delete(f"{recorded.pod}/artifacts/model/w")
    assert expiry.begin(recorded.store, recorded.prefix, "y") == first, "what is deleted is written down anew"
    assert verify_run(recorded.store, recorded.prefix).uid == recorded.uid
    assert not expiry.take_back(recorded.store, recorded.prefix)
    assert not [path for path in recorded.paths() if layout.is_artifact(path)]
    found = read_expired(recorded.store, recorded.prefix)
    assert found is not None
    assert len(found.files) == 3
    assert found.finished


def test_an_unfinished_expiry_can_be_rolled_back(recorded: Recorded) -> None:
    before = recorded.paths()
    assert expiry.take_back(recorded.store, recorded.prefix)
    expiry.begin(recorded.store, recorded.prefix, "x")
    assert expiry.take_back(recorded.store, recorded.prefix)
    assert recorded.paths() == before


def test_a_record_that_is_not_closed_loses_nothing(recorded: Recorded) -> None:
    recorded.store.delete(f"{recorded.prefix}/manifest.json")
    with pytest.raises(RecordError, match="the record is incomplete"):
        expiry.begin(recorded.store, recorded.prefix, "x")
    with pytest.raises(RecordError, match="the list of artifacts to delete was not stored"):
        expiry.finish(recorded.store, recorded.prefix)
    assert "pods/p/artifacts/model/w" in recorded.paths()


def test_artifacts_with_control_characters_are_deleted(recorded: Recorded) -> None:
    """Whoever has a pod's credentials chooses the names."""
    for name in ("tab\there", "return\rhere", "bell\x07here"):
        recorded.store.put_bytes(f"{recorded.pod}/artifacts/{name}", b"x")
    expiry.begin(recorded.store, recorded.prefix, "x")
    expiry.finish(recorded.store, recorded.prefix)
    assert not [path for path in recorded.paths() if layout.is_artifact(path)]


def test_registration_refuses_expired_models_and_waits_for_expiring_ones(recorded: Recorded) -> None:
    uri = f"s3://assay/{recorded.pod}/artifacts/model"
    assert models.source_of_uri(recorded.store, uri).digest
    expiry.begin(recorded.store, recorded.prefix, "artifactsAfter: 1d")
    with pytest.raises(Busy, match="about to be deleted"):
        models.source_of_uri(recorded.store, uri)
    done = expiry.finish(recorded.store, recorded.prefix)
    with pytest.raises(
        ArtifactsExpired, match=rf"its artifacts were deleted at {done.finished} \(artifactsAfter: 1d\)"
    ):
        models.source_of_uri(recorded.store, uri)


def test_a_key_without_the_right_to_delete_is_reported(minio: S3Server, recorded: Recorded) -> None:
    add_user(minio, "reader", "reader-secret-key", "readonly")
    store = minio.store().__class__(minio.config(access_key="reader", secret_key="reader-secret-key"))
    with pytest.raises(StoreDenied):
        store.delete_all([f"{recorded.pod}/artifacts/model/w"])
    with pytest.raises(StoreUnavailable):
        ObjectStore(minio.config(endpoint="http://127.0.0.1:9")).delete_all(["x"])
    assert "pods/p/artifacts/model/w" in recorded.paths()


def test_many_objects_are_deleted_in_few_requests(store: ObjectStore, namespace: str) -> None:
    keys = [f"runs/{namespace}/many/{number}" for number in range(1100)]
    for key in keys[:3] + keys[-3:]:
        store.put_bytes(key, b"x")
    store.delete_all(keys)
    store.delete_all([])
    assert not list(store.list(f"runs/{namespace}/"))


# Archived runs whose artifacts expire


def test_expiry_notes_are_returned_when_due_in_order(store: ObjectStore, namespace: str) -> None:
    runs = [Recorded(store, namespace, None, f"run-{number}") for number in range(3)]
    for each, due in zip(runs, ("2026-03-03T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"), strict=True):
        expiry.note(store, each.prefix, due, "artifactsAfter: 1d")
        expiry.note(store, each.prefix, due, "artifactsAfter: 1d")

    def found(now: str, most: int = 10) -> list[str]:
        return [each.prefix for each in expiry.waiting(store, namespace, now, most)]

    assert found("2026-02-28T23:59:59Z") == []
    assert found("2026-03-01T00:00:00Z") == [runs[1].prefix]
    assert found("2026-03-02T12:00:00Z") == [runs[1].prefix, runs[2].prefix]
    assert found("2026-03-09T00:00:00Z") == [runs[1].prefix, runs[2].prefix, runs[0].prefix]
    assert found("2026-03-09T00:00:00Z", 2) == [runs[1].prefix, runs[2].prefix]
    assert namespace in store.folders("expiring/")


def test_an_expiry_note_for_another_prefix_is_ignored(store: ObjectStore, namespace: str, recorded: Recorded) -> None:
    other = Recorded(store, f"{namespace}-b")
    for prefix in (other.prefix, f"runs/{namespace}/sweep/sweep-0/another", "models/ns/digits/v1", recorded.pod, ""):
        key = f"expiring/{namespace}/20260301T000000Z-{recorded.uid}.json"
        store.put_bytes(key, json.dumps({"version": 1, "prefix": prefix, "reason": "x"}).encode())
        assert expiry.waiting(store, namespace, TIME, 10) == []
    store.put_bytes(key, b"{")
    assert expiry.waiting(store, namespace, TIME, 10) == []


# The archive


def test_a_run_is_listed_with_its_parameters_and_metrics(
    store: ObjectStore, recorded: Recorded, namespace: str
) -> None:
    (found,) = archive.runs(store, namespace)
    assert (found.namespace, found.experiment, found.name, found.uid) == (namespace, "sweep", "sweep-0", recorded.uid)
    assert (found.owner, found.parameters, found.metrics) == ("dora", {"lr": 0.1}, {"a": {"last": 1}})
    assert (found.outcome, found.reason, found.completed) == ("Succeeded", "JobComplete", TIME)
    assert (found.archived, found.expired, found.problem) == ("", False, "")


def test_an_archived_run_matches_its_last_object(store: ObjectStore, recorded: Recorded, namespace: str) -> None:
    labels = {"assay.dev/experiment": "sweep", "keep": "yes"}
    last = {**recorded.body, "status": {**recorded.status, "startTime": TIME}}
    last["metadata"] = {**last["metadata"], "labels": labels, "managedFields": [{}]}
    archive.write_archived(store, recorded.prefix, last)
    expiry.begin(store, recorded.prefix, "x")
    (found,) = archive.runs(store, namespace, "sweep")
    assert (found.started, found.expired) == (TIME, True)
    assert found.archived > TIME
    body = archive.read_archived(store, namespace, "sweep", "sweep-0", recorded.uid)
    assert body is not None
    assert body["metadata"]["labels"] == labels
    assert "managedFields" not in body["metadata"]
    assert archive.read_archived(store, namespace, "sweep", "sweep-1", recorded.uid) is None
    store.put_bytes(f"{recorded.prefix}/archived.json", b'{"archived": "x", "run": {"metadata": {"uid": "other"}}}')
    with pytest.raises(RecordError, match="belongs to another run"):
        archive.read_archived(store, namespace, "sweep", "sweep-0", recorded.uid)
    (found,) = archive.runs(store, namespace)
    assert "belongs to another run" in found.problem


def test_a_running_run_is_not_listed(store: ObjectStore, recorded: Recorded, namespace: str) -> None:
    store.delete(f"{recorded.prefix}/manifest.json")
    assert list(archive.runs(store, namespace)) == []


def test_pages_hold_every_run_once(store: ObjectStore, namespace: str) -> None:
    places = [("a", "a-1"), ("a", "a-10"), ("a", "a-1-b"), ("ab", "ab-0"), (None, "own"), ("a", "a-2"), ("a", "a-2")]
    made = {Recorded(store, namespace, experiment, name).uid: (experiment or "", name) for experiment, name in places}
    Recorded(store, f"{namespace}-x", "a", "a-1")
    for limit in (1, 2, 3, 6, 7):
        seen: list[archive.RecordedRun] = []
        cursor, pages = "", 0
        while True:
            found = archive.page(store, namespace, cursor=cursor, limit=limit)
            seen += found.runs
            cursor, pages = found.cursor, pages + 1
            if not cursor:
                break
        assert {run.uid: (run.experiment, run.name) for run in seen} == made
        assert len(seen) == len(made)
        assert pages == -(-6 // limit)
    names = [run.name for run in archive.runs(store, namespace, "a")]
    assert sorted(names) == ["a-1", "a-1-b", "a-10", "a-2", "a-2"]
    assert [run.name for run in archive.runs(store, namespace, "")] == ["own"]
    first = archive.page(store, namespace, "a", limit=2)
    rest = archive.page(store, namespace, "a", first.cursor, limit=9)
    assert [run.name for run in first.runs + rest.runs] == names
    assert list(archive.runs(store, namespace, "none")) == []
    with pytest.raises(ValueError, match="cannot be part"):
        archive.page(store, "../x")
