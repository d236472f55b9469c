"""An upgrade in the middle of an experiment: nothing is lost, nothing is done twice, and the kinds are the new ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHART, Release
from tests.cluster import charting, images
from tests.cluster.local import LocalCluster
from tests.objects import Objects, experiment

pytestmark = [pytest.mark.chart, pytest.mark.e2e]

Raw = dict[str, Any]
RUNS = 4
NEXT = "next"


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart as it may have been before: an older version, whose Runs have one column and one field less."""
    folder = tmp_path_factory.mktemp("previous") / "assay"
    shutil.copytree(CHART, folder)
    about = yaml.safe_load((folder / "Chart.yaml").read_text())
    (folder / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "0.0.9", "appVersion": "0.0.9"}))
    _edit(folder / "files/crds/runs.yaml", _without_a_column_and_a_field)
    return folder


def _edit(path: Path, change: Callable[[Raw], None]) -> None:
    found = yaml.safe_load(path.read_text())
    change(found)
    path.write_text(yaml.safe_dump(found))


def _without_a_column_and_a_field(crd: Raw) -> None:
    version = crd["spec"]["versions"][0]
    version["additionalPrinterColumns"].pop()
    del _fields(version)["rerunOf"]


def _fields(version: Raw) -> Raw:
    found: Raw = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return found


def _kind_of_runs(cluster: LocalCluster) -> Raw:
    found: Raw = json.loads(cluster.kubectl("get", "crd", "runs.assay.dev", "-o", "json"))["spec"]["versions"][0]
    return found


def _jobs(objects: Objects) -> dict[str, str]:
    """Return the UIDs of the Jobs by name."""
    return {job["metadata"]["name"]: job["metadata"]["uid"] for job in objects.all("jobs")}


def test_running_runs_finish_normally_during_an_upgrade(
    bare_release: Release, chart_cluster: LocalCluster, objects: Objects, previous: Path
) -> None:
    bare_release.prepare()
    values = bare_release.values()
    bare_release.helm.install(previous, charting.NAME, values, namespace=bare_release.namespace, timeout=120)
    bare_release.wait_ready()
    before = _kind_of_runs(chart_cluster)
    script = """
        score = float(os.environ['PARAM_a'])
        while score < 2 and not artifacts.joinpath('go').exists():
            time.sleep(0.1)
        log(step=1, score=score)
    """
    parameters = [{"name": "a", "values": list(range(RUNS))}]
    objects.apply(experiment("long", script, parameters=parameters, parallelism=2))
    objects.wait("experiment", "long", "its runs", lambda o: o["status"].get("runs", {}).get("running") == 2, 60)
    under_way = _jobs(objects)
    assert len(under_way) == 2

    repository = images.ASSAY.reference.rsplit(":", 1)[0]
    chart_cluster.tag_image(images.ASSAY.reference, f"{repository}:{NEXT}")
    bare_release.upgrade(replicas=2, logLevel="DEBUG", image={"repository": repository, "tag": NEXT})
    assert [each["chart_version"] for each in bare_release.helm.history(charting.NAME)][-2:] == ["0.0.9", _version()]

    after = _kind_of_runs(chart_cluster)
    assert len(after["additionalPrinterColumns"]) == len(before["additionalPrinterColumns"]) + 1
    assert set(_fields(after)) - set(_fields(before)) == {"rerunOf"}
    assert objects.get("experiment", "long")["status"]["runs"]["running"] == 2
    for pod in objects.all("pods"):
        objects.kubectl("exec", pod["metadata"]["name"], "-c", "train", "--", "touch", "/assay/artifacts/go")
    found = objects.wait_phase("experiment", "long", "Succeeded", "Failed", seconds=180)
    assert found["status"]["phase"] == "Succeeded", found["status"]
    assert found["status"]["runs"]["total"] == found["status"]["runs"]["succeeded"] == RUNS
    jobs, runs = _jobs(objects), objects.all("runs")
    assert len(jobs) == len(runs) == RUNS
    assert under_way.items() <= jobs.items(), "a Job was made again"
    assert sorted(run["spec"]["parameters"]["a"] for run in runs) == list(range(RUNS))
    for run in runs:
        status = run["status"]
        assert status["record"]["complete"]
        assert status["metrics"]["score"]["last"] == run["spec"]["parameters"]["a"]
        assert len(status["attempts"]) == 1
    # Pods that ran keep the recorder that they began with; new ones have the new one.
    used = {pod["metadata"]["labels"]["assay.dev/run"]: _recorder(pod) for pod in objects.all("pods")}
    assert {name for name, image in used.items() if image.endswith(f":{NEXT}")} == set(used) - set(under_way)


def _version() -> str:
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def _recorder(pod: Raw) -> str:
    (image,) = {each["image"] for each in pod["spec"]["initContainers"] if each["name"] == "assay-recorder"}
    return str(image)
