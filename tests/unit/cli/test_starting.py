"""`assay init`: what it finds in a script and in git, and the Experiment that it generates."""

import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.cli.errors import CliError
from assay.cli.manifests import init, repositories, scripts
from assay.cli.manifests.init import Request
from assay.cli.manifests.scripts import Option
from assay.cli.manifests.validate import check

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
QUICKSTART = Path(__file__).resolve().parents[3] / "examples" / "quickstart"


def read(text: str) -> scripts.Script:
    return scripts.read(textwrap.dedent(text))


def written(folder: Path, text: str, **request: Any) -> Raw:
    """Return the valid manifest for a script."""
    script = folder / "train.py"
    script.write_text(textwrap.dedent(text))
    manifest = init.manifest(script, Request(**request))
    assert check("experiment.yaml", manifest).complaints == []
    found: Raw = yaml.safe_load(manifest)
    return found


# Scripts


def test_options_of_argparse() -> None:
    found = read("""
        parser.add_argument("-l", "--learning-rate", type=float, default=0.1)
        parser.add_argument("--depth", default=2)
        parser.add_argument("--kind", choices=["a", "b"], required=True)
        parser.add_argument("--fast", action="store_true")
        parser.add_argument("--data", type=Path)
        parser.add_argument("file")
    """)
    assert found.options == (
        Option("learning_rate", "--learning-rate", "float", 0.1),
        Option("depth", "--depth", "int", 2),
        Option("kind", "--kind", "other", None, ("a", "b"), required=True),
        Option("fast", "--fast", "flag"),
        Option("data", "--data", "other"),
    )


def test_options_of_click() -> None:
    found = read("""
        @click.command()
        @click.option("--lr", type=float, default=1e-3)
        @click.option("--kind", type=click.Choice(["a", "b"]))
        @click.option("--cuda/--no-cuda", default=True)
        def main(lr, kind="a", cuda=True): ...
    """)
    assert found.options == (
        Option("lr", "--lr", "float", 0.001),
        Option("kind", "--kind", "other", None, ("a", "b")),
        Option("cuda", "--cuda/--no-cuda", "flag", True),
    )


@pytest.mark.parametrize("how", ["@app.command()", ""])
def test_options_of_typer(how: str) -> None:
    found = read(f"""
        {how}
        def main(
            data: Path,
            learning_rate: float = 0.1,
            depth: Annotated[int, typer.Option(help="of each tree")] = 2,
            rounds: int = typer.Option(40, help="of boosting"),
        ): ...
        {"" if how else "typer.run(main)"}
    """)
    assert found.options == (
        Option("learning_rate", "--learning-rate", "float", 0.1),
        Option("depth", "--depth", "int", 2),
        Option("rounds", "--rounds", "int", 40),
    )


def test_parameters_from_the_environment() -> None:
    found = read("""
        lr = float(os.environ.get("PARAM_lr", "0.1"))
        depth = os.environ["PARAM_depth"]
        home = os.environ["HOME"]
    """)
    assert set(found.options) == {Option("lr", "", "float", 0.1), Option("depth", "", "other")}


@pytest.mark.parametrize(
    ("body", "metrics"),
    [
        ('file.write(json.dumps({"step": 1, "loss": x, "val/f1": y}))', ("loss", "val/f1")),
        ('point = {"epoch": 1}\npoint["loss"] = x\njson.dumps(point)', ("loss",)),
        ('for part in ("train", "val"):\n    point[f"{part}_loss"] = x\njson.dumps(point)', ("train_loss", "val_loss")),
        ('for part in parts:\n    point[f"{part}_loss"] = x\njson.dumps(point)', ()),
        ('other = {"loss": x}', ()),
    ],
)
def test_metrics_are_the_keys_of_the_written_json(body: str, metrics: tuple[str, ...]) -> None:
    assert scripts.read(f'file = "/assay/metrics.jsonl"\n{body}').metrics == metrics
    assert scripts.read(body).metrics == ()


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ('joblib.dump(model, "/assay/artifacts/model/model.joblib")', "model"),
        ('(out / "artifacts" / "model.pt").write_bytes(data)', "model.pt"),
        ('joblib.dump(model, artifacts / "best-model" / "file")', "best-model"),
        ('plt.savefig("/assay/artifacts/plot.png")', ""),
    ],
)
def test_the_model_is_the_artifact_with_that_name(body: str, model: str) -> None:
    assert scripts.read(body).model == model


# The Experiment


def test_init_generates_an_experiment_like_that_of_the_quickstart() -> None:
    found = yaml.safe_load(init.manifest(QUICKSTART / "train.py", Request(image="localhost/assay-quickstart:dev")))
    known = yaml.safe_load((QUICKSTART / "experiment.yaml").read_text())
    assert found["spec"]["objective"] == known["spec"]["objective"]
    assert found["spec"]["template"]["model"] == known["spec"]["template"]["model"]
    (ours,), (theirs,) = (each["spec"]["template"]["job"]["template"]["spec"]["containers"] for each in (found, known))
    assert (ours["image"], ours["args"]) == (theirs["image"], theirs["args"])
    assert "command" not in ours, "its image has an entry point"
    spaces = {each["name"]: (each["min"], each["max"], each["distribution"]) for each in found["spec"]["parameters"]}
    assert spaces == {"learning_rate": (0.01, 1, "logUniform"), "depth": (1, 4, "int")}


@pytest.mark.parametrize(
    ("option", "space"),
    [
        ('"--lr", type=float, default=1e-4', {"min": 1e-05, "max": 0.001, "distribution": "logUniform"}),
        ('"--dropout", type=float, default=0.2', {"min": 0.1, "max": 0.6}),
        ('"--batch-size", type=int, default=32', {"values": [16, 32, 64]}),
        ('"--layers", type=int, default=1', {"values": [1, 2]}),
        ('"--optimizer", choices=["adam", "sgd"]', {"values": ["adam", "sgd"]}),
    ],
)
def test_the_search_is_around_the_defaults(tmp_path: Path, option: str, space: Raw) -> None:
    found = written(tmp_path, f"parser.add_argument({option})")
    (parameter,) = found["spec"]["parameters"]
    name = parameter.pop("name")
    numbers = {key: float(value) if key in ("min", "max") else value for key, value in parameter.items()}
    assert numbers == space
    flag = f"--{name.replace('_', '-')}"
    assert container(found)["args"] == [f"{flag}=$(PARAM_{name})"]


def container(manifest: Raw) -> Raw:
    found: Raw = manifest["spec"]["template"]["job"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("option", ['"--epochs", type=int, default=5', '"--seed", default=1', '"--out", default="x"'])
def test_epochs_seeds_and_strings_are_not_searched(tmp_path: Path, option: str) -> None:
    found = written(tmp_path, f"parser.add_argument({option})")
    assert "parameters" not in found["spec"]
    assert "args" not in container(found)


def test_a_script_without_options_gives_an_experiment_to_fill_in(tmp_path: Path) -> None:
    found = written(tmp_path, "print('hello')")
    assert sorted(found["spec"]) == ["maxFailedRuns", "parallelism", "template"]
    assert container(found)["command"] == ["python", "train.py"]
    text = init.manifest(tmp_path / "train.py", Request())
    for word in ("# objective:", "# parameters:", "# source:", "# model:", "# no Dockerfile found"):
        assert word in text


def test_options_override_what_was_found(tmp_path: Path) -> None:
    found = written(tmp_path, "", name="mine", image="r/x:1", metric="score", direction="minimize")
    assert found["metadata"]["name"] == "mine"
    assert found["spec"]["objective"] == {"metric": "score", "direction": "minimize"}
    assert container(found)["image"] == "r/x:1"


@pytest.mark.parametrize(
    ("metrics", "objective"),
    [
        (["train_loss", "val_loss"], {"metric": "val_loss", "direction": "minimize"}),
        (["val_loss", "val_accuracy"], {"metric": "val_accuracy", "direction": "maximize"}),
        (["rmse"], {"metric": "rmse", "direction": "minimize"}),
    ],
)
def test_the_most_likely_objective_is_chosen(tmp_path: Path, metrics: list[str], objective: Raw) -> None:
    point = ", ".join(f'"{metric}": 1' for metric in metrics)
    found = written(tmp_path, f'open("/assay/metrics.jsonl").write(json.dumps({{{point}}}))')
    assert found["spec"]["objective"] == objective


def test_invalid_python_is_reported(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def (")
    with pytest.raises(CliError, match=r"train.py is not valid Python: invalid syntax"):
        init.manifest(tmp_path / "train.py", Request())


# Git


def git(folder: Path, *argv: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *argv], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_source_has_the_commit_and_uncommitted_changes(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    (folder / "train.py").write_text("print()")
    git(tmp_path, "init", "-q")
    assert repositories.source(folder) is None
    git(tmp_path, "remote", "add", "origin", "https://jane:ghp_secret@git.example.com/ml/digits.git?token=secret")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "x")
    head = git(tmp_path, "rev-parse", "HEAD")
    (folder / "experiment.yaml").write_text("")
    clean = repositories.source(folder)
    assert clean == repositories.Source("https://git.example.com/ml/digits.git", head, "train", dirty=False)
    (folder / "train.py").write_text("print(1)")
    text = init.manifest(folder / "train.py", Request())
    assert "secret" not in text
    source = yaml.safe_load(text)["spec"]["template"]["source"]
    assert source == {"repository": clean.repository, "revision": head, "path": "train", "dirty": True}


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("https://token@host/x", "https://host/x"),
        ("https://user:token@host:8443/x", "https://host:8443/x"),
        ("ssh://git:secret@host/x", "ssh://git@host/x"),
        ("git@host:team/x.git", "git@host:team/x.git"),
        ("../elsewhere", "../elsewhere"),
    ],
)
def test_secrets_are_removed_from_addresses(address: str, known: str) -> None:
    assert repositories.without_secrets(address) == known
