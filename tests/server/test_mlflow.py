"""Unmodified MLflow clients read runs and the registry of the server, and set an alias that the gate holds."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.api.errors import InvalidRequest
from assay.queries.runs.filters import Filter
from assay.server.mlflow import filters
from tests import generated, registry
from tests.benchmarks import mlflow_server
from tests.cluster import paths
from tests.registered import Trained
from tests.server.conftest import Team
from tests.serving import index_served, indexed

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).with_name("mlflow_reads.py")
ROWS = [row for row in generated.rows(600, seed=5) if row.experiment == "exp-00" and row.metrics][:12]
#: A model as MLflow saves one: its own code loads its files. It needs no package but MLflow's.
MODEL = """
flavors:
  python_function: {code: code, data: weights.bin, loader_module: digits_loader}
mlflow_version: 2.22.0
model_uuid: 0123456789abcdef0123456789abcdef
utc_time_created: '2026-03-01 12:00:00.000000'
"""
LOADER = """
import os


class Model:
    def __init__(self, path):
        self.size = os.path.getsize(path)

    def predict(self, data):
        return [each * self.size for each in data]


def _load_pyfunc(path):
    return Model(path)
"""
POINTS = [("loss", step, 1000.0 + step, 1.0 / (step + 1)) for step in range(30)]


@pytest.fixture(scope="module")
def address(team: Team) -> Iterator[str]:
    """A server in front of a team with runs, curves, two versions and an alias that is live."""
    asyncio.run(generated.write(team.cluster, team.namespace, ROWS))
    objects = team.objects
    objects.create(registry.experiment("exp-00"))
    run = objects.run("curve", {"phase": "Running"})
    objects.streamed(run, "pod-1", [POINTS])
    # The clients of MLflow do not escape # and ? in the names of files.
    files = {"weights.bin": b"w" * 1000, "deep/er/config.json": b"{}", "a b/ü": b"odd", "empty": b""}
    files |= {"MLmodel": MODEL.encode(), "code/digits_loader.py": LOADER.encode()}
    trained = Trained(objects.store, files, namespace=team.namespace)
    for number in (1, 2):
        model = trained.register(version=number)
        artifact = {"uri": model.uri, "digest": model.manifest.digest}
        copy = {**artifact, "manifestDigest": model.manifest_digest, "files": model.files, "bytes": model.bytes}
        manifest = registry.model_version("digits", number, namespace=team.namespace, artifact=artifact)
        objects.create(manifest, {"phase": "Ready", "artifact": copy})
    alias = registry.model_alias("digits", "champion", 1)
    objects.create(alias, {"phase": "Bound", "boundVersion": 1})
    with indexed(team.cluster) as feed, index_served(team.cluster, feed) as address:
        yield f"{address}/mlflow/{team.namespace}"


def read(address: str, team: Team, client: str, person: str) -> Any:
    """Return what a client of MLflow reads as a person, or its error."""
    interpreter = mlflow_server.python(paths.CHECKOUT / f".locks/mlflow-{client}.txt")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON"))}
    environment = own | {
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_TRACKING_TOKEN": team.tokens[person],
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "NO_PROXY": "127.0.0.1",
    }
    argv = [str(interpreter), "-P", str(SCRIPT), "exp-00", ROWS[0].name, "curve"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else done.stderr


@pytest.mark.parametrize("client", ["2.22", "3.17"])
def test_a_client_reads_runs_and_the_registry(address: str, team: Team, client: str) -> None:
    found = read(address, team, client, "walter")
    assert isinstance(found, dict), found
    row = ROWS[0]
    parameters = {name: str(value) for name, value in row.parameters.items()}
    assert found["run"][1:] == [parameters, sorted(row.metrics), "exp-00"]
    assert sorted(found["all"]) == sorted(each.name for each in ROWS)
    assert sorted(found["filtered"]) == sorted(
        each.name for each in ROWS if each.metrics["val_f1"]["last"] > 0.5 and each.parameters["depth"] in (2, 3)
    )
    assert sorted(found["status"]) == sorted(each.name for each in ROWS if each.phase == "Failed")
    by_loss = [each.name for each in sorted(ROWS, key=lambda each: each.metrics["loss"]["last"])]
    assert (found["best"], found["worst"]) == (by_loss[:2], by_loss[:-3:-1])
    assert (found["none"], found["page"], found["byName"]) == ([], [True], "exp-00")
    assert found["experiments"] == ["Default", "exp-00"]
    assert found["history"] == [[step, value] for _, step, _, value in POINTS]
    assert found["alias"] == ["digits", "1", "READY"]
    assert (found["versions"], found["models"]) == (["2", "1"], ["digits"])
    assert {"weights.bin", "config.json", "empty"} <= {Path(path).name for path in found["files"]}
    assert found["config"] == "{}"
    assert found["predicted"] == {"models:/digits@champion": [2000], "models:/digits/2": [2000]}
    assert found["set"] is None
    assert found["missing"][0] == "RESOURCE_DOES_NOT_EXIST"
    assert found["syntax"][0] == "INVALID_PARAMETER_VALUE"
    assert found["refused"][0] == found["log"][0] == "ENDPOINT_NOT_FOUND"
    alias = json.loads(team.objects.kubectl("get", "modelalias", "digits.champion", "-o", "json"))
    assert alias["spec"]["version"] == 2
    if moved := alias["metadata"].get("annotations", {}).get("assay.dev/moved-by"):
        assert moved == team.user("walter")


def test_a_user_without_rights_reads_nothing_and_gets_the_reason(address: str, team: Team) -> None:
    found = read(address, team, "3.17", "nobody")
    assert f'User "{team.user("nobody")}" cannot' in found
    assert "PERMISSION_DENIED" in found


KEYS = st.sampled_from(["loss", "`val f1`", '"a.b"', "learning_rate"])
CONDITIONS = st.one_of(
    st.builds(lambda k, o, v: f"metrics.{k} {o} {v}", KEYS, st.sampled_from(["=", "!=", "<", ">="]), st.floats(-9, 9)),
    st.builds(lambda k, o, v: f"params.{k} {o} '{v}'", KEYS, st.sampled_from(["=", "!=", "LIKE"]), st.text("a1.%_é")),
    st.builds(lambda v: f"attributes.status = '{v}'", st.sampled_from(["FINISHED", "RUNNING", "NOTHING"])),
    st.builds(lambda k, v: f"tags.{k} IN ('{v}', \"b\")", KEYS, st.text("ab ")),
    st.just("attributes.start_time > 1664067852747"),
)  # fmt: skip


@given(st.lists(CONDITIONS, min_size=1, max_size=4))
def test_every_filter_string_becomes_a_valid_expression(conditions: list[str]) -> None:
    Filter(filters.where(" and ".join(conditions)))


@pytest.mark.parametrize("text", ["loss", "metrics.loss", "metrics.loss > 'x' or 1 = 1", "params.a > '1'", "a.b = 'c'"])
def test_filters_refused_by_mlflow_are_refused(text: str) -> None:
    with pytest.raises((InvalidRequest, ValueError)):
        filters.where(text)
