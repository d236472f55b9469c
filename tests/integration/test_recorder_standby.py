"""The recorder's standby: no recorder is started again once the training has ended; the record is complete anyway."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.recorder.standby import WARNING
from tests.integration.test_recorder_process import Recorder, handles_sigterm, make
from tests.s3 import S3Server, wait_until

pytestmark = pytest.mark.integration

__all__ = ["make"]


def standby(recorder: Recorder) -> int:
    """End the pod of a recorder that is dead, and return the exit code of its standby."""
    recorder.command = [sys.executable, "-m", "assay.recorder.standby"]
    recorder.start()
    return recorder.terminate()


def test_a_recorder_killed_after_the_training_has_ended_leaves_a_complete_record(
    tmp_path: Path, minio: S3Server, make: Callable[..., Recorder]
) -> None:
    recorder = make(minio)
    recorder.issue()
    recorder.start()
    recorder.write(*({"step": step, "loss": step / 4} for step in range(100)))
    recorder.wait_for_points(100)
    recorder.artifact("model/weights", b"w" * 1000)
    recorder.kill()
    recorder.write({"step": 100, "loss": 0.5})  # the last words, which no recorder has read
    assert standby(recorder) == 0
    manifest = recorder.manifest()
    assert "artifacts/model/weights" in {entry.path for entry in manifest.files}
    assert [point[1] for point in recorder.points(tmp_path)] == [float(step) for step in range(101)]
    assert WARNING in manifest.summary.warnings


def test_a_recorder_killed_before_its_first_line_leaves_a_complete_record(
    minio: S3Server, make: Callable[..., Recorder]
) -> None:
    """Its second restart comes too late: the kubelet waits for ten seconds."""
    recorder = make(minio)
    recorder.issue()
    recorder.write({"step": 0, "loss": 1.0})
    assert standby(recorder) == 0
    assert recorder.manifest().summary.points == 1


def test_a_finished_record_is_left_alone(minio: S3Server, make: Callable[..., Recorder]) -> None:
    recorder = make(minio)
    recorder.issue()
    recorder.start()
    recorder.write({"step": 0, "loss": 1.0})
    assert recorder.terminate() == 0
    before = recorder.manifest()
    assert standby(recorder) == 0
    assert recorder.manifest() == before
    assert before.summary.warnings == []


def test_the_standby_waits_for_the_recorder_when_all_sidecars_stop(
    minio: S3Server, make: Callable[..., Recorder]
) -> None:
    recorder = make(minio)
    recorder.start()  # without credentials: it cannot finish
    recorder.write({"step": 0, "loss": 1.0})
    wait_until(lambda: recorder.log.exists() and recorder.said("recording"), "the recorder records")
    other = Recorder.__new__(Recorder)
    other.__dict__ |= recorder.__dict__
    other.command = [sys.executable, "-m", "assay.recorder.standby"]
    other.start()
    assert other.process is not None
    pid = other.process.pid
    wait_until(lambda: handles_sigterm(pid), "the standby handles SIGTERM")
    other.process.terminate()
    recorder.issue()
    assert recorder.terminate() == 0
    assert other.process.wait(30) == 0
    assert recorder.said("the record is complete already")
    assert recorder.manifest().summary.warnings == []


def test_the_standby_has_the_rest_of_the_grace_period(minio: S3Server, make: Callable[..., Recorder]) -> None:
    recorder = make(minio, ASSAY_GRACE_SECONDS="60")
    recorder.spool.mkdir()
    (recorder.spool / "ending").write_text(str(time.time() - 59))
    recorder.write({"step": 0, "loss": 1.0})  # without credentials: it cannot finish
    assert standby(recorder) == 1
    assert recorder.said("the store did not take everything in time")
