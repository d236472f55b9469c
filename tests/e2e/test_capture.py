"""What is captured of a run that nobody asked for: the environment inside the training's image, hardware, use."""

import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.recorder.packages import normal
from assay.store import system
from tests import operators
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import TRAINING_IMAGE, Objects, run

pytestmark = pytest.mark.e2e

LIST_PACKAGES = """
    import subprocess, platform
    packages = json.loads(subprocess.check_output([sys.executable, '-m', 'pip', 'list', '--format=json']))
    artifacts.joinpath('pip.json').write_text(json.dumps({'packages': packages, 'python': platform.python_version()}))
"""
BURN = """
    block = bytearray(150 << 20)
    began = time.process_time()
    while time.process_time() - began < 20:
        pass
    time.sleep(4)
"""


@pytest.fixture(scope="module")
def operator_process(
    installed: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    log: Path = tmp_path_factory.mktemp("operator") / "operator.log"
    with operators.OperatorProcess(installed, log, {"ASSAY_SYSTEM_SECONDS": "2"}) as process:
        yield process


def environment(objects: Objects, ended: dict[str, Any]) -> dict[str, Any]:
    pod = ended["status"]["attempts"][-1]["pod"]
    found: dict[str, Any] = objects.read_json(ended, f"pods/{pod}/environment.json")
    return found


def succeeded(objects: Objects, name: str) -> dict[str, Any]:
    ended = objects.wait_phase("run", name, "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    return ended


def test_packages_are_those_that_pip_lists_inside_the_training_image(objects: Objects) -> None:
    manifest = run("known", LIST_PACKAGES)
    container = manifest["spec"]["job"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "API_TOKEN", "value": "secret-$(ASSAY_RUN)"}, {"name": "ODD$(HOME)", "value": "x"}]
    container["resources"] = {"requests": {"cpu": "60m", "memory": "40Mi"}, "limits": {"memory": "1Gi"}}
    objects.apply(manifest)
    ended = succeeded(objects, "known")
    found, pod = environment(objects, ended), ended["status"]["attempts"][-1]["pod"]
    said = objects.read_json(ended, f"pods/{pod}/artifacts/pip.json")
    listed = {normal(each["name"]): each["version"] for each in said["packages"]}
    assert "scikit-learn" in listed
    assert (found["source"], found["problems"], found["packages"]) == ("image", [], listed)
    assert found["python"] == said["python"]
    assert (found["container"], found["image"]) == ("train", TRAINING_IMAGE)
    assert found["os"]["id"]
    assert {"API_TOKEN", "ODD$(HOME)", "ASSAY_RUN"} <= set(found["variables"])
    assert "secret-" not in json.dumps(found), "the value of a variable is in the record"

    hardware = found["hardware"]
    assert hardware["node"] == ended["status"]["attempts"][-1]["node"]
    assert (hardware["kernel"], hardware["architecture"]) == (platform.release(), platform.machine())
    assert hardware["cpu"]["cores"] == os.cpu_count()
    assert hardware["memory_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert (hardware["requests"], hardware["limits"]) == ({"cpu": "60m", "memory": "40Mi"}, {"memory": "1Gi"})
    assert hardware["gpus"] == {"requested": {}, "seen": None}

    assert ended["status"]["environment"] == {"source": "image", "python": said["python"], "packages": len(listed)}
    files = {each["path"] for each in objects.read_json(ended, "manifest.json")["files"]}
    assert f"pods/{pod}/environment.json" in files


def test_what_a_run_uses_is_sampled_and_summed_up(objects: Objects) -> None:
    objects.apply(run("busy", BURN))
    ended = succeeded(objects, "busy")
    usage, pod = ended["status"]["usage"], ended["status"]["attempts"][-1]["pod"]
    assert usage["samples"] >= 2, usage
    # The kubelet looks every ten seconds or so, and no more once the container has ended.
    assert 5 < usage["cpuSeconds"] < 25
    assert usage["maxMemoryBytes"] > 150 << 20
    points = [point for _, point in system.read(objects.store, objects.prefix(ended))]
    assert {point["container"] for point in points} == {"train"}
    assert {point["metric"] for point in points} == {"system.cpu_cores", "system.cpu_seconds", "system.memory_bytes"}
    assert max(point["value"] for point in points if point["metric"] == "system.cpu_cores") > 0.3
    files = {each["path"] for each in objects.read_json(ended, "manifest.json")["files"]}
    assert f"system/{pod}/part-00001.jsonl.gz" in files


def test_samples_go_on_after_the_operator_was_killed(objects: Objects, operator: operators.OperatorProcess) -> None:
    objects.apply(run("long", "while not os.path.exists('/assay/artifacts/end'): sum(range(100000))"))
    running = objects.wait_phase("run", "long", "Running")

    def points() -> list[float]:
        read = system.read(objects.store, objects.prefix(running))
        return [point["time"] for _, point in read if point["metric"] == "system.cpu_seconds"]

    wait_for("a sample in the store", points, seconds=60)
    operator.kill()
    before = points()
    operator.start().wait_ready()
    wait_for("another sample in the store", lambda: len(points()) > len(before), seconds=60)
    pod = running["status"]["attempts"][-1]["pod"]
    objects.kubectl("exec", pod, "-c", "train", "--", "touch", "/assay/artifacts/end")
    ended = succeeded(objects, "long")
    times = points()
    assert times[: len(before)] == before
    assert times == sorted(set(times)), "a sample is there twice, or out of order"
    assert ended["status"]["usage"]["samples"] == len(times)
