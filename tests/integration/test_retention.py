"""Retention on a real API server and a real store, without a node: the test plays the pods and their recorders."""

import hashlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.store import archive
from assay.store.records import FileEntry, MetricSummary, PodManifest, Summary
from assay.store.verify import verify_record, verify_run
from tests import operators, registry
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects, condition, experiment, run

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
TIME = "2026-03-01T12:00:00Z"
#: No node has it: nobody but the test starts these pods.
NOWHERE = {"assay.dev/test": "nowhere"}
MODEL = {"path": "model"}
KEEP = "1000d"


@pytest.fixture(scope="module")
def cluster_with_policies(control_plane: LocalCluster) -> LocalCluster:
    registry.install_policies(control_plane)
    return control_plane


class Stage(Objects):
    """A namespace with an operator of its own, and pods that end as the test wants it."""

    operator: operators.OperatorProcess

    def launch(self, manifest: Raw) -> None:
        spec = manifest["spec"]
        pod = (spec.get("template") or spec)["job"]["template"]["spec"]
        pod["nodeSelector"] = NOWHERE
        self.apply(manifest)

    def succeed(self, scores: dict[str, float] | float = 0.5) -> None:
        """Let every pod that there is succeed, leaving a model and the score of its run."""
        for pod in self.all("pods"):
            if pod["status"]["phase"] == "Pending":
                name = pod["metadata"]["labels"]["assay.dev/run"]
                self.leave(pod, scores[name] if isinstance(scores, dict) else scores)
                patch = json.dumps({"status": {"phase": "Succeeded"}})
                self.kubectl(
                    "patch",
                    "pod",
                    pod["metadata"]["name"],
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    patch,
                    *registry.AS_COMPONENT,
                )

    def leave(self, pod: Raw, score: float) -> None:
        """Put into the store what a recorder leaves."""
        labels, name = pod["metadata"]["labels"], pod["metadata"]["name"]
        place = f"{labels.get('assay.dev/experiment', '_')}/{labels['assay.dev/run']}/{labels['assay.dev/run-uid']}"
        prefix = f"runs/{self.namespace}/{place}/intake/{name}"
        files = {"artifacts/model": f"model {score}".encode(), "artifacts/plot": b"plot", "metrics.parquet": b"PAR1"}
        for path, data in files.items():
            self.store.put_bytes(f"{prefix}/{path}", data)
        metric = MetricSummary(last=score, min=score, max=score, step=1, count=1, min_step=1, max_step=1)
        summary = Summary(pod=name, updated=TIME, points=1, metrics={"score": metric})
        entries = [
            FileEntry(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for path, data in files.items()
        ]
        manifest = PodManifest(pod=name, started=TIME, finished=TIME, files=entries, summary=summary)
        self.store.put_bytes(f"{prefix}/manifest.json", manifest.to_json())

    def until(self, what: str, holds: Any, scores: dict[str, float] | float = 0.5, seconds: float = 60) -> None:
        """Let pods succeed until something holds."""

        def probe() -> bool:
            self.succeed(scores)
            return bool(holds())

        wait_for(what, probe, seconds=seconds, every=0.3, saw=self.operator.tail)

    def artifacts(self, uid: str) -> list[str]:
        keys = [info.key for info in self.store.list(f"runs/{self.namespace}/")]
        return sorted(key.rpartition("/artifacts/")[2] for key in keys if uid in key and "/artifacts/" in key)

    def archived(self, name: str) -> archive.RecordedRun:
        """Wait until a Run is no object any more, and return what the archive has of it."""
        wait_for(f"{name} is archived", lambda: not self.get("run", name), seconds=60, saw=self.operator.tail)
        (found,) = [each for each in archive.runs(self.store, self.namespace) if each.name == name]
        assert found.archived
        assert not found.problem
        return found

    def patch(self, kind: str, name: str, spec: Raw) -> None:
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps({"spec": spec}))


@pytest.fixture
def stage(cluster_with_policies: LocalCluster, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    found = Stage(cluster_with_policies, namespace)
    found.store.ensure_bucket()
    environment = {"ASSAY_NAMESPACES": namespace, "ASSAY_RETENTION_SECONDS": "0.5"}
    with operators.OperatorProcess(cluster_with_policies, tmp_path / "operator.log", environment) as process:
        found.operator = process
        yield found


# Runs that are archived


def test_archiving_runs_does_not_change_the_experiment(stage: Stage) -> None:
    scores = {"sweep-0": 0.3, "sweep-1": 0.9, "sweep-2": 0.9, "sweep-3": 0.1, "sweep-4": 0.5}
    parameters = [{"name": "a", "values": list(range(5))}]
    stage.launch(experiment("sweep", "pass", parameters=parameters, parallelism=2, retention={"archiveAfter": "0s"}))
    stage.until("5 runs have ended", lambda: stage.get("experiment", "sweep")["status"]["progress"] == "5/5", scores)
    wait_for("no run is left", lambda: not stage.all("runs"), seconds=30, saw=stage.operator.tail)
    status = stage.wait(
        "experiment",
        "sweep",
        "all removals are done",
        lambda o: not o["status"]["archived"]["removing"],
    )["status"]
    assert (status["phase"], status["launched"], status["progress"]) == ("Succeeded", 5, "5/5")
    assert status["runs"] == {"total": 5, "pending": 0, "running": 0, "suspended": 0, "succeeded": 5, "failed": 0}
    assert (status["best"]["run"], status["best"]["value"], status["best"]["parameters"]) == ("sweep-1", 0.9, {"a": 1})
    assert status["archived"]["best"] == {"run": "sweep-1", "index": 1, "value": 0.9}
    found = {each.name: each for each in archive.runs(stage.store, stage.namespace, "sweep")}
    assert {name: (each.parameters or {})["a"] for name, each in found.items()} == {f"sweep-{i}": i for i in range(5)}
    assert {name: (each.metrics or {})["score"]["last"] for name, each in found.items()} == scores
    assert {each.outcome for each in found.values()} == {"Succeeded"}
    for each in found.values():
        manifest = verify_run(stage.store, each.prefix, deep=True)
        assert {"run.json", "params.json", "status.json"} <= {file.path for file in manifest.files}
    wait_for("the Jobs and pods went with them", lambda: not stage.all("jobs") and not stage.all("pods"), seconds=60)


def test_a_killed_operator_counts_every_archived_run_once(stage: Stage) -> None:
    total = 120
    manifest = experiment("sweep", "pass", parameters=[{"name": "a", "values": list(range(total))}], parallelism=total)
    manifest["spec"]["template"]["job"]["template"]["spec"]["volumes"] = [{"name": "assay-mine", "emptyDir": {}}]
    stage.launch(manifest)
    stage.wait("experiment", "sweep", "all failed", lambda o: o["status"]["runs"]["failed"] == total, 90)
    stage.patch("experiment", "sweep", {"retention": {"archiveAfter": "0s"}})
    kills = 0
    for _ in range(12):
        left = len(stage.all("runs"))
        if not left:
            break
        try:
            wait_for("fewer runs", lambda left=left: len(stage.all("runs")) < left, seconds=20, every=0.01)
        except ClusterError:
            continue
        stage.operator.kill(signal.SIGKILL)
        kills += 1
        status = stage.get("experiment", "sweep")["status"]
        existing = {each["metadata"]["uid"] for each in stage.all("runs")}
        uncounted = existing - set(status["archived"]["removing"])
        assert status["archived"]["failed"] + len(uncounted) == total, status["archived"]
        stage.operator.start().wait_ready()
    assert kills >= 2
    wait_for("no run is left", lambda: not stage.all("runs"), seconds=90, saw=stage.operator.tail)
    found = stage.wait("experiment", "sweep", "removed", lambda o: not o["status"]["archived"]["removing"])["status"]
    assert (found["runs"]["failed"], found["launched"], found["phase"]) == (total, total, "Failed")
    names = [each.name for each in archive.runs(stage.store, stage.namespace, "sweep")]
    assert sorted(names) == sorted(f"sweep-{i}" for i in range(total))


def test_a_run_that_never_had_a_job_is_recorded_when_it_is_archived(stage: Stage) -> None:
    manifest = run("odd", "pass", retention={"archiveAfter": "0s"})
    manifest["spec"]["job"]["template"]["spec"]["volumes"] = [{"name": "assay-mine", "emptyDir": {}}]
    stage.launch(manifest)
    found = stage.archived("odd")
    assert (found.outcome, found.reason) == ("Failed", "InvalidTemplate")
    assert verify_run(stage.store, found.prefix, deep=True).outcome == "Failed"


def test_a_run_whose_record_was_altered_is_not_removed(stage: Stage) -> None:
    stage.launch(experiment("sweep", "pass", parameters=[{"name": "a", "values": [0, 1]}], parallelism=2))
    stage.until("both have ended", lambda: stage.get("experiment", "sweep")["status"]["progress"] == "2/2")
    altered = stage.get("run", "sweep-0")
    pod = altered["status"]["attempts"][-1]["pod"]
    stage.store.put_bytes(f"{stage.prefix(altered)}/pods/{pod}/artifacts/plot", b"another plot")
    stage.patch("experiment", "sweep", {"retention": {"archiveAfter": "0s"}})
    stage.archived("sweep-1")
    said = wait_for("the event", lambda: _events(stage, "sweep-0", "NotArchived"), seconds=30)
    assert "artifacts/plot has 12 bytes, its manifest says 4" in said[0]
    assert stage.get("run", "sweep-0")["metadata"]["uid"] == altered["metadata"]["uid"]
    status = stage.get("experiment", "sweep")["status"]
    assert (status["runs"]["succeeded"], status["archived"]["succeeded"]) == (2, 1)


def _events(stage: Stage, name: str, reason: str) -> list[str]:
    return [
        each["message"]
        for each in stage.all("events")
        if each["involvedObject"]["name"] == name and each["reason"] == reason
    ]


# Artifacts that expire


def test_artifacts_expire_and_those_of_a_registered_run_do_not(stage: Stage) -> None:
    parameters = [{"name": "a", "values": [0, 1]}]
    manifest = experiment("sweep", "pass", parameters=parameters, parallelism=2)
    manifest["spec"]["template"]["model"] = MODEL
    stage.launch(manifest)
    stage.until("both ended", lambda: stage.get("experiment", "sweep")["status"]["progress"] == "2/2")
    first, second = stage.get("run", "sweep-0"), stage.get("run", "sweep-1")
    stage.apply(registered_from(first, "digits"))
    stage.wait("modelversion", "digits.v1", "Ready", lambda o: o.get("status", {}).get("phase") == "Ready")
    stage.patch("experiment", "sweep", {"retention": {"artifactsAfter": "0s"}})
    found = stage.wait("run", "sweep-1", "expired", lambda o: o["status"]["record"].get("expired"), 30)
    assert stage.artifacts(second["metadata"]["uid"]) == []
    told = verify_record(stage.store, stage.prefix(second), deep=True).expired
    assert told is not None
    assert told.finished == found["status"]["record"]["expired"]
    assert (told.reason, len(told.files)) == ("artifactsAfter: 0s", 2)
    assert condition(found, "Recorded")["status"] == "True"
    assert stage.artifacts(first["metadata"]["uid"]) == ["model", "plot"]
    # A manifest that names the run only now comes too late, and says so.
    late = registered_from(second, "late")
    stage.apply(late)
    refused = stage.wait("modelversion", "late.v1", "Failed", lambda o: o.get("status", {}).get("phase") == "Failed")
    assert condition(refused, "ArtifactVerified")["reason"] == "SourceMissing"
    assert f"its artifacts were deleted at {told.finished} (artifactsAfter: 0s)" in refused["status"]["message"]
    # Without the version nothing needs them any more.
    stage.kubectl("delete", "modelversion", "digits.v1")
    stage.wait("run", "sweep-0", "expired", lambda o: o["status"]["record"].get("expired"), 30)
    assert stage.artifacts(first["metadata"]["uid"]) == []


def registered_from(body: Raw, model: str) -> Raw:
    metadata = body["metadata"]
    named = {"name": metadata["name"], "uid": metadata["uid"]}
    if "assay.dev/experiment" in metadata.get("labels", {}):
        named["experiment"] = metadata["labels"]["assay.dev/experiment"]
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": f"{model}.v1"},
        "spec": {
            "model": model,
            "version": 1,
            "run": named,
            "artifact": {"digest": body["status"]["model"]["digest"]},
        },
    }


def test_an_archived_run_can_be_registered_until_its_artifacts_expire(stage: Stage) -> None:
    kept = {"archiveAfter": "2s", "artifactsAfter": "8s"}
    for name in ("one", "two"):
        stage.launch(run(name, "pass", model=MODEL, retention=kept))
    bodies: dict[str, Raw] = {}

    def both_seen() -> bool:
        for name in ("one", "two"):
            found = stage.get("run", name)
            if found.get("status", {}).get("phase") == "Succeeded":
                bodies[name] = found
        return len(bodies) == 2

    stage.until("both have ended", both_seen)
    one, two = stage.archived("one"), stage.archived("two")
    stage.apply(registered_from(bodies["one"], "digits"))
    found = stage.wait("modelversion", "digits.v1", "Ready", lambda o: o.get("status", {}).get("phase") == "Ready", 30)
    assert condition(found, "ProvenanceVerified")["status"] == "True"
    wait_for("the artifacts of the other expire", lambda: stage.artifacts(two.uid) == [], seconds=40)
    wait_for("nothing waits any more", lambda: not list(stage.store.list(f"expiring/{stage.namespace}/")), seconds=20)
    assert stage.artifacts(one.uid) == ["model", "plot"]
    assert {each.name: each.expired for each in archive.runs(stage.store, stage.namespace)} == {
        "one": False,
        "two": True,
    }
    assert verify_record(stage.store, two.prefix, deep=True).expired is not None


def test_retention_waits_until_the_best_run_is_registered(stage: Stage) -> None:
    kept = {"archiveAfter": "0s", "artifactsAfter": "0s"}
    parameters = [{"name": "a", "values": [0, 1, 2]}]
    register = {"model": "digits", "pick": "best"}
    manifest = experiment("sweep", "pass", parameters=parameters, retention=kept, register=register)
    manifest["spec"]["template"]["model"] = MODEL
    stage.launch(manifest)
    stage.until("it is registered", lambda: stage.get("experiment", "sweep")["status"].get("registered"),
                {"sweep-0": 0.2, "sweep-1": 0.9, "sweep-2": 0.4})  # fmt: skip
    found = stage.wait("modelversion", "digits.v1", "Ready", lambda o: o.get("status", {}).get("phase") == "Ready", 30)
    assert found["spec"]["run"]["name"] == "sweep-1"
    assert found["spec"]["artifact"]["digest"] == "sha256:" + hashlib.sha256(b"model 0.9").hexdigest()
    wait_for("no run is left", lambda: not stage.all("runs"), seconds=60, saw=stage.operator.tail)
    kept_runs = {each.name: each.expired for each in archive.runs(stage.store, stage.namespace)}
    assert kept_runs == {"sweep-0": True, "sweep-1": False, "sweep-2": True}
    assert stage.get("experiment", "sweep")["status"]["registered"] == "digits.v1"


# Jobs, and what cannot be asked for


def test_jobs_expire_even_when_retention_is_set_later(stage: Stage) -> None:
    stage.launch(run("own", "pass", retention={"jobs": "0s"}))
    stage.launch(experiment("sweep", "pass"))
    stage.until("both have ended", lambda: {"own", "sweep-0"} <= {
        each["metadata"]["name"] for each in stage.all("runs") if each["status"].get("phase") == "Succeeded"
    })  # fmt: skip
    wait_for("the Job of one is gone", lambda: not stage.get("job", "own"), seconds=60)
    assert stage.get("job", "sweep-0")
    stage.patch("experiment", "sweep", {"retention": {"jobs": "0s", "archiveAfter": KEEP}})
    wait_for("that of the other too", lambda: not stage.get("job", "sweep-0"), seconds=60)
    assert {each["metadata"]["name"] for each in stage.all("runs")} == {"own", "sweep-0"}


@pytest.mark.parametrize("text", ["1", "d", "1y", "1.5h", "-1h", "1h ", "", "1234567s"])
def test_invalid_durations_are_refused(control_plane: LocalCluster, namespace: str, text: str) -> None:
    operators.install(control_plane)
    objects = Objects(control_plane, namespace)
    for part in ("jobs", "archiveAfter", "artifactsAfter"):
        with pytest.raises(ClusterError, match=rf"spec\.retention\.{part}"):
            objects.apply(run("r", "pass", retention={part: text}))
