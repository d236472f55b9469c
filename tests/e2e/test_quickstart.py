"""The quickstart, as the README tells it: six real models, every point and every artifact in a real store.

The operator is the one that the chart brings when nothing but its image and the store is set.
"""

import json
from pathlib import Path

import pytest
import yaml

from assay.store.verify import verify_run
from tests.cluster.charting import Release
from tests.objects import Objects, condition

pytestmark = pytest.mark.e2e

MANIFEST = Path(__file__).resolve().parents[2] / "examples" / "quickstart" / "experiment.yaml"


@pytest.fixture
def objects(release: Release) -> Objects:
    release.cluster.create_namespace("quickstart")
    return Objects(release.cluster, "quickstart")


def test_quickstart_trains_six_models_and_records_all_of_them(objects: Objects, release: Release) -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    objects.apply(manifest)
    experiment = objects.wait_phase("experiment", "digits", "Succeeded", "Failed", seconds=240)

    assert experiment["status"]["phase"] == "Succeeded", experiment["status"]
    assert experiment["status"]["progress"] == "6/6"
    runs = objects.all("runs")
    assert sorted(run["metadata"]["name"] for run in runs) == [f"digits-{n}" for n in range(6)]
    combinations = {(run["spec"]["parameters"]["learning_rate"], run["spec"]["parameters"]["depth"]) for run in runs}
    assert len(combinations) == 6

    for run in runs:
        _check_record(objects, run)

    values = {run["metadata"]["name"]: run["status"]["metrics"]["val_accuracy"]["max"] for run in runs}
    best = experiment["status"]["best"]
    assert best["value"] == max(values.values())
    assert values[best["run"]] == best["value"]
    assert max(values.values()) > 0.9

    table = objects.kubectl("get", "exp,run")
    assert "6/6" in table
    assert best["run"] in table
    story = objects.kubectl("describe", "experiment", "digits")
    assert "Started" in story
    assert "NewBest" in story
    assert not objects.all("secrets", "assay.dev/run"), "the runs' credentials outlived the runs"

    (pod,) = json.loads(release.kubectl("get", "pods", "-o", "json"))["items"]
    assert release.leader() == pod["metadata"]["name"], "the operator does not hold the Lease"
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0, release.log()


def _check_record(objects: Objects, run: dict) -> None:
    name = run["metadata"]["name"]
    assert run["status"]["phase"] == "Succeeded", (name, run["status"])
    assert condition(run, "Recorded")["status"] == "True"
    assert condition(run, "Complete")["status"] == "True"
    manifest = verify_run(objects.store, objects.prefix(run), deep=True)
    assert manifest.outcome == "Succeeded"
    pod = run["status"]["attempts"][-1]["pod"]
    paths = {entry.path for entry in manifest.files}
    for expected in ("artifacts/model/model.joblib", "artifacts/confusion_matrix.png", "metrics.parquet"):
        assert f"pods/{pod}/{expected}" in paths, (name, paths)
    assert objects.read_json(run, "params.json") == run["spec"]["parameters"]
    points = objects.points(run)
    summary = run["status"]["metrics"]
    assert {metric for metric, _, _ in points} == set(summary)
    for metric, seen in summary.items():
        curve = [value for name, _, value in points if name == metric]
        assert (len(curve), curve[-1], min(curve), max(curve)) == (
            seen["count"],
            seen["last"],
            seen["min"],
            seen["max"],
        )
    assert run["status"]["model"]["digest"].startswith("sha256:")
