"""What pods have used, in a real store: parts that grow, go on after a restart, and can be read back."""

import gzip
import uuid

import pytest

from assay.controllers.tracking import captured
from assay.store import layout, system
from assay.store.client import ObjectStore
from assay.store.errors import StoreError
from tests.s3 import S3Server

pytestmark = pytest.mark.integration

Row = dict[str, object]


@pytest.fixture
def store(s3: S3Server) -> ObjectStore:
    return s3.store()


@pytest.fixture
def run() -> str:
    return layout.run_prefix("team", None, "r", str(uuid.uuid4()))


def rows(first: int, count: int = 1) -> list[Row]:
    numbers = range(first, first + count)
    return [
        {"container": "train", "metric": metric, "time": 100.0 + number, "value": float(number)}
        for number in numbers
        for metric in ("system.cpu_seconds", "system.memory_bytes")
    ]


def test_points_come_back_in_order_also_after_a_restart(store: ObjectStore, run: str) -> None:
    part = None
    for number in range(3):
        part = system.append(store, run, "p", part, rows(number))
    # The next operator knows nothing of what this one has in memory.
    part = system.append(store, run, "p", None, rows(3))
    system.append(store, run, "q", None, rows(0))
    assert part.number == 1
    assert [row for pod, row in system.read(store, run) if pod == "p"] == rows(0, 4)
    assert [row for pod, row in system.read(store, run) if pod == "q"] == rows(0)


def test_a_full_part_is_followed_by_a_new_part(store: ObjectStore, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "FULL_BYTES", 200)
    part = None
    for number in range(8):
        part = system.append(store, run, "p", part, rows(number))
    assert part is not None
    assert part.number > 2
    assert [row for _, row in system.read(store, run)] == rows(0, 8)
    assert system.open_part(store, run, "p") == part


def test_points_rewritten_after_a_failure_are_stored_once(store: ObjectStore, run: str) -> None:
    part = system.append(store, run, "p", None, rows(0))
    # Nobody has heard that this was stored.
    system.append(store, run, "p", part, rows(1))
    system.append(store, run, "p", part, rows(1, 2))
    assert [row for _, row in system.read(store, run)] == rows(0, 3)


def test_usage_files_are_listed_and_summed_for_the_run(store: ObjectStore, run: str) -> None:
    system.append(store, run, "p", system.append(store, run, "p", None, rows(1, 5)), rows(6, 2))
    system.append(store, run, "q", None, rows(1, 2))
    found = captured.read(store, run, "", None)
    assert found.usage is not None
    assert found.usage.to_dict() == {"cpuSeconds": 7 + 2, "maxMemoryBytes": 7, "samples": 9}
    assert [entry.path for entry in found.files] == ["system/p/part-00001.jsonl.gz", "system/q/part-00001.jsonl.gz"]
    for entry in found.files:
        assert store.digest(f"{run}/{entry.path}") == (entry.size, entry.sha256)


@pytest.mark.parametrize(
    "data",
    [b"", b"no gzip", gzip.compress(b"{}\n[1]\nnull\n{"), gzip.compress(b"x")[:-4], gzip.compress(b"[" * 99_999)],
    # Compressed bytes contain the time; workers have to agree on the tests' names.
    ids=["empty", "no gzip", "other JSON", "cut off", "deep"],
)
def test_a_part_that_cannot_be_read_is_listed_and_not_counted(store: ObjectStore, run: str, data: bytes) -> None:
    store.put_bytes(f"{run}/{layout.system_part('p', 1)}", data)
    store.put_bytes(f"{run}/{layout.SYSTEM}/p/other", b"x")
    found = captured.read(store, run, "", None)
    assert found.usage is None
    assert [entry.size for entry in found.files] == [len(data)]


def test_a_run_without_samples_has_none(store: ObjectStore, run: str) -> None:
    assert captured.read(store, run, "p", None) == captured.Captured()


def test_an_unreachable_store_is_not_read_as_an_empty_record(rclone: S3Server, run: str) -> None:
    config = rclone.config(sts=False, endpoint="http://127.0.0.1:9")
    with pytest.raises(StoreError):
        captured.read(ObjectStore(config), run, "p", None)
