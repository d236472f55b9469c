"""`assay diff` and `assay rerun`."""

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
from tests.cli.stand_in import StandIn, metric
from tests.cluster.waiting import wait_for
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Assay = Callable[..., Answer]
SOURCE = {"repository": "https://git.example.com/ml/digits", "revision": "3f2c0e" + "0" * 34}
IMAGE = "registry.example.com/train@sha256:" + "ab" * 32


@pytest.fixture
def stand_in(governed: Cluster, namespace: str) -> StandIn:
    return StandIn(governed, namespace)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """For commands that wait while the test goes on."""
    with ThreadPoolExecutor(1) as found:
        yield found


def ended(stand_in: StandIn, name: str, depth: int, score: float, packages: Raw, **more: Any) -> Raw:
    """A run that has succeeded, with a record of what its pod ran in."""
    run = stand_in.run(name, parameters={"depth": depth, "lr": 0.1}, source=SOURCE, seed=7, **more)
    uri = f"s3://assay/{stand_in.prefix(run)}/"
    key = f"{stand_in.prefix(run)}/pods/{name}-pod/environment.json"
    stand_in.store.put_bytes(key, json.dumps({"version": 1, "source": "image", "packages": packages}).encode())
    status = {
        "phase": "Succeeded",
        "completionTime": "2026-03-01T12:01:05Z",
        "metrics": {"score": metric(score)},
        "record": {"uri": uri, "artifacts": f"{uri}pods/{name}-pod/artifacts/", "complete": True},
        "images": [{"container": "train", "image": "train", "digest": IMAGE}],
    }
    return stand_in.set_status("run", name, status)


def test_differences_are_grouped_and_set_the_exit_code(assay: Assay, stand_in: StandIn) -> None:
    ended(stand_in, "one", 2, 0.75, {"numpy": "2.3.1", "scipy": "1.16"})
    ended(stand_in, "two", 3, 0.75, {"numpy": "2.3.2", "scipy": "1.16"})
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


def test_values_of_variables_are_never_shown(assay: Assay, stand_in: StandIn) -> None:
    for name, secret in (("one", "hunter2"), ("two", "hunter3")):
        container = {"name": "train", "image": "train", "env": [{"name": "TOKEN", "value": secret}]}
        stand_in.run(name, job={"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}})
    answer = assay("diff", "one", "two")
    assert "[TOKEN].value  (hidden)" in answer.out
    assert "hunter" not in answer.out + answer.err


def test_rerun_creates_a_run_and_waits_for_it(assay: Assay, stand_in: StandIn, pool: ThreadPoolExecutor) -> None:
    original = ended(stand_in, "one", 2, 0.75, {})
    dry = assay("rerun", "one", "--dry-run")
    assert dry.lines[0].startswith("one-rerun-")
    assert "nothing was created" in dry.err
    assert len(json.loads(stand_in.kubectl("get", "runs", "-o", "json"))["items"]) == 1

    name = assay("rerun", "one", "--tolerance", "0", "--tolerance-of", "seconds=2").lines[0]
    made = json.loads(stand_in.kubectl("get", "run", name, "-o", "json"))
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
        wait_for(f"the run {name}", lambda name=name: stand_in.kubectl("get", "run", name, "--ignore-not-found"))
        stand_in.set_status("run", name, {"phase": "Running", "reason": "Training"})
        condition = {
            "type": "Reproduced",
            "status": judged,
            "reason": "BecauseOfIt",
            "message": "so it is said",
            "lastTransitionTime": "2026-03-01T12:00:00Z",
        }
        stand_in.set_status("run", name, {"phase": phase, "conditions": [condition]})
        answer = waiting.result(TIMEOUT_SECONDS)
        assert answer.code == code, answer
        assert answer.out.startswith(f"{name}\n{phase}, ")
        assert answer.out.endswith("(BecauseOfIt): so it is said\n")


def test_runs_that_cannot_be_repeated_are_refused(assay: Assay, stand_in: StandIn) -> None:
    stand_in.run("going", {"phase": "Running"})
    goes_on = assay("rerun", "going")
    assert goes_on.code == 1
    assert "run going has not finished: wait for its end before you rerun it" in goes_on.err
    ended(stand_in, "one", 2, 0.75, {})
    assert assay("rerun", "one", "--tolerance-of", "seconds").code == 2
    taken = assay("rerun", "one", "--name", "going")
    assert taken.code == 1
    assert "already exists" in taken.err
    refused = assay("rerun", "one", "--as", "nobody")
    assert refused.code == 4
    late = assay("rerun", "one", "--wait", "--timeout", "0.5")
    assert late.code == 1
    assert "did not end within 0.5 s" in late.err


def test_an_archived_run_can_be_repeated_and_an_incomplete_recipe_is_reported(assay: Assay, stand_in: StandIn) -> None:
    run = stand_in.run("loose", {"phase": "Succeeded", "completionTime": "2026-03-01T12:01:05Z"})
    records.open_record(stand_in.store, run)
    records.close_record(stand_in.store, run, "Succeeded", "JobComplete", [], "")
    archive.write_archived(stand_in.store, stand_in.prefix(run), run)
    stand_in.remove("run", "loose")
    answer = assay("rerun", "loose", "-o", "json")
    found = answer.json()
    assert (found["rerunOf"], found["phase"], found["dryRun"]) == ("loose", "Pending", False)
    assert "not reproducible: the digest of the image of container train is unknown" in answer.err
    made = json.loads(stand_in.kubectl("get", "run", found["name"], "-o", "json"))
    assert made["spec"]["rerunOf"]["uid"] == run["metadata"]["uid"]
