"""MLflow's clients, old and new, do against the recorder's endpoint what they do against MLflow's own server."""

import ast
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import mlflow_server
from tests.cluster import paths
from tests.unit.recorder.mlflow.endpoint import RUN, Endpoint

pytestmark = pytest.mark.integration

CONTRACT = paths.CHECKOUT / "tests/mlflow/contract.py"
CHECKS = [
    found.name
    for found in ast.parse(CONTRACT.read_text()).body
    if isinstance(found, ast.FunctionDef) and [ast.unparse(each) for each in found.decorator_list] == ["check"]
]
VERSIONS = ("2.9", "2.22", "3.6", "3.17")
_SECONDS = 600


@pytest.fixture(scope="module", params=VERSIONS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What each check of the contract found, with one version of the client."""
    lock = paths.CHECKOUT / f".locks/mlflow-{request.param}.txt"
    endpoint = Endpoint(tmp_path_factory.mktemp("mlflow"))
    try:
        yield _run(mlflow_server.python(lock), endpoint)
    finally:
        endpoint.close()
    assert endpoint.failures == []


def _run(interpreter: Path, endpoint: Endpoint) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON"))}
    environment = own | {
        "PATH": f"{interpreter.parent}:{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{endpoint.server.port}",
        "MLFLOW_EXPERIMENT_ID": "1",
        "MLFLOW_RUN_ID": RUN,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "NO_PROXY": "127.0.0.1",
    }
    argv = [str(interpreter), "-P", str(CONTRACT)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("check", CHECKS)
def test_a_client_can(results: dict[str, str], check: str) -> None:
    assert results[check] == ""
