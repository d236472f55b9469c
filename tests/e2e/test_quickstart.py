"""The quickstart, as the README tells it: six real models, every point and every artifact in a real store.

They are those of the demonstration, whose operator is the one that the chart brings when nothing but its image and the
store is set.
"""

import json

import pytest

from assay.store.verify import verify_run
from tests.cluster import demo, paths
from tests.cluster.charting import Release
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects, Raw, condition

pytestmark = pytest.mark.e2e


@pytest.fixture
def objects(demonstration: str, clean_cluster: LocalCluster) -> Objects:
    assert f"kubectl apply -f {demo.MANIFEST.relative_to(paths.CHECKOUT)}" in demonstration
    return Objects(clean_cluster, demo.NAMESPACE)


def test_quickstart_trains_six_models_and_records_all_of_them(objects: Objects, release: Release) -> None:
    experiment = objects.get("experiment", "digits")
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

    def pods() -> list[Raw]:
        return list(json.loads(release.kubectl("get", "pods", "-o", "json"))["items"])

    wait_for(
        "the one pod to hold the Lease", lambda: [each["metadata"]["name"] for each in pods()] == [release.leader()]
    )
    (pod,) = pods()
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0, release.kubectl(
        "logs", "--previous", pod["metadata"]["name"]
    )


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
