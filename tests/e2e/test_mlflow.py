"""Scripts that log with MLflow run unchanged as training containers, and everything that they log is recorded."""

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from tests.cluster import images
from tests.cluster.local import LocalCluster
from tests.objects import Objects, condition

pytestmark = pytest.mark.e2e

MANIFESTS = Path(__file__).resolve().parents[2] / "examples/mlflow/experiment.yaml"


@pytest.fixture(scope="module")
def image(installed: LocalCluster) -> None:
    installed.load_image(images.mlflow_image())


@pytest.mark.usefixtures("image")
def test_an_unchanged_mlflow_script_is_recorded_point_for_point(objects: Objects) -> None:
    digits, grid = yaml.safe_load_all(MANIFESTS.read_text())
    objects.apply(digits)
    objects.apply(grid)
    for name in ("mlflow-digits", "mlflow-grid-search"):
        ended = objects.wait_phase("experiment", name, "Succeeded", "Failed", seconds=300)
        assert ended["status"]["phase"] == "Succeeded", ended["status"]
    for name in ("mlflow-digits-0", "mlflow-digits-1"):
        _check_digits(objects, name)
    _check_grid_search(objects)
    _check_registration(objects)


def _check_registration(objects: Objects) -> None:
    """Both runs asked for a version; the Experiment grants one, to the best."""
    runs = [objects.get("run", f"mlflow-digits-{index}") for index in (0, 1)]
    assert [run["status"]["requested"] for run in runs] == [[{"model": "Digits", "path": "model"}]] * 2
    experiment = objects.get("experiment", "mlflow-digits")
    assert experiment["status"]["registered"] == "mlflow-digits.v1"
    version = objects.wait_phase("modelversion", "mlflow-digits.v1", "Ready", "Failed", seconds=60)
    best = max(runs, key=lambda run: float(run["status"]["metrics"]["val_accuracy"]["best"]))
    assert version["status"]["phase"] == "Ready", version["status"]
    assert version["spec"]["artifact"]["digest"] in {run["status"]["model"]["digest"] for run in runs}
    assert version["spec"]["run"]["name"] == best["metadata"]["name"]
    assert condition(version, "ProvenanceVerified")["status"] == "True"


def _check_digits(objects: Objects, name: str) -> None:
    run = objects.get("run", name)
    status = run["status"]
    folder = f"pods/{status['record']['pod']}/artifacts"
    history = objects.read(run, f"{folder}/history.csv").decode()
    written = [(metric, float(step), float(value)) for metric, step, _, value in csv.reader(io.StringIO(history))]
    assert len(written) == 40
    assert sorted(objects.points(run)) == sorted(written)
    assert status["metrics"]["val_accuracy"]["last"] == written[-1][2]
    assert status["logged"]["parameters"]["alpha"] == run["spec"]["parameters"]["alpha"]
    assert condition(run, "Recorded")["status"] == "True"
    files = {path.partition("/artifacts/")[2] for path in objects.stored(run)}
    assert {"loss.png", "mistakes.json", "history.csv", "model/MLmodel"} <= files
    assert status["model"]["path"] == "model"


def _check_grid_search(objects: Objects) -> None:
    run = objects.get("run", "mlflow-grid-search-0")
    assert run["status"]["recorder"]["childRuns"] == 6
    folder = f"pods/{run['status']['record']['pod']}/artifacts/mlflow-runs"
    children = {path.split("/mlflow-runs/")[1].split("/")[0] for path in objects.stored(run) if "/mlflow-runs/" in path}
    depths = set()
    for child in children:
        found = json.loads(objects.read(run, f"{folder}/{child}/run.json"))
        parameters = {each["key"]: each["value"] for each in found["data"]["params"]}
        depths |= {parameters["max_depth"]} if "mean_test_score" in str(found["data"]["metrics"]) else set()
    assert len(children) == 7  # and the Run itself
    assert depths == {"1", "2", "3"}
    assert run["status"]["metrics"]["best_child_score"]["last"] > 0.9
    assert str(run["status"]["logged"]["parameters"]["best_child_depth"]) in depths
