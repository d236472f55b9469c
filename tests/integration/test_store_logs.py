"""Logs in a real store: what was put comes back in order, and whoever goes on finds where."""

import gzip
import uuid

import pytest

from assay.store import logs
from assay.store.client import ObjectStore
from assay.store.errors import AlreadyExists, RecordError
from assay.store.layout import LogName
from assay.store.log_resumption import Cursor
from assay.store.logs import Gap, Line
from tests.s3 import S3Server

pytestmark = pytest.mark.integration

TRAIN, RESTARTED = LogName("p-1", "train"), LogName("p-1", "train", 1)


@pytest.fixture
def store(s3: S3Server) -> ObjectStore:
    return s3.store()


@pytest.fixture
def prefix() -> str:
    return f"runs/ns/_/digits/{uuid.uuid4()}"


def put(store: ObjectStore, prefix: str, name: LogName, number: int, *lines: str) -> None:
    text = "".join(f"2026-03-01T12:00:{line}\n" for line in lines)
    logs.put_part(store, prefix, name, number, gzip.compress(text.encode()))


def test_lines_come_back_over_all_parts_with_their_pieces_together(store: ObjectStore, prefix: str) -> None:
    put(store, prefix, TRAIN, 1, "01.5Z a", "01.5Z  b\r", "02Z long")
    put(store, prefix, TRAIN, 2, "02Z+ er", "02Z+ line", "03Z ü")
    put(store, prefix, RESTARTED, 1, "09Z again")
    assert list(logs.read_log(store, prefix, TRAIN)) == [
        Line("2026-03-01T12:00:01.5Z", "a"),
        Line("2026-03-01T12:00:01.5Z", " b\r"),
        Line("2026-03-01T12:00:02Z", "longerline"),
        Line("2026-03-01T12:00:03Z", "ü"),
    ]
    assert [line.text for line in logs.read_log(store, prefix, RESTARTED)] == ["again"]
    assert list(logs.read_log(store, prefix, LogName("p-2", "train"))) == []
    found = logs.list_logs(store, prefix)
    assert [(log.name, sorted(log.parts)) for log in found] == [(TRAIN, [1, 2]), (RESTARTED, [1])]
    assert all(log.bytes > 20 for log in found)


def test_the_end_of_a_log_is_read_from_its_last_part(store: ObjectStore, prefix: str) -> None:
    assert logs.end_of_log(store, prefix, TRAIN) == (None, 0)
    put(store, prefix, TRAIN, 1, "01Z a", "02Z b")
    put(store, prefix, TRAIN, 2, "02Z c", "02Z long")
    put(store, prefix, TRAIN, 3, "02Z+ er")
    assert logs.end_of_log(store, prefix, TRAIN) == (Cursor(b"2026-03-01T12:00:02Z", 3, 6), 3)
    assert logs.end_of_log(store, prefix, RESTARTED) == (None, 0)


def test_a_part_that_is_not_gzip_is_reported(store: ObjectStore, prefix: str) -> None:
    logs.put_part(store, prefix, TRAIN, 1, b"plain")
    with pytest.raises(RecordError, match=r"train/part-00001\.log\.gz is not gzip"):
        logs.end_of_log(store, prefix, TRAIN)
    logs.put_part(store, prefix, RESTARTED, 1, gzip.compress(b"a" * 9000)[:-9])
    with pytest.raises(RecordError, match=r"restart-1/part-00001\.log\.gz ends early"):
        list(logs.read_log(store, prefix, RESTARTED))


def test_a_part_is_written_once(minio: S3Server, prefix: str) -> None:
    store = minio.store()
    put(store, prefix, TRAIN, 1, "01Z a")
    with pytest.raises(AlreadyExists):
        put(store, prefix, TRAIN, 1, "01Z b")


def test_the_manifest_has_every_file_and_what_is_missing(store: ObjectStore, prefix: str) -> None:
    put(store, prefix, TRAIN, 1, "01Z a")
    put(store, prefix, RESTARTED, 1, "09Z again")
    put(store, prefix, LogName("p-2", "train"), 1, "09Z seen")
    logs.note_gap(store, prefix, TRAIN, Gap(after="2026-03-01T12:00:01Z", reason="rotated"))
    logs.note_gap(store, prefix, TRAIN, Gap(after="2026-03-01T12:00:01Z", reason="rotated away"))
    found = logs.log_files(store, prefix, ["p-1", "p-2", "p-3"], {RESTARTED}, 10)
    assert [entry.path for entry in found.files] == [
        "logs/p-1/train/part-00001.log.gz",
        "logs/p-1/train/missing.json",
        "logs/p-1/train/restart-1/part-00001.log.gz",
        "logs/p-2/train/part-00001.log.gz",
    ]
    assert all(store.digest(f"{prefix}/{entry.path}") == (entry.size, entry.sha256) for entry in found.files)
    assert [(entry.path, entry.reason) for entry in found.missing] == [
        ("logs/p-1/train", "rotated away"),
        ("logs/p-2/train", "its end was not read: the last lines may be missing"),
        ("logs/p-3", "the pod was gone before its log was read"),
    ]


def test_logs_that_do_not_fit_into_the_manifest_are_named_there(store: ObjectStore, prefix: str) -> None:
    for number in (1, 2, 3):
        put(store, prefix, TRAIN, number, f"0{number}Z a")
    put(store, prefix, RESTARTED, 1, "09Z again")
    found = logs.log_files(store, prefix, [], {TRAIN, RESTARTED}, 2)
    assert [entry.path for entry in found.files] == ["logs/p-1/train/restart-1/part-00001.log.gz"]
    assert [(entry.path, entry.reason) for entry in found.missing] == [
        ("logs/p-1/train", "the run's manifest has no room for 3 more files")
    ]
