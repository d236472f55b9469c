"""What an untrusted training container cannot do through the endpoint, and what happens when something is full."""

import errno
import itertools
import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from assay.recorder.collectors.mlflow import journal as journal_module
from assay.recorder.collectors.mlflow.app import ROUTES
from tests.unit.recorder.mlflow.endpoint import RUN, Endpoint, Refused

pytestmark = pytest.mark.unit

OWN = f"1/{RUN}/artifacts"
FIELDS = [
    *("run_id", "run_uuid", "experiment_id", "experiment_ids", "name", "new_name", "key", "value", "timestamp", "step"),
    *("metrics", "params", "tags", "datasets", "models", "status", "end_time", "start_time", "run_name", "user_id"),
    *("filter", "order_by", "max_results", "page_token", "run_view_type", "view_type", "model_json", "source"),
    *("version", "alias", "stage", "stages", "description", "model_type", "source_run_id", "run_link"),
]


@pytest.mark.parametrize(
    "path",
    [
        f"{OWN}/../../../../etc/passwd",
        f"{OWN}/%2e%2e/%2e%2e/x",
        f"{OWN}/..%2f..%2fx",
        f"{OWN}//etc/passwd",
        f"{OWN}/a/./b",
        f"{OWN}/" + "d/" * 70 + "x",
        f"{OWN}/" + "n" * 300,
        f"{OWN}/a%00b",
        f"{OWN}/mlflow-runs/x/y",
        f"1/{'b' * 32}/artifacts/x",
        "1/models/m-1/artifacts/x",
        "x",
    ],
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_no_path_escapes_the_artifacts_of_a_run(endpoint: Endpoint, path: str, method: str) -> None:
    before = sorted(endpoint.directory.parent.rglob("*"))
    with pytest.raises(Refused) as refused:
        endpoint.send(method, f"/api/2.0/mlflow-artifacts/artifacts/{path}", b"x" if method == "PUT" else None)
    assert refused.value.status in (400, 404)
    assert sorted(endpoint.directory.parent.rglob("*")) in (
        before,
        sorted({*before, endpoint.folder, endpoint.folder.parent, endpoint.folder / "journal.jsonl"}),
    )


@pytest.mark.parametrize("what", ["folder", "file", "root", "staging"])
def test_no_symlink_of_the_training_is_followed(endpoint: Endpoint, what: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    artifacts = endpoint.directory / "artifacts"
    if what == "folder":
        (artifacts / "a").symlink_to(outside)
    elif what == "file":
        (artifacts / "a").mkdir()
        (artifacts / "a/secret").symlink_to(outside / "secret")
    elif what == "root":
        artifacts.rmdir()
        artifacts.symlink_to(outside)
    else:
        (endpoint.directory / ".mlflow-uploads").symlink_to(outside)
    for method in ("GET", "DELETE", "PUT"):
        answer = b""
        with suppress(Refused):
            data = b"x" if method == "PUT" else None
            answer = endpoint.send(method, f"/api/2.0/mlflow-artifacts/artifacts/{OWN}/a/secret", data)
        assert b"secret" not in answer
    assert (outside / "secret").read_text() == "secret"
    assert [entry.name for entry in outside.iterdir()] == ["secret"]


def test_an_upload_that_ends_early_leaves_no_file(endpoint: Endpoint) -> None:
    endpoint.run()
    with socket.create_connection(("127.0.0.1", endpoint.server.port)) as client:
        client.sendall(
            f"PUT /api/2.0/mlflow-artifacts/artifacts/{OWN}/a HTTP/1.1\r\n"
            "Host: x\r\nContent-Length: 100\r\n\r\nabc".encode()
        )
        client.shutdown(socket.SHUT_WR)
        client.settimeout(20)
        while client.recv(4096):
            pass
    endpoint.close()
    assert not list((endpoint.directory / "artifacts").iterdir())
    assert not list((endpoint.directory / ".mlflow-uploads").iterdir())
    endpoint.restart = endpoint._start  # type: ignore[method-assign]
    endpoint.restart()


def test_only_localhost_is_served(endpoint: Endpoint) -> None:
    assert endpoint.server._socket.getsockname()[0] == "127.0.0.1"


def test_a_large_request_is_refused(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(request_bytes=10_000)
    with pytest.raises(Refused, match="larger than 10000 bytes") as refused:
        endpoint.ask("POST", "runs/set-tag", run_id=RUN, key="k", value="v" * 20_000)
    assert refused.value.code == "INVALID_PARAMETER_VALUE"
    endpoint.put(f"{OWN}/large", b"x" * 200_000)
    assert (endpoint.directory / "artifacts/large").stat().st_size == 200_000


@pytest.mark.parametrize(
    ("limit", "call"),
    [
        ({"journal_bytes": 100}, ("runs/set-tag", {"run_id": RUN, "key": "k", "value": "v" * 200})),
        ({"metadata_bytes": 100}, ("runs/set-tag", {"run_id": RUN, "key": "k", "value": "v" * 200})),
        ({"series": 0}, ("runs/log-metric", {"run_id": RUN, "key": "m", "value": 1})),
        ({"runs": 1}, ("runs/create", {"experiment_id": "1", "tags": [{"key": "mlflow.parentRunId", "value": RUN}]})),
    ],
    ids=["journal", "metadata", "series", "runs"],
)
def test_a_limit_is_a_clear_error_that_clients_do_not_repeat(
    serve: Callable[..., Endpoint], limit: dict[str, int], call: tuple[str, dict[str, object]]
) -> None:
    endpoint = serve(**limit)
    with pytest.raises(Refused, match="at most") as refused:
        endpoint.ask("POST", call[0], **call[1])
    assert (refused.value.status, refused.value.code) == (400, "RESOURCE_EXHAUSTED")


def test_points_beyond_the_limit_of_memory_are_recorded_but_cannot_be_read_back(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(history_points=3)
    for step in range(5):
        endpoint.log("m", float(step), step)
    with pytest.raises(Refused, match="is recorded, but cannot be read back in the pod"):
        endpoint.history("m")
    assert endpoint.run()["data"]["metrics"][0]["value"] == 4.0
    assert endpoint.folder.joinpath("journal.jsonl").read_text().count('"metrics"') == 5


def test_a_full_disk_loses_nothing_that_was_acknowledged(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.log("m", 1.0, 1)
    write = os.write

    def full(fd: int, data: memoryview) -> int:
        write(fd, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module.os, "write", full)
        for _ in range(2):
            with pytest.raises(Refused, match="No space left on device") as refused:
                endpoint.log("m", 2.0, 2)
            assert refused.value.status == 503  # the client tries again
        with pytest.raises(Refused, match="No space left on device"):
            endpoint.ask("POST", "runs/create", experiment_id="1")
        assert len((endpoint.folder / "journal.jsonl").read_text().splitlines()) == 1
    runs = endpoint.ask("POST", "runs/search", experiment_ids=["1"])["runs"]
    assert len(runs) == 1, "what was refused while the disk was full left no run"
    endpoint.log("m", 2.0, 2)
    endpoint.log("m", 3.0, 3)
    assert endpoint.history("m") == [(1.0, 1), (2.0, 2), (3.0, 3)]
    endpoint.restart()
    assert endpoint.history("m") == [(1.0, 1), (2.0, 2), (3.0, 3)]


def test_a_line_that_was_cut_off_is_removed(endpoint: Endpoint) -> None:
    endpoint.log("m", 1.0, 1)
    endpoint.close()
    with (endpoint.folder / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"op":"log","run":"' + b"x" * 100_000)
    endpoint._start()
    endpoint.log("m", 2.0, 2)
    assert endpoint.history("m") == [(1.0, 1), (2.0, 2)]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"x"', b'"{x"', b"[" * 100_000, b"\xff", b"12", b"1" * 5000], ids=range(8)
)
def test_invalid_request_bodies_are_refused(endpoint: Endpoint, body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        endpoint.send("POST", "/api/2.0/mlflow/runs/log-batch", body)
    assert refused.value.code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("value", [None, 5, "x", [], {}, [1], [None], [{"key": 1}], True], ids=str)
def test_invalid_fields_do_not_crash_the_recorder(endpoint: Endpoint, value: object) -> None:
    """Every route, with every field of a wrong type: an answer or an error of the client's, never one of ours."""
    posted = [(method, path) for method, path, _ in ROUTES if method != "GET"]
    for (method, path), fixed in itertools.product(posted, ({}, {"run_id": RUN, "experiment_id": "1", "name": "x"})):
        path = path.replace("{path:.*}", "x").replace("{model_id}", "m")
        body = json.dumps({**dict.fromkeys(FIELDS, value), **fixed}).encode()
        with suppress(Refused):
            endpoint.send(method, f"/api/2.0{path}", body)
    assert endpoint.failures == []


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/api/3.0/mlflow/traces", "NOT_IMPLEMENTED", "but not traces"),
        ("/api/2.0/mlflow/gateway/endpoints", "NOT_IMPLEMENTED", "but not the gateway"),
        ("/api/3.0/mlflow/webhooks", "NOT_IMPLEMENTED", "but not webhooks"),
        ("/api/2.0/mlflow/no-such-thing", "ENDPOINT_NOT_FOUND", "No API found"),
        ("/", "ENDPOINT_NOT_FOUND", "No API found"),
    ],
)
def test_missing_resources_are_reported(endpoint: Endpoint, path: str, code: str, text: str) -> None:
    with pytest.raises(Refused, match=text) as refused:
        endpoint.send("POST", path, b"{}")
    assert refused.value.code == code


def test_clients_learn_what_the_server_can_do(endpoint: Endpoint) -> None:
    assert endpoint.send("GET", "/health") == b"OK"
    assert endpoint.send("GET", "/version").decode().startswith("3.")
    info = endpoint.send("GET", "/api/3.0/mlflow/server-info")
    assert b'"multipart_uploads_enabled": false' in info
    assert b'"workspaces_enabled": false' in info
