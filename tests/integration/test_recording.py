"""Closing a run's record over a real store: what pods left there, and what the operator makes of it."""

import copy
import gzip
import hashlib
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from assay.api.run_status import CredentialsStatus, RunStatus
from assay.controllers.tracking import records
from assay.store import layout, logs, sealing, verify
from assay.store.client import ObjectStore
from assay.store.credentials import issue_run_credentials
from assay.store.errors import StoreDenied, StoreUnavailable
from assay.store.layout import LogName
from assay.store.records import FileEntry, MissingEntry, PodManifest, RunManifest, Summary
from tests.s3 import S3Server

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
_numbers = itertools.count()
TIME = "2026-03-01T12:00:00Z"


@pytest.fixture(scope="module")
def store(minio: S3Server) -> ObjectStore:
    return minio.store()


@pytest.fixture
def run() -> Raw:
    """A Run that no other test has."""
    name = f"sweep-{next(_numbers)}"
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Run",
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": f"uid-{name}",
            "labels": {"assay.dev/experiment": "sweep"},
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"parameters": {"lr": 0.1}, "model": {"path": "model"}, "job": {}},
        "status": {"phase": "Pending"},
    }


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def leave(
    store: ObjectStore,
    run: Raw,
    pod: str,
    files: dict[str, bytes] | None = None,
    *,
    missing: tuple[str, ...] = (),
    finished: str = TIME,
    points: int = 5,
) -> PodManifest:
    """Leave in the store what the recorder of a pod leaves."""
    files = {"metrics.parquet": b"PAR1", "artifacts/model": b"weights"} if files is None else files
    prefix = layout.intake_prefix(records.prefix_of(run), pod)
    for path, data in files.items():
        store.put_bytes(f"{prefix}/{path}", data)
    summary = Summary(pod=pod, updated=finished, points=points)
    manifest = PodManifest(
        pod=pod,
        started=TIME,
        finished=finished,
        files=[FileEntry(path=path, size=len(data), sha256=digest(data)) for path, data in files.items()],
        missing=[MissingEntry(path=path, reason="permission denied") for path in missing],
        summary=summary,
    )
    store.put_bytes(f"{prefix}/summary.json", summary.to_json())
    store.put_bytes(f"{prefix}/manifest.json", manifest.to_json())
    return manifest


def close(
    store: ObjectStore, run: Raw, *succeeded: str, outcome: records.Outcome = "Succeeded", last: str | None = None
) -> records.Closed:
    newest = last if last is not None else (succeeded[-1] if succeeded else "")
    return records.close_record(store, run, outcome, "JobComplete", succeeded, newest)


def written(store: ObjectStore, run: Raw) -> RunManifest:
    """Return the manifest that the operator wrote, every byte of it checked."""
    return verify.verify_run(store, records.prefix_of(run), deep=True)


# The recipe


def test_the_recipe_is_written_before_anything_runs(store: ObjectStore, run: Raw) -> None:
    records.open_record(store, run)
    prefix = records.prefix_of(run)
    assert prefix == f"runs/team/sweep/{run['metadata']['name']}/{run['metadata']['uid']}"
    kept = json.loads(store.get_bytes(f"{prefix}/run.json", 1 << 20))
    assert kept["spec"] == run["spec"]
    assert "status" not in kept
    assert "managedFields" not in kept["metadata"]
    assert json.loads(store.get_bytes(f"{prefix}/params.json", 1 << 20)) == {"lr": 0.1}
    assert run["metadata"]["managedFields"], "the Run that was given has been changed"


def test_a_standalone_run_has_its_own_prefix(run: Raw) -> None:
    run["metadata"]["labels"] = {}
    assert records.prefix_of(run).startswith("runs/team/_/")


# A record that is whole


def test_a_whole_record_is_verified_and_written(store: ObjectStore, run: Raw) -> None:
    records.open_record(store, run)
    leave(store, run, "pod-a")
    closed = close(store, run, "pod-a")
    assert (closed.outcome, closed.problem, closed.pod) == ("Succeeded", None, "pod-a")
    assert closed.summary is not None
    assert closed.summary.points == 5
    assert (closed.model_digest, closed.model_size) == ("sha256:" + digest(b"weights"), 7)
    manifest = written(store, run)
    assert {entry.path for entry in manifest.files} == {
        "run.json",
        "params.json",
        "pods/pod-a/manifest.json",
        "pods/pod-a/metrics.parquet",
        "pods/pod-a/artifacts/model",
    }
    assert (closed.files, closed.bytes) == (len(manifest.files), sum(entry.size for entry in manifest.files))
    data = store.get_bytes(f"{records.prefix_of(run)}/manifest.json", 1 << 20)
    assert closed.manifest_digest == "sha256:" + digest(data)
    assert (manifest.experiment, manifest.outcome, manifest.reason) == ("sweep", "Succeeded", "JobComplete")
    assert [(pod.name, pod.complete) for pod in manifest.pods] == [("pod-a", True)]


def test_closing_twice_gives_the_same_record(store: ObjectStore, run: Raw) -> None:
    """The operator may be killed between writing the manifest and writing the status."""
    records.open_record(store, run)
    leave(store, run, "pod-a")
    first, second = close(store, run, "pod-a"), close(store, run, "pod-a")
    assert (first.files, first.bytes, first.problem) == (second.files, second.bytes, second.problem)
    written(store, run)


def test_the_status_that_a_run_ends_with_is_part_of_its_record(store: ObjectStore, run: Raw) -> None:
    records.open_record(store, run)
    leave(store, run, "pod-a")

    def ended(closed: records.Closed) -> RunStatus:
        told = RunStatus(phase="Succeeded", reason=closed.pod, credentials=CredentialsStatus(secret="s"))
        assert (closed.manifest_digest, closed.model_size) == ("", 7)
        return told

    closed = records.close_record(store, run, "Succeeded", "JobComplete", ["pod-a"], "pod-a", ended)
    assert closed.manifest_digest
    assert "status.json" in {entry.path for entry in written(store, run).files}
    kept = json.loads(store.get_bytes(f"{records.prefix_of(run)}/status.json", 1 << 20))
    assert (kept["phase"], kept["reason"]) == ("Succeeded", "pod-a")
    assert "credentials" not in kept


def test_a_folder_can_be_the_model(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "pod-a", {"artifacts/model/b": b"2", "artifacts/model/a": b"1", "artifacts/models/c": b"3"})
    closed = close(store, run, "pod-a")
    lines = "".join(sorted(f"{digest(data)}  {name}\n" for name, data in {"a": b"1", "b": b"2"}.items()))
    assert (closed.model_digest, closed.model_size) == ("sha256:" + digest(lines.encode()), 2)


def test_a_run_without_a_model_needs_none(store: ObjectStore, run: Raw) -> None:
    del run["spec"]["model"]
    leave(store, run, "pod-a", {})
    closed = close(store, run, "pod-a")
    assert (closed.outcome, closed.model_digest) == ("Succeeded", "")


# One that is not


def test_a_missing_pod_manifest_fails_the_run(store: ObjectStore, run: Raw) -> None:
    closed = close(store, run, "pod-a")
    prefix = records.prefix_of(run)
    assert closed.outcome == "Failed"
    assert closed.problem == (
        "ManifestMissing",
        "the record of pod pod-a is not complete: "
        f"{prefix}/pods/pod-a/manifest.json is missing: the record is incomplete",
    )
    manifest = written(store, run)
    assert (manifest.outcome, manifest.reason) == ("Failed", "ManifestMissing")
    assert [(pod.name, pod.complete, pod.manifest_sha256) for pod in manifest.pods] == [("pod-a", False, "")]


def test_a_run_without_any_record_has_failed(store: ObjectStore, run: Raw) -> None:
    closed = close(store, run)
    assert closed.problem == ("ManifestMissing", "no pod has left a complete record in the store")
    assert (closed.outcome, closed.pod, closed.summary) == ("Failed", "", None)


def alter(store: ObjectStore, key: str) -> None:
    store.put_bytes(key, b"other weights")


def remove(store: ObjectStore, key: str) -> None:
    store.delete(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [(alter, "has 13 bytes, its manifest says 7"), (remove, "is missing in the store")],
)
def test_a_file_that_differs_from_the_manifest_fails_the_run(
    store: ObjectStore, run: Raw, change: Callable[[ObjectStore, str], None], message: str
) -> None:
    leave(store, run, "pod-a")
    change(store, f"{records.prefix_of(run)}/intake/pod-a/artifacts/model")
    key = f"{records.prefix_of(run)}/pods/pod-a/artifacts/model"
    closed = close(store, run, "pod-a")
    assert closed.outcome == "Failed"
    assert closed.problem == ("ManifestMissing", f"the record of pod pod-a is not complete: {key} {message}")
    assert not any("artifacts" in entry.path for entry in written(store, run).files)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (("artifacts/a",), "pod pod-a: artifacts/a was not recorded: permission denied"),
        (("artifacts/a", "b", "c"), "pod pod-a: artifacts/a was not recorded: permission denied and 2 more"),
    ],
)
def test_a_file_that_the_recorder_could_not_read(
    store: ObjectStore, run: Raw, missing: tuple[str, ...], message: str
) -> None:
    leave(store, run, "pod-a", missing=missing)
    closed = close(store, run, "pod-a")
    assert (closed.outcome, closed.problem) == ("Failed", ("FilesMissing", message))


def test_a_missing_model_fails_the_run(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "pod-a", {"artifacts/other": b"x"})
    closed = close(store, run, "pod-a")
    assert closed.outcome == "Failed"
    assert closed.problem == (
        "FilesMissing",
        "the run left no model at /assay/artifacts/model, which spec.model.path names",
    )


def test_a_failed_run_needs_no_model_and_stays_failed(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "pod-a", {"metrics.parquet": b"PAR1"})
    closed = close(store, run, outcome="Failed", last="pod-a")
    assert (closed.outcome, closed.problem, closed.pod) == ("Failed", None, "pod-a")
    assert written(store, run).reason == "JobComplete"


def test_a_failed_run_reports_a_missing_record_of_its_newest_pod(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "pod-a")
    closed = close(store, run, outcome="Failed", last="pod-b")
    assert closed.problem is not None
    assert closed.problem[0] == "ManifestMissing"
    assert closed.problem[1].startswith("the record of pod pod-b is not complete: ")


def test_a_store_that_does_not_answer_closes_nothing(minio: S3Server, run: Raw) -> None:
    unreachable = ObjectStore(minio.config(endpoint="http://127.0.0.1:9"))
    with pytest.raises(StoreUnavailable):
        close(unreachable, run, "pod-a")


# More than one pod


def test_after_a_retry_the_pod_that_succeeded_counts(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "pod-a", {"artifacts/model": b"half"}, missing=("artifacts/x",), points=1)
    leave(store, run, "pod-b", {"artifacts/model": b"whole"}, points=9)
    closed = close(store, run, "pod-b")
    assert (closed.outcome, closed.problem, closed.pod) == ("Succeeded", None, "pod-b")
    assert closed.model_digest == "sha256:" + digest(b"whole")
    assert closed.summary is not None
    assert closed.summary.points == 9
    paths = {entry.path for entry in written(store, run).files}
    assert {"pods/pod-a/artifacts/model", "pods/pod-b/artifacts/model"} <= paths


def test_an_attempt_that_was_killed_does_not_spoil_the_one_that_succeeded(store: ObjectStore, run: Raw) -> None:
    store.put_bytes(f"{records.prefix_of(run)}/intake/pod-a/metrics/part-00001.jsonl.gz", b"x")
    leave(store, run, "pod-b")
    closed = close(store, run, "pod-b")
    assert (closed.outcome, closed.problem) == ("Succeeded", None)
    assert [(pod.name, pod.complete) for pod in written(store, run).pods] == [("pod-a", False), ("pod-b", True)]


def test_an_unobserved_success_requires_the_record_of_the_newest_pod(store: ObjectStore, run: Raw) -> None:
    """The pod was deleted while the operator was down: an earlier attempt's record does not stand for it."""
    leave(store, run, "pod-a")
    sealing.seal(store, records.prefix_of(run))
    leave(store, run, "pod-b")
    assert close(store, run, last="pod-b").outcome == "Succeeded", "as after a crash while it was closed"
    other = copy.deepcopy(run)
    other["metadata"]["uid"] += "-other"
    leave(store, other, "pod-a")
    assert close(store, other, last="pod-b").outcome == "Failed"


def test_all_indexed_pods_must_be_complete_and_the_first_counts(store: ObjectStore, run: Raw) -> None:
    pods = ["pod-0", "pod-1", "pod-2"]
    for number, pod in enumerate(pods):
        leave(store, run, pod, points=number)
    closed = close(store, run, *pods)
    assert (closed.outcome, closed.pod) == ("Succeeded", "pod-0")
    assert closed.summary is not None
    assert closed.summary.points == 0
    assert len(written(store, run).pods) == 3
    remove(store, f"{records.prefix_of(run)}/pods/pod-1/manifest.json")
    spoiled = close(store, run, *pods)
    assert spoiled.outcome == "Failed"
    assert spoiled.problem is not None
    assert "pod-1" in spoiled.problem[1]


# A run that was deleted


def test_the_record_of_a_deleted_run_has_everything_recorded_until_then(store: ObjectStore, run: Raw) -> None:
    records.open_record(store, run)
    leave(store, run, "pod-a", finished="2026-03-01T12:00:00Z")
    leave(store, run, "pod-b", finished="2026-03-01T13:00:00Z")
    closed = records.close_record(store, run, "Deleted", "the Run was deleted before it ended", [], "")
    assert (closed.outcome, closed.pod) == ("Deleted", "pod-b")
    manifest = written(store, run)
    assert (manifest.outcome, manifest.reason) == ("Deleted", "the Run was deleted before it ended")
    assert len(manifest.pods) == 2


def test_a_run_that_was_deleted_before_anything_was_recorded(store: ObjectStore, run: Raw) -> None:
    closed = records.close_record(store, run, "Deleted", "gone", [], "")
    assert (closed.outcome, closed.files, closed.pod) == ("Deleted", 0, "")
    assert written(store, run).files == []


# What a pod could leave on purpose


def hostile(store: ObjectStore, run: Raw, manifest: Raw | bytes, pod: str = "pod-a") -> records.Closed:
    data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    store.put_bytes(f"{records.prefix_of(run)}/intake/{pod}/manifest.json", data)
    closed = close(store, run, "pod-a")
    assert closed.outcome == "Failed"
    assert closed.problem is not None
    assert closed.problem[0] == "ManifestMissing"
    written(store, run)
    return closed


def good(**changes: Any) -> Raw:
    summary = {"pod": "pod-a", "updated": TIME}
    return {"pod": "pod-a", "started": TIME, "finished": TIME, "files": [], "summary": summary, **changes}


def entry(path: str) -> Raw:
    return {"path": path, "size": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"", "is not a valid PodManifest"),
        (b"\xff\xfe{}", "is not a valid PodManifest"),
        (b"[" * 100_000, "is not a valid PodManifest"),
        (good(pod="pod-b"), "is the manifest of another pod, 'pod-b'"),
        (good(summary={"pod": "pod-b", "updated": TIME}), "is the manifest of another pod"),
        (good(files=[entry("../pod-b/artifacts/model")]), "not a plain relative path"),
        (good(files=[entry("../../run.json")]), "not a plain relative path"),
        (good(files=[entry("/etc/passwd")]), "not a plain relative path"),
        (good(files=[entry("a\nb")]), "control characters"),
        (good(files=[entry("a" * 1024)]), "the key would have"),
        (good(files=[entry("not-there")]), "is missing in the store"),
        (good(files=[{**entry("a"), "size": -1}]), "files.0.size"),
        (good(files=[{**entry("a"), "sha256": "x"}]), "files.0.sha256"),
        (good(version=2), "version"),
        (good(summary={"pod": "pod-a", "updated": TIME, "metrics": {"m": {"last": "NaN"}}}), "summary.metrics"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else None,
)
def test_a_false_manifest_is_rejected(store: ObjectStore, run: Raw, manifest: Any, message: str) -> None:
    closed = hostile(store, run, manifest)
    assert closed.problem is not None
    assert message in closed.problem[1]
    assert len(closed.problem[1]) < 2000


def test_a_file_that_is_listed_twice(store: ObjectStore, run: Raw) -> None:
    store.put_bytes(f"{records.prefix_of(run)}/intake/pod-a/a", b"1")
    closed = hostile(store, run, good(files=[entry("a"), entry("a")]))
    assert closed.problem is not None
    assert "lists 'a' twice" in closed.problem[1]


@pytest.mark.parametrize("name", ["x" * 254, "UPPER", "a..b", "-", "ä", "a b"])
@pytest.mark.parametrize("outcome", ["Succeeded", "Deleted"])
def test_folders_with_invalid_pod_names_do_not_block_closing_the_record(
    store: ObjectStore, run: Raw, name: str, outcome: records.Outcome
) -> None:
    leave(store, run, "pod-a")
    store.put_bytes(f"{records.prefix_of(run)}/intake/{name}/manifest.json", b"{}")
    store.put_bytes(f"{records.prefix_of(run)}/intake/{name}", b"not even a folder") if "." in name else None
    closed = close(store, run, "pod-a", outcome=outcome)
    assert (closed.outcome, closed.pod) == (outcome, "pod-a")
    assert [pod.name for pod in written(store, run).pods] == ["pod-a"]


def test_a_deleted_run_with_only_junk_has_no_pod(store: ObjectStore, run: Raw) -> None:
    store.put_bytes(f"{records.prefix_of(run)}/intake/UPPER/manifest.json", b"{}")
    closed = records.close_record(store, run, "Deleted", "gone", [], "")
    assert (closed.outcome, closed.pod, closed.summary) == ("Deleted", "", None)


def test_the_counting_pod_is_kept_when_a_manifest_exceeds_its_limits(
    store: ObjectStore, run: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_PODS", 4)
    monkeypatch.setattr(records, "MAX_FILES", 10)
    leave(store, run, "pod-z")  # three files with its manifest
    for number in range(6):
        leave(store, run, f"pod-{number}")
    closed = close(store, run, "pod-z")
    assert (closed.outcome, closed.pod) == ("Succeeded", "pod-z")
    pods = {pod.name: pod.complete for pod in written(store, run).pods}
    assert pods == {"pod-z": True, "pod-0": True, "pod-1": False, "pod-2": False}


# Sealed


@pytest.fixture
def thief(minio: S3Server, store: ObjectStore, run: Raw) -> ObjectStore:
    """Return the store as whoever has the run's keys reaches it."""
    return ObjectStore(issue_run_credentials(store.config, records.prefix_of(run)).store_config())


def test_verified_files_cannot_be_replaced_with_the_keys_of_the_run(
    store: ObjectStore, run: Raw, thief: ObjectStore
) -> None:
    manifest = leave(thief, run, "pod-a")
    prefix = records.prefix_of(run)
    assert close(store, run, "pod-a").outcome == "Succeeded"
    for path in ("manifest.json", "summary.json", *(entry.path for entry in manifest.files)):
        with pytest.raises(StoreDenied):
            thief.put_bytes(f"{prefix}/pods/pod-a/{path}", b"forged")
    leave(thief, run, "pod-a", {"metrics.parquet": b"PAR1", "artifacts/model": b"forged!"})
    closed = close(store, run, "pod-a")
    assert closed.model_digest == "sha256:" + digest(b"weights"), "closed again after a crash"
    assert store.get_bytes(f"{prefix}/pods/pod-a/artifacts/model", 100) == b"weights"
    written(store, run)


def test_a_sealed_record_leaves_nothing_where_the_pods_write(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "pod-a")
    close(store, run, "pod-a")
    assert list(store.list(f"{records.prefix_of(run)}/intake/")) == []


def test_a_partly_sealed_record_is_sealed_completely_later(
    store: ObjectStore, run: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator ends between the copies and what removes the originals."""
    leave(store, run, "pod-a")
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete_all", _unavailable)
        with pytest.raises(StoreUnavailable):
            close(store, run, "pod-a")
    assert close(store, run, "pod-a").outcome == "Succeeded"
    written(store, run)


def _unavailable(keys: object) -> None:
    raise StoreUnavailable("the operator is killed")


# While it runs


def test_the_live_summary(store: ObjectStore, run: Raw) -> None:
    assert records.live_summary(store, run, "pod-a") is None
    assert records.live_summary(store, run, "") is None
    leave(store, run, "pod-a", points=3)
    found = records.live_summary(store, run, "pod-a")
    assert found is not None
    assert found.points == 3


@pytest.mark.parametrize(
    ("updated", "said"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00", None),
        ("now", None),
        ("", None),
    ],
)
def test_the_time_of_the_last_recorder_summary(updated: str, said: datetime | None) -> None:
    assert records.said_at(Summary(pod="pod-a", updated=updated)) == said
    assert records.said_at(None) is None


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"pod": "pod-a", "updated": "now", "points": -1}'])
def test_an_invalid_live_summary_is_ignored(store: ObjectStore, run: Raw, data: bytes) -> None:
    store.put_bytes(f"{records.prefix_of(run)}/intake/pod-a/summary.json", data)
    assert records.live_summary(store, run, "pod-a") is None


def test_logs_are_in_the_manifest_and_missing_logs_are_reported(store: ObjectStore, run: Raw) -> None:
    leave(store, run, "p-1")
    run["status"]["attempts"] = [
        {"pod": "p-0", "phase": "Failed", "startTime": TIME},
        {"pod": "p-1", "phase": "Succeeded", "startTime": TIME},
        {"pod": "p-never", "phase": "Failed"},
    ]
    prefix, train, prepare = records.prefix_of(run), LogName("p-1", "train"), LogName("p-1", "prepare")
    for name in (train, prepare):
        logs.put_part(store, prefix, name, 1, gzip.compress(b"2026-03-01T12:00:00Z a\n"))
    closed = records.close_record(store, run, "Succeeded", "", ["p-1"], "p-1", None, {train})
    assert closed.outcome == "Succeeded"
    manifest = verify.verify_run(store, prefix, deep=True)
    listed = {entry.path for entry in manifest.files}
    assert {"logs/p-1/train/part-00001.log.gz", "logs/p-1/prepare/part-00001.log.gz"} <= listed
    assert tuple(manifest.missing) == closed.missing
    assert [(entry.path, entry.reason) for entry in manifest.missing] == [
        ("logs/p-1/prepare", "its end was not read: the last lines may be missing"),
        ("logs/p-0", "the pod was gone before its log was read"),
    ]
