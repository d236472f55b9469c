"""Retention with real pods: a run leaves everything behind, and what is to be kept no longer goes, part by part."""

import json

import pytest

from assay.store import archive
from assay.store.verify import verify_record
from tests.cluster.waiting import wait_for
from tests.objects import Objects, experiment

pytestmark = pytest.mark.e2e

SCRIPT = """
    score = float(os.environ['PARAM_score'])
    for step in range(3):
        log(step=step, score=score)
    artifacts.joinpath('model').write_text(str(score))
    artifacts.joinpath('plot.svg').write_text('x' * 1000)
"""


def test_retention_removes_runs_part_by_part_and_keeps_their_results(objects: Objects) -> None:
    scores = [0.25, 0.75, 0.5]
    manifest = experiment(
        "sweep",
        SCRIPT,
        parameters=[{"name": "score", "values": scores}],
        parallelism=3,
        register={"model": "digits", "pick": "best"},
    )
    manifest["spec"]["template"]["model"] = {"path": "model"}
    objects.apply(manifest)
    objects.wait("experiment", "sweep", "registered", lambda o: o.get("status", {}).get("registered"), 180)
    before = {each["metadata"]["name"]: each for each in objects.all("runs")}
    points = {name: objects.points(each) for name, each in before.items()}

    keep(objects, jobs="0s")
    wait_for("Jobs and pods are gone", lambda: not objects.all("jobs") and not objects.all("pods"), seconds=60)
    assert before.keys() == {each["metadata"]["name"] for each in objects.all("runs")}

    keep(objects, artifactsAfter="0s")
    for name in ("sweep-0", "sweep-2"):
        objects.wait("run", name, "expired", lambda o: o["status"]["record"].get("expired"), 60)
        assert not [path for path in objects.stored(before[name]) if "/artifacts/" in path]
    best = objects.get("run", "sweep-1")
    assert "expired" not in best["status"]["record"]
    assert len([path for path in objects.stored(best) if "/artifacts/" in path]) == 2

    keep(objects, archiveAfter="0s")
    wait_for("the Runs are gone", lambda: not objects.all("runs"), seconds=60)
    status = objects.wait("experiment", "sweep", "done", lambda o: not o["status"]["archived"]["removing"])["status"]
    assert (status["progress"], status["best"]["run"], status["registered"]) == ("3/3", "sweep-1", "digits.v1")
    assert objects.get("modelversion", "digits.v1")["status"]["phase"] == "Ready"

    found = {run.name: run for run in archive.runs(objects.store, objects.namespace, "sweep")}
    assert {name: (run.parameters or {})["score"] for name, run in found.items()} == {
        f"sweep-{index}": score for index, score in enumerate(scores)
    }
    for name, run in found.items():
        record = verify_record(objects.store, run.prefix, deep=True)
        assert (record.expired is None) == (name == "sweep-1")
        assert objects.points(before[name]) == points[name], "the curve has gone too"
        assert run.model is not None
        assert run.model["digest"] == before[name]["status"]["model"]["digest"]


def keep(objects: Objects, **retention: str) -> None:
    """Let the experiment keep what its runs leave behind for another time."""
    patch = json.dumps({"spec": {"retention": retention}})
    objects.kubectl("patch", "experiment", "sweep", "--type=merge", "-p", patch)
