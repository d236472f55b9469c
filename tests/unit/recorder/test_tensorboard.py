"""Event files of TensorBoard, as tensorboardX writes them: each scalar once, wherever the recorder is killed."""

import json
import math
import os
import random
import struct
from pathlib import Path
from typing import Any

import numpy
import pytest
from tensorboardX import SummaryWriter

from assay.recorder.collectors import events, tensorboard
from assay.recorder.collectors.events import HEAD_BYTES, TAIL_BYTES
from assay.recorder.collectors.protocol import Surroundings
from assay.recorder.collectors.tensorboard import TensorBoard
from assay.recorder.record import Record
from assay.recorder.spool import Spool
from assay.recorder.state import Totals
from assay.recorder.stream import Recording
from tests.unit.recorder.killing import Checkpoint, Killed

pytestmark = pytest.mark.unit

NOW = 1763700000.25


def around(folder: Path, **options: Any) -> Surroundings:
    return Surroundings(folder, folder / "own", options, lambda: NOW)


def points(record: Record) -> list[tuple[str, float, float]]:
    return [(row["metric"], row["step"], float(row["value"])) for row in map(json.loads, record.rows)]


def read(folder: Path, position: dict[str, Any] | None = None, **options: Any) -> tuple[Record, TensorBoard]:
    record, collector = Record(Totals()), TensorBoard(around(folder, **options), position or {})
    while collector.poll(record, final=True):
        pass
    return record, collector


def test_scalars_hyperparameters_and_images(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    with SummaryWriter(str(tmp_path / "runs/a")) as writer:
        for step in range(3):
            writer.add_scalar("loss", 0.5**step, step, walltime=NOW - 10 + step)
        writer.add_scalar("loss", math.nan, 3, walltime=5.0)
        writer.add_histogram("weights", numpy.arange(10.0), 1)
        writer.add_image("samples/first one", numpy.zeros((3, 2, 2), dtype=numpy.uint8), 2)
        writer.add_scalars("both", {"x": 1.0}, 4)
        writer.add_hparams({"lr": 0.1, "n": 3, "on": True, "name": "adam"}, {"score": 0.75})
    record, collector = read(tmp_path)
    found = points(record)
    assert [each for each in map(repr, found) if "'loss'" in each] == [
        "('loss', 0, 1.0)", "('loss', 1, 0.5)", "('loss', 2, 0.25)", "('loss', 3, nan)",
    ]  # fmt: skip
    assert {("both/x/both", 4, 1.0), ("score", 0, 0.75)} <= set(found)
    times = [json.loads(row)["time"] for row in record.rows if '"loss"' in row]
    assert times == [NOW - 10, NOW - 9, NOW - 8, NOW]
    assert record.totals.parameters == {"lr": "0.1", "n": "3", "on": "True", "name": "adam"}
    assert record.totals.events == ["tensorboard: not recorded: 1 histograms"]
    images = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.png")]
    assert images == [Path("artifacts/tensorboard/samples/first_one/2.png")]
    assert collector.problem == ""
    assert points(read(tmp_path, collector.position())[0]) == []


def test_images_with_long_tags_such_as_prompts_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    prompts = [f"{'a painting of a lighthouse at night, ' * 10}{ending}" for ending in ("oil", "ink")]
    with SummaryWriter(str(tmp_path / "runs")) as writer:
        for prompt in (*prompts, "é" * 200):
            writer.add_image(f"samples/{prompt}", numpy.zeros((3, 2, 2), dtype=numpy.uint8), 2)
    _, collector = read(tmp_path)
    assert collector.problem == ""
    assert len(list((tmp_path / "artifacts/tensorboard/samples").glob("*/2.png"))) == 3


@pytest.mark.parametrize(
    ("step", "warnings"),
    [
        (2, ["starts again at step 2: the earlier points of the steps 2 to 4 are kept"]),
        (0, ["starts again at step 0: the earlier points of the steps 0 to 4 are kept"]),
        (5, []),
        (None, []),
    ],
)
def test_a_restart_at_an_earlier_step_keeps_all_points_with_a_warning(
    tmp_path: Path, step: int | None, warnings: list[str]
) -> None:
    """The writer's `purge_step` is an event SessionLog.START with the step, in a file of its own."""
    with SummaryWriter(str(tmp_path / "logs"), filename_suffix=".1", purge_step=0) as writer:
        for number in range(5):
            writer.add_scalar("loss", 1.0 / (number + 1), number)
    _, before = read(tmp_path)
    with SummaryWriter(str(tmp_path / "logs"), filename_suffix=".2", purge_step=step) as writer:
        for number in range(step or 0, 7):
            writer.add_scalar("loss", 9.0, number)
    for position, expected in (({}, 12 - (step or 0)), (before.position(), 7 - (step or 0))):
        record, _ = read(tmp_path, position)
        assert len(points(record)) == expected
        assert len(record.totals.events) == len(warnings)
        assert all(text in event for text, event in zip(warnings, record.totals.events, strict=True))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_image_is_not_written_through_a_link(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    (tmp_path / "assay/artifacts").mkdir(parents=True)
    link = tmp_path / "assay/artifacts/tensorboard"
    if kind == "folder":
        outside.mkdir()
        link.symlink_to(outside)
    else:
        outside.write_text("kept")
        (link / "i").mkdir(parents=True)
        (link / "i/1.png").symlink_to(outside)
    with SummaryWriter(str(tmp_path / "assay/logs")) as writer:
        writer.add_image("i", numpy.zeros((3, 2, 2), dtype=numpy.uint8), 1)
    _, collector = read(tmp_path / "assay")
    if kind == "folder":
        assert list(outside.iterdir()) == []
        assert "images that cannot be written" in collector.problem
    else:
        assert outside.read_text() == "kept"


def test_folders_of_splits_belong_to_the_names(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        with SummaryWriter(str(tmp_path / "logs" / split)) as writer:
            writer.add_scalar("epoch_loss", 1.0, 0)
    assert sorted(name for name, _, _ in points(read(tmp_path)[0])) == ["train/epoch_loss", "validation/epoch_loss"]


def test_another_folder_than_assay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_TENSORBOARD", str(tmp_path / "mounted"))
    with SummaryWriter(str(tmp_path / "mounted")) as writer:
        writer.add_scalar("a", 1.0, 0)
    assert points(read(tmp_path / "assay", path="/logs")[0]) == [("a", 0, 1.0)]


def field(number: int, kind: int, data: bytes) -> bytes:
    return bytes([number << 3 | kind]) + (bytes([len(data)]) if kind == 2 else b"") + data


def tensor(values: bytes, kind: int, shape: bytes = b"", plugin: str = "") -> bytes:
    metadata = field(9, 2, field(1, 2, field(1, 2, plugin.encode()))) if plugin else b""
    content = field(1, 0, bytes([kind])) + field(2, 2, shape) + values
    return field(1, 2, b"t") + metadata + field(8, 2, content)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (tensor(field(5, 2, struct.pack("<f", 0.5)), 1, plugin="scalars"), 0.5),
        (tensor(field(5, 5, struct.pack("<f", 0.5)), 1), 0.5),
        (tensor(field(4, 2, struct.pack("<f", 0.25)), 1), 0.25),
        (tensor(field(4, 2, struct.pack("<d", 0.1)), 2), 0.1),
        (tensor(field(6, 2, struct.pack("<d", 0.1)), 2), 0.1),
        (tensor(field(10, 2, b"\x07"), 9), 7.0),
        (tensor(field(5, 2, struct.pack("<ff", 1, 2)), 1, field(2, 2, field(1, 0, b"\x02"))), None),
    ],
)
def test_scalars_in_the_encoding_of_tensors(value: bytes, expected: float | None) -> None:
    data = field(1, 1, struct.pack("<d", NOW)) + field(2, 0, b"\x05") + field(5, 2, field(1, 2, value))
    found = events.event(data)
    assert (found.time, found.step, found.values[0].tag, found.values[0].scalar) == (NOW, 5, "t", expected)


def test_parsing_survives_any_record_content() -> None:
    chance = random.Random(3)
    for _ in range(3000):
        data = chance.randbytes(chance.randrange(60))
        try:
            events.event(data)
            events.hyperparameters(data)
        except ValueError:
            pass


def test_a_file_that_is_being_written_is_read_to_its_last_whole_record(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "whole")) as writer:
        for step in range(20):
            writer.add_scalar("a", float(step), step)
    (source,) = (tmp_path / "whole").iterdir()
    data = source.read_bytes()
    source.unlink()
    target = tmp_path / "logs" / source.name
    target.parent.mkdir()
    collector, record = TensorBoard(around(tmp_path), {}), Record(Totals())
    for end in range(0, len(data) + 1, 7):
        target.write_bytes(data[:end])
        collector._scan_at = 0.0
        while collector.poll(record, final=False):
            pass
    target.write_bytes(data)
    while collector.poll(record, final=True):
        pass
    assert points(record) == [("a", step, float(step)) for step in range(20)]


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_that_is_deleted_before_it_is_read_to_its_end_is_a_warning(tmp_path: Path, whole: bool) -> None:
    folder = tmp_path / "logs"
    with SummaryWriter(str(folder)) as writer:
        writer.add_scalar("a", 1.0, 1)
    (file,) = folder.iterdir()
    if not whole:
        file.write_bytes(file.read_bytes()[:-3])
    collector, record = TensorBoard(around(tmp_path), {}), Record(Totals())
    collector._scan()
    collector._scan_at = math.inf
    while not whole and collector.poll(record, final=False):
        pass
    file.unlink()
    while collector.poll(record, final=True):
        pass
    assert record.totals.events == [f"tensorboard: logs/{file.name} was deleted before it was read to its end"]
    assert collector.problem == ""


def test_a_name_that_is_not_utf_8_cannot_make_the_summary_unreadable(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "tfevents").write_bytes(b"x" * 100)
    collector, record = TensorBoard(around(tmp_path), {}), Record(Totals())
    collector._scan()
    collector._scan_at = math.inf
    (folder / "tfevents").unlink()
    (folder / "tfevents").mkdir()
    collector.poll(record, final=False)
    assert collector.problem == "cannot be read: caf?/tfevents: is not a regular file"


def test_reading_a_damaged_file_stops_at_the_damage_and_others_continue(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with SummaryWriter(str(tmp_path / "logs" / name)) as writer:
            for step in range(3):
                writer.add_scalar("x", float(step), step)
    (file,) = (tmp_path / "logs/a").iterdir()
    data = bytearray(file.read_bytes())
    second = HEAD_BYTES + events.frame_size(bytes(data[:HEAD_BYTES])) + TAIL_BYTES
    second += HEAD_BYTES + events.frame_size(bytes(data[second : second + HEAD_BYTES])) + TAIL_BYTES
    data[second] ^= 1
    file.write_bytes(data)
    record, _ = read(tmp_path)
    found = points(record)
    assert (sum("b/" in name for name, _, _ in found), len(found)) == (3, 4)
    assert "the length of a record is damaged" in record.totals.events[0]


def test_no_point_is_lost_or_duplicated_when_the_recorder_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "_CHUNK_BYTES", 2000)
    expected = []
    for name in ("a", "b"):
        with SummaryWriter(str(tmp_path / "assay/logs" / name)) as writer:
            for step in range(1000):
                writer.add_scalar("x", step / 3, step)
                expected.append((name, step, float(numpy.float32(step / 3))))
    chance, checkpoint = random.Random(5), Checkpoint()

    def start() -> Recording:
        spool = Spool(tmp_path / "spool", "pod", checkpoint)
        return Recording(spool, {"tensorboard": lambda at: TensorBoard(around(tmp_path / "assay"), at)}, 3000)

    kills = 0
    while True:
        checkpoint.at = chance.randrange(1, 12) if kills < 50 else 0
        recording = start()
        try:
            while recording.poll(final=True):
                pass
            assert recording.commit()
            break
        except Killed:
            kills += 1
    assert kills > 20
    rows = [json.loads(row) for row in all_rows(recording)]
    found = [(row["metric"].rpartition("/")[0] or "a", row["step"], row["value"]) for row in rows]
    assert sorted(found) == sorted(expected)
    assert sum(series.count for series in recording.state.totals.metrics.values()) == len(expected)


def all_rows(recording: Recording) -> list[bytes]:
    import gzip

    files = recording.spool.part_files(recording.state)
    return [row for file in files for row in gzip.decompress(file.read_bytes()).splitlines()]


def test_a_link_or_a_pipe_is_not_an_event_file(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/events.out.tfevents.1").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "logs/events.out.tfevents.2")
    record, collector = read(tmp_path)
    assert (record.rows, collector.problem) == ([], "")
