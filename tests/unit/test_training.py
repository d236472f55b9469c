"""`from assay import log` in a training container: complete lines from threads, forks and ranks; nothing elsewhere."""

import json
import math
import os
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import numpy
import pytest

from assay import artifact, log, param
from assay.recorder.collectors.json_lines import Parser
from assay.recorder.record import Record
from assay.recorder.state import Totals
from assay.store.points.values import Progress

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "assay/artifacts").mkdir(parents=True)
    (tmp_path / "assay/params.json").write_text('{"lr": 0.1}')
    monkeypatch.setenv("ASSAY_RUN", "r")
    monkeypatch.setenv("ASSAY_DIR", str(tmp_path / "assay"))
    return tmp_path / "assay"


def points(folder: Path) -> list[tuple[str, float, float]]:
    record = Record(Totals())
    Parser(record, Progress()).parse((folder / "metrics.jsonl").read_bytes().splitlines(), 1.9e9)
    assert (record.totals.rejected, record.totals.events) == (0, [])
    return [(row["metric"], row["step"], float(row["value"])) for row in map(json.loads, record.rows)]


def test_values_are_points(pod: Path) -> None:
    log(step=0.5, loss=numpy.float32(0.5), n=3)
    log({"val/f1": math.inf, "time": 12.5}, step=1)
    assert points(pod) == [("loss", 0.5, 0.5), ("n", 0.5, 3.0), ("val/f1", 1, math.inf), ("time", 1, 12.5)]


@pytest.mark.parametrize("value", ["0.5", None, True, [1], object()])
def test_non_numeric_metrics_are_refused_everywhere(value: Any) -> None:
    with pytest.raises(TypeError, match=r"loss is .*: a metric must be a number"):
        log(loss=value)


def test_ranks_are_labelled(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in ("0", "3"):
        monkeypatch.setenv("RANK", rank)
        log(step=1, loss=1)
    assert [name for name, _, _ in points(pod)] == ["loss", "rank3/loss"]


def test_artifacts_and_parameters(pod: Path, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/roc.png").write_bytes(b"png")
    artifact(tmp_path / "plots/roc.png")
    log.artifact(tmp_path / "plots", "figures/all")
    found = {str(path.relative_to(pod / "artifacts")) for path in (pod / "artifacts").rglob("*") if path.is_file()}
    assert found == {"roc.png", "figures/all/roc.png"}
    assert (param("lr"), param("depth", 3)) == (0.1, 3)
    with pytest.raises(KeyError, match="the run has no parameter depth"):
        param("depth")
    with pytest.raises(ValueError, match="invalid name of an artifact"):
        artifact(tmp_path / "plots", "../x")
    with pytest.raises(FileNotFoundError):
        artifact(tmp_path / "nothing")


def test_threads_and_forks_write_whole_lines(pod: Path) -> None:
    def work(first: int) -> None:
        for step in range(first, first + 200):
            log(step=step, loss=step / 3)

    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            work(1000 * (number + 1))
            os._exit(0)
        children.append(child)
    threads = [threading.Thread(target=work, args=(10_000 * (number + 1),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    found = points(pod)
    assert len(found) == len(set(found)) == 1400
    assert all(value == step / 3 for _, step, value in found)


def test_logging_does_nothing_outside_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSAY_RUN", raising=False)
    monkeypatch.setenv("ASSAY_DIR", str(tmp_path / "no"))
    log(step=1, loss=1)
    artifact(__file__)
    assert param("lr", 7) == 7
    assert not (tmp_path / "no").exists()


def test_a_folder_that_cannot_be_written_does_not_fail_the_training(pod: Path) -> None:
    (pod / "metrics.jsonl").mkdir()
    with pytest.warns(UserWarning, match="metrics are not recorded"):
        log(loss=1)


def test_the_training_module_needs_only_python() -> None:
    """Neither a dependency of the distribution, nor a module of another package."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"] == []
    script = "import sys; from assay import log; log(a=1); print([m for m in sys.modules if m.startswith('assay')])"
    environment = {"PYTHONPATH": str(ROOT / "operator"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['assay.training', 'assay']"
