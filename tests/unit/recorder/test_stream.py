"""Each point is recorded exactly once, whatever is written and wherever the recorder is killed."""

import errno
import gzip
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.recorder import spool as spool_module
from assay.recorder import stream as stream_module
from assay.recorder.collectors import tail as tail_module
from assay.recorder.collectors.json_lines import FILE, JsonLines
from assay.recorder.collectors.protocol import Position, Surroundings
from assay.recorder.spool import Spool
from assay.recorder.state import State
from assay.recorder.stream import Recording
from tests.unit.recorder.killing import Killed
from tests.unit.recorder.plain import Point, plain_parse

pytestmark = pytest.mark.unit

NOW = 1763700000.25
HEALTHY = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Pod:
    """A folder with metrics.jsonl, a spool, and a recorder that can be killed at any step."""

    def __init__(self, folder: Path, part_bytes: int = 200, chunk_bytes: int = 64) -> None:
        self.file = folder / "metrics.jsonl"
        self.spool = folder / "spool"
        self.part_bytes, self.chunk_bytes = part_bytes, chunk_bytes
        self.kill_after = -1
        self.start()

    def start(self) -> None:
        self.kill_after = -1
        spool = Spool(self.spool, "pod", self._checkpoint)
        self.stream = Recording(spool, {FILE: self._open}, self.part_bytes)

    def _open(self, position: Position) -> JsonLines:
        around = Surroundings(self.file.parent, self.spool / "collectors", {}, lambda: NOW)
        return JsonLines(around, position, self.chunk_bytes)

    def _checkpoint(self, _: str) -> None:
        if self.kill_after == 0:
            raise Killed
        self.kill_after -= 1

    def write(self, content: bytes) -> None:
        with self.file.open("ab") as file:
            file.write(content)

    def replace(self, content: bytes) -> None:
        draft = self.file.with_suffix(".new")
        draft.write_bytes(content)
        draft.replace(self.file)

    def work(self) -> None:
        """Read and commit; restart after a kill."""
        try:
            while self.stream.poll():
                pass
            assert not self.stream.poll()
            self.stream.commit()
        except Killed:
            self.stream.close()
            self.start()

    def end(self) -> State:
        while self.stream.poll(final=True):
            pass
        assert self.stream.commit()
        self.stream.close()
        return self.stream.state

    def points(self) -> list[Point]:
        """The rows of the committed parts."""
        spool = Spool(self.spool, "pod")
        rows = b"".join(gzip.decompress(part.read_bytes()) for part in spool.part_files(spool.load()))
        records = [json.loads(row) for row in rows.splitlines()]
        return [(row["metric"], row["step"], row["time"], float(row["value"])) for row in records]


@contextmanager
def fresh(**options: int) -> Iterator[Pod]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        pod = Pod(Path(folder), **options)
        try:
            yield pod
        finally:
            pod.stream.close()


@pytest.fixture(autouse=True, params=[0.5, 0.0], ids=["in one go", "a step at a time"])
def slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_SLICE_SECONDS", request.param)


@pytest.fixture
def pod() -> Iterator[Pod]:
    with fresh() as made:
        yield made


def shown(point: Point) -> tuple[str, float, float, str]:
    """A point that can be compared, also if its value is NaN."""
    return (*point[:3], repr(point[3]))


line = st.sampled_from(
    [
        b'{"a": 1}',
        b'{"step": 5, "a": 2, "b": -1.5}',
        b'{"step": 5.5, "a": 4}',
        b"bad",
        b"",
        b'{"a": NaN, "b": 3}',
        b'{"c": "x"}',
        b'{"long": %s}' % (b"1" * 90),
    ]
)
content = st.lists(line, max_size=30).map(b"\n".join)
work = st.just("work") | st.integers(0, 12)  # a number: killed at that step of the work


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(content, st.data())
def test_every_point_is_recorded_exactly_once(text: bytes, data: st.DataObject) -> None:
    with fresh() as pod:
        written = 0
        while written < len(text):
            piece = data.draw(st.integers(1, len(text) - written))
            pod.write(text[written : written + piece])
            written += piece
            for action in data.draw(st.lists(work, max_size=3)):
                pod.kill_after = action if isinstance(action, int) else -1
                pod.work()
        pod.kill_after = -1
        state = pod.end()
        expected = plain_parse(text, NOW)
        assert list(map(shown, pod.points())) == list(map(shown, expected))
        assert state.totals.points == len(expected)
        assert {name: series.count for name, series in state.totals.metrics.items()} == {
            name: sum(point[0] == name for point in expected) for name in {point[0] for point in expected}
        }


@settings(max_examples=100, deadline=None, suppress_health_check=HEALTHY)
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 9), max_size=6)), max_size=6))
def test_generations_follow_each_other(files: list[tuple[bool, list[int]]]) -> None:
    """Each file replaces the previous one, with other content or with a longer copy."""
    with fresh() as pod:
        expected: list[float] = []
        text = b""
        for number, (grows, numbers) in enumerate(files):
            more = b"".join(b'{"file": %d, "a": %d}\n' % (number, value) for value in numbers)
            if not grows and text and not more:
                continue  # an empty file may be the start of a rewrite; at the end it is none
            text = text + more if grows else more
            expected += [float(value) for value in numbers]
            pod.replace(text)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tail_module, "_REWRITE_SECONDS", 0.0)
                pod.work()
        pod.end()
        assert [value for name, _, _, value in pod.points() if name == "a"] == expected


def test_the_last_line_counts_without_a_newline_and_only_at_the_end(pod: Pod) -> None:
    pod.write(b'{"a": 1}\n{"a": 2')
    pod.work()
    assert [point[3] for point in pod.points()] == [1.0]
    pod.write(b"3}")
    pod.work()
    assert [point[3] for point in pod.points()] == [1.0]
    pod.end()
    assert [point[3] for point in pod.points()] == [1.0, 23.0]


def test_a_file_that_appears_late(pod: Pod) -> None:
    pod.work()
    pod.write(b'{"a": 1}\n')
    pod.work()
    assert len(pod.points()) == 1


def test_no_file_at_all_is_an_empty_record(pod: Pod) -> None:
    state = pod.end()
    assert (state.parts, state.totals.points, pod.stream.problems) == ([], 0, [])


def test_a_truncated_file_begins_a_new_generation(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pod.write(b'{"a": 1}\n{"a": 2}\n')
    pod.work()
    pod.file.write_bytes(b'{"a": 3}\n')
    pod.work()
    assert len(pod.points()) == 2  # a rewrite may be in progress
    monkeypatch.setattr(tail_module, "_REWRITE_SECONDS", 0.0)
    pod.work()
    state = pod.end()
    assert [point[3] for point in pod.points()] == [1.0, 2.0, 3.0]
    assert state.totals.events == ["metrics.jsonl was truncated: its new content is recorded after the old"]
    assert state.positions[FILE]["file"]["generation"] == 1


def test_a_fully_rewritten_file_duplicates_no_points(pod: Pod) -> None:
    text = b""
    for value in range(5):
        text += b'{"a": %d}\n' % value
        pod.file.write_bytes(text[:10])
        pod.work()
        pod.file.write_bytes(text)
        pod.work()
    state = pod.end()
    assert [point[3] for point in pod.points()] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert state.totals.events == []


def test_a_file_that_was_rewritten_between_two_reads(pod: Pod) -> None:
    pod.write(b'{"a": 1}\n')
    pod.work()
    pod.file.write_bytes(b'{"a": 7}\n{"a": 8}\n')
    pod.work()
    state = pod.end()
    assert [point[3] for point in pod.points()] == [1.0, 7.0, 8.0]
    assert state.totals.events == ["metrics.jsonl was rewritten: its new content is recorded after the old"]


def test_the_rest_of_a_replaced_file_is_read(pod: Pod) -> None:
    pod.write(b'{"a": 1}\n')
    pod.work()
    pod.write(b'{"a": 2}\n{"a": 3}')
    pod.replace(b'{"a": 4}\n{"a": 5}\n{"a": 6}\n{"a": 7}\n')
    pod.work()
    state = pod.end()
    assert [point[3] for point in pod.points()] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert state.totals.events == ["metrics.jsonl was replaced: its new content is recorded after the old"]


def test_a_file_that_was_replaced_while_the_recorder_was_down(pod: Pod) -> None:
    pod.write(b'{"a": 1}\n')
    pod.work()
    pod.stream.close()
    pod.replace(b'{"a": 2}\n')
    pod.start()
    state = pod.end()
    assert [point[3] for point in pod.points()] == [1.0, 2.0]
    assert "was replaced while the recorder was restarting" in state.totals.events[0]


@pytest.mark.parametrize("newline", [b"\n", b""])
def test_an_oversized_line_is_skipped_without_buffering_it(newline: bytes) -> None:
    with fresh(chunk_bytes=4096) as pod:
        pod.write(b'{"a": 1}\n{"long": "' + b"x" * (3 << 20))
        pod.work()
        pod.stream.close()
        pod.start()
        pod.write(b"y" * (1 << 20) + b'"}' + newline)
        pod.work()
        if newline:
            pod.write(b'{"a": 2}\n')
        state = pod.end()
        assert [point[3] for point in pod.points()] == [1.0, 2.0][: 1 + len(newline)]
        assert state.totals.rejected == 1
        assert state.totals.warnings[0].startswith('line 2: longer than 1048576 bytes: "{\\"long\\": \\"xxx')
        assert len(state.totals.warnings[0]) < 200


def test_a_line_of_exactly_the_limit_is_read() -> None:
    with fresh(chunk_bytes=4096) as pod:
        head = b'{"a": 1, "pad": "'
        longest = head + b"x" * ((1 << 20) - len(head) - 2) + b'"}'
        assert len(longest) == 1 << 20
        pod.write(longest + b"\n" + longest[:-2] + b'x"}\n')
        state = pod.end()
        assert len(pod.points()) == 1
        assert [warning.split(":")[0:2] for warning in state.totals.warnings] == [
            ["line 1", " pad"],
            ["line 2", " longer than 1048576 bytes"],
        ]


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_symlink(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_fifo, "is not a regular file"),
        (make_symlink, "is a symlink"),
        (make_folder, "is not a regular file"),
    ],
)
def test_anything_but_a_regular_file_is_refused_without_blocking(
    pod: Pod, make: Callable[[Path], None], problem: str
) -> None:
    make(pod.file)
    state = pod.end()
    assert pod.stream.problems == [("metrics.jsonl", problem)]
    assert state.totals.events == [f"metrics.jsonl {problem}"]
    assert pod.points() == []


def test_a_symlink_that_replaces_the_file_is_not_followed(pod: Pod) -> None:
    pod.write(b'{"a": 1}\n')
    pod.work()
    pod.file.unlink()
    make_symlink(pod.file)
    state = pod.end()
    assert [point[3] for point in pod.points()] == [1.0]
    assert state.totals.events == ["metrics.jsonl is a symlink"]


def test_a_full_spool_evicts_parts_and_then_waits(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    room = [2]
    real = spool_module._write_synced

    def write(path: Path, data: bytes) -> None:
        if path.name.startswith("part"):
            if not room[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            room[0] -= 1
        real(path, data)

    monkeypatch.setattr(spool_module, "_write_synced", write)
    for value in range(2):
        pod.write(b'{"a": %d}\n' % value)
        pod.work()
    pod.write(b'{"a": 2}\n')
    pod.work()
    assert pod.stream.blocked
    assert pod.stream.state.totals.events == [
        "the recorder's disk is full: metrics wait in their files until there is room"
    ]
    pod.write(b'{"a": 3}\n')
    pod.work()
    pod.stream.state.uploaded = 2
    room[0] = 2
    state = pod.end()
    assert state.totals.points == 4
    assert len(pod.points()) == 4


def test_uploaded_parts_are_evicted_to_make_room(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pod.write(b'{"a": 0}\n')
    pod.work()
    pod.stream.state.uploaded = 1
    real = spool_module._write_synced
    first = pod.stream.spool.part_file(1)

    def write(path: Path, data: bytes) -> None:
        if first.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(spool_module, "_write_synced", write)
    pod.write(b'{"a": 1}\n')
    state = pod.end()
    assert (state.totals.points, state.evicted, len(state.parts), first.exists()) == (2, 1, 2, False)


def test_a_recorder_that_is_killed_on_a_full_disk_does_not_upload_evicted_parts_again(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in range(3):
        pod.write(b'{"a": %d}\n' % value)
        pod.work()
    pod.stream.state.uploaded = 2  # the state on the disk does not have this yet

    def write(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(spool_module, "_write_synced", write)
        pod.write(b'{"a": 3}\n')
        pod.work()
        assert pod.stream.blocked
    pod.stream.close()
    pod.start()
    state = pod.stream.state
    assert (len(state.parts), state.uploaded, state.evicted) == (3, 2, 2)
    assert all(pod.stream.spool.part_file(number).exists() for number in range(state.uploaded + 1, 4))
    state = pod.end()
    assert (state.totals.points, len(state.parts)) == (4, 4)


def test_parts_are_cut_by_size(pod: Pod) -> None:
    for value in range(100):
        pod.write(b'{"a": %d}\n' % value)
    pod.work()
    assert len(pod.stream.state.parts) > 10
    pod.end()
    assert len(pod.points()) == 100


def test_a_spool_of_another_pod_is_refused(pod: Pod) -> None:
    pod.stream.spool.save(pod.stream.state)
    with pytest.raises(OSError, match="the spool belongs to the pod pod"):
        Spool(pod.spool, "other").load()
