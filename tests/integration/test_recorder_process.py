"""The recorder as the kubelet runs it: a process with an environment, ended by SIGTERM, against a real store."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from assay.store import layout
from assay.store.config import StoreConfig
from assay.store.credentials import Credentials, issue_run_credentials
from assay.store.errors import NotFound
from assay.store.records import PodManifest, Summary
from assay.store.verify import read_summary, verify_pod
from tests.s3 import S3Server, wait_until

pytestmark = pytest.mark.integration
OPERATOR = Path(__file__).parents[2] / "operator"


class Recorder:
    """A pod's folders, and the recorder process in them."""

    def __init__(self, folder: Path, server: S3Server, **environment: str) -> None:
        self.store = server.store()
        self.server = server
        self.run = layout.run_prefix("ns", "e", "r", str(uuid.uuid4()))
        self.prefix = layout.intake_prefix(self.run, "r-abc")
        self.directory, self.spool = folder / "assay", folder / "spool"
        self.directory.mkdir()
        self.credentials = folder / "credentials.json"
        self.log = folder / "recorder.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(OPERATOR),
            "ASSAY_POD": "r-abc",
            "ASSAY_PREFIX": self.prefix,
            "ASSAY_DIR": str(self.directory),
            "ASSAY_SPOOL": str(self.spool),
            "ASSAY_CREDENTIALS": str(self.credentials),
            "ASSAY_FLUSH_SECONDS": "0.2",
            "ASSAY_SETTLE_SECONDS": "0.2",
            "ASSAY_PART_BYTES": "65536",
        } | environment
        self.command = [sys.executable, "-m", "assay.recorder"]
        self.process: subprocess.Popen[bytes] | None = None

    def issue(self) -> Credentials:
        issued = issue_run_credentials(self.server.config(), self.run)
        self.put_credentials(issued)
        return issued

    def put_credentials(self, credentials: Credentials) -> None:
        draft = self.credentials.with_suffix(".new")
        draft.write_text(credentials.to_json())
        draft.replace(self.credentials)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self, seconds: float = 60) -> int:
        """SIGTERM, as the kubelet sends it when all main containers have ended. Gives the exit code."""
        assert self.process is not None
        pid = self.process.pid
        wait_until(lambda: handles_sigterm(pid), "the process handles SIGTERM")
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def write(self, *records: object) -> None:
        with (self.directory / "metrics.jsonl").open("a") as file:
            for record in records:
                file.write((record if isinstance(record, str) else json.dumps(record)) + "\n")

    def artifact(self, path: str, data: bytes) -> None:
        target = self.directory / "artifacts" / path
        wait_until((self.directory / "artifacts").is_dir, "the recorder makes the folder for artifacts")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def said(self, text: str) -> bool:
        return any(text in json.dumps(line) for line in self.lines())

    def summary(self) -> Summary | None:
        return read_summary(self.store, self.prefix)

    def wait_for_points(self, count: int, seconds: float = 30) -> None:
        def seen() -> bool:
            summary = self.summary()
            if summary is None or summary.points < count:
                raise AssertionError(f"summary {summary}; log {self.log.read_text()[-1000:]}")
            return True

        wait_until(seen, f"{count} points are in the live summary", seconds)

    def manifest(self) -> PodManifest:
        return verify_pod(self.store, self.prefix, deep=True)

    def points(self, folder: Path) -> list[tuple[str, int, float, float]]:
        """What metrics.parquet in the store holds."""
        target = folder / "downloaded.parquet"
        target.write_bytes(self.store.get_bytes(f"{self.prefix}/metrics.parquet", 1 << 30))
        return duckdb.sql(f"SELECT * FROM read_parquet('{target}')").fetchall()

    def part_points(self) -> int:
        import gzip

        keys = [info.key for info in self.store.list(f"{self.prefix}/metrics/")]
        return sum(len(gzip.decompress(self.store.get_bytes(key, 1 << 30)).splitlines()) for key in keys)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Recorder]]:
    """Make a recorder that is ended with the test."""
    made: list[Recorder] = []

    def new(server: S3Server, **environment: str) -> Recorder:
        made.append(Recorder(tmp_path, server, **environment))
        return made[-1]

    yield new
    for recorder in made:
        recorder.kill()


@pytest.fixture
def recorder(make: Callable[..., Recorder], minio: S3Server) -> Recorder:
    made = make(minio)
    made.issue()
    return made


def test_a_run_from_start_to_end(recorder: Recorder, tmp_path: Path) -> None:
    recorder.start()
    recorder.write({"step": 0, "loss": 0.5, "time": 1e9}, "oops", {"step": 1, "loss": float("nan"), "acc": 1})
    recorder.artifact("model/weights", os.urandom(20 << 20))
    recorder.artifact("plots/ü 100%+.png", b"png")
    recorder.wait_for_points(2)
    wait_until(lambda: recorder.store.stat(f"{recorder.prefix}/artifacts/model/weights"), "settled artifacts go early")
    with pytest.raises(NotFound):
        recorder.store.stat(f"{recorder.prefix}/manifest.json")

    recorder.write({"step": 2, "loss": 0.25, "time": 1000000002.5})
    with (recorder.directory / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "loss": 0.75, "time": 1000000003.5}')
    recorder.artifact("late", b"late")
    (recorder.directory / "artifacts/link").symlink_to(recorder.credentials)
    assert recorder.terminate() == 0

    manifest = recorder.manifest()
    paths = [entry.path for entry in manifest.files]
    assert [path for path in paths if not path.startswith("metrics/")] == [
        "artifacts/late",
        "artifacts/model/weights",
        "artifacts/plots/ü 100%+.png",
        "environment.json",
        "metrics.parquet",
        "summary.json",
    ]
    assert manifest.missing == []
    loss = manifest.summary.metrics["loss"]
    assert (loss.last, loss.min, loss.max, loss.step, loss.count, loss.min_step, loss.max_step) == (
        0.75, 0.25, 0.75, 3, 4, 2, 3,
    )  # fmt: skip
    assert manifest.summary.rejected == 1
    assert manifest.summary.warnings == [
        "artifacts/link is a symlink that leads out of the folder and is left out",
        'line 2: not JSON: "oops"',
    ]
    assert manifest.summary.artifacts.count == 3
    assert recorder.summary() == manifest.summary
    points = recorder.points(tmp_path)
    assert [(metric, step, repr(value)) for metric, step, _, value in points] == [
        ("loss", 0, "0.5"), ("loss", 1, "nan"), ("acc", 1, "1.0"), ("loss", 2, "0.25"), ("loss", 3, "0.75"),
    ]  # fmt: skip
    assert [point[2] for point in points if point[1] != 1] == [1e9, 1000000002.5, 1000000003.5]

    recorder.start()  # restarted by the kubelet after the end
    assert recorder.process is not None
    assert recorder.process.wait(20) == 0
    assert recorder.said("the record is complete already")


def test_a_pod_that_writes_nothing_has_an_empty_complete_record(recorder: Recorder, tmp_path: Path) -> None:
    recorder.start()
    wait_until(lambda: recorder.said('"recording"'), "the recorder is up")
    assert recorder.terminate() == 0
    assert [entry.path for entry in recorder.manifest().files] == [
        "environment.json",
        "metrics.parquet",
        "summary.json",
    ]
    assert recorder.points(tmp_path) == []


def test_an_idle_recorder_refreshes_its_summary(recorder: Recorder) -> None:
    recorder.write({"loss": 1})
    recorder.start()
    recorder.wait_for_points(1)
    first = recorder.summary()
    assert first is not None

    def repeated() -> bool:
        word = recorder.summary()
        assert word is not None
        assert word.model_copy(update={"updated": first.updated}) == first
        return word.updated > first.updated

    wait_until(repeated, "the same summary with a later time", seconds=15)


def test_a_pod_that_ends_before_the_recorder_is_up_is_recorded(recorder: Recorder) -> None:
    """The signal may come while Python is still importing: it is held back first of all."""
    recorder.write({"loss": 1})
    recorder.start()
    assert recorder.terminate() == 0
    assert recorder.manifest().summary.points == 1


def handles_sigterm(pid: int) -> bool:
    """Whether the process has come so far that SIGTERM no longer just ends it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


def test_every_file_is_written_with_the_runs_own_credentials_only(recorder: Recorder) -> None:
    recorder.start()
    recorder.write({"loss": 1})
    assert recorder.terminate() == 0
    assert {info.key.startswith(recorder.prefix + "/") for info in recorder.store.list(recorder.run)} == {True}
    secrets = Credentials.from_json(recorder.credentials.read_text())
    log = recorder.log.read_text()
    assert not any(secret in log for secret in (secrets.access_key, secrets.secret_key, secrets.session_token))
    assert all({"time", "level", "message", "pod", "prefix"} <= line.keys() for line in recorder.lines())


def test_credentials_that_come_late_and_change(recorder: Recorder) -> None:
    recorder.credentials.unlink()
    recorder.start()
    recorder.write({"loss": 1})
    wait_until(lambda: recorder.said("no store credentials at"), "the recorder waits for credentials")
    issued = recorder.issue()
    recorder.wait_for_points(1)
    expired = Credentials(**{**vars(issued), "session_token": issued.session_token[:-4] + "AAAA"})
    recorder.put_credentials(expired)
    recorder.write({"loss": 2})
    wait_until(lambda: recorder.said("cannot upload to the store"), "the old credentials are denied")
    recorder.issue()
    recorder.wait_for_points(2)
    assert recorder.said("uploads to the store work again")
    assert recorder.terminate() == 0
    assert recorder.manifest().summary.points == 2


def test_the_grace_period_is_kept_when_the_store_does_not_answer(
    make: Callable[..., Recorder], minio: S3Server
) -> None:
    recorder = make(minio, ASSAY_GRACE_SECONDS="3")
    config = {**vars(recorder.issue()), "endpoint": "http://127.0.0.1:9"}
    recorder.put_credentials(Credentials(**config))
    recorder.write({"loss": 1})
    recorder.start()
    wait_until(lambda: recorder.said("cannot upload to the store"), "the recorder notices that the store is down")
    began = time.monotonic()
    assert recorder.terminate(10) == 1
    assert time.monotonic() - began < 3
    last = recorder.lines()[-1]
    assert last["level"] == "error"
    assert "the record is incomplete, there is no manifest" in last["message"]
    assert "Connection refused" in last["message"]
    with pytest.raises(NotFound):
        recorder.store.stat(f"{recorder.prefix}/manifest.json")


def test_a_hanging_store_does_not_outlast_the_grace_period(make: Callable[..., Recorder], own_minio: S3Server) -> None:
    recorder = make(own_minio, ASSAY_GRACE_SECONDS="3")
    recorder.issue()
    recorder.start()
    recorder.write({"loss": 1})
    recorder.wait_for_points(1)
    own_minio.freeze()
    recorder.write({"loss": 2})
    began = time.monotonic()
    assert recorder.terminate(10) == 1
    assert time.monotonic() - began < 3
    assert recorder.said("not finished within 2.5 s")


def test_a_killed_recorder_writes_no_manifest_and_continues_after_a_restart(recorder: Recorder, tmp_path: Path) -> None:
    recorder.start()
    recorder.write({"a": 1})
    recorder.artifact("x", b"x")
    recorder.wait_for_points(1)
    recorder.kill()
    recorder.write({"a": 2})
    recorder.start()
    recorder.wait_for_points(2)
    with pytest.raises(NotFound):
        recorder.store.stat(f"{recorder.prefix}/manifest.json")
    assert recorder.terminate() == 0
    assert [point[3] for point in recorder.points(tmp_path)] == [1.0, 2.0]
    assert recorder.part_points() == 2


@pytest.mark.parametrize("unreadable", ["metrics.jsonl", "artifacts/secret"])
def test_files_that_the_recorders_user_cannot_read_are_missing(recorder: Recorder, unreadable: str) -> None:
    """Training may run as another user, and make files that only it can read."""
    if os.geteuid() == 0:  # root reads everything, unless it gives that up
        recorder.command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *recorder.command]
    recorder.start()
    recorder.artifact("fine", b"fine")
    path = recorder.directory / unreadable
    path.write_text('{"a": 1}\n')
    path.chmod(0o000)
    assert recorder.terminate() == 0
    missing = {entry.path: entry.reason for entry in recorder.manifest().missing}
    assert list(missing) == [unreadable]
    assert "cannot be read" in missing[unreadable]
    assert "Permission denied" in missing[unreadable]


def test_invalid_settings_are_reported(recorder: Recorder) -> None:
    recorder.environment["ASSAY_PREFIX"] = "elsewhere"
    recorder.start()
    assert recorder.process is not None
    assert recorder.process.wait(20) == 2
    assert recorder.lines()[-1]["message"].startswith("ASSAY_PREFIX: ")


def test_static_credentials_on_another_store(make: Callable[..., Recorder], rclone: S3Server) -> None:
    recorder = make(rclone)
    keys = {"run_access_key": rclone.access_key, "run_secret_key": rclone.secret_key}
    config: StoreConfig = rclone.config(sts=False, **keys)
    recorder.put_credentials(issue_run_credentials(config, recorder.run))
    recorder.start()
    recorder.write(*({"loss": number} for number in range(1000)))
    recorder.artifact("large", os.urandom(20 << 20))
    assert recorder.terminate() == 0
    assert recorder.manifest().summary.points == 1000


def image_with(folder: Path, packages: int) -> Path:
    """A made-up image with that many packages, of 20 files each, and as many files elsewhere."""
    site = folder / "image/opt/venv/lib/python3.11/site-packages"
    for number in range(packages):
        (site / f"p{number}").mkdir(parents=True)
        for file in range(20):
            (site / f"p{number}/{file}.py").touch()
        (site / f"p{number}-1.0.dist-info").mkdir()
        (site / f"p{number}-1.0.dist-info/METADATA").write_text(f"Name: p{number}\nVersion: 1.0\n")
    other = folder / "image/srv/data"
    for number in range(packages):
        (other / str(number % 50)).mkdir(parents=True, exist_ok=True)
        for file in range(20):
            (other / str(number % 50) / f"{number}-{file}").touch()
    return folder / "image"


def test_the_environment_is_stored_while_the_training_runs(
    make: Callable[..., Recorder], minio: S3Server, tmp_path: Path
) -> None:
    told = json.dumps({"container": "train", "image": "train:1", "variables": ["HOME"]})
    image = str(image_with(tmp_path, 3))
    recorder = make(minio, ASSAY_IMAGE_FOLDER=image, ASSAY_TRAINING=told, ASSAY_NODE="node-1")
    recorder.issue()
    recorder.start()
    wait_until(lambda: recorder.store.stat(f"{recorder.prefix}/environment.json"), "environment.json is streamed")
    recorder.kill()
    recorder.start()
    assert recorder.terminate() == 0
    found = json.loads(recorder.store.get_bytes(f"{recorder.prefix}/environment.json", 1 << 20))
    assert (found["source"], found["packages"]) == ("image", {"p0": "1.0", "p1": "1.0", "p2": "1.0"})
    assert found["hardware"]["node"] == "node-1"
    assert "environment.json" in [entry.path for entry in recorder.manifest().files]


def test_inspecting_an_image_uses_little_cpu_and_memory(
    make: Callable[..., Recorder], minio: S3Server, tmp_path: Path
) -> None:
    """Of CPU time and memory: against the same recorder without an image."""
    image = image_with(tmp_path, 300)
    costs = []
    for folder, there in (("without", False), ("with", True)):
        (tmp_path / folder).mkdir()
        recorder = Recorder(tmp_path / folder, minio, ASSAY_IMAGE_FOLDER=str(image if there else tmp_path / "absent"))
        recorder.issue()
        recorder.start()
        assert recorder.process is not None
        wait_until(lambda r=recorder: r.store.stat(f"{r.prefix}/environment.json"), "environment.json is streamed")
        process = psutil.Process(recorder.process.pid)
        times = process.cpu_times()
        costs.append((times.user + times.system, process.memory_info().rss))
        assert recorder.terminate() == 0
    (cpu, memory), (cpu_with, memory_with) = costs
    assert cpu_with - cpu < 0.4, f"{cpu_with - cpu:.2f} s of CPU time for 300 packages and 12,000 files"
    assert memory_with - memory < 16 << 20
