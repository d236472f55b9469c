"""What the recorder and the fetch load: they run in every pod, and each library costs CPU before anything is done."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

OPERATOR = Path(__file__).parents[2] / "operator"

#: Of the operator's libraries, those that a pod of others never needs to start. duckdb serves the recorder's end.
HEAVY = {
    *("duckdb", "kubernetes", "kopf", "aiohttp", "asyncio", "requests", "pydantic", "pydantic_core", "cryptography"),
    *("cel_expr_python", "prometheus_client", "yaml"),
}
#: What speaks to the store. Settings are judged, and metrics read, before it is loaded.
CLIENT = {"minio", "urllib3", "certifi", "ssl", "Crypto", "argon2"}
#: The modules of the recorder that are loaded when an MLflow client connects, but for those that listen.
ENDPOINT = "assay.recorder.collectors.mlflow"
LISTENS = {f"{ENDPOINT}.{name}" for name in ("collector", "server", "limits")}
STORE = ("assay.store.client", "assay.store.credentials", "assay.store.upload")


def _loaded(*modules: str) -> set[str]:
    """The names of all modules that a new interpreter has after it has imported these."""
    program = f"import {', '.join(modules)}, json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(OPERATOR)}, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_the_checked_libraries_exist() -> None:
    assert [name for name in HEAVY | CLIENT if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize("part", ["recorder", "fetch"])
def test_recorder_and_fetch_start_without_the_store_libraries(part: str) -> None:
    loaded = _loaded(f"assay.{part}.__main__")
    assert f"assay.{part}.settings" in loaded
    assert loaded & (HEAVY | CLIENT) == set()


@pytest.mark.parametrize("part", ["recorder", "fetch"])
def test_it_works_without_the_operators_libraries(part: str) -> None:
    """Every module of it, and those of the store that it imports when it needs them."""
    files = sorted((OPERATOR / "assay" / part).rglob("*.py"))
    found = [".".join(path.relative_to(OPERATOR).with_suffix("").parts) for path in files]
    names = [name for name in found if not name.endswith("__init__")]
    names = [name for name in names if not name.startswith(f"{ENDPOINT}.") or name in LISTENS]
    loaded = _loaded(*names, *STORE)
    assert set(names) | CLIENT <= loaded
    assert loaded & HEAVY == set()


def test_one_shot_commands_do_not_load_the_async_client() -> None:
    """These took three quarters of the CPU time of `assay runs`."""
    loaded = _loaded(
        "assay.cli.__main__", "assay.cli.app", "assay.cli.runs.runs", "assay.cli.runs.show", "assay.kube.sync"
    )
    assert "assay.kube.transport" in loaded
    assert loaded & {"kubernetes", "kopf", "aiohttp", "asyncio.events", "duckdb", "pandas", "numpy"} == set()
