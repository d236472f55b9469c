"""`assay runs`: filtered, sorted and printed, from a real API server and a real store."""

import asyncio
import csv
import io
import json
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
import yaml

from assay.store import archive, layout
from assay.store.client import ObjectStore
from assay.store.config import StoreConfig
from tests import generated, registry
from tests.cli import golden
from tests.cli.conftest import Answer, run
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Assay = Callable[..., Answer]

#: Ended ones, so that how long they took does not depend on when the test runs; and one that waits.
ROWS = [row for row in generated.rows(60, seed=1) if row.phase in ("Succeeded", "Failed")][:8]
WAITING = next(row for row in generated.rows(600, seed=1) if row.phase == "Pending")


@pytest.fixture(scope="module")
def nine(governed: Cluster) -> Iterator[str]:
    """A namespace with nine runs."""
    name = f"runs-{secrets.token_hex(4)}"
    governed.create_namespace(name)
    asyncio.run(generated.write(governed, name, [*ROWS, WAITING]))
    yield name
    governed.delete_namespace(name)


@pytest.fixture
def some(governed: Cluster, nine: str) -> Assay:
    """`assay …` in the namespace with nine runs."""
    environment = {"KUBECONFIG": str(governed.kubeconfig), **governed.store.environment()}

    def command(*argv: str, cwd: Path | None = None) -> Answer:
        return run(*argv, "--namespace", nine, environment=environment, cwd=cwd)

    return command


def _names(answer: Answer) -> list[str]:
    return [each["name"] for each in answer.json()["items"]]


def test_a_table_has_differing_parameters_and_the_objective_first(some: Assay) -> None:
    answer = some("runs", "--sort", "val_f1")
    assert answer.code == 0, answer.err
    golden.check("runs", re.sub(r"\S+$", "AGE", answer.out, flags=re.MULTILINE))
    wide = some("runs", "--sort", "name", "-o", "wide", "--limit", "3")
    golden.check("runs-wide", re.sub(r"\S+$", "AGE", wide.out, flags=re.MULTILINE))


def test_columns_can_be_selected(some: Assay) -> None:
    named = "phase,params.depth,metrics.loss.min,datasets.digits.version,labels.team,duration"
    golden.check("runs-columns", some("runs", "--sort", "params.depth", "--columns", named).out)


def test_filter_and_order_agree_with_the_runs(some: Assay) -> None:
    where = 'datasets.digits.version == "2.1" && metrics.val_f1.best > 0.5 && params.depth in [2, 3, 4, 5]'
    wanted = [
        row
        for row in ROWS
        if row.version == "2.1" and row.metrics["val_f1"]["best"] > 0.5 and row.parameters["depth"] in (2, 3, 4, 5)
    ]
    assert 0 < len(wanted) < len(ROWS)
    wanted.sort(key=lambda row: row.metrics["val_f1"]["best"], reverse=True)
    assert _names(some("runs", "--where", where, "--sort", "val_f1", "-o", "json")) == [row.name for row in wanted]
    least = some("runs", "--where", where, "--sort", "val_f1", "--reverse", "--limit", "1", "-o", "json")
    assert _names(least) == [wanted[-1].name]


def test_an_experiment_has_its_own_runs(some: Assay, governed: Cluster, nine: str) -> None:
    experiment = ROWS[0].experiment
    found = _names(some("runs", "-e", experiment, "-o", "json"))
    assert found == [row.name for row in ROWS if row.experiment == experiment]
    manifest = json.dumps(registry.experiment("digits-sweep"))
    governed.kubectl("create", "-n", nine, "-f", "-", stdin=manifest)
    empty = some("runs", "-e", "digits-sweep")
    assert (empty.code, empty.out) == (0, "")
    assert "has no runs" in empty.err
    wrong = some("runs", "-e", "digit-sweep")
    assert wrong.code == 3
    assert "did you mean digits-sweep?" in wrong.err


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (("--where", "params.dpeth > 1"), "no run has params.dpeth", "did you mean depth?"),
        (("--where", "metrics.val_f2.best > 1"), "no run has metrics.val_f2", "did you mean val_f1?"),
        (("--where", "metric.x > 1"), "there is no 'metric.x'", "did you mean metrics"),
        (("--sort", "val_f2"), "no run has val_f2", "did you mean val_f1?"),
        (("--columns", "params.depht"), "no run has params.depht", "did you mean depth?"),
        (("--to", "runs.csv", "-o", "csv"), "--to requires -o parquet", "with >"),
        (("--columns", "owner", "-o", "json"), "--columns requires a table", "-o json has all fields"),
        (("--sort", "name", "--where", "params.zz == 1"), "no run has params.zz", "known names: augment"),
    ],
)
def test_errors_have_suggestions_or_say_what_to_do(some: Assay, argv: tuple[str, ...], message: str, hint: str) -> None:
    answer = some("runs", *argv)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert hint in answer.err


def test_documents_have_all_fields(some: Assay) -> None:
    answer = some("runs", "--sort", "name", "-o", "json")
    found = {each["name"]: each for each in answer.json()["items"]}
    row = ROWS[0]
    one = found[row.name]
    assert (one["experiment"], one["phase"], one["owner"], one["seed"]) == (
        row.experiment,
        row.phase,
        row.owner,
        row.seed,
    )
    assert (one["parameters"], one["metrics"]) == (row.parameters, row.metrics)
    assert row.completed
    assert one["duration"] == (row.completed - row.started).total_seconds()
    assert one["datasets"]["digits"]["version"] == row.version
    assert one["archived"] is False
    assert found[WAITING.name]["duration"] is None
    assert yaml.safe_load(some("runs", "--sort", "name", "-o", "yaml").out) == answer.json()


def test_csv_and_parquet_have_the_same_columns_and_numbers(some: Assay, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(some("runs", "--sort", "name", "-o", "csv").out)))
    assert rows[0]["name"] == min(row.name for row in [*ROWS, WAITING])
    assert some("runs", "--sort", "name", "-o", "parquet", "--to", "runs.parquet", cwd=tmp_path).code == 0
    read = duckdb.sql(f"SELECT * FROM '{tmp_path}/runs.parquet'")
    assert list(read.columns) == list(rows[0])
    kinds = dict(zip(read.columns, map(str, read.types), strict=True))
    assert kinds["metrics.val_f1.best"] == "DOUBLE"
    assert kinds["metrics.val_f1.step"] == kinds["params.depth"] == "BIGINT"
    assert kinds["params.augment"] == "BOOLEAN"
    found = {each["name"]: each for each in (dict(zip(read.columns, row, strict=True)) for row in read.fetchall())}
    for row in ROWS:
        assert found[row.name]["metrics.val_f1.best"] == row.metrics["val_f1"]["best"]
        assert found[row.name]["params.learning_rate"] == row.parameters["learning_rate"]
    assert found[WAITING.name]["metrics.val_f1.best"] is None
    missing = some("runs", "-o", "parquet", "--to", "none/runs.parquet", cwd=tmp_path)
    assert missing.code == 2
    assert "folder none does not exist" in missing.err


def test_archived_runs_are_included_on_request_and_live_ones_win(some: Assay, governed: Cluster, nine: str) -> None:
    store = ObjectStore(StoreConfig.from_environment(governed.store.environment()))
    store.ensure_bucket()
    row = ROWS[0]
    live = json.loads(governed.kubectl("get", "-n", nine, "run.assay.dev", row.name, "-o", "json"))
    gone = json.loads(json.dumps(live))
    gone["metadata"] |= {"name": "gone-1", "uid": "00000000-0000-4000-8000-000000000001"}
    for body in (live, gone):
        prefix = layout.run_prefix(nine, row.experiment, body["metadata"]["name"], body["metadata"]["uid"])
        store.put_bytes(f"{prefix}/{layout.MANIFEST}", b"{}")
        archive.write_archived(store, prefix, body)
    assert "gone-1" not in _names(some("runs", "-o", "json"))
    items = some("runs", "--all", "-o", "json").json()["items"]
    archived = {each["name"]: each["archived"] for each in items}
    assert archived == {each.name: False for each in [*ROWS, WAITING]} | {"gone-1": True}
    (found,) = some("runs", "--all", "--where", "archived", "-o", "json").json()["items"]
    assert (found["metrics"], found["parameters"]) == (row.metrics, row.parameters)
    assert found["duration"] == next(each["duration"] for each in items if each["name"] == row.name)


def test_a_namespace_without_runs_is_reported(assay: Assay) -> None:
    answer = assay("runs")
    assert (answer.code, answer.out) == (0, "")
    assert "has no runs" in answer.err
    assert assay("runs", "-o", "json").json() == {"items": []}
    assert assay("runs", "--where", "params.x == 1", "--sort", "f1").code == 0
