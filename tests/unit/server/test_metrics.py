"""The server's metrics: by the pattern of a route, and never by a name that a request has."""

import json
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from starlette.testclient import TestClient

from assay.kube.bearer import ApiServer
from assay.kube.sync import Kube
from assay.server import metrics
from assay.server.app import Parts, create
from assay.server.entrance.bearer import BearerEntrance
from assay.server.index.feed import Feed
from tests.unit.server.test_guard import CONFIG

pytestmark = pytest.mark.unit


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """A kubeconfig of an API server that does not answer."""
    path = tmp_path / "config"
    path.write_text(json.dumps(CONFIG))
    return str(path)


def count(route: str, method: str, code: str) -> str:
    name = "assay_server_request_duration_seconds_count"
    return f'{name}{{code="{code}",method="{method}",route="{route}"}} 1.0'


def test_requests_are_counted_by_route_and_no_name_is_exported(kubeconfig: str) -> None:
    app = metrics.Measured(create(Parts(BearerEntrance(ApiServer(kubeconfig)))))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        client.get("/api/v1/namespaces/secret-team/runs/secret-run")
        client.get("/secret-path")
        client.request("SECRETVERB", "/livez")
    found = generate_latest().decode()
    assert count("/api/v1/namespaces/{namespace}/runs/{run}", "GET", "401") in found
    assert count("none", "GET", "401") in found
    assert count("/livez", "other", "405") in found
    assert "secret" not in found.lower()


def test_the_state_of_the_index_is_read_when_somebody_scrapes(kubeconfig: str) -> None:
    feed = Feed(Kube(kubeconfig))
    metrics.observe([feed], [feed])
    assert "assay_server_index_ready 0.0" in generate_latest().decode()
    feed.synced = True
    found = generate_latest().decode()
    assert "assay_server_index_ready 1.0" in found
    assert "assay_server_index_runs 0.0" in found
