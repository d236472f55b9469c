"""What the operator believes where no policy keeps people from linking objects: its own notes, and nothing else.

Such objects exist where they are older than the policies, or where somebody has taken a policy out of force.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import registry
from tests.objects import Objects, experiment, pod_spec, run
from tests.operators import OperatorProcess

pytestmark = pytest.mark.e2e

Raw = dict[str, Any]
FORGED = "log(step=0, score=99)"


@pytest.fixture
def unguarded(objects: Objects) -> Iterator[Objects]:
    """A namespace in which anybody writes links."""
    with registry.without_policy(objects.cluster, "assay-links"):
        yield objects


def claiming(run: Raw, name: str) -> Raw:
    """Return a Job of somebody else's that says it is a run's."""
    metadata = run["metadata"]
    labels = {"assay.dev/run": metadata["name"], "assay.dev/run-uid": metadata["uid"]}
    owner = {"apiVersion": run["apiVersion"], "kind": "Run", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels, "ownerReferences": [{**owner, "controller": True}]},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod_spec("pass")}},
    }


def test_a_second_job_of_a_run_is_ignored(unguarded: Objects) -> None:
    unguarded.apply(run("victim", "log(step=0, score=1)\ntime.sleep(20)"))
    began = unguarded.wait_phase("run", "victim", "Running")
    unguarded.apply(claiming(began, "forged"))
    unguarded.wait("job", "forged", "complete", lambda o: o.get("status", {}).get("succeeded"))
    assert unguarded.get("run", "victim")["status"]["phase"] == "Running", "the forged Job's success ended the run"
    ended = unguarded.wait_phase("run", "victim", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert ended["status"]["jobUid"] == unguarded.get("job", "victim")["metadata"]["uid"]
    assert [each["pod"].startswith("victim-") for each in ended["status"]["attempts"]] == [True]
    assert unguarded.points(ended) == [("score", 0, 1.0)]


def test_a_job_older_than_its_run_is_created_again(unguarded: Objects, operator: OperatorProcess) -> None:
    """As after a crash before the Job was noted; and as somebody forges who is faster than the operator."""
    operator.kill()
    unguarded.apply(run("late", "log(step=0, score=1)"))
    unguarded.apply(claiming(unguarded.get("run", "late"), "late"))
    forged = unguarded.get("job", "late")["metadata"]["uid"]
    unguarded.wait("job", "late", "complete", lambda o: o.get("status", {}).get("succeeded"))
    operator.start().wait_ready()
    ended = unguarded.wait_phase("run", "late", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert ended["status"]["jobUid"] != forged
    assert unguarded.points(ended) == [("score", 0, 1.0)]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_run_added_to_an_experiment_by_a_user_is_ignored(unguarded: Objects, where: str) -> None:
    parameters = [{"name": "a", "values": [1, 2]}]
    manifest = experiment("sweep", "time.sleep(10)\nlog(step=0, score=1)", parameters=parameters, parallelism=1)
    unguarded.apply(manifest)
    owner = unguarded.get("experiment", "sweep")
    stuffed = run("stuffed", FORGED, objective=manifest["spec"]["objective"])
    stuffed["metadata"] |= {
        "labels": {"assay.dev/experiment": "sweep", "assay.dev/index": "1"},
        "ownerReferences": [
            {
                "apiVersion": owner["apiVersion"],
                "kind": "Experiment",
                "name": "sweep",
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        ],
    }
    place = Objects(unguarded.cluster, unguarded.namespace if where == "here" else f"{unguarded.namespace}-other")
    if where == "elsewhere":
        # The garbage collector deletes what an owner of another namespace owns: until then it could do harm.
        unguarded.cluster.create_namespace(place.namespace)
    place.apply(stuffed)
    ended = unguarded.wait_phase("experiment", "sweep", "Succeeded", "Failed")
    if where == "elsewhere":
        unguarded.cluster.delete_namespace(place.namespace)
    assert ended["status"]["runs"]["total"] == 2, json.dumps(ended["status"])
    assert ended["status"]["best"]["value"] == 1.0
    assert {each["metadata"]["name"] for each in unguarded.all("runs.assay.dev")} >= {"sweep-0", "sweep-1"}
