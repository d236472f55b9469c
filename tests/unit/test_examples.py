"""Every example, as far as it runs without a cluster: valid manifests, and training code that knows of nothing."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api.experiment import ExperimentSpec
from assay.planning import search

pytestmark = pytest.mark.unit

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
QUICKSTART = EXAMPLES / "quickstart"


def _manifest() -> dict[str, Any]:
    return yaml.safe_load((QUICKSTART / "experiment.yaml").read_text())


def test_every_example_is_listed_and_explained() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    listed = (EXAMPLES / "README.md").read_text()
    assert folders
    for folder in folders:
        assert f"]({folder}/)" in listed
        assert (EXAMPLES / folder / "README.md").is_file()


def test_quickstart_asks_for_six_runs_two_at_a_time() -> None:
    spec = ExperimentSpec.model_validate(_manifest()["spec"])
    combinations = [search.parameters_of(spec, index) for index in range(search.size(spec))]
    assert len(combinations) == 6
    assert len({json.dumps(one, sort_keys=True) for one in combinations}) == 6
    assert spec.parallelism == 2


def test_training_code_imports_nothing_of_assay() -> None:
    for script in EXAMPLES.rglob("*.py"):
        for node in ast.walk(ast.parse(script.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "assay"], script


def test_quickstart_trains_with_the_arguments_of_its_manifest(tmp_path: Path) -> None:
    manifest = _manifest()
    container = manifest["spec"]["template"]["job"]["template"]["spec"]["containers"][0]
    parameters = {parameter["name"]: parameter["values"][0] for parameter in manifest["spec"]["parameters"]}
    arguments = " ".join(container["args"])
    for name, value in parameters.items():
        assert f"$(PARAM_{name})" in arguments
        arguments = arguments.replace(f"$(PARAM_{name})", str(value))

    command = [sys.executable, QUICKSTART / "train.py", *arguments.split(), "--rounds=2", f"--output={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr

    points = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [point["step"] for point in points] == [1, 2]
    metrics = {"train_loss", "val_loss", "train_accuracy", "val_accuracy"}
    assert all(set(point) == {"step", *metrics} for point in points)
    assert manifest["spec"]["objective"]["metric"] in metrics

    model = tmp_path / "artifacts" / manifest["spec"]["template"]["model"]["path"]
    assert (model / "model.joblib").stat().st_size > 0
    assert (tmp_path / "artifacts" / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")
