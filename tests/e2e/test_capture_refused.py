"""What cannot be captured is said, and the run is none the worse: images not mounted, kubelets nobody vouches for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import operators
from tests.cluster.local import LocalCluster
from tests.cluster.pki import Pki
from tests.objects import Objects, run

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def operator_process(
    installed: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    folder: Path = tmp_path_factory.mktemp("operator")
    stranger = Pki(folder / "pki")
    stranger.create_authority()
    environment = {
        "ASSAY_CAPTURE_IMAGE": "never",
        "ASSAY_SYSTEM_SECONDS": "1",
        "ASSAY_KUBELET_CA_FILE": str(stranger.certificate("ca")),
    }
    with operators.OperatorProcess(installed, folder / "operator.log", environment) as process:
        yield process


def test_a_run_succeeds_and_reports_what_was_not_captured(objects: Objects) -> None:
    objects.apply(run("unknown", "log(step=0, score=1)\ntime.sleep(4)"))
    ended = objects.wait_phase("run", "unknown", "Succeeded", "Failed")
    status = ended["status"]
    assert status["phase"] == "Succeeded", status
    why = "the image was not mounted: ASSAY_CAPTURE_IMAGE is never"
    assert status["environment"] == {"source": "recorder", "packages": 0, "message": why}
    found = objects.read_json(ended, f"pods/{status['attempts'][-1]['pod']}/environment.json")
    assert (found["source"], found["problems"]) == ("recorder", [why])
    assert {"ASSAY_RUN"} <= set(found["variables"])
    assert found["hardware"]["node"] == status["attempts"][-1]["node"]
    assert status["usage"]["samples"] == 0
    said = f"node {found['hardware']['node']}: the kubelet's certificate is not trusted"
    assert status["usage"]["message"].startswith(said)
