"""Each source of the recorder with a recorder that is killed, a full disk and a store that is away.

No point is lost and none is doubled. `python -m tests.benchmarks faults` does the same with 100,000 points, 1,000 names
and 50 kills.
"""

import random
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.recorder_sources import SOURCES, Pace, Point, Source, recorded
from tests.integration.test_recorder_process import Recorder
from tests.s3 import S3Server, wait_until

pytestmark = pytest.mark.integration

POINTS, NAMES, KILLS = 5_000, 60, 5


class Training:
    """A thread that writes to a source."""

    def __init__(self, source: Source, recorder: Recorder, count: int, names: int, allowed: float = 1.0) -> None:
        self.expected: list[Point] = []
        self.pace = Pace(allowed)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._write, args=(source, recorder, count, names))
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        self._thread.join()
        if self._failure:
            raise self._failure

    def end(self) -> None:
        self.pace.end()
        self._thread.join()

    def _write(self, source: Source, recorder: Recorder, count: int, names: int) -> None:
        try:
            self.expected = source.write(recorder, count, names, self.pace)
        except BaseException as failure:
            self._failure = failure


def check(recorder: Recorder, folder: Path, expected: list[Point]) -> None:
    """Compare the record with what was written, point for point."""
    found, wanted = Counter(recorded(recorder, folder)), Counter(expected)
    assert not wanted - found, f"lost: {len(list((wanted - found).elements()))}, {list(wanted - found)[:3]}"
    assert not found - wanted, f"doubled: {len(list((found - wanted).elements()))}, {list(found - wanted)[:3]}"
    assert recorder.manifest().summary.points == len(expected)


def check_kills(source: Source, recorder: Recorder, folder: Path, count: int, names: int, kills: int) -> None:
    """Kill the recorder at random moments while a training writes, then end it, and compare."""
    recorder.environment |= source.environment
    chance = random.Random(11)
    recorder.start()
    training = Training(source, recorder, count, names, 1 / (kills + 1))
    try:
        for kill in range(kills):
            threading.Event().wait(chance.random() * 1.2)  # a moment of any kind
            recorder.kill()
            training.pace.allow((kill + 2) / (kills + 1))
            recorder.start()
        training.join()
    finally:
        training.end()
    assert recorder.terminate(300) == 0, recorder.log.read_text()[-2000:]
    check(recorder, folder, training.expected)


@pytest.fixture(params=SOURCES, ids=[each.name for each in SOURCES])
def source(request: pytest.FixtureRequest) -> Source:
    made: Source = request.param()
    return made


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[S3Server], Recorder]]:
    made: list[Recorder] = []

    def new(server: S3Server) -> Recorder:
        made.append(Recorder(tmp_path, server))
        made[-1].issue()
        return made[-1]

    yield new
    for recorder in made:
        recorder.kill()


def test_killed_at_random_moments(
    source: Source, make: Callable[[S3Server], Recorder], minio: S3Server, tmp_path: Path
) -> None:
    recorder = make(minio)
    check_kills(source, recorder, tmp_path, POINTS, NAMES, KILLS)
    if source.name == "jsonl":
        assert recorder.manifest().summary.rejected == 1, "the metric with a name of 4,000 characters"


def test_a_store_that_is_away_for_a_while(
    source: Source, make: Callable[[S3Server], Recorder], own_minio: S3Server, tmp_path: Path
) -> None:
    recorder = make(own_minio)
    recorder.environment |= source.environment
    recorder.start()
    wait_until(lambda: recorder.said('"recording"'), "the recorder is up")
    own_minio.kill()
    training = Training(source, recorder, POINTS, NAMES)
    try:
        training.join()  # a training never waits for the store
        recorder.kill()
        recorder.start()
        own_minio.start()
    finally:
        training.end()
    assert recorder.terminate(120) == 0, recorder.log.read_text()[-2000:]
    check(recorder, tmp_path, training.expected)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB at the place of the spool."""
    spool = tmp_path / "spool"
    spool.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", spool], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield spool
    subprocess.run(["umount", "--lazy", spool], check=True)


def test_a_full_disk(
    source: Source, small_disk: Path, make: Callable[[S3Server], Recorder], minio: S3Server, tmp_path: Path
) -> None:
    """The disk is full while the training writes, and has room again afterwards."""
    recorder = make(minio)
    recorder.environment |= source.environment
    filler = small_disk / "filler"
    recorder.start()
    wait_until(lambda: recorder.said('"recording"'), "the recorder is up")
    with pytest.raises(OSError, match="No space left"):
        fill(filler)
    training = Training(source, recorder, 2_000, NAMES)
    try:
        threading.Event().wait(1.5)
        recorder.kill()
        recorder.start()
        threading.Event().wait(1.5)
        filler.unlink()
        training.join()
    finally:
        training.end()
    assert recorder.terminate(120) == 0, recorder.log.read_text()[-2000:]
    check(recorder, tmp_path, training.expected)
