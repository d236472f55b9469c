"""A first Experiment for a training script: its options as parameters, its metrics as objective, its commit as source.

It is a beginning for people to change, so it says in comments what it could not know.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from assay.cli.errors import NO, USAGE, CliError
from assay.cli.manifests import repositories, scripts, validate
from assay.cli.manifests.scripts import Option, Script, Value
from assay.cli.output import printing

_SCRIPTS = ("train.py", "main.py", "run.py")
#: What is left as it is: more of it is better, or it is no question.
_FIXED = ("epoch", "round", "step", "iter", "seed", "worker", "port", "verbos", "log")
#: Shares: what is between 0 and 1.
_SHARES = ("dropout", "momentum", "fraction", "ratio", "beta", "gamma", "subsample", "split", "prob")
_LESS = ("loss", "error", "rmse", "mae", "mse", "perplexity", "wer", "cer")
_VALIDATED = ("val", "eval", "test", "dev")
_RUNS = 10
_PLACEHOLDER = "registry.example.com/{name}:latest"


@dataclass(frozen=True)
class Wish:
    """What people have said themselves; "" where they have not."""

    script: Path | None = None
    name: str = ""
    image: str = ""
    metric: str = ""
    direction: str = ""


def write(wish: Wish, target: str, *, force: bool) -> None:
    """Write the manifest for a script ("-": to the standard output). Raises CliError."""
    path = wish.script or _only_script(Path())
    if target != "-" and Path(target).exists() and not force:
        raise CliError(f"{target} is there already", hint="--force replaces it, -o names another file", code=USAGE)
    text = manifest(path, wish)
    if found := validate.check(target, text).complaints:
        raise CliError(f"{found[0].path}: {found[0].message}", hint="nothing was written", code=NO)
    if target == "-":
        sys.stdout.write(text)
        return
    Path(target).write_text(text, encoding="utf-8")
    printing.write(target)
    printing.note(f"`assay validate {target}` checks it once you have changed it, `kubectl apply -f {target}` begins")


def _only_script(folder: Path) -> Path:
    """The training script of a folder. Raises CliError when it is not clear which one that is."""
    found = [folder / name for name in _SCRIPTS if (folder / name).is_file()] or sorted(folder.glob("*.py"))
    if not found or (len(found) > 1 and found[0].name not in _SCRIPTS):
        which = "none" if not found else ", ".join(path.name for path in found)
        raise CliError(f"which script trains? Here is {which}", hint="name it: assay init SCRIPT", code=USAGE)
    return found[0]


def manifest(path: Path, wish: Wish) -> str:
    """Return the text of an Experiment for a script. Raises CliError for one that cannot be read."""
    try:
        script = scripts.read(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CliError(f"cannot read {path}: {error.strerror}", code=USAGE) from None
    except (SyntaxError, ValueError) as error:
        raise CliError(f"{path} is no Python: {error}", code=USAGE) from None
    name = wish.name or _name(path)
    lines = [
        f"# Made by `assay init` from {path.name}. What stands behind a # is for you to decide.",
        "apiVersion: assay.dev/v1alpha1",
        "kind: Experiment",
        f"metadata: {{name: {_flow(name)}}}",
        "spec:",
        *_objective(script, wish),
        *_search(script),
        _said("  parallelism: 2", "runs at a time"),
        "  maxFailedRuns: 2",
        "  template:",
        *_source(path),
        *_model(script),
        *_job(path, script, wish.image or _PLACEHOLDER.format(name=name)),
    ]
    if not wish.image:
        printing.note("the image is a placeholder: --image names the one that the script is in")
    if not script.recorded:
        printing.note(f"{path.name} does not name metrics.jsonl: metrics are what it appends to /assay/metrics.jsonl")
    return "\n".join(lines) + "\n"


def _name(path: Path) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", path.absolute().parent.name.lower()).strip("-")
    return plain[:50].strip("-") or "experiment"


def _flow(value: Any) -> str:
    """A value as YAML and JSON both have it; a plain word without quotes."""
    if (
        isinstance(value, str)
        and re.fullmatch(r"[a-z][a-z0-9_./-]*", value)
        and value not in ("yes", "no", "on", "off")
    ):
        return value if value not in ("true", "false", "null", "y", "n") else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)


def _said(line: str, comment: str) -> str:
    return f"{line:<36}  # {comment}"


# The question


def _objective(script: Script, wish: Wish) -> list[str]:
    metric = wish.metric or _best(script.metrics)
    if not metric:
        return ["  # objective: {metric: val_loss, direction: minimize}   # without it there is no best run"]
    less = any(word in metric.lower() for word in _LESS)
    direction = wish.direction or ("minimize" if less else "maximize")
    others = [each for each in script.metrics if each != metric]
    line = f"  objective: {{metric: {_flow(metric)}, direction: {direction}}}"
    return [_said(line, f"it writes {', '.join(others)}, too") if others else line]


def _best(metrics: tuple[str, ...]) -> str:
    """The metric that most likely decides: one of validation, and rather a score than a loss."""
    validated = [each for each in metrics if each.lower().startswith(_VALIDATED)] or list(metrics)
    scores = [each for each in validated if not any(word in each.lower() for word in _LESS)]
    return next(iter([*scores, *validated]), "")


def _search(script: Script) -> list[str]:
    spaces = {option.name: space for option in script.options if (space := _space(option))}
    unknown = [option.name for option in script.options if not option.flag and option.name not in spaces]
    if not spaces:
        return ["  # parameters:", *(f"  # - {{name: {name}, values: […]}}" for name in unknown or ["learning_rate"])]
    lines = ["  parameters:", *(f"  - {{name: {_flow(name)}, {space}}}" for name, space in spaces.items())]
    lines += [f"  # - {{name: {name}, values: […]}}   # the script reads PARAM_{name}" for name in unknown]
    if all(space.startswith("values") for space in spaces.values()):
        return [*lines, _said("  search: {strategy: grid}", "every combination")]
    return [*lines, "  search: {strategy: random, seed: 0}", _said(f"  maxRuns: {_RUNS}", "draws")]


def _space(option: Option) -> str:
    """What is tried of an option, around its default; "" for what is no question, or without a sensible range."""
    if option.choices:
        return f"values: {json.dumps(list(option.choices))}"
    default = option.default
    if any(part.startswith(_FIXED) for part in option.name.lower().split("_")):
        return ""
    if isinstance(default, bool | str) or not default:
        return ""
    if option.kind == "int" and default > 0:
        return _whole(option, int(default))
    if option.kind == "float" and default > 0:
        share = default < 1 and any(word in option.name.lower() for word in _SHARES)
        low, high = (default / 2, (1 + default) / 2) if share else (default / 10, default * 10)
        return f"min: {low:.6g}, max: {high:.6g}" + ("" if share else ", distribution: logUniform")
    return ""


def _whole(option: Option, default: int) -> str:
    low, high = max(1, default // 2), default * 2
    if "batch" in option.name or low == default:
        return f"values: {sorted({low, default, high})}"
    return f"min: {low}, max: {high}, distribution: int"


# What becomes of each run


def _source(path: Path) -> list[str]:
    found = repositories.source(path.absolute().parent)
    if found is None:
        return ["    # source: {repository: https://git.example.com/team/code, revision: …}   # git knows of none here"]
    fields: dict[str, Value] = {"repository": found.repository, "revision": found.revision}
    fields |= {"path": found.path} if found.path else {}
    lines = ["    source:", *(f"      {key}: {_flow(value)}" for key, value in fields.items())]
    if found.dirty:
        lines.append(_said("      dirty: true", "there are changes that this revision does not have"))
    return lines


def _model(script: Script) -> list[str]:
    if script.model:
        return [_said(f"    model: {{path: {_flow(script.model)}}}", f"/assay/artifacts/{script.model} is the model")]
    return [_said("    # model: {path: model}", "/assay/artifacts/model is the model: a run that leaves none fails")]


def _job(path: Path, script: Script, image: str) -> list[str]:
    return [
        _said("    job:", "any field of a batch/v1 Job's spec"),
        "      backoffLimit: 1",
        "      template:",
        "        spec:",
        "          restartPolicy: Never",
        "          containers:",
        "          - name: train",
        f"            image: {_flow(image)}",
        *_command(path),
        *_arguments(script),
        _said("            resources:", "what one run needs"),
        "              requests: {cpu: 200m, memory: 256Mi}",
    ]


def _command(path: Path) -> Iterator[str]:
    dockerfile = path.parent / "Dockerfile"
    text = dockerfile.read_text(encoding="utf-8", errors="replace") if dockerfile.is_file() else ""
    entry = [line for line in text.splitlines() if line.startswith("ENTRYPOINT")]
    if entry and path.name in entry[-1]:
        return
    if not text:
        needed = " with requirements.txt installed" if (path.parent / "requirements.txt").is_file() else ""
        yield f"            # there is no Dockerfile here: the image needs Python and {path.name}{needed}"
    yield f"            command: [python, {_flow(path.name)}]"


def _arguments(script: Script) -> Iterator[str]:
    given = [option for option in script.options if option.flag and _space(option)]
    if given:
        yield "            args:"
    for option in given:
        yield f"            - {option.flag}=$(PARAM_{option.name})"
    for option in script.options:
        if option.required and option not in given:
            yield f"            # {option.flag}=… is required, and has no default"


def command(
    script: Annotated[Path | None, typer.Argument(help="The training script; found, if there is only one.")] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the Experiment; that of the folder.")] = "",
    image: Annotated[str, typer.Option("--image", help="The image that the script is in.")] = "",
    metric: Annotated[str, typer.Option("--metric", help="The metric that decides.")] = "",
    direction: Annotated[
        Literal["maximize", "minimize"] | None, typer.Option("--direction", help="Whether more or less is better.")
    ] = None,
    target: Annotated[
        str, typer.Option("--output", "-o", help="The file; - is the standard output.")
    ] = "experiment.yaml",
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write an Experiment for the training script in this folder."""
    write(Wish(script, name, image, metric, direction or ""), target, force=force)
