"""What differs between two runs, and doing one again."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from assay.controllers.tracking import records
from assay.store import archive
from tests.cli import golden
from tests.cli.conftest import Answer
from tests.cli.running import TIMEOUT_SECONDS
from tests.cli.told import Told, metric
from tests.cluster.waiting import wait_for
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Assay = Callable[..., Answer]
SOURCE = {"repository": "https://git.example.com/ml/digits", "revision": "3f2c0e" + "0" * 34}
IMAGE = "registry.example.com/train@sha256:" + "ab" * 32


@pytest.fixture
def told(governed: Cluster, namespace: str) -> Told:
    return Told(governed, namespace)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """For commands that wait while the test goes on."""
    with ThreadPoolExecutor(1) as found:
        yield found


def ended(told: Told, name: str, depth: int, score: float, packages: Raw, **more: Any) -> Raw:
    """A run that has succeeded, with a record of what its pod ran in."""
    run = told.run(name, parameters={"depth": depth, "lr": 0.1}, source=SOURCE, seed=7, **more)
    uri = f"s3://assay/{told.prefix(run)}/"
    key = f"{told.prefix(run)}/pods/{name}-pod/environment.json"
    told.store.put_bytes(key, json.dumps({"version": 1, "source": "image", "packages": packages}).encode())
    status = {
        "phase": "Succeeded",
        "completionTime": "2026-03-01T12:01:05Z",
        "metrics": {"score": metric(score)},
        "record": {"uri": uri, "artifacts": f"{uri}pods/{name}-pod/artifacts/", "complete": True},
        "images": [{"container": "train", "image": "train", "digest": IMAGE}],
    }
    return told.tell("run", name, status)


def test_what_differs_is_grouped_and_told_by_the_exit_code(assay: Assay, told: Told) -> None:
    ended(told, "one", 2, 0.75, {"numpy": "2.3.1", "scipy": "1.16"})
    ended(told, "two", 3, 0.75, {"numpy": "2.3.2", "scipy": "1.16"})
    different = assay("diff", "one", "two")
    assert different.code == 6
    golden.check("diff", different.out)
    answer = assay("diff", "one", "two", "--kind", "packages", "-o", "json")
    found = json.loads(answer.out)
    item = {"path": "environment.packages.numpy", "kind": "packages", "a": "2.3.1", "b": "2.3.2"}
    assert (answer.code, found) == (6, {"a": "one", "b": "two", "same": False, "items": [item]})
    same = assay("diff", "one", "two", "--kind", "code")
    assert (same.code, same.out) == (0, "")
    assert "one and two do not differ" in same.err
    assert "did you mean packages?" in assay("diff", "one", "two", "--kind", "package").err
    # Without the keys of the store the packages are not known of either side.
    blind = assay("diff", "one", "two", ASSAY_STORE_ENDPOINT="")
    assert "numpy" not in blind.out
    assert "packages and hardware are not compared" in blind.err


def test_values_of_variables_are_never_shown(assay: Assay, told: Told) -> None:
    for name, secret in (("one", "hunter2"), ("two", "hunter3")):
        container = {"name": "train", "image": "train", "env": [{"name": "TOKEN", "value": secret}]}
        told.run(name, job={"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}})
    answer = assay("diff", "one", "two")
    assert "[TOKEN].value  (hidden)" in answer.out
    assert "hunter" not in answer.out + answer.err


def test_a_run_is_done_again_and_waited_for(assay: Assay, told: Told, pool: ThreadPoolExecutor) -> None:
    original = ended(told, "one", 2, 0.75, {})
    dry = assay("rerun", "one", "--dry-run")
    assert dry.lines[0].startswith("one-rerun-")
    assert "nothing was created" in dry.err
    assert len(json.loads(told.kubectl("get", "runs", "-o", "json"))["items"]) == 1

    name = assay("rerun", "one", "--tolerance", "0", "--tolerance-of", "seconds=2").lines[0]
    made = json.loads(told.kubectl("get", "run", name, "-o", "json"))
    expected = {"name": "one", "uid": original["metadata"]["uid"], "tolerance": 0, "tolerances": {"seconds": 2}}
    assert made["spec"]["rerunOf"] == expected
    assert made["spec"]["job"]["template"]["spec"]["containers"][0]["image"] == IMAGE
    assert made["spec"]["owner"] == original["spec"]["owner"]

    for name, phase, judged, code in (
        ("same", "Succeeded", "True", 0),
        ("other", "Succeeded", "False", 6),
        ("broken", "Failed", "False", 1),
        ("open", "Succeeded", "Unknown", 0),
    ):
        waiting = pool.submit(assay, "rerun", "one", "--name", name, "--wait")
        wait_for(f"the run {name}", lambda name=name: told.kubectl("get", "run", name, "--ignore-not-found"))
        told.tell("run", name, {"phase": "Running", "reason": "Training"})
        condition = {
            "type": "Reproduced",
            "status": judged,
            "reason": "BecauseOfIt",
            "message": "so it is said",
            "lastTransitionTime": "2026-03-01T12:00:00Z",
        }
        told.tell("run", name, {"phase": phase, "conditions": [condition]})
        answer = waiting.result(TIMEOUT_SECONDS)
        assert answer.code == code, answer
        assert answer.out.startswith(f"{name}\n{phase}, ")
        assert answer.out.endswith("(BecauseOfIt): so it is said\n")


def test_what_cannot_be_done_again_is_refused_in_a_sentence(assay: Assay, told: Told) -> None:
    told.run("going", {"phase": "Running"})
    goes_on = assay("rerun", "going")
    assert goes_on.code == 1
    assert "run going goes on: it can be run again once it has ended" in goes_on.err
    ended(told, "one", 2, 0.75, {})
    assert assay("rerun", "one", "--tolerance-of", "seconds").code == 2
    taken = assay("rerun", "one", "--name", "going")
    assert taken.code == 1
    assert "already exists" in taken.err
    refused = assay("rerun", "one", "--as", "nobody")
    assert refused.code == 4
    late = assay("rerun", "one", "--wait", "--timeout", "0.5")
    assert late.code == 1
    assert "did not end within 0.5 s" in late.err


def test_an_archived_run_is_done_again_and_an_incomplete_recipe_is_said(assay: Assay, told: Told) -> None:
    run = told.run("loose", {"phase": "Succeeded", "completionTime": "2026-03-01T12:01:05Z"})
    records.open_record(told.store, run)
    records.close_record(told.store, run, "Succeeded", "JobComplete", [], "")
    archive.write_archived(told.store, told.prefix(run), run)
    told.remove("run", "loose")
    answer = assay("rerun", "loose", "-o", "json")
    found = answer.json()
    assert (found["rerunOf"], found["phase"], found["dryRun"]) == ("loose", "Pending", False)
    assert "not reproducible: the image of container train is known by its name only" in answer.err
    made = json.loads(told.kubectl("get", "run", found["name"], "-o", "json"))
    assert made["spec"]["rerunOf"]["uid"] == run["metadata"]["uid"]
