"""`assay init` in the folder of a training script: the API server accepts the manifest."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.cli import golden
from tests.cli.conftest import run
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

QUICKSTART = Path(__file__).resolve().parents[2] / "examples" / "quickstart"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The quickstart's script, as if it were new."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for name in ("train.py", "serve.py", "Dockerfile", "requirements.txt"):
        shutil.copy(QUICKSTART / name, folder)
    return folder


def test_the_api_server_accepts_the_generated_manifest(governed: Cluster, namespace: str, folder: Path) -> None:
    answer = run("init", "--image", "localhost/assay-quickstart:dev", environment={}, cwd=folder)
    assert (answer.code, answer.out) == (0, "experiment.yaml\n"), answer.err
    text = (folder / "experiment.yaml").read_text()
    golden.check("init", text)
    assert run("validate", "experiment.yaml", environment={}, cwd=folder).out == "1 object valid\n"
    argv = ("create", "--dry-run=server", "--validate=strict", "-ojson", "-f-")
    found = json.loads(governed.kubectl("-n", namespace, *argv, stdin=text))
    assert found["spec"]["objective"]["metric"] == "val_accuracy"


def test_an_existing_file_is_not_replaced(folder: Path) -> None:
    (folder / "experiment.yaml").write_text("mine")
    refused = run("init", "train.py", environment={}, cwd=folder)
    assert (refused.code, "experiment.yaml already exists" in refused.err) == (2, True)
    assert (folder / "experiment.yaml").read_text() == "mine"
    assert run("init", "--force", environment={}, cwd=folder).code == 0
    assert yaml.safe_load((folder / "experiment.yaml").read_text())["metadata"]["name"] == "digits"
    shown = run("init", "-o", "-", environment={}, cwd=folder)
    assert shown.out == (folder / "experiment.yaml").read_text()
    assert "the image is a placeholder" in shown.err


def test_an_invalid_manifest_is_not_written(folder: Path) -> None:
    refused = run("init", "--name", "My_Digits", environment={}, cwd=folder)
    assert (refused.code, "a name has at most 50 lower-case letters" in refused.err) == (6, True)
    assert not (folder / "experiment.yaml").exists()


def test_an_ambiguous_script_must_be_named(tmp_path: Path) -> None:
    assert "no script in this folder" in run("init", environment={}, cwd=tmp_path).err
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("")
    answer = run("init", environment={}, cwd=tmp_path)
    assert (answer.code, "several scripts: a.py, b.py" in answer.err) == (2, True)
