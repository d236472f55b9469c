"""docs/own-script.md as a new user follows it: the script runs, `assay init` understands it, the manifest is valid."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import run

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/own-script.md").read_text()


def block(language: str) -> str:
    """Return the first block of code in a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(block("python"))
    (tmp_path / "Dockerfile").write_text(block("dockerfile"))
    return tmp_path


def test_the_script_writes_metrics_and_a_model(folder: Path) -> None:
    subprocess.run([sys.executable, "train.py", "--output", "out"], cwd=folder, check=True)
    points = [json.loads(line) for line in (folder / "out/metrics.jsonl").read_text().splitlines()]
    assert len(points) == 20
    assert points[-1]["val_loss"] < points[0]["val_loss"]
    assert (folder / "out/artifacts/model/weight.json").is_file()


def test_init_writes_a_valid_experiment_for_it(folder: Path) -> None:
    commands = [line.split()[1:] for line in block("sh").splitlines() if line.startswith("assay")]
    assert [command[0] for command in commands] == ["init", "validate"]
    for command in commands:
        answer = run(*command, environment={}, cwd=folder)
        assert answer.code == 0, answer.err
    spec = yaml.safe_load((folder / "experiment.yaml").read_text())["spec"]
    assert spec["objective"] == {"metric": "val_loss", "direction": "minimize"}
    assert [parameter["name"] for parameter in spec["parameters"]] == ["learning_rate"]
    assert spec["template"]["model"] == {"path": "model"}
    (container,) = spec["template"]["job"]["template"]["spec"]["containers"]
    assert (container["image"], container["args"]) == ("train:1", ["--learning-rate=$(PARAM_learning_rate)"])
