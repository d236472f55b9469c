"""What a training writes to each source of the recorder, and what the record must then have.

Points are awkward on purpose: steps come twice and are fractional, times go backwards, values are as large as a double,
names are of any script, and one is too long to be recorded.
"""

import json
import math
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from tensorboardX import SummaryWriter

from tests.integration.test_recorder_mlflow import Client, free_port, main_run
from tests.integration.test_recorder_process import Recorder

TOO_LONG = "n" * 4000
_NAMES = ("loss", "val/f1", "métrique", "損失", "with space")
_BEGIN = 1_700_000_000


class Point(NamedTuple):
    """As metrics.parquet has it, but comparable: the value is its text."""

    metric: str
    step: float
    time: float
    value: str


def points(count: int, names: int) -> Iterator[tuple[str, float, float, float]]:
    """Yield metric, step, time and value of points that are all different."""
    metrics = [*_NAMES, *(f"metric-{number}" for number in range(names - len(_NAMES)))]
    for n in range(count):
        value = {0: 1e308, 1: -1e308, 2: 5e-324}.get(n % 1000, n / 7)
        backwards = n % 100 // 50 * 3600
        yield metrics[n % len(metrics)], n // len(metrics) // 2 + 0.5 * (n % 3 == 0), _BEGIN + n - backwards, value


class Pace:
    """How far a training may write: what is killed while it writes must not come after everything was written."""

    def __init__(self, allowed: float = 1.0) -> None:
        self._allowed = allowed
        self._changed = threading.Condition()
        self.ended = False

    def allow(self, share: float) -> None:
        """Let the training write this share of its points."""
        with self._changed:
            self._allowed = share
            self._changed.notify_all()

    def end(self) -> None:
        """Let the training end early: the test has failed."""
        self.ended = True
        self.allow(1.0)

    def wait(self, share: float) -> None:
        """Wait until this share may be written."""
        with self._changed:
            self._changed.wait_for(lambda: share <= self._allowed)


class Source:
    """A source. `write` returns what must be in the record; it may be called while the recorder is killed."""

    name = ""

    def __init__(self) -> None:
        """`environment` is what the recorder needs for this source."""
        self.environment: dict[str, str] = {}

    def write(self, recorder: Recorder, count: int, names: int, pace: Pace) -> list[Point]:
        """Write points until all are written, as fast as `pace` allows."""
        raise NotImplementedError


class JsonLines(Source):
    """metrics.jsonl, in pieces that do not care for lines."""

    name = "jsonl"

    def write(self, recorder: Recorder, count: int, names: int, pace: Pace) -> list[Point]:
        """See `Source`."""
        chance, expected = random.Random(2), []
        lines = [json.dumps({TOO_LONG: 1.0, "step": 1})]
        for metric, step, time, value in points(count, names):
            lines.append(json.dumps({metric: value, "step": step, "time": time}))
            expected.append(Point(metric, float(step), float(time), repr(value)))
        data = "".join(f"{line}\n" for line in lines).encode()
        with (recorder.directory / "metrics.jsonl").open("ab", buffering=0) as file:
            written = 0
            while written < len(data) and not pace.ended:
                size = chance.randrange(1, 40_000)
                file.write(data[written : written + size])
                written += size
                pace.wait(min(1.0, written / len(data)))
        return expected


class EventFiles(Source):
    """Two files of TensorBoard, by a real writer. Steps are whole, values have 32 bits."""

    name = "tensorboard"

    def write(self, recorder: Recorder, count: int, names: int, pace: Pace) -> list[Point]:
        """See `Source`."""
        expected = []
        folders = [recorder.directory / "logs", recorder.directory / "logs/validation"]
        writers = [SummaryWriter(str(folder), flush_secs=1) for folder in folders]
        for n, (metric, step, time, value) in enumerate(points(count, names)):
            name, small = metric.replace(" ", "_"), value if abs(value) < 1e30 else math.copysign(3e38, value)
            at = n % 2
            writers[at].add_scalar(name, small, int(step), walltime=float(time))
            prefix = "validation/" if at else ""
            expected.append(Point(prefix + name, float(int(step)), float(time), repr(float(numpy.float32(small)))))
            if n % 500 == 0:
                writers[at].flush()
                pace.wait(n / count)
        for writer in writers:
            writer.close()
        return expected


class Mlflow(Source):
    """Batches by HTTP that are repeated until they are acknowledged. Steps are whole, times in milliseconds."""

    name = "mlflow"

    def __init__(self) -> None:
        self.environment = {"ASSAY_MLFLOW_PORT": str(free_port())}

    def write(self, recorder: Recorder, count: int, names: int, pace: Pace) -> list[Point]:
        """See `Source`."""
        run, client, expected = main_run(recorder), Client(int(self.environment["ASSAY_MLFLOW_PORT"]), 300), []
        batch: list[dict[str, Any]] = []
        for n, (metric, step, time, value) in enumerate(points(count, names)):
            # A point that is the same again would count once, as for MLflow.
            milliseconds = time * 1000 + n % 1000
            batch.append({"key": metric, "step": int(step), "timestamp": milliseconds, "value": value})
            expected.append(Point(metric, float(int(step)), milliseconds / 1000, repr(value)))
            if len(batch) == 200 or n == count - 1:
                client.post("runs/log-batch", run_id=run, metrics=batch)
                batch = []
                pace.wait(n / count)
                if pace.ended:
                    break
        return expected


SOURCES = (JsonLines, EventFiles, Mlflow)


def recorded(recorder: Recorder, folder: Path) -> list[Point]:
    """What metrics.parquet in the store has."""
    return [Point(metric, float(step), time, repr(value)) for metric, step, time, value in recorder.points(folder)]
