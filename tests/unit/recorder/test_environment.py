"""environment.json: there is always one, and it never changes after the first decision."""

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from assay.recorder import packages
from assay.recorder.connection import GaveUp
from assay.recorder.environment import Environment
from assay.recorder.hardware import hardware
from assay.recorder.log import Log
from assay.recorder.shipper import dump
from assay.store.limits import MAX_ENVIRONMENT_BYTES, MAX_PACKAGES, MAX_VARIABLES
from assay.store.records import EnvironmentRecord

pytestmark = pytest.mark.unit

TOLD = {
    "container": "train",
    "image": "train:1",
    "variables": ["HOME"],
    "variables_from": ["secret/s"],
    "requests": {"cpu": "1"},
    "limits": {"nvidia.com/gpu": "1"},
    "gpus": {"nvidia.com/gpu": "1"},
}


class Capture:
    """A capture of an image with one package, and the uploaded records."""

    def __init__(self, folder: Path, **told: Any) -> None:
        self.image, self.spool = folder / "image", folder / "spool"
        self.spool.mkdir(exist_ok=True)
        site = self.image / "opt/venv/lib/python3.11/site-packages/torch-2.4.dist-info"
        site.mkdir(parents=True, exist_ok=True)
        (site / "METADATA").write_text("Name: torch\nVersion: 2.4\n")
        self.shipped: list[bytes] = []
        self.told = json.dumps(TOLD | told)

    def make(self) -> Environment:
        return Environment(self.image, self.told, "node-1", self.spool, self.shipped.append, Log(io.StringIO()))

    @property
    def record(self) -> EnvironmentRecord:
        assert len(set(self.shipped)) == 1, "what was shipped has changed"
        return EnvironmentRecord.model_validate_json(self.shipped[0])


@pytest.fixture
def capture(tmp_path: Path) -> Capture:
    return Capture(tmp_path)


def test_the_content_of_the_image_is_captured(capture: Capture) -> None:
    environment = capture.make()
    environment.run()
    assert environment.finish(0) == capture.shipped[0]
    assert len(capture.shipped) == 1, "it was shipped twice"
    found = capture.record
    assert (found.source, found.problems, found.packages, found.python) == ("image", [], {"torch": "2.4"}, "3.11")
    raw = json.loads(capture.shipped[0])
    assert (raw["variables"], raw["variables_from"], raw["image"]) == (["HOME"], ["secret/s"], "train:1")
    assert raw["hardware"]["gpus"]["requested"] == {"nvidia.com/gpu": "1"}


def test_an_image_that_is_not_mounted_is_reported(tmp_path: Path) -> None:
    capture = Capture(tmp_path, unseen="node a has the kubelet v1.30.0")
    capture.make().run()
    assert capture.record.source == "recorder"
    assert capture.record.problems == ["the image was not mounted: node a has the kubelet v1.30.0"]
    assert capture.record.packages == {}


def test_a_volume_that_the_api_server_dropped_is_reported(capture: Capture, tmp_path: Path) -> None:
    capture.image = tmp_path / "absent"
    capture.make().run()
    assert capture.record.problems == ["the image was not mounted, although the pod requests it"]


def test_a_failed_capture_is_reported(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def defeat(_: object) -> None:
        raise MemoryError("too clever")

    monkeypatch.setattr(packages, "installed", defeat)
    capture.make().run()
    assert capture.record.problems == ["the image could not be read: MemoryError: too clever"]


def test_a_hanging_image_does_not_delay_the_end(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go, looking = threading.Event(), threading.Event()
    real = packages.installed

    def hang(image: Any) -> Any:
        looking.set()
        let_go.wait(20)
        return real(image)

    monkeypatch.setattr(packages, "installed", hang)
    environment = capture.make()
    thread = threading.Thread(target=environment.run)
    thread.start()
    assert looking.wait(20)
    said = environment.finish(0.05)
    let_go.set()
    thread.join(20)
    assert capture.record.problems == ["the training ended before the image was read"]
    assert said == capture.shipped[0]


def test_a_restarted_recorder_uses_the_saved_record(capture: Capture) -> None:
    capture.make().run()
    (capture.image / "opt/venv/lib/python3.11/site-packages/torch-2.4.dist-info/METADATA").write_text("Name: x\n")
    again = capture.make()
    again.run()
    again.finish(0)
    assert capture.record.packages == {"torch": "2.4"}


def test_a_failed_upload_is_retried_at_the_end(capture: Capture) -> None:
    failing = [GaveUp("away")]
    shipped = capture.shipped

    def put(data: bytes) -> None:
        if failing:
            raise failing.pop()
        shipped.append(data)

    environment = Environment(capture.image, capture.told, "n", capture.spool, put, Log(io.StringIO()))
    with pytest.raises(GaveUp):
        environment.run()
    environment.finish(0)
    assert capture.record.source == "image"


@pytest.mark.parametrize("told", ["", "{", "[]", "null"])
def test_a_missing_or_invalid_description_is_ignored(capture: Capture, told: str) -> None:
    capture.told = told
    capture.make().run()
    assert capture.record.packages == {"torch": "2.4"}


def test_the_largest_record_can_be_read() -> None:
    names = {f"{number:05d}" + "n" * 95: "v" * 400 for number in range(MAX_PACKAGES)}
    short = dict.fromkeys(names, "v" * 200)
    raw = {"source": "image", "packages": names, "conda": short, "variables": ["x" * 256] * MAX_VARIABLES}
    data = dump(raw)
    assert len(data) < MAX_ENVIRONMENT_BYTES
    assert len(EnvironmentRecord.model_validate_json(data).packages) == MAX_PACKAGES


# Hardware


def test_hardware_is_read_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Fast  CPU @ 3 GHz\n\nprocessor : 1\n")
    (tmp_path / "meminfo").write_text("MemTotal:       16384 kB\nMemFree: 1 kB\n")
    found = hardware(TOLD, "node-1", tmp_path)
    assert (found["node"], found["cpu"]["model"], found["memory_bytes"]) == ("node-1", "Fast CPU @ 3 GHz", 16 << 20)
    assert (found["requests"], found["limits"]) == ({"cpu": "1"}, {"nvidia.com/gpu": "1"})
    assert found["gpus"] == {"requested": {"nvidia.com/gpu": "1"}, "seen": None}


def test_gpus_of_the_node(tmp_path: Path) -> None:
    for number in range(2):
        gpu = tmp_path / f"driver/nvidia/gpus/0000:0{number}:00.0"
        gpu.mkdir(parents=True)
        (gpu / "information").write_text("Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ: 1\n")
    line = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun  6 22:20:39 UTC 2023\n"
    (tmp_path / "driver/nvidia/version").write_text(line)
    assert hardware(TOLD, "n", tmp_path)["gpus"] == {
        "requested": {"nvidia.com/gpu": "1"},
        "seen": ["NVIDIA A100-SXM4-40GB"] * 2,
        "driver": "535.54.03",
    }


def test_a_processor_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n")
    assert hardware({}, "n", tmp_path)["cpu"]["model"] == "implementer 0x41 part 0xd40"
    assert hardware({}, "n", tmp_path / "absent")["cpu"]["model"] == ""
