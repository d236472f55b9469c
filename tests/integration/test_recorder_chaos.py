"""The recorder is killed again and again, and the store with it: no point is lost, none is recorded twice."""

import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_recorder_process import Recorder, make
from tests.s3 import S3Server

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

__all__ = ["make"]

POINTS = 20_000
SECONDS = 12.0


def write_points(path: Path) -> None:
    """One training: 20,000 points over some seconds, in writes that do not care for lines."""
    text = "".join(json.dumps({"step": n, "time": 1e9 + n, "value": n / 7}) + "\n" for n in range(POINTS)).encode()
    chance = random.Random(2)
    written, began = 0, time.monotonic()
    with path.open("ab", buffering=0) as file:
        while written < len(text):
            due = int(len(text) * min(1.0, (time.monotonic() - began) / SECONDS))
            piece = text[written : max(due, written + 1) + chance.randrange(200)]
            file.write(piece)
            written += len(piece)
            threading.Event().wait(0.01)


def test_the_recorder_survives_random_kills_and_store_outages(
    tmp_path: Path,
    own_minio: S3Server,
    make: Callable[..., Recorder],
) -> None:
    recorder = make(own_minio, ASSAY_PART_BYTES="20000", ASSAY_FLUSH_SECONDS="0.1")
    recorder.issue()
    chance = random.Random(1)
    writer = threading.Thread(target=write_points, args=(recorder.directory / "metrics.jsonl",))
    recorder.start()
    writer.start()
    kills, artifacts = 0, {}
    while writer.is_alive():
        writer.join(chance.uniform(0.05, 1.2))
        recorder.kill()
        kills += 1
        if kills == 4:
            own_minio.kill()
        elif kills == 8:
            own_minio.start()
        elif kills == 10:
            own_minio.freeze()
        elif kills == 12:
            own_minio.thaw()
        name = f"checkpoint-{kills % 5}"
        artifacts[name] = os.urandom(chance.choice([10, 9 << 20]))
        (recorder.directory / "artifacts").mkdir(exist_ok=True)
        (recorder.directory / "artifacts" / name).write_bytes(artifacts[name])
        recorder.start()
    assert kills > 12
    assert recorder.terminate() == 0, recorder.log.read_text()[-2000:]

    manifest = recorder.manifest()
    assert recorder.points(tmp_path) == [("value", n, 1e9 + n, n / 7) for n in range(POINTS)]
    assert manifest.summary.points == POINTS
    assert manifest.summary.metrics["value"].count == POINTS
    assert manifest.missing == []
    stored = {name: recorder.store.get_bytes(f"{recorder.prefix}/artifacts/{name}", 1 << 30) for name in artifacts}
    assert stored == artifacts
    listed = {entry.path for entry in manifest.files}
    in_store = {info.key.removeprefix(recorder.prefix + "/") for info in recorder.store.list(recorder.prefix + "/")}
    assert in_store == listed | {"manifest.json"}
