"""Artifacts: settled files early, all files at the end, nothing that is not a plain file, nothing twice."""

import hashlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.recorder.artifacts import Artifacts
from assay.recorder.folder import MAX_DEPTH, scan
from assay.recorder.ledger import Ledger
from assay.store.errors import StoreError
from tests.unit.recorder.memory import MemoryStore

pytestmark = pytest.mark.unit

PREFIX = "runs/ns/e/r/u/pods/p"


class Trainer:
    """A folder with artifacts, and the recorder's view of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "artifacts"
        self.folder.mkdir()
        self.journal = folder / "journal"
        self.store = MemoryStore()
        self.start()

    def start(self, **limits: int) -> None:
        self.artifacts = Artifacts(self.folder, PREFIX, Ledger(self.journal), self.store, **limits)

    def write(self, path: str, content: bytes) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    def sweep(self, times: int = 1) -> None:
        for _ in range(times):
            self.artifacts.sweep()

    def stored(self) -> dict[str, bytes]:
        return {key.removeprefix(f"{PREFIX}/artifacts/"): data for key, data in self.store.objects.items()}

    def listed(self) -> dict[str, str]:
        return {path.removeprefix("artifacts/"): sha256 for path, _, sha256 in self.artifacts.files()}

    def check(self) -> None:
        """What is listed is in the store, byte by byte."""
        assert self.listed() == {path: hashlib.sha256(data).hexdigest() for path, data in self.stored().items()}


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    return Trainer(tmp_path)


def test_a_file_is_uploaded_once_it_has_settled(trainer: Trainer) -> None:
    trainer.write("a", b"1")
    trainer.sweep()
    assert trainer.stored() == {}
    trainer.write("a", b"12")
    trainer.sweep()
    assert trainer.stored() == {}
    trainer.sweep()
    assert trainer.stored() == {"a": b"12"}
    trainer.sweep(3)
    assert trainer.store.writes == [f"{PREFIX}/artifacts/a"]
    trainer.check()


def test_a_changed_file_is_uploaded_again(trainer: Trainer) -> None:
    trainer.write("model/a", b"1")
    trainer.sweep(2)
    trainer.write("model/a", b"2")
    trainer.sweep(2)
    assert trainer.stored() == {"model/a": b"2"}
    assert trainer.artifacts.counts() == (1, 1)
    trainer.check()


def test_finishing_uploads_all_files(trainer: Trainer) -> None:
    content = {f"d{i % 3}/f{i}": bytes([i]) * i for i in range(30)} | {"big": os.urandom(20 << 20)}
    for path, data in content.items():
        trainer.write(path, data)
    trainer.artifacts.finish()
    assert trainer.stored() == content
    assert trainer.artifacts.missing() == []
    trainer.check()


def test_a_restarted_recorder_uploads_nothing_again(trainer: Trainer) -> None:
    trainer.write("a", b"1")
    trainer.write("b", b"2")
    trainer.sweep(2)
    trainer.start()
    trainer.artifacts.finish()
    assert sorted(trainer.store.writes) == [f"{PREFIX}/artifacts/{name}" for name in "ab"]
    trainer.check()


def test_odd_names(trainer: Trainer) -> None:
    names = ["with space", "100%+1", "ümläut/日本", ".hidden/.x", "a'b\"c", "#?&=", "-rf"]
    for name in names:
        trainer.write(name, b"x")
    trainer.artifacts.finish()
    assert sorted(trainer.stored()) == sorted(names)
    assert trainer.artifacts.missing() == []


def test_names_that_no_store_accepts_are_reported_as_missing(trainer: Trainer) -> None:
    deep = "/".join(["d" * 200] * 6)
    trainer.write(deep, b"x")
    trainer.write("new\nline", b"x")
    (trainer.folder / os.fsdecode(b"\xff")).write_bytes(b"x")
    trainer.write("fine", b"x")
    trainer.artifacts.finish()
    assert list(trainer.stored()) == ["fine"]
    assert sorted(reason for _, reason in trainer.artifacts.missing()) == [
        "the key would have 1236 bytes, and a store holds 1024",
        "the name has control characters",
        "the name is not UTF-8",
    ]


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("/etc/passwd"), "is a symlink that leads out of the folder"),
        (lambda path: path.symlink_to("/etc"), "is a symlink that leads out of the folder"),
        (lambda path: path.symlink_to("../secret"), "is a symlink that leads out of the folder"),
        (lambda path: path.symlink_to("epoch-1.ckpt"), "is a symlink to nothing"),
        (lambda path: path.symlink_to("x"), "is a symlink that leads to itself"),
        (os.mkfifo, "is a FIFO, not a regular file"),
        (make_socket, "is a socket, not a regular file"),
    ],
)
def test_only_plain_files_are_opened(
    trainer: Trainer, make: Callable[[Path], None], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trainer.folder)
    make(Path("x"))
    trainer.sweep(2)
    trainer.artifacts.finish()
    assert trainer.stored() == {}
    assert trainer.artifacts.missing() == []
    assert trainer.artifacts.skipped() == [("artifacts/x", reason)]


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_a_symlink_in_the_folder_is_recorded_as_its_target(trainer: Trainer, absolute: bool) -> None:
    def link(path: str, target: str) -> None:
        above = "../" * path.count("/")
        (trainer.folder / path).symlink_to(f"{trainer.folder}/{target}" if absolute else f"{above}{target}")

    trainer.write("epoch-1/weights", b"1")
    trainer.write("epoch-2/weights", b"22")
    link("last", "epoch-1")
    link("last.ckpt", "epoch-2/weights")
    link("epoch-1/next", "last.ckpt")
    trainer.sweep(2)
    (trainer.folder / "last").unlink()
    link("last", "epoch-2")
    trainer.artifacts.finish()
    assert trainer.stored() == {
        "epoch-1/weights": b"1",
        "epoch-1/next": b"22",
        "epoch-2/weights": b"22",
        "last.ckpt": b"22",
        "last/weights": b"22",
        "last/next": b"22",
    }
    assert trainer.listed().keys() == trainer.stored().keys() - {"last/next"}
    assert (trainer.artifacts.missing(), trainer.artifacts.skipped()) == ([], [])


def test_symlink_cycles_between_folders_terminate(trainer: Trainer) -> None:
    trainer.write("a/x", b"x")
    trainer.write("b/y", b"y")
    (trainer.folder / "a/b").symlink_to("../b")
    (trainer.folder / "b/a").symlink_to("../a")
    (trainer.folder / "self").symlink_to(".")
    trainer.artifacts.finish()
    assert trainer.artifacts.missing() == []
    assert sorted(trainer.stored()) == ["a/b/y", "a/x", "b/a/x", "b/y"]
    assert dict(trainer.artifacts.skipped()) == {
        "artifacts/self": "is a symlink to a folder above it",
        "artifacts/a/b/a": "is a symlink to a folder above it",
        "artifacts/b/a/b": "is a symlink to a folder above it",
    }


def test_symlinks_do_not_count_against_the_file_limit(trainer: Trainer) -> None:
    for number in range(4):
        trainer.write(f"d/{number}", b"")
    for number in range(4):
        (trainer.folder / f"link-{number}").symlink_to("d")
    listing = scan(str(trainer.folder), 7)
    assert {path for path in listing.files if path.startswith("d/")} == {f"d/{number}" for number in range(4)}
    assert listing.refused == {}
    assert listing.skipped == {"": "has more than 7 files"}


def test_the_folder_itself_may_be_a_symlink_or_not_be_there(trainer: Trainer, tmp_path: Path) -> None:
    trainer.folder.rmdir()
    trainer.artifacts.finish()
    assert trainer.artifacts.missing() == []
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/x").write_text("x")
    trainer.folder.symlink_to(tmp_path / "secret")
    trainer.artifacts.finish()
    assert trainer.stored() == {}
    assert trainer.artifacts.missing() == [("artifacts", "is a symlink, not a regular file")]


def swap_file(trainer: Trainer, secret: Path) -> None:
    (trainer.folder / "d/a").unlink()
    (trainer.folder / "d/a").symlink_to(secret / "a")


def swap_folder(trainer: Trainer, secret: Path) -> None:
    (trainer.folder / "d").rename(trainer.folder / "e")
    (trainer.folder / "d").symlink_to(secret)


@pytest.mark.parametrize("swap", [swap_file, swap_folder])
def test_a_symlink_swapped_in_after_the_scan_is_not_followed(
    trainer: Trainer, tmp_path: Path, swap: Callable[[Trainer, Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race: the folder was scanned, and then changed before the file is opened."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a").write_text("the credentials")
    trainer.write("d/a", b"harmless")
    listing = scan(str(trainer.folder), 100)
    swap(trainer, secret)
    monkeypatch.setattr("assay.recorder.artifacts.scan", lambda *_: listing)
    trainer.artifacts.finish()
    assert trainer.stored() == {}


def test_folders_nested_too_deep_are_missing(trainer: Trainer) -> None:
    path = "/".join(["d"] * MAX_DEPTH)
    trainer.write(f"{path}/x", b"x")
    trainer.write("/".join(["d"] * (MAX_DEPTH - 1)) + "/x", b"x")
    trainer.artifacts.finish()
    assert trainer.artifacts.missing() == [(f"artifacts/{path}", f"nested deeper than {MAX_DEPTH} folders")]
    assert len(trainer.stored()) == 1


def test_too_many_files_are_reported(trainer: Trainer) -> None:
    for number in range(5):
        trainer.write(str(number), b"")
    listing = scan(str(trainer.folder), 3)
    assert (len(listing.files), listing.refused) == (3, {"": "has more than 3 files"})


def test_a_file_that_changes_while_it_is_read_is_read_again(trainer: Trainer) -> None:
    target = trainer.write("a", b"1")

    def change(_: str) -> None:
        trainer.store.before = lambda key: None
        target.write_bytes(b"22")

    trainer.store.before = change
    trainer.artifacts.finish()
    assert trainer.stored() == {"a": b"22"}
    trainer.check()


def test_a_file_that_keeps_changing_is_reported_as_missing(trainer: Trainer) -> None:
    target = trainer.write("a", b"1")
    trainer.store.before = lambda key: target.write_bytes(target.read_bytes() + b"1") and None
    trainer.artifacts.finish()
    assert trainer.listed() == {}
    assert trainer.artifacts.missing() == [("artifacts/a", "kept changing while it was read")]


def test_a_deleted_checkpoint_is_listed_in_the_history(trainer: Trainer) -> None:
    target = trainer.write("checkpoint-1", b"1")
    trainer.sweep(2)
    target.unlink()
    trainer.write("checkpoint-2", b"2")
    trainer.artifacts.finish()
    assert sorted(trainer.listed()) == ["checkpoint-2"]
    assert trainer.artifacts.history() == [("artifacts/checkpoint-1", 1, hashlib.sha256(b"1").hexdigest())]
    assert trainer.artifacts.counts() == (1, 1)


@pytest.mark.parametrize("restarted", [False, True], ids=["the same recorder", "a restarted recorder"])
def test_a_folder_that_is_replaced_is_recorded_in_its_final_state(trainer: Trainer, restarted: bool) -> None:
    trainer.write("model/c/w", b"old")
    trainer.sweep(2)
    shutil.rmtree(trainer.folder / "model")
    trainer.write("model/w", b"new")
    if restarted:
        trainer.start()
    trainer.artifacts.finish()
    assert trainer.listed() == {"model/w": hashlib.sha256(b"new").hexdigest()}
    assert [path for path, _, _ in trainer.artifacts.history()] == ["artifacts/model/c/w"]
    assert trainer.artifacts.missing() == []


def test_files_for_which_no_time_is_left_are_missing_with_the_reason(trainer: Trainer) -> None:
    trainer.write("first", b"1")
    trainer.sweep(2)
    trainer.write("second", b"2")
    trainer.artifacts.finish(until=0)
    assert list(trainer.listed()) == ["first"]
    assert trainer.artifacts.missing() == [("artifacts/second", "was not uploaded within the pod's grace period")]
    assert trainer.artifacts.late == (1, 0)


@pytest.mark.parametrize("earlier", [True, False], ids=["a newer version", "a new file"])
def test_a_file_that_was_deleted_while_the_recorder_was_killed_in_its_upload_is_not_claimed(
    trainer: Trainer, earlier: bool
) -> None:
    """What lies in the store may be the old version, the new one or none: it is not claimed to be any of them."""
    if earlier:
        trainer.write("a", b"0")
        trainer.artifacts.finish()
    target = trainer.write("a", b"1")

    class Killed(BaseException):
        pass

    def kill(_: str) -> None:
        raise Killed

    trainer.store.before = kill
    trainer.sweep()
    with pytest.raises(Killed):
        trainer.sweep()
    trainer.store.before = lambda key: None
    target.unlink()
    trainer.start()
    trainer.artifacts.finish()
    assert trainer.listed() == {}
    assert (trainer.artifacts.missing(), trainer.artifacts.history()) == ([], [])


def test_files_refused_by_the_store_are_missing_and_not_retried_forever(trainer: Trainer) -> None:
    trainer.write("a", b"1")
    trainer.write("b", b"1")
    tries: list[str] = []

    def refuse(key: str) -> None:
        tries.append(key)
        if key.endswith("/a"):
            raise StoreError("bad name")

    trainer.store.before = refuse
    trainer.sweep(5)
    assert len(tries) == 2
    trainer.artifacts.finish()
    assert list(trainer.listed()) == ["b"]
    assert trainer.artifacts.missing() == [("artifacts/a", "the store refuses it: bad name")]


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_journal_whose_last_line_was_cut_off(trainer: Trainer, cut: int) -> None:
    trainer.write("a", b"1")
    trainer.write("b", b"2")
    trainer.artifacts.finish()
    with trainer.journal.open("r+b") as journal:
        journal.truncate(trainer.journal.stat().st_size - cut)
    trainer.start()
    trainer.artifacts.finish()
    assert sorted(trainer.listed()) == ["a", "b"]
    trainer.start()
    assert sorted(trainer.listed()) == ["a", "b"]
    trainer.check()


def test_files_beyond_the_byte_limit_are_left_out_with_a_reason(trainer: Trainer) -> None:
    trainer.start(max_bytes=10)
    trainer.write("first", b"123456")
    trainer.sweep(2)
    trainer.write("second", b"1234567890")
    trainer.write("third", b"1234")
    trainer.artifacts.finish()
    assert set(trainer.stored()) == {"first", "third"}
    words = "the artifacts of a pod may have 10 bytes (runs.maxBytes of the chart)"
    assert trainer.artifacts.missing() == [("artifacts/second", words)]


def test_a_file_that_is_written_again_counts_once(trainer: Trainer) -> None:
    trainer.start(max_bytes=10, max_files=1)
    for content in (b"123456", b"1234567", b"12345678"):
        trainer.write("model", content)
        trainer.artifacts.finish()
    assert trainer.stored() == {"model": b"12345678"}
    trainer.write("model", b"12345678901")
    trainer.artifacts.finish()
    assert [path for path, _ in trainer.artifacts.missing()] == ["artifacts/model"]


def test_files_beyond_the_file_limit_are_left_out_with_a_reason(trainer: Trainer) -> None:
    trainer.start(max_files=3)
    for number in range(5):
        trainer.write(f"file-{number}", b"x")
    trainer.artifacts.finish()
    assert len(trainer.stored()) == 3
    assert {reason for _, reason in trainer.artifacts.missing()} == {
        "the artifacts of a pod may have 3 files (runs.maxFiles of the chart)"
    }


def test_limits_hold_after_a_restart_of_the_recorder(trainer: Trainer) -> None:
    trainer.write("first", b"123456")
    trainer.artifacts.finish()
    trainer.start(max_bytes=10)
    trainer.write("second", b"12345")
    trainer.artifacts.finish()
    assert set(trainer.stored()) == {"first"}
