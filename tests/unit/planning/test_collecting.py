"""spec.collect in the pod: what the recorder is told, and the folder with event files that it shares."""

import json
from typing import Any

import pytest

from assay.planning.runs.job import JobSettings, build_job
from tests.unit.planning.objects import job_spec, run

pytestmark = pytest.mark.unit

Raw = dict[str, Any]


def pod(collect: Raw | None, **template: Any) -> Raw:
    body = run(job=job_spec(**template), **({"collect": collect} if collect is not None else {}))
    built = build_job(body, "runs/team/_/r/u", JobSettings("assay"), metrics=["loss", "a$b"])
    found: Raw = built["spec"]["template"]["spec"]
    return found


def told(found: Raw, name: str) -> str | None:
    return next((each["value"] for each in found["initContainers"][1]["env"] if each["name"] == name), None)


def mounts(container: Raw) -> dict[str, Raw]:
    return {each["mountPath"]: each for each in container["volumeMounts"]}


def test_the_recorder_is_told_what_to_collect_and_what_to_summarise() -> None:
    collect = {"prometheus": {"port": 8000}, "stdout": {"format": "regex", "pattern": "$(HOME) (?P<a>.)"}}
    found = pod(collect)
    said = told(found, "ASSAY_COLLECT")
    assert said is not None
    assert "$(" not in said.replace("$$", "")
    assert json.loads(said.replace("$$", "$")) == collect
    assert told(found, "ASSAY_METRICS") == '["loss", "a$$b"]'
    assert told(pod(None), "ASSAY_COLLECT") is None


def test_a_folder_for_event_files_is_shared() -> None:
    found = pod({"tensorboard": {"path": "/logs/"}})
    assert {"name": "assay-tensorboard", "emptyDir": {}} in found["volumes"]
    assert mounts(found["containers"][0])["/logs"]["name"] == "assay-tensorboard"
    recorder = found["initContainers"][1]
    assert mounts(recorder)["/tensorboard"] == {
        "name": "assay-tensorboard", "mountPath": "/tensorboard", "readOnly": True,
    }  # fmt: skip
    assert told(found, "ASSAY_TENSORBOARD") == "/tensorboard"


def test_a_volume_that_the_template_mounts_there_is_used() -> None:
    volume = {"name": "scratch", "emptyDir": {}}
    container = {
        "name": "train",
        "image": "i",
        "volumeMounts": [{"name": "scratch", "mountPath": "/data", "subPath": "s"}],
    }
    found = pod({"tensorboard": {"path": "/data/tb/runs"}}, containers=[container], volumes=[volume])
    assert mounts(found["initContainers"][1])["/tensorboard"] == {
        "name": "scratch", "subPath": "s", "mountPath": "/tensorboard", "readOnly": True,
    }  # fmt: skip
    assert told(found, "ASSAY_TENSORBOARD") == "/tensorboard/tb/runs"
    assert [each["name"] for each in found["volumes"]].count("assay-tensorboard") == 0


def test_a_folder_below_assay_needs_no_volume() -> None:
    found = pod({"tensorboard": {"path": "/assay/tb"}})
    assert told(found, "ASSAY_TENSORBOARD") == "/assay/tb"
    assert "/tensorboard" not in mounts(found["initContainers"][1])
