"""Every example, as far as it runs without a cluster: valid manifests, and training code that knows of nothing."""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import pytest
import yaml
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

from assay.api.experiment import ExperimentSpec
from assay.api.modelalias import ModelAliasSpec
from assay.api.promotionpolicy import PromotionPolicySpec
from assay.planning.promotion import verdict
from assay.planning.promotion.policies import AliasView, policy_view
from assay.planning.search import space
from tests.cluster.waiting import wait_for

pytestmark = pytest.mark.unit

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
QUICKSTART = EXAMPLES / "quickstart"
REGISTRY = EXAMPLES / "registry"


def _manifest() -> dict[str, Any]:
    return yaml.safe_load((QUICKSTART / "experiment.yaml").read_text())


def test_every_example_is_listed_and_explained() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    listed = (EXAMPLES / "README.md").read_text()
    assert folders
    for folder in folders:
        assert f"]({folder}/)" in listed
        assert (EXAMPLES / folder / "README.md").is_file()


def test_quickstart_asks_for_six_runs_two_at_a_time() -> None:
    spec = ExperimentSpec.model_validate(_manifest()["spec"])
    combinations = [space.parameters_of(spec, index) for index in range(space.size(spec))]
    assert len(combinations) == 6
    assert len({json.dumps(one, sort_keys=True) for one in combinations}) == 6
    assert spec.parallelism == 2


def test_training_code_imports_nothing_of_assay() -> None:
    for script in EXAMPLES.rglob("*.py"):
        for node in ast.walk(ast.parse(script.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "assay"], script


def test_quickstart_trains_with_the_arguments_of_its_manifest(tmp_path: Path) -> None:
    manifest = _manifest()
    container = manifest["spec"]["template"]["job"]["template"]["spec"]["containers"][0]
    parameters = {parameter["name"]: parameter["values"][0] for parameter in manifest["spec"]["parameters"]}
    arguments = " ".join(container["args"])
    for name, value in parameters.items():
        assert f"$(PARAM_{name})" in arguments
        arguments = arguments.replace(f"$(PARAM_{name})", str(value))

    command = [sys.executable, QUICKSTART / "train.py", *arguments.split(), "--rounds=2", f"--output={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr

    points = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [point["step"] for point in points] == [1, 2]
    metrics = {"train_loss", "val_loss", "train_accuracy", "val_accuracy"}
    assert all(set(point) == {"step", *metrics} for point in points)
    assert manifest["spec"]["objective"]["metric"] in metrics

    model = tmp_path / "artifacts" / manifest["spec"]["template"]["model"]["path"]
    assert (model / "model.joblib").stat().st_size > 0
    assert (tmp_path / "artifacts" / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")


# The server


@contextmanager
def _server(folder: Path, version: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start serve.py over a model; give the process and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"MODEL_PATH": str(folder), "MODEL_NAME": "digits", "MODEL_VERSION": version}
    process = subprocess.Popen(
        [sys.executable, QUICKSTART / "serve.py"],
        env=environment | {"PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def _ask(url: str, body: bytes | None = None) -> tuple[int, dict[str, Any], str]:
    """Return status, body and X-Model-Version of an answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(url, body, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, json.loads(answer.read()), answer.headers["X-Model-Version"]


def _save_model(folder: Path) -> None:
    digits = load_digits()
    joblib.dump(GaussianNB().fit(digits.data, digits.target), folder / "model.joblib")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server of a small model."""
    folder = tmp_path_factory.mktemp("model")
    _save_model(folder)
    with _server(folder, "1") as (_, url):
        wait_for("the server", lambda: _ask(f"{url}/healthz")[0] == 200, seconds=30)
        yield url


def test_the_server_serves_its_model_reports_its_version_and_stops_at_once(tmp_path: Path) -> None:
    _save_model(tmp_path)
    with _server(tmp_path, "3") as (process, url):
        wait_for("the server", lambda: _ask(f"{url}/healthz")[0] == 200, seconds=30)
        said = {"model": "digits", "version": "3", "path": str(tmp_path)}
        assert _ask(f"{url}/version") == (200, said, "digits.v3")
        image = load_digits().data[0].tolist()
        assert _ask(f"{url}/predict", json.dumps({"images": [image, image]}).encode()) == (
            200,
            {"digits": [0, 0]},
            "digits.v3",
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/predict", b"{}", 400, "KeyError: 'images'"),
        ("/predict", b'{"images": [[1, 2]]}', 400, "X has 2 features"),
        ("/predict", b"[1]", 400, "TypeError"),
        ("/predict", b"not JSON", 400, "JSONDecodeError"),
        ("/predict", b"", 400, "a request has between 1 and 1048576 bytes, and this one 0"),
        ("/elsewhere", b"{}", 404, "there is no /elsewhere: POST /predict"),
        ("/elsewhere", None, 404, "there is no /elsewhere: GET /healthz or /version"),
    ],
)
def test_the_server_explains_invalid_requests(
    served: str, path: str, body: bytes | None, status: int, words: str
) -> None:
    found, said, version = _ask(served + path, body)
    assert (found, version) == (status, "digits.v1")
    assert words in said["error"]


def test_a_server_without_a_usable_model_exits_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"these are no weights")
    with _server(tmp_path, "3") as (process, _):
        said = process.communicate(timeout=30)[1]
        assert process.returncode == 1
        assert said.startswith(f"digits.v3: {tmp_path}/model.joblib cannot be loaded: ")
        assert said.count("\n") == 1, "one line, which becomes the pod's termination message"


# The registry


def _of_kind(file: str, kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((REGISTRY / file).read_text())
    return next(document for document in documents if document["kind"] == kind)


def test_the_registry_manifests_refer_to_the_same_alias() -> None:
    register = ExperimentSpec.model_validate(_of_kind("experiment.yaml", "Experiment")["spec"]).register_
    alias = ModelAliasSpec.model_validate(_of_kind("alias.yaml", "ModelAlias")["spec"])
    policy = policy_view(
        "release", PromotionPolicySpec.model_validate(_of_kind("policy.yaml", "PromotionPolicy")["spec"])
    )
    assert register is not None
    assert register.model == alias.model
    assert verdict.matches(policy, AliasView(alias.model, alias.alias))
    assert verdict.problems(policy) == []
    follows = _of_kind("deployment.yaml", "Deployment")["metadata"]["annotations"]["assay.dev/serve"]
    assert follows == f"{alias.model}.{alias.alias}"


def test_registry_readme_names_every_manifest() -> None:
    told = set(re.findall(r"-f ([a-z]+\.yaml)", (REGISTRY / "README.md").read_text()))
    assert told == {path.name for path in REGISTRY.glob("*.yaml")}
