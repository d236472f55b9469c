"""Attacks on the MLflow endpoint in a run's pod: by the training container, and by other pods."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.api.experiment import Register
from assay.planning.models import registration
from assay.recorder.collectors.mlflow.collector import identity
from tests.attackers import Outcome, stopped
from tests.unit.recorder.mlflow.endpoint import RUN, Endpoint, Refused

pytestmark = [pytest.mark.attacks, pytest.mark.unit]

UID = "0123abcd-0123-4567-89ab-0123456789ab"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
OWN = f"{FILES}/1/{RUN}/artifacts"


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    found = Endpoint(tmp_path)
    yield found
    found.close()
    assert found.failures == []


def attempt(endpoint: Endpoint, method: str, path: str, data: bytes | None = None) -> Outcome:
    try:
        return Outcome(True, endpoint.send(method, path, data).decode(errors="replace"))
    except Refused as refused:
        return Outcome(False, refused.message)


def addresses() -> list[str]:
    """Every address of this machine, and of no other one, that is not its localhost."""
    found = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: it only chooses the address
        found.add(probe.getsockname()[0])
    return sorted(each for each in found if not each.startswith("127."))


def test_m01_from_another_pod(endpoint: Endpoint) -> None:
    assert endpoint.send("GET", "/health") == b"OK"
    assert addresses()
    for address in addresses():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, endpoint.server.port), timeout=10)


def test_m02_out_of_the_artifacts(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text("secret")
    for path in ("../../credentials.json", "%2e%2e/%2e%2e/credentials.json", "a/..%2f..%2f..%2fcredentials.json"):
        for method, data in (("GET", None), ("PUT", b"planted"), ("DELETE", None)):
            stopped("M02", attempt(endpoint, method, f"{OWN}/{path}", data))
    assert (tmp_path / "credentials.json").read_text() == "secret"


def test_m03_through_a_link(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/credentials.json").write_text("secret")
    (endpoint.directory / "artifacts/link").symlink_to(tmp_path / "outside")
    for method, data in (("PUT", b"planted"), ("DELETE", None)):
        stopped("M03", attempt(endpoint, method, f"{OWN}/link/credentials.json", data))
    read = attempt(endpoint, "GET", f"{OWN}/link/credentials.json")
    assert (read.done, "secret" in read.said) == (False, False)
    assert [(path.name, path.read_text()) for path in (tmp_path / "outside").iterdir()] == [
        ("credentials.json", "secret")
    ]


def test_m04_a_request_that_fills_the_memory(endpoint: Endpoint) -> None:
    large = json.dumps({"run_id": RUN, "key": "k", "value": "v" * (9 << 20)}).encode()
    stopped("M04", attempt(endpoint, "POST", "/api/2.0/mlflow/runs/set-tag", large))
    assert endpoint.run()["data"]["tags"] == [{"key": "mlflow.runName", "value": "run-1"}]


def test_m05_another_run(endpoint: Endpoint) -> None:
    point = {"run_id": "b" * 32, "key": "loss", "value": 0.0, "timestamp": 1, "step": 1}
    for path in ("runs/log-metric", "runs/set-tag", "runs/update", "runs/delete"):
        body = json.dumps({**point, "value": "0"} if "tag" in path else point).encode()
        stopped("M05", attempt(endpoint, "POST", f"/api/2.0/mlflow/{path}", body))
    assert not attempt(endpoint, "PUT", f"{FILES}/1/{'b' * 32}/artifacts/model", b"x").done
    # The Run is that of the credentials, which the operator issues for its prefix; no request names another Run.
    assert identity({"ASSAY_PREFIX": f"runs/ns/exp/run-1/{UID}/intake/pod"}).run_id == UID.replace("-", "")


def test_m06_the_record_of_a_child_run(endpoint: Endpoint) -> None:
    for folder in ("mlflow-runs", "mlflow-models"):
        stopped("M06", attempt(endpoint, "PUT", f"{OWN}/{folder}/registry.json", b"{}"))
    assert not list((endpoint.directory / "artifacts").iterdir())


def test_m07_a_version_that_nobody_granted() -> None:
    status = {
        "phase": "Succeeded",
        "record": {"complete": True},
        "model": {"path": "model", "digest": "sha256:" + "a" * 64, "size": 1},
        "requested": [{"model": "production", "path": "model"}],
    }
    run = {"metadata": {"name": "run-1"}, "spec": {}, "status": status}
    granted = Register.model_validate({"model": "digits", "requested": "Digits"})
    stopped("M07", Outcome(*registration.qualifies(granted, run)))
    status["requested"] = [{"model": "Digits", "path": "another"}]
    done, reason = registration.qualifies(granted, run)
    assert (done, "only that artifact can be registered" in reason) == (False, True)
    status["requested"] = [{"model": "Digits", "path": "model"}]
    assert registration.qualifies(granted, run) == (True, "")
    assert (
        registration.version_body(run | {"metadata": {**run["metadata"], "namespace": "ns", "uid": UID}}, "digits", 1)[
            "metadata"
        ]["name"]
        == "digits.v1"
    ), "the name in the registry is the Experiment's"
