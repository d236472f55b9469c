"""What clients log arrives in the record exactly once, wherever the recorder is killed."""

import errno
import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.recorder.collectors.mlflow import collector
from assay.recorder.collectors.mlflow.children import Children
from assay.recorder.collectors.mlflow.collector import PORT_VARIABLE, MlflowEndpoint
from assay.recorder.collectors.protocol import Surroundings
from assay.recorder.spool import Spool
from assay.recorder.stream import Recording
from tests.unit.recorder.mlflow.endpoint import HOST, ask

pytestmark = pytest.mark.unit

UID = "0123abcd-0123-4567-89ab-0123456789ab"
RUN = UID.replace("-", "")


class Pod:
    """A recording with the endpoint as its only source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "assay/artifacts").mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = probe.getsockname()[1]
        self.start()

    def start(self, **more: str) -> None:
        around = Surroundings(self.folder / "assay", self.folder / "spool/collectors/mlflow", {}, time.time)
        environment = {"ASSAY_PREFIX": f"runs/ns/exp/run-1/{UID}/intake/pod", PORT_VARIABLE: str(self.port), **more}
        source = lambda position: MlflowEndpoint(around, position, environment)  # noqa: E731
        self.recording = Recording(Spool(self.folder / "spool", "pod"), {"the MLflow endpoint": source}, 1 << 20)

    def finish(self) -> None:
        while self.recording.poll(final=True):
            pass
        assert self.recording.commit()
        self.recording.close()

    def ask(self, method: str, path: str, **fields: Any) -> Any:
        return ask(self.port, method, path, **fields)

    def rows(self) -> list[dict[str, Any]]:
        state = self.recording.state
        parts = self.recording.spool.part_files(state)
        return [json.loads(line) for part in parts for line in gzip.open(part)]

    def file(self, path: str) -> str:
        return (self.folder / "assay/artifacts" / path).read_text()


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    made = Pod(tmp_path)
    yield made
    made.recording.close()


def test_the_run_of_the_pod_is_recorded_with_points_parameters_and_tags(pod: Pod) -> None:
    points = [{"key": "loss", "value": v, "timestamp": 1000 + n, "step": n} for n, v in enumerate([1, "NaN", 0.5])]
    pod.ask("POST", "runs/log-batch", run_id=RUN, metrics=points, params=[{"key": "lr", "value": "0.1"}])
    pod.ask("POST", "runs/set-tag", run_id=RUN, key="team", value="a")
    pod.ask("POST", "runs/set-tag", run_id=RUN, key="gone", value="a")
    pod.ask("POST", "runs/delete-tag", run_id=RUN, key="gone")
    pod.finish()
    totals = pod.recording.state.totals
    assert [(row["metric"], row["step"], row["time"], row["value"]) for row in pod.rows()] == [
        ("loss", 0, 1.0, 1.0),
        ("loss", 1, 1.001, "NaN"),
        ("loss", 2, 1.002, 0.5),
    ]
    assert totals.parameters == {"lr": "0.1"}
    assert totals.tags == {"team": "a"}
    assert (totals.points, totals.children, totals.events) == (3, 0, [])
    assert json.loads(pod.file(f"mlflow-runs/{RUN}/run.json"))["data"]["params"] == [{"key": "lr", "value": "0.1"}]


def test_child_runs_are_counted_and_are_files_of_their_own(pod: Pod) -> None:
    tags = [{"key": "mlflow.parentRunId", "value": RUN}]
    children = []
    for number in range(3):
        child = pod.ask("POST", "runs/create", experiment_id="1", tags=tags)["run"]["info"]["run_id"]
        children.append(child)
        for step in range(4):
            pod.ask("POST", "runs/log-metric", run_id=child, key="m", value=number, timestamp=5, step=step)
        pod.ask("POST", "runs/log-parameter", run_id=child, key="number", value=str(number))
    pod.ask("POST", "runs/update", run_id=children[0], status="FINISHED")
    live = pod.file(f"mlflow-runs/{children[0]}/metrics.jsonl")
    pod.ask("POST", "runs/update", run_id=children[1], status="FINISHED")
    pod.ask("POST", "runs/log-metric", run_id=children[1], key="m", value=9, timestamp=5, step=9)
    pod.finish()
    assert pod.recording.state.totals.children == 3
    assert pod.rows() == []
    assert pod.recording.state.totals.parameters == {}
    assert pod.file(f"mlflow-runs/{children[0]}/metrics.jsonl") == live
    for number, child in enumerate(children):
        rows = [json.loads(line) for line in pod.file(f"mlflow-runs/{child}/metrics.jsonl").splitlines()]
        expected = [(step, float(number)) for step in range(4)] + ([(9, 9.0)] if number == 1 else [])
        assert [(row["step"], row["value"]) for row in rows] == expected
        assert json.loads(pod.file(f"mlflow-runs/{child}/run.json"))["data"]["params"][0]["value"] == str(number)


def test_a_full_disk_costs_child_runs_but_no_points_of_the_run(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Children, "_flush", full)
    tags = [{"key": "mlflow.parentRunId", "value": RUN}]
    child = pod.ask("POST", "runs/create", experiment_id="1", tags=tags)["run"]["info"]["run_id"]
    pod.ask("POST", "runs/log-metric", run_id=child, key="m", value=1, timestamp=5, step=0)
    pod.ask("POST", "runs/log-metric", run_id=RUN, key="loss", value=0.5, timestamp=5, step=0)
    pod.finish()
    assert [(row["metric"], row["value"]) for row in pod.rows()] == [("loss", 0.5)]
    assert pod.recording.problems == []
    assert pod.recording.state.totals.events == [
        "child runs are incomplete: the recorder cannot write to its disk: No space left on device"
    ]
    assert not (pod.folder / "spool/collectors/mlflow/children").exists()


def test_a_recorder_that_cannot_listen_any_more_still_writes_what_is_in_the_journal(pod: Pod) -> None:
    tags = [{"key": "mlflow.parentRunId", "value": RUN}]
    child = pod.ask("POST", "runs/create", experiment_id="1", tags=tags)["run"]["info"]["run_id"]
    pod.ask("POST", "runs/log-metric", run_id=child, key="m", value=1, timestamp=5, step=2)
    pod.recording.close()
    pod.start(ASSAY_MLFLOW_PORT="")
    pod.finish()
    assert json.loads(pod.file(f"mlflow-runs/{child}/metrics.jsonl"))["step"] == 2
    assert pod.recording.state.totals.children == 1


def test_a_version_registered_by_code_is_a_warning_with_instructions(pod: Pod) -> None:
    pod.ask("POST", "registered-models/create", name="wanted")
    for _ in range(2):
        pod.ask("POST", "model-versions/create", name="wanted", source=f"runs:/{RUN}/model", run_id=RUN)
    pod.ask("POST", "registered-models/alias", name="wanted", alias="champion", version="2")
    pod.finish()
    assert pod.recording.state.totals.events == [
        "the code asked for a version of the registered model wanted: only spec.register of an Experiment registers "
        "versions"
    ]
    (model,) = json.loads(pod.file("mlflow-models/registry.json"))["registered_models"]
    assert model["aliases"] == [{"alias": "champion", "version": "2"}]
    assert [version["source"] for version in model["versions"]] == [f"runs:/{RUN}/model"] * 2


def test_a_journal_truncated_by_a_node_failure_continues_after_the_recorded_part(pod: Pod) -> None:
    for step in range(4):
        pod.ask("POST", "runs/log-metric", run_id=RUN, key="m", value=step, timestamp=5, step=step)
    while pod.recording.poll():
        pass
    assert pod.recording.commit()
    pod.recording.close()
    journal = pod.folder / "spool/collectors/mlflow/journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:150])
    pod.start()
    pod.ask("POST", "runs/log-metric", run_id=RUN, key="m", value=4, timestamp=5, step=4)
    pod.finish()
    assert [row["step"] for row in pod.rows()] == [0, 1, 2, 3, 4]


def test_requests_are_not_read_one_by_one_while_a_client_logs(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_READ_SECONDS", 3600.0)
    for step in range(3):
        pod.ask("POST", "runs/log-metric", run_id=RUN, key="m", value=step, timestamp=5, step=step)
        while pod.recording.poll():
            pass
        assert pod.recording.state.totals.points == 1
    metrics = [{"key": "m", "value": step, "timestamp": 5, "step": step} for step in range(3, 1000)]
    for number in range(20):
        batch = [each | {"key": f"m{number}"} for each in metrics]
        pod.ask("POST", "runs/log-batch", run_id=RUN, metrics=batch)
    pod.recording.poll()
    assert pod.recording.state.totals.points > 1000, "a large backlog is read at once"
    pod.finish()
    assert pod.recording.state.totals.points == 3 + 20 * len(metrics)


def test_requested_registrations_are_in_the_summary_with_the_paths_of_their_files(pod: Pod) -> None:
    model = pod.ask("POST", "logged-models", experiment_id="1", name="model", source_run_id=RUN)["model"]["info"]
    child = pod.ask("POST", "runs/create", experiment_id="1", tags=[{"key": "mlflow.parentRunId", "value": RUN}])
    child_id = child["run"]["info"]["run_id"]
    asked = {
        "by-id": {"source": f"models:/{model['model_id']}", "model_id": model["model_id"]},
        "by-source": {"source": f"models:/{model['model_id']}"},
        "by-address": {"source": f"{model['artifact_uri']}/"},
        "of-run": {"source": f"runs:/{RUN}/a/b"},
        "of-artifacts": {"source": f"mlflow-artifacts:/1/{RUN}/artifacts/model2"},
        "of-child": {"source": f"mlflow-artifacts:/1/{child_id}/artifacts/model"},
        "elsewhere": {"source": "s3://bucket/model"},
        "unknown": {"source": "runs:/ffff/model"},
        "everything": {"source": f"runs:/{RUN}"},
        "taken-back": {"source": f"runs:/{RUN}/model"},
        "n" * 250: {"source": f"runs:/{RUN}/model"},
    }
    for name, fields in asked.items():
        pod.ask("POST", "registered-models/create", name=name)
        pod.ask("POST", "model-versions/create", name=name, run_id=RUN, **fields)
    pod.ask("POST", "model-versions/create", name="of-run", run_id=RUN, source=f"runs:/{RUN}/newer")
    pod.ask("DELETE", "model-versions/delete", name="taken-back", version="1")
    pod.ask("POST", "registered-models/rename", name="by-id", new_name="renamed")
    pod.finish()
    assert pod.recording.state.totals.requests == {
        "by-source": "model",
        "by-address": "model",
        "of-run": "newer",
        "of-artifacts": "model2",
        "of-child": f"mlflow-runs/{child_id}/model",
        "n" * 250: "model",
        "renamed": "model",
    }


def test_the_endpoint_loads_and_writes_nothing_until_a_client_connects(pod: Pod) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from assay.recorder.collectors.mlflow.collector import MlflowEndpoint\n"
        "from assay.recorder.collectors.protocol import Surroundings\n"
        "from assay.recorder.record import Record\n"
        "from assay.recorder.state import Totals\n"
        "folder = Path(sys.argv[1])\n"
        "environment = {'ASSAY_PREFIX': sys.argv[2], 'ASSAY_MLFLOW_PORT': '0'}\n"
        "source = MlflowEndpoint(Surroundings(folder, folder / 'own', {}, time.time), {}, environment)\n"
        "assert source.poll(Record(Totals()), final=False) is False\n"
        "assert source.poll(Record(Totals()), final=True) is False\n"
        "assert not {'aiohttp', 'asyncio'} & sys.modules.keys()\n"
        "assert not list(folder.iterdir())\n"
    )
    folder = pod.folder / "other"
    folder.mkdir()
    argv = [sys.executable, "-c", program, str(folder), f"runs/ns/exp/run-1/{UID}/intake/pod"]
    done = subprocess.run(
        argv, env={"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_port_in_use_is_a_warning(tmp_path: Path, pod: Pod) -> None:
    other = Pod.__new__(Pod)
    other.folder, other.port = tmp_path / "other", pod.port
    other.start()
    other.recording.poll()
    (event,) = other.recording.state.totals.events
    assert event.startswith(f"the MLflow endpoint cannot listen on 127.0.0.1:{pod.port}: ")
    other.finish()
    assert other.recording.problems == []


def test_requests_during_the_recording_and_a_restart_are_recorded_once(pod: Pod) -> None:
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            pod.recording.poll()
            pod.recording.commit()

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(200):
        pod.ask("POST", "runs/log-metric", run_id=RUN, key="m", value=step, timestamp=5, step=step)
    stop.set()
    reader.join()
    pod.recording.close()  # as a killed recorder: what is not committed is read again
    pod.start()
    for step in range(190, 210):  # a client repeats what it has no answer for
        pod.ask("POST", "runs/log-metric", run_id=RUN, key="m", value=step, timestamp=5, step=step)
    pod.recording.close()
    pod.start()
    pod.finish()
    assert [row["step"] for row in pod.rows()] == list(range(210))
