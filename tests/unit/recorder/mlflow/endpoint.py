"""The endpoint in this process, asked over HTTP like any client asks it."""

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from assay.recorder.collectors.mlflow.limits import Identity, Limits
from assay.recorder.collectors.mlflow.server import HOST, Server
from assay.recorder.collectors.mlflow.tracking import Tracking

RUN = "a" * 32


class Refused(Exception):
    """An error of MLflow's."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status, self.code, self.message = status, body["error_code"], body["message"]


def ask(port: int, method: str, path: str, **fields: Any) -> Any:
    """Return the answer of an endpoint. Raises Refused."""
    query = f"?{urllib.parse.urlencode(fields, doseq=True)}" if method == "GET" and fields else ""
    data = None if method == "GET" else json.dumps(fields).encode()
    return json.loads(send(port, method, f"/api/2.0/mlflow/{path}{query}", data))


def send(port: int, method: str, path: str, data: bytes | None = None) -> bytes:
    """Return the body of an answer. Raises Refused."""
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise Refused(error.code, json.loads(error.read())) from None


class Endpoint:
    """A pod's folders and the server over them. `restart` is what a recorder does after it was killed."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.directory, self.folder, self._limits = folder / "assay", folder / "spool/mlflow", limits
        (self.directory / "artifacts").mkdir(parents=True)
        self.failures: list[str] = []
        self._start()

    def restart(self) -> None:
        self.close()
        self._start()

    def close(self) -> None:
        self.server.close()

    def ask(self, method: str, path: str, **fields: Any) -> Any:
        return ask(self.server.port, method, path, **fields)

    def send(self, method: str, path: str, data: bytes | None = None) -> bytes:
        return send(self.server.port, method, path, data)

    def put(self, path: str, data: bytes) -> None:
        self.send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", data)

    def run(self, run_id: str = RUN) -> Any:
        return self.ask("GET", "runs/get", run_id=run_id)["run"]

    def log(self, key: str, value: Any, step: int = 0, timestamp: int = 1, run_id: str = RUN) -> None:
        self.ask("POST", "runs/log-metric", run_id=run_id, key=key, value=value, timestamp=timestamp, step=step)

    def history(self, key: str, run_id: str = RUN) -> list[tuple[Any, int]]:
        found = self.ask("GET", "metrics/get-history", run_id=run_id, metric_key=key)["metrics"]
        return [(point["value"], point["step"]) for point in found]

    def _start(self) -> None:
        identity = Identity(RUN, "run-1", "digits")
        self.server = Server(
            0, lambda: Tracking(self.folder, self.directory, identity, self._limits), self.failures.append
        )
