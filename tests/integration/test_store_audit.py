"""The audit trail on a real store: many writers, one chain; told twice, written once; nothing lost in an outage."""

import multiprocessing
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from assay.store import layout
from assay.store.audit import (
    EMPTY,
    RECENT,
    Action,
    Appended,
    AuditEvent,
    AuditObject,
    AuditTrail,
    Head,
    verify,
    verify_store,
)
from assay.store.audit.__main__ import main
from assay.store.audit.records import AuditRecord, digest
from assay.store.audit.sources import key, last_sequence, read_export, read_store
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from assay.store.errors import StoreDenied, StoreError, StoreUnavailable
from tests.s3 import S3Server, wait_until

pytestmark = pytest.mark.integration


def event(name: str, namespace: str) -> AuditEvent:
    thing = AuditObject(kind="ModelAlias", namespace=namespace, name="digits.champion", uid="u")
    return AuditEvent(event=name, actor="anna", action=Action.ALIAS_BOUND, object=thing, after={"version": 1})


@pytest.fixture
def namespace() -> str:
    return f"ns-{uuid.uuid4()}"


@pytest.fixture
def store(minio: S3Server) -> ObjectStore:
    return minio.store()


def fill(store: ObjectStore, namespace: str, count: int) -> Head:
    trail = AuditTrail(store, namespace)
    for number in range(1, count + 1):
        trail.append(event(f"e{number}", namespace))
    return trail.head


def events_of(store: ObjectStore, namespace: str) -> list[str]:
    return [AuditRecord.model_validate_json(file.data or b"").event for file in read_store(store, namespace)]


def kinds(store: ObjectStore, namespace: str, *expect: Head) -> set[str]:
    return {finding.kind for finding in verify_store(store, namespace, expect).findings}


def test_a_trail_grows_record_by_record(store: ObjectStore, namespace: str) -> None:
    trail = AuditTrail(store, namespace)
    first, second = (trail.append(event(name, namespace)) for name in "ab")
    assert (first.record.sequence, first.record.previous, first.written) == (1, EMPTY.digest, True)
    assert second.record.previous == first.head.digest == digest(store.get_bytes(key(namespace, 1), 10_000))
    report = verify_store(store, namespace, [second.head])
    assert report.intact
    assert (report.records, report.head) == (2, trail.head)


def test_a_repeated_event_is_not_written_again(store: ObjectStore, namespace: str) -> None:
    trail = AuditTrail(store, namespace)
    first = trail.append(event("a", namespace))
    fill(store, namespace, 20)
    for teller in (trail, AuditTrail(store, namespace), AuditTrail(store, namespace, hint=first.head)):
        again = teller.append(event("a", namespace))
        assert (again.written, again.record, again.doubt) == (False, first.record, "")
    assert events_of(store, namespace) == ["a", *(f"e{number}" for number in range(1, 21))]


def test_an_event_is_deduplicated_within_the_recent_records(store: ObjectStore, namespace: str) -> None:
    fill(store, namespace, RECENT + 1)
    trail = AuditTrail(store, namespace)
    assert not trail.append(event("e2", namespace)).written
    assert trail.append(event("e1", namespace)).written


def test_concurrent_threads_append_at_distinct_positions(store: ObjectStore, namespace: str) -> None:
    trails = [AuditTrail(store, namespace) for _ in range(8)]

    def append(number: int) -> Head:
        return trails[number % 8].append(event(f"e{number}", namespace)).head

    with ThreadPoolExecutor(8) as pool:
        heads = list(pool.map(append, range(200)))
    assert sorted(events_of(store, namespace)) == sorted(f"e{number}" for number in range(200))
    report = verify_store(store, namespace, [max(heads)])
    assert report.findings == []
    assert report.records == 200


def _append_many(config: StoreConfig, namespace: str, names: list[str]) -> None:
    trail = AuditTrail(ObjectStore(config), namespace)
    for name in names:
        trail.append(event(name, namespace))


def test_concurrent_processes_lose_no_records(minio: S3Server, store: ObjectStore, namespace: str) -> None:
    context = multiprocessing.get_context("forkserver")
    names = [[f"{worker}-{number}" for number in range(25)] for worker in range(8)]
    workers = [context.Process(target=_append_many, args=(minio.config(), namespace, mine)) for mine in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 8
    assert sorted(events_of(store, namespace)) == sorted(name for mine in names for name in mine)
    assert verify_store(store, namespace).intact


class LostAnswers(ObjectStore):
    """A store whose answer to a create is lost: before the request arrived, or after it was carried out."""

    def __init__(self, config: StoreConfig) -> None:
        super().__init__(config)
        self.lose: str = ""

    def create(self, *args: object, **kwargs: object) -> None:
        lost, self.lose = self.lose, ""
        if lost != "before":
            super().create(*args, **kwargs)  # type: ignore[arg-type]
        if lost:
            raise StoreUnavailable("the answer was lost")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("others", [0, 3])
def test_an_event_with_a_lost_answer_is_written_once(
    minio: S3Server, namespace: str, when: str, restart: bool, others: int
) -> None:
    store = LostAnswers(minio.config())
    trail = AuditTrail(store, namespace)
    trail.append(event("first", namespace))
    store.lose = when
    with pytest.raises(StoreUnavailable):
        trail.append(event("lost", namespace))
    other = AuditTrail(minio.store(), namespace)
    for number in range(others):
        other.append(event(f"other-{number}", namespace))
    if restart:
        trail = AuditTrail(minio.store(), namespace, hint=trail.head)
    told = trail.append(event("lost", namespace))
    assert told.written == (when == "before")
    assert sorted(events_of(store, namespace)) == sorted(["first", "lost", *(f"other-{n}" for n in range(others))])
    assert verify_store(store, namespace, [told.head]).intact


def test_an_outage_loses_nothing(own_minio: S3Server, namespace: str) -> None:
    trail = AuditTrail(own_minio.store(), namespace)
    trail.append(event("before", namespace))
    own_minio.kill()
    with pytest.raises(StoreUnavailable):
        trail.append(event("during", namespace))
    with pytest.raises(StoreUnavailable):
        AuditTrail(ObjectStore(own_minio.config()), namespace).append(event("during", namespace))
    own_minio.start()
    assert tell(trail, event("during", namespace)).record.sequence == 2
    assert verify_store(own_minio.store(), namespace, [trail.head]).intact


def tell(trail: AuditTrail, happening: AuditEvent) -> Appended:
    """Append as callers do: again until the store takes it. A server that has just started may still refuse."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return trail.append(happening)
        except StoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_writers_survive_a_server_that_is_killed_again_and_again(own_minio: S3Server, namespace: str) -> None:
    own_minio.store()
    told = [0]

    def append_all(worker: int) -> None:
        trail = AuditTrail(ObjectStore(own_minio.config()), namespace)
        for number in range(25):
            tell(trail, event(f"{worker}-{number}", namespace))
            told[0] += 1

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(append_all, worker) for worker in range(4)]
        for kill in range(1, 4):
            wait_until(lambda least=20 * kill: told[0] >= least, "more is recorded")
            own_minio.kill()
            own_minio.start()
        for done in work:
            done.result()
    assert sorted(events_of(own_minio.store(), namespace)) == sorted(f"{w}-{n}" for w in range(4) for n in range(25))
    assert verify_store(own_minio.store(), namespace).intact


def change(store: ObjectStore, namespace: str) -> None:
    data = store.get_bytes(key(namespace, 3), 10_000)
    store.put_bytes(key(namespace, 3), data.replace(b"anna", b"anne"))


def remove(store: ObjectStore, namespace: str) -> None:
    store.delete(key(namespace, 3))


def swap(store: ObjectStore, namespace: str) -> None:
    third, fourth = (store.get_bytes(key(namespace, number), 10_000) for number in (3, 4))
    store.put_bytes(key(namespace, 3), fourth)
    store.put_bytes(key(namespace, 4), third)


def repeat(store: ObjectStore, namespace: str) -> None:
    store.put_bytes(key(namespace, 6), store.get_bytes(key(namespace, 5), 10_000))


def cut(store: ObjectStore, namespace: str) -> None:
    for number in (4, 5):
        store.delete(key(namespace, number))


def change_last(store: ObjectStore, namespace: str) -> None:
    data = store.get_bytes(key(namespace, 5), 10_000)
    store.put_bytes(key(namespace, 5), data.replace(b"anna", b"anne"))


def add_foreign(store: ObjectStore, namespace: str) -> None:
    store.put_bytes(f"audit/{namespace}/note.txt", b"x")


def bloat(store: ObjectStore, namespace: str) -> None:
    store.put_bytes(key(namespace, 2), bytes(1 << 20))


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (change, {"changed"}),
        (remove, {"missing"}),
        (swap, {"misplaced", "changed"}),
        (repeat, {"misplaced", "changed"}),
        (cut, {"cut"}),
        (change_last, {"changed"}),
        (add_foreign, {"foreign"}),
        (bloat, {"unreadable"}),
    ],
)
def test_tampering_is_found(
    store: ObjectStore, namespace: str, tamper: Callable[[ObjectStore, str], None], found: set[str]
) -> None:
    head = fill(store, namespace, 5)
    assert kinds(store, namespace, head) == set()
    tamper(store, namespace)
    assert kinds(store, namespace, head) == found


@pytest.mark.parametrize(
    ("tamper", "doubt", "found"),
    [
        (cut, "record 5 was written but is no longer in the store", {"missing"}),
        (change_last, "record 5 was changed since it was written", {"changed"}),
    ],
)
def test_a_restarted_writer_does_not_seal_what_was_tampered_with(
    store: ObjectStore, namespace: str, tamper: Callable[[ObjectStore, str], None], doubt: str, found: set[str]
) -> None:
    """The chain goes on from what the hint knows, so that the verifier finds it without any expectation."""
    head = fill(store, namespace, 5)
    tamper(store, namespace)
    appended = AuditTrail(store, namespace, hint=head).append(event("later", namespace))
    assert (appended.record.sequence, appended.record.previous) == (6, head.digest)
    assert appended.doubt == doubt
    assert kinds(store, namespace) == found


@pytest.mark.parametrize("holes", [{1}, {4}, {2, 3, 8}, {16, 17, 31, 32, 33}, set(range(1, 40))])
def test_the_head_is_found_in_spite_of_holes(store: ObjectStore, namespace: str, holes: set[int]) -> None:
    for number in range(1, 41):
        if number not in holes:
            store.put_bytes(key(namespace, number), b"")
    store.put_bytes(f"audit/{namespace}/999.txt", b"")
    for after in (0, 1, 7, 39, 40, 50):
        assert last_sequence(store, namespace, after) == max(40, after)


def test_a_forged_record_behind_the_head_is_chained_and_found(store: ObjectStore, namespace: str) -> None:
    trail = AuditTrail(store, namespace)
    trail.append(event("a", namespace))
    store.put_bytes(key(namespace, 2), b"forged")
    store.put_bytes(key(namespace, 3), bytes(1 << 20))
    assert trail.append(event("b", namespace)).record.sequence == 4
    assert kinds(store, namespace, trail.head) == {"unreadable"}


def test_events_of_another_namespace_or_without_bounds_are_refused(store: ObjectStore, namespace: str) -> None:
    trail = AuditTrail(store, namespace)
    with pytest.raises(ValueError, match="in the trail of"):
        trail.append(event("a", "other"))
    large = event("a", namespace).model_copy(update={"after": {"text": "x" * 300_000}})
    with pytest.raises(ValueError, match="more than a record may have"):
        trail.append(large)
    with pytest.raises(ValueError, match="cannot be a namespace"):
        AuditTrail(store, "../runs")
    assert events_of(store, namespace) == []


def test_a_denied_write_does_not_advance_the_head(minio: S3Server, namespace: str) -> None:
    trail = AuditTrail(ObjectStore(minio.config(secret_key="wrong-secret")), namespace)
    with pytest.raises(StoreDenied):
        trail.append(event("a", namespace))
    assert trail.head == EMPTY


def test_a_store_that_ignores_the_condition_is_recognised(minio: S3Server, rclone: S3Server, namespace: str) -> None:
    for server, exclusive in ((minio, True), (rclone, False)):
        trail = AuditTrail(server.store(), namespace, retention=timedelta(days=1))
        assert trail.exclusive is None
        trail.append(event("a", namespace))
        trail.append(event("b", namespace))
        assert (trail.exclusive, trail.locked) == (exclusive, False)
        assert verify_store(server.store(), namespace, [trail.head]).intact


# Object lock


@pytest.fixture
def locked(minio: S3Server) -> ObjectStore:
    store = ObjectStore(minio.config(bucket=f"locked-{uuid.uuid4()}"))
    store.ensure_bucket(object_lock=True)
    return store


@contextmanager
def root(minio: S3Server, store: ObjectStore) -> Iterator[ObjectStore]:
    access, secret = minio.root
    yield ObjectStore(minio.config(bucket=store.config.bucket, access_key=access, secret_key=secret))


def test_locked_records_cannot_be_destroyed_even_by_root(minio: S3Server, locked: ObjectStore, namespace: str) -> None:
    trail = AuditTrail(locked, namespace, retention=timedelta(days=1))
    for name in "abc":
        assert trail.append(event(name, namespace)).written
    assert trail.locked
    assert verify_store(locked, namespace, [trail.head]).versions_checked
    with root(minio, locked) as strongest:
        versions = strongest._client.list_objects(locked.config.bucket, f"audit/{namespace}/", include_version=True)
        for version in versions:
            with pytest.raises(StoreError), strongest._faults():
                strongest._client.remove_object(
                    locked.config.bucket, version.object_name or "", version_id=version.version_id
                )
    assert verify_store(locked, namespace, [trail.head]).intact


def test_bucket_versioning_reveals_truncation_without_an_expected_head(locked: ObjectStore, namespace: str) -> None:
    trail = AuditTrail(locked, namespace, retention=timedelta(days=1))
    for name in "abc":
        trail.append(event(name, namespace))
    locked.delete(key(namespace, 3))
    assert kinds(locked, namespace) == {"overwritten"}
    AuditTrail(locked, namespace).append(event("d", namespace))  # in the place of the one that was deleted
    assert kinds(locked, namespace) == {"overwritten"}


def test_a_bucket_without_locks_takes_the_records_unlocked(store: ObjectStore, namespace: str) -> None:
    trail = AuditTrail(store, namespace, retention=timedelta(days=1))
    assert trail.append(event("a", namespace)).written
    assert not trail.locked


# The command line


def test_the_command_line_on_a_store(
    minio: S3Server, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_STORE_ENDPOINT", minio.endpoint)
    monkeypatch.setenv("ASSAY_STORE_ACCESS_KEY", minio.access_key)
    monkeypatch.setenv("ASSAY_STORE_SECRET_KEY", minio.secret_key)
    head = fill(minio.store(), namespace, 12)
    assert main(["verify", namespace, f"--expect={head}"]) == 0
    assert f"intact, 12 records, head {head}" in capsys.readouterr().out
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "folder", tmp_path / "trail.jsonl"):
        assert main(["export", namespace, f"--to={target}"]) == 0
        assert capsys.readouterr().out == f"12 records, head {head}\n"
        assert verify(namespace, read_export(target), [head]).intact
    change(minio.store(), namespace)
    assert main(["verify", namespace]) == 1
    told = capsys.readouterr().out
    assert "changed: record 4 does not continue the chain: record 4 or record 3 was changed" in told
    assert "NOT INTACT" in told
    monkeypatch.setenv("ASSAY_STORE_ENDPOINT", "http://127.0.0.1:1")
    assert main(["verify", namespace]) == 3
    assert "cannot be reached" in capsys.readouterr().err


def test_a_longer_prefix_belongs_to_another_trail(store: ObjectStore, namespace: str) -> None:
    head = fill(store, namespace, 2)
    fill(store, namespace + "-x", 3)
    assert verify_store(store, namespace, [head]).records == 2
    assert layout.audit_prefix(namespace) + "/" in key(namespace, 1)
