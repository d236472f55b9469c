"""Metrics are for those who may get /metrics, asked of a real API server with real tokens."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import operators
from tests.cluster.local import LocalCluster

pytestmark = pytest.mark.integration


@pytest.fixture
def operator(control_plane: LocalCluster, namespace: str, tmp_path: Path) -> Iterator[operators.OperatorProcess]:
    operators.install(control_plane)
    environment = {"ASSAY_NAMESPACES": namespace, "ASSAY_METRICS_AUTHENTICATION": "true"}
    with operators.OperatorProcess(control_plane, tmp_path / "operator.log", environment) as process:
        yield process


def scrape(operator: operators.OperatorProcess, path: str, token: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{operator.metrics_port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_require_the_right_to_get_them(
    operator: operators.OperatorProcess, control_plane: LocalCluster, namespace: str
) -> None:
    def token(name: str) -> str:
        control_plane.kubectl("create", "serviceaccount", name, f"--namespace={namespace}")
        return control_plane.kubectl("create", "token", name, f"--namespace={namespace}").strip()

    allowed, other = token("prometheus"), token("other")
    subject = f"--serviceaccount={namespace}:prometheus"
    control_plane.kubectl("create", "clusterrolebinding", namespace, "--clusterrole=assay-metrics-reader", subject)
    try:
        assert scrape(operator, "/metrics")[0] == 401
        assert scrape(operator, "/metrics", "made-up") == (401, "the API server rejected this token\n")
        status, said = scrape(operator, "/metrics", other)
        assert status == 403
        assert "bind the ClusterRole assay-metrics-reader" in said
        for _ in range(2):  # the second answer is remembered
            status, said = scrape(operator, "/metrics", allowed)
            assert status == 200
            assert "assay_leading 1.0" in said
    finally:
        control_plane.kubectl("delete", "clusterrolebinding", namespace)
    # What kubelets ask for is for everybody.
    assert scrape(operator, "/livez")[0] == 200
    assert scrape(operator, "/readyz")[0] in (200, 503)
    log = operator.log.read_text()
    assert allowed not in log
    assert other not in log
