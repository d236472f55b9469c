"""Looking into runs and acting on them: show, experiments, suspend, stop, tag, note, register; several runs at once."""

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay import client
from assay.store import numbers
from tests import registry
from tests.cli.conftest import Answer
from tests.cli.stand_in import BEGUN, StandIn, metric
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Assay = Callable[..., Answer]
CAUSE = 'configmap "settings" not found'


@pytest.fixture
def stand_in(governed: Cluster, namespace: str) -> StandIn:
    return StandIn(governed, namespace)


def _experiment(stand_in: StandIn, name: str, status: dict[str, Any]) -> None:
    manifest = {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {
            "objective": {"metric": "f1", "direction": "maximize"},
            "parameters": [{"name": "lr", "values": [0.1, 0.2]}],
            "template": {"job": registry.run("x")["spec"]["job"]},
        },
    }
    stand_in.create(manifest, status)


def _warn(stand_in: StandIn, run: dict[str, Any], message: str) -> None:
    """Post the event that the kubelet posts for a pod of a run."""
    about = {"kind": "Run", "name": run["metadata"]["name"], "uid": run["metadata"]["uid"]}
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{run['metadata']['name']}.1", "namespace": stand_in.namespace},
        "type": "Warning",
        "reason": "FailedMount",
        "message": message,
        "involvedObject": {"apiVersion": "assay.dev/v1alpha1", "namespace": stand_in.namespace, **about},
        "count": 7,
        "lastTimestamp": "2026-03-01T12:05:00Z",
    }
    stand_in.kubectl("create", "-f", "-", stdin=json.dumps(event))


def test_show_names_the_cause_of_a_pending_run(assay: Assay, stand_in: StandIn) -> None:
    run = stand_in.run("waiting", {"phase": "Pending", "reason": "Starting", "message": "pod waiting-x is starting"})
    _warn(stand_in, run, f"MountVolume.SetUp failed for volume: {CAUSE}")
    shown = assay("show", "waiting", "--lines", "0")
    assert shown.lines[0] == "waiting  Pending (Starting)"
    assert CAUSE in shown.lines[1]
    assert "as above" not in shown.out
    assert "waiting" not in assay("runs").err, "a run that is starting needs no attention"
    found = assay("show", "waiting", "-o", "json").json()
    assert found["cause"] == f"Run waiting: MountVolume.SetUp failed for volume: {CAUSE}"
    assert [(each["reason"], each["count"]) for each in found["events"]] == [("FailedMount", 7)]


def test_a_message_is_shown_once(assay: Assay, stand_in: StandIn) -> None:
    stuck = {"phase": "Pending", "reason": "ImagePullBackOff", "message": "pod stuck-x: no such image"}
    waits = {"type": "Started", "status": "False", "reason": "ImagePullBackOff", "lastTransitionTime": BEGUN}
    stand_in.run("stuck", {**stuck, "conditions": [{**waits, "message": stuck["message"]}]})
    shown = assay("show", "stuck", "--lines", "0")
    assert shown.out.count("no such image") == 1
    assert any(line.split() == ["Started", "False", "ImagePullBackOff", "as", "above"] for line in shown.lines)
    assert assay("runs").err == "1 Pending (ImagePullBackOff); --columns phase,reason,message shows why\n"


def test_show_names_the_cause_of_a_run_that_failed(assay: Assay, stand_in: StandIn) -> None:
    status = {"phase": "Failed", "reason": "OOMKilled", "message": "container train exceeded its memory limit"}
    conditions = [
        {"type": "Failed", "status": "True", "reason": "OOMKilled", "message": "", "lastTransitionTime": BEGUN}
    ]
    stand_in.run("big", {**status, "completionTime": BEGUN, "conditions": conditions, "metrics": {"f1": metric(0.5)}})
    shown = assay("show", "big")
    assert shown.lines[:2] == ["big  Failed (OOMKilled)", "  cause: container train exceeded its memory limit"]
    assert any(line.split() == ["f1", "0.5", "-", "9"] for line in shown.lines)
    assert "no log" in shown.err or "the store has no log" in shown.err
    assert assay("runs").err == "1 Failed (OOMKilled); --columns phase,reason,message shows why\n"
    columns = assay("runs", "--columns", "reason,message")
    assert not columns.err
    assert columns.lines[1].split(None, 2) == ["big", "OOMKilled", "container train exceeded its memory limit"]
    logs = assay("logs", "big")
    assert (logs.code, "OOMKilled: container train exceeded its memory limit" in logs.err) == (3, True)


def test_experiments_are_listed_suspended_and_resumed(assay: Assay, stand_in: StandIn) -> None:
    best = {"run": "sweep-1", "value": 0.75, "display": "0.75", "parameters": {}}
    _experiment(stand_in, "sweep", {"phase": "Running", "progress": "1/2", "best": best})
    assert assay("experiments").lines[1].split()[:5] == ["sweep", "Running", "1/2", "-", "f1=0.75"]
    assert assay("experiments", "-o", "json").json()["items"][0]["value"] == 0.75
    assert assay("suspend", "sweep").out == "sweep: suspended\n"
    assert assay("suspend", "sweep").out == "sweep: already suspended\n"
    assert assay("experiments", "-o", "json").json()["items"][0]["suspended"] is True
    assert assay("resume", "sweep", "--dry-run").out == "sweep: would be resumed\n"
    assert assay("resume", "sweep").out == "sweep: resumed\n"
    wrong = assay("suspend", "swep")
    assert (wrong.code, "did you mean sweep?" in wrong.err) == (3, True)


def test_a_run_is_stopped_by_the_uid_of_its_job(assay: Assay, stand_in: StandIn) -> None:
    early = stand_in.run("early")
    assert "has no Job yet" in assay("stop", "early").err
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "early"},
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}},
        },
    }
    created = json.loads(stand_in.kubectl("create", "-ojson", "-f", "-", stdin=json.dumps(job)))
    stand_in.set_status("run.assay.dev", "early", {"phase": "Running", "jobUid": "another"})
    assert assay("stop", "early").code == 1
    stand_in.set_status("run.assay.dev", "early", {"phase": "Running", "jobUid": created["metadata"]["uid"]})
    assert assay("stop", "early", "--dry-run").out == "early: would be stopped\n"
    stopped = assay("stop", "early")
    assert stopped.out == "early: stopping\n", stopped.err
    assert stand_in.kubectl("get", "jobs", "-oname", "--ignore-not-found", "early") == ""
    stand_in.set_status("run.assay.dev", early["metadata"]["name"], {"phase": "Failed"})
    assert "has ended: Failed" in assay("stop", "early").err


def test_tags_and_notes_are_shown_and_filtered(assay: Assay, stand_in: StandIn) -> None:
    for name in ("a", "b"):
        stand_in.run(name)
    assert assay("tag", "a", "team=vision", "keep=yes").out == "a: keep=yes, team=vision\n"
    assert assay("tag", "a", "keep-").out == "a: team=vision\n"
    assert assay("note", "a", "the baseline of March").out == "a: the baseline of March\n"
    found = assay("runs", "--where", 'labels.team == "vision"', "--columns", "labels.team,note")
    assert found.lines[1].split(None, 2) == ["a", "vision", "the baseline of March"]
    assert "the baseline of March" in assay("show", "a", "--lines", "0").out
    assert assay("note", "a", "").out == "a: no note\n"
    assert assay("tag", "a", "team").code == 2
    assert assay("tag", "a", "assay.dev/run=b").code == 2


def test_a_run_is_registered_under_the_next_number(assay: Assay, stand_in: StandIn) -> None:
    digest = "sha256:" + "a" * 64
    stand_in.run("done", {"phase": "Succeeded", "model": {"path": "model", "digest": digest, "size": 3}})
    stand_in.run("empty", {"phase": "Succeeded"})
    first = assay("register", "done", "digits")
    assert first.out == "digits.v1\n", first.err
    assert assay("register", "done", "digits").out == "digits.v2\n"
    assert assay("register", "done", "digits", "--version", "9").out == "digits.v9\n"
    assert assay("register", "done", "digits", "--version", "9").code == 1
    found = json.loads(stand_in.kubectl("get", "modelversion", "digits.v2", "-ojson"))["spec"]
    assert (found["run"]["name"], found["artifact"]["digest"]) == ("done", digest)
    assert "run empty produced no model" in assay("register", "empty", "digits").err


def test_the_number_of_a_deleted_version_is_not_reused(assay: Assay, stand_in: StandIn) -> None:
    digest = "sha256:" + "a" * 64
    stand_in.run("done", {"phase": "Succeeded", "model": {"path": "model", "digest": digest, "size": 3}})
    for number in (1, 2):
        numbers.claim(stand_in.store, stand_in.namespace, "digits", number, f"run/{number}")
    found = assay("register", "done", "digits")
    assert (found.out, "unknown" in found.err) == ("digits.v3\n", False)
    blind = assay("register", "done", "other", ASSAY_STORE_ENDPOINT="http://127.0.0.1:1")
    assert (blind.out, "numbers of deleted versions are unknown: " in blind.err) == ("other.v1\n", True)


def test_the_objective_comes_first_and_a_note_counts_omitted_metrics(assay: Assay, stand_in: StandIn) -> None:
    found = {f"m{number:02}": metric(number) for number in range(25)} | {"z": metric(0.5)}
    stand_in.run("wide", {"phase": "Running", "metrics": found}, objective={"metric": "z", "direction": "maximize"})
    answer = assay("show", "wide", "--lines", "0")
    begins = [line.split()[0] for line in answer.lines if line.split()]
    assert begins[begins.index("METRIC") + 1 :][:2] == ["z", "m00"]
    assert "6 more metrics: -o json shows them" in answer.err


def test_show_links_to_the_run_in_the_console(assay: Assay, stand_in: StandIn) -> None:
    stand_in.run("seen")
    here = f"`assay ui -n {stand_in.namespace}` shows the run in a browser"
    assert here in assay("show", "seen", "--lines", "0").out
    link = f"https://assay.example.com/n/{stand_in.namespace}/runs/seen"
    with_server = ("--server", "https://assay.example.com/")
    assert link in assay("show", "seen", "--lines", "0", *with_server).out
    assert assay("show", "seen", "-o", "json", *with_server).json()["link"] == link


def test_metrics_of_a_run_with_several_pods_have_a_note(
    assay: Assay, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods = [{"pod": "late-a", "phase": "Failed"}, {"pod": "late-b", "phase": "Running"}]
    stand_in.run("late", {"phase": "Running", "attempts": pods, "metrics": {"f1": metric(0.5)}})
    said = "metrics and curves show pod p only: other attempts or workers recorded points too: q (points: 7)"
    recorded = {"type": "Recorded", "status": "True", "reason": "Verified", "message": f"3 files; {said}; more"}
    recorded["lastTransitionTime"] = "2026-03-01T12:00:00Z"
    ended = {"phase": "Succeeded", "conditions": [recorded], "metrics": {"f1": metric(0.6)}}
    stand_in.run("done", ended)
    going = "metrics and curves show pod late-b only: other attempts or workers: late-a"
    assert going in assay("show", "late", "--lines", "0").out
    assert assay("show", "done", "-o", "json").json()["otherPods"] == said
    compared = assay("compare", "late", "done")
    assert [f"late: {going}" in compared.err, f"done: {said}" in compared.err] == [True, True]
    assert assay("compare", "late", "done", "-o", "json").json()["notes"] == [f"late: {going}", f"done: {said}"]
    assert f"late: {going}; --pod selects a pod" in assay("curves", "late", "--metric", "f1").err
    for name, value in {"KUBECONFIG": str(stand_in.cluster.kubeconfig), **stand_in.cluster.store.environment()}.items():
        monkeypatch.setenv(name, value)
    # It has no points here.
    with pytest.warns(UserWarning, match=f"done: {re.escape(said)}"), contextlib.suppress(client.AssayError):
        client.curves(["done"], metric="f1", namespace=stand_in.namespace)
    assert "--pod selects" not in assay("curves", "late", "--metric", "f1", "--pod", "late-a").err


def test_bare_names_in_filters_and_sorts_are_completed(assay: Assay, stand_in: StandIn) -> None:
    stand_in.run("a", {"phase": "Succeeded", "metrics": {"val/loss": metric(0.5)}}, parameters={"learning_rate": 0.1})
    assert "write params.learning_rate" in assay("runs", "--where", "learning_rate > 0.001").err
    stand_in.run("dashes", parameters={"weight-decay": 0.1, "model.lr": 0.2})
    assert 'write params["weight-decay"]' in assay("runs", "--where", "weight_decay > 0.001").err
    assert 'write params["model.lr"]' in assay("runs", "--where", "model_lr > 0.001").err
    assert 'write metrics["val/loss"].last' in assay("runs", "--where", "val/loss < 1.0").err
    assert "--sort val/loss:asc" in assay("runs", "--sort", "val/loss").err
    assert assay("runs", "--sort", "val/loss:asc").lines[1].split()[0] == "a"


def test_runs_are_selected_by_experiment_pattern_and_rank(assay: Assay, stand_in: StandIn, tmp_path: Path) -> None:
    _experiment(stand_in, "sweep", {"phase": "Running"})
    objective = {"metric": "f1", "direction": "maximize"}
    for number, value in enumerate((0.5, 0.9, 0.7)):
        status = {"phase": "Succeeded", "metrics": {"f1": metric(value, best=value)}, "attempts": [_attempt(number)]}
        run = stand_in.run(
            f"sweep-{number}", status, experiment="sweep", objective=objective, parameters={"lr": number}
        )
        points = [("f1", step, float(step), value) for step in range(3)]
        if number == 1:
            points += [("loss", step, float(step), 1.0 - value) for step in range(3)]
        stand_in.compacted(run, f"pod-{number}", points, tmp_path)
    best = assay("compare", "-e", "sweep", "--top", "2", "-o", "json").json()
    assert best["runs"] == ["sweep-1", "sweep-2"]
    assert assay("compare", "sweep-[02]", "-o", "json").json()["runs"] == ["sweep-0", "sweep-2"]
    some = assay("curves", "-e", "sweep", "--top", "2", "-o", "json").json()["items"]
    assert [each["run"] for each in some] == ["sweep-1", "sweep-2"]
    both = assay("curves", "sweep-*", "--metric", "f1", "--metric", "loss", "-o", "json")
    assert [(each["run"], each["metric"]) for each in both.json()["items"]] == [
        ("sweep-0", "f1"),
        ("sweep-1", "f1"),
        ("sweep-1", "loss"),
        ("sweep-2", "f1"),
    ]
    assert both.err.count("omitted: ") == 2
    drawn = assay("curves", "sweep-1", "--metric", "f1", "--metric", "loss")
    assert len([line for line in drawn.lines if line.split()[:1] == ["CURVE"]]) == 2
    assert assay("curves", "sweep-*", "--metric", "f2").code == 3
    assert "no run that matches other-*" in assay("compare", "other-*", "sweep-0").err


def _attempt(number: int) -> dict[str, Any]:
    return {"pod": f"pod-{number}", "phase": "Succeeded"}


def test_notebooks_get_runs_and_curves_as_frames(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(stand_in.cluster.kubeconfig))
    for name, value in stand_in.cluster.store.environment().items():
        monkeypatch.setenv(name, value)
    where = {"namespace": stand_in.namespace}
    assert client.experiments(**where).empty
    assert client.runs(**where).empty
    _experiment(stand_in, "sweep", {"phase": "Running", "progress": "1/2"})
    objective = {"metric": "f1", "direction": "maximize"}
    for number, value in enumerate((0.5, 0.9)):
        status = {"phase": "Succeeded", "metrics": {"f1": metric(value, best=value)}, "attempts": [_attempt(number)]}
        run = stand_in.run(
            f"sweep-{number}", status, experiment="sweep", objective=objective, parameters={"lr": number}
        )
        stand_in.compacted(run, f"pod-{number}", [("f1", step, float(step), value) for step in range(3)], tmp_path)
    assert list(client.experiments(**where).index) == ["sweep"]
    runs = client.runs("sweep", where="metrics.f1.best > 0.6", **where)
    assert list(runs.index) == ["sweep-1"]
    assert (runs.loc["sweep-1", "params.lr"], runs.loc["sweep-1", "metrics.f1.best"]) == (1, 0.9)
    assert str(runs["created"].dtype).startswith("datetime64")
    points = client.curves("sweep", top=1, **where)
    assert points[["run", "step", "value"]].values.tolist() == [["sweep-1", float(step), 0.9] for step in range(3)]
    assert set(client.curves(["sweep-*"], metric="f1", **where)["run"]) == {"sweep-0", "sweep-1"}
    with pytest.raises(client.AssayError, match="has no experiment swep"):
        client.runs("swep", **where)
