"""`assay compare`: runs side by side, also after they were deleted."""

from collections.abc import Callable
from typing import Any

import pytest

from assay.controllers.tracking import records
from assay.store import archive
from tests.cli import golden
from tests.cli.conftest import Answer
from tests.cli.stand_in import BEGUN, StandIn, metric
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Assay = Callable[..., Answer]
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def stand_in(governed: Cluster, namespace: str) -> StandIn:
    return StandIn(governed, namespace)


def ended(stand_in: StandIn, name: str, depth: int, score: float, **more: Any) -> Raw:
    """A run of the experiment `digits` that has succeeded."""
    status = {
        "phase": "Succeeded",
        "reason": "JobComplete",
        "startTime": BEGUN,
        "completionTime": "2026-03-01T12:01:05Z",
        "duration": "1m5s",
        "metrics": {"loss": metric(1 - score), "score": metric(score, best=score)},
        "model": {"path": "model", "digest": DIGEST, "size": 7},
    }
    objective = {"metric": "score", "direction": "maximize"}
    spec = {"parameters": {"depth": depth, "lr": 0.1}, "objective": objective, **more}
    return stand_in.run(name, status, experiment="digits", **spec)


def test_differing_fields_are_shown_side_by_side(assay: Assay, stand_in: StandIn) -> None:
    ended(stand_in, "digits-1", 2, 0.75)
    ended(stand_in, "digits-3", 3, 0.9375)
    stand_in.run("digits-4", {"phase": "Running", "startTime": BEGUN}, experiment="digits", parameters={"lr": 0.1})
    golden.check("compare", assay("compare", "digits-1", "digits-3", "digits-4").out)
    two = assay("compare", "digits-1", "digits-3")
    assert two.lines[1].split() == ["params.depth", "2", "3"]
    assert "params.lr" not in two.out
    assert "more fields with equal values; --all shows all fields" in two.err
    assert ["params.lr", "0.1", "0.1"] in [
        line.split() for line in assay("compare", "digits-1", "digits-3", "--all").lines
    ]


def test_comparison_as_json_and_csv(assay: Assay, stand_in: StandIn) -> None:
    ended(stand_in, "digits-1", 2, 0.75)
    ended(stand_in, "digits-3", 3, 0.9375)
    found = assay("compare", "digits-1", "digits-3", "--metric", "loss", "-o", "json").json()
    assert found["runs"] == ["digits-1", "digits-3"]
    assert [row["field"] for row in found["items"]] == [f"metrics.loss.{part}" for part in ("last", "min", "max")]
    assert found["items"][0] == {
        "field": "metrics.loss.last",
        "kind": "metric",
        "same": False,
        "values": [0.25, 0.0625],
    }
    head, first, *_ = assay("compare", "digits-1", "digits-3", "-o", "csv").lines
    assert (head, first) == ("field,digits-1,digits-3", "params.depth,2,3")


def test_unknown_runs_and_metrics_get_suggestions(assay: Assay, stand_in: StandIn) -> None:
    ended(stand_in, "digits-1", 2, 0.75)
    missing = assay("compare", "digits-1", "digit-1")
    assert missing.code == 3
    assert "did you mean digits-1?" in missing.err
    unknown = assay("compare", "digits-1", "digits-1", "--metric", "scor")
    assert unknown.code == 3
    assert "did you mean score?" in unknown.err
    assert assay("compare", "digits-1").code == 2


def test_a_deleted_run_is_read_from_its_record(assay: Assay, stand_in: StandIn) -> None:
    for name, depth in (("digits-1", 2), ("digits-2", 3)):
        run = ended(stand_in, name, depth, 0.9)
        records.open_record(stand_in.store, run)
        records.close_record(stand_in.store, run, "Succeeded", "JobComplete", [], "")
        archive.write_archived(stand_in.store, stand_in.prefix(run), run)
    stand_in.remove("run", "digits-2")
    found = assay("compare", "digits-1", "digits-2", "-o", "json").json()
    assert found["items"][0] == {"field": "params.depth", "kind": "parameter", "same": False, "values": [2, 3]}
    assert assay("compare", "digits-1", "digits/digits-2").code == 0
    assert assay("compare", "digits-1", "other/digits-2").code == 3
    # Without the keys of the store it is as if it had never been.
    alone = assay("compare", "digits-1", "digits-2", ASSAY_STORE_ENDPOINT="")
    assert alone.code == 3
    assert "searched only the cluster" in alone.err


def test_a_name_used_twice_selects_the_newest_run(assay: Assay, stand_in: StandIn) -> None:
    ended(stand_in, "digits-1", 1, 0.9)
    for depth, hour in ((5, "13"), (7, "14")):
        run = ended(stand_in, "digits-9", depth, 0.9)
        run["status"]["completionTime"] = f"2026-03-01T{hour}:00:00Z"
        records.open_record(stand_in.store, run)
        records.close_record(stand_in.store, run, "Succeeded", "JobComplete", [], "")
        archive.write_archived(stand_in.store, stand_in.prefix(run), run)
        stand_in.remove("run", "digits-9")
    found = assay("compare", "digits-1", "digits-9", "-o", "json")
    assert found.json()["items"][0]["values"] == [1, 7]
    assert "2 records have the name digits-9" in found.err
