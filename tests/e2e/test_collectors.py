"""Sources of metrics other than metrics.jsonl, on real pods: what containers print, and what they serve."""

import csv
import io
from collections import Counter
from pathlib import Path

import pytest
import yaml

from assay.queries.curves.reading import read_curve
from tests.cluster import audit, images
from tests.cluster.local import LocalCluster
from tests.objects import Objects, Raw, run
from tests.registry import OPERATOR

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_event_files_are_recorded_point_for_point(objects: Objects, installed: LocalCluster) -> None:
    installed.load_image(images.tensorboard_image())
    objects.apply(yaml.safe_load((EXAMPLES / "tensorboard/experiment.yaml").read_text()))
    ended = objects.wait_phase("experiment", "tensorboard", "Succeeded", "Failed", seconds=180)
    assert ended["status"]["phase"] == "Succeeded", objects.kubectl("describe", "runs")
    for name in ("tensorboard-0", "tensorboard-1"):
        found = objects.get("run", name)
        artifacts = f"pods/{found['status']['record']['pod']}/artifacts"
        history = objects.read(found, f"{artifacts}/history.csv").decode()
        written = [(metric, float(step), float(value)) for metric, step, value in csv.reader(io.StringIO(history))]
        assert len(written) == 100
        assert sorted(objects.points(found)) == sorted(written)
        assert f"{artifacts}/tensorboard/boundary/50.png" in objects.stored(found)
        assert found["status"]["recorder"]["warnings"] == ["tensorboard: not recorded: 1 histograms"]
    assert ended["status"]["best"]["run"] == "tensorboard-1"


def test_a_shell_script_that_prints_is_recorded(objects: Objects) -> None:
    objects.apply(yaml.safe_load((EXAMPLES / "stdout/run.yaml").read_text()))
    ended = objects.wait_phase("run", "stdout", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    curve = read_curve(objects.store, ended, "loss")
    assert curve.step.tolist() == list(range(1, 21))
    assert curve.value.tolist() == [float(f"0.{100 - 4 * epoch}") for epoch in range(1, 21)]
    assert ended["status"]["metrics"]["eval-rmse"] == {"last": 0.25, "min": 0.25, "max": 0.25, "step": 21, "count": 1}


def test_what_a_container_prints_is_recorded_and_live(objects: Objects) -> None:
    script = """
        print('epoch 0 of 3, nothing yet', flush=True)
        for step in range(3):
            print(f'step={step} loss={0.5 ** step} val/f1: {step / 4}', flush=True)
        while not (artifacts / 'go').exists():
            time.sleep(0.2)
        print('step=3 loss=nan', flush=True)
        sys.stderr.write('step=4 loss=0.125')
    """
    objective = {"metric": "val/f1", "direction": "maximize"}
    objects.apply(run("prints", script, collect={"stdout": {"format": "keyValue"}}, objective=objective))

    def live(found: Raw) -> bool:
        return ((found.get("status", {}).get("metrics") or {}).get("loss") or {}).get("count") == 3

    running = objects.wait("run", "prints", "three printed points in the status", live)
    assert running["status"]["objective"] == "0.5"
    pod = running["status"]["attempts"][-1]["pod"]
    objects.kubectl("exec", pod, "-c", "train", "--", "touch", "/assay/artifacts/go")
    ended = objects.wait_phase("run", "prints", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    loss = ended["status"]["metrics"]["loss"]
    assert loss == {"last": 0.125, "min": 0.125, "max": 1, "step": 4, "count": 5}
    curve = read_curve(objects.store, ended, "loss")
    assert curve.step.tolist() == [0, 1, 2, 3, 4]
    assert list(map(repr, curve.value.tolist())) == ["1.0", "0.5", "0.25", "nan", "0.125"]
    paths = [entry["path"] for entry in objects.read_json(ended, "manifest.json")["files"]]
    assert any(path.startswith(f"printed/{pod}/train/part-") for path in paths)


def test_ten_thousand_points_a_second_cause_no_more_requests_than_one(
    objects: Objects, installed: LocalCluster
) -> None:
    """The operator reads a summary of each running run at a fixed interval, and writes the status at most once."""
    script = """
        rate, step = {rate}, 0
        begin = time.monotonic()
        with open(artifacts.parent / 'metrics.jsonl', 'a') as file:
            while not (artifacts / 'go').exists():
                due = int((time.monotonic() - begin) * rate) + 1
                file.write(''.join(json.dumps({{'loss': n / 7, 'step': n}}) + '\\n' for n in range(step, due)))
                file.flush()
                step = max(step, due)
                time.sleep(0.1)
    """
    began = audit.end(installed.folder)
    for name, rate in (("slow", 1), ("fast", 10_000)):
        objects.apply(run(name, script.format(rate=rate)))

    def count(found: Raw) -> int:
        return int(((found.get("status", {}).get("metrics") or {}).get("loss") or {}).get("count") or 0)

    slow = objects.wait("run", "slow", "20 points in the status", lambda found: count(found) > 20, seconds=180)
    fast = objects.wait("run", "fast", "50,000 points", lambda found: count(found) > 50_000, seconds=180)
    assert count(fast) > 100 * count(slow)
    asked = audit.read(installed.folder, OPERATOR, began)
    mine = [each for each in asked if each.namespace == objects.namespace]
    written = Counter(each.name for each in mine if each.resource == "runs/status")
    assert written["slow"] > 3
    assert written["fast"] <= written["slow"] + 3, written
    for name in ("slow", "fast"):
        pod = objects.get("run", name)["status"]["attempts"][-1]["pod"]
        objects.kubectl("exec", pod, "-c", "train", "--", "touch", "/assay/artifacts/go")
        assert objects.wait_phase("run", name, "Succeeded", "Failed")["status"]["phase"] == "Succeeded"
