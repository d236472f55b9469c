"""examples/run, and the script of docs/own-script.md: one run each, with the image of the quickstart."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.charting import Release
from tests.objects import Objects

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


def _example() -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load((ROOT / "examples/run/run.yaml").read_text())
    manifest["metadata"] = {"name": "once"}
    return manifest


def _own() -> dict[str, Any]:
    manifest = _example()
    manifest["metadata"] = {"name": "own"}
    spec = manifest["spec"]
    spec["objective"] = {"metric": "val_loss", "direction": "minimize"}
    spec["parameters"] = {"learning-rate": 0.2}
    script = re.search(r"```python\n(.*?)```", (ROOT / "docs/own-script.md").read_text(), re.DOTALL)
    assert script
    (container,) = spec["job"]["template"]["spec"]["containers"]
    container |= {
        "command": ["python", "-c", script[1].replace("$", "$$")],
        "args": ["--learning-rate=$(PARAM_learning-rate)"],
    }
    return manifest


def test_single_runs_are_trained_and_recorded(release: Release) -> None:
    release.cluster.create_namespace("single")
    objects = Objects(release.cluster, "single")
    for manifest in (_example(), _own()):
        objects.apply(manifest)
    once, own = (objects.wait_phase("run", name, "Succeeded", "Failed", seconds=240) for name in ("once", "own"))
    for run in (once, own):
        assert run["status"]["phase"] == "Succeeded", run["status"]
        assert run["status"]["model"]["digest"].startswith("sha256:")
    assert once["status"]["metrics"]["val_accuracy"]["best"] > 0.8
    assert own["status"]["metrics"]["val_loss"]["count"] == 20
