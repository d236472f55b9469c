"""docs/parameters.md: what a container gets, and switches in arguments."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api import names
from assay.planning.runs.job import JobSettings, build_job
from tests.unit.planning.objects import run

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).resolve().parents[3] / "docs/parameters.md").read_text()


def template(parameters: dict[str, Any]) -> dict[str, Any]:
    body = run("one", parameters=parameters)
    found: dict[str, Any] = build_job(body, "runs/team/_/one/uid", JobSettings(image="a"))["spec"]["template"]
    return found


def test_the_table_is_what_a_container_gets() -> None:
    written = yaml.safe_load(re.search(r"`parameters: (\{.*?\})`", PAGE)[1])  # type: ignore[index]
    built = template(written)
    env = {each["name"]: each["value"].replace("$$", "$") for each in built["spec"]["containers"][0]["env"]}
    quoted = dict(
        each.split("=", 1)
        for each in re.findall(r"`(PARAM_\S+?=[^`]*)`", PAGE.partition("\n- ")[0].partition("\n\n|")[2])
    )
    assert quoted == {name: value for name, value in env.items() if name.startswith("PARAM_")}
    assert f"`{built['metadata']['annotations'][names.ANNOTATION_PARAMETERS]}`" in PAGE
    assert json.loads(built["metadata"]["annotations"][names.ANNOTATION_PARAMETERS]) == written


@pytest.mark.parametrize("value", ["--amp", ""])
def test_a_switch_is_an_argument_or_none(tmp_path: Path, value: str) -> None:
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])  # type: ignore[index]
    assert value in example["parameters"][0]["values"]
    command = example["template"]["job"]["template"]["spec"]["containers"][0]["command"]
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PARAM_lr": "1.0e-05", "PARAM_amp": value}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == shlex.split(f"train.py --lr=1.0e-05 {value}")
