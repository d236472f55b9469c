"""What becomes of a run: each way to end, each way to wait, and what stays of it."""

import pytest

from tests import registry
from tests.objects import Objects, condition, experiment, run

pytestmark = pytest.mark.e2e


def test_a_failed_run_reports_its_exit_code_and_keeps_its_points(objects: Objects) -> None:
    objects.apply(run("fails", "log(step=0, score=0.5)\nlog(step=1, score=0.6)\nsys.exit(3)"))
    ended = objects.wait_phase("run", "fails", "Failed")
    assert ended["status"]["reason"] == "NonZeroExit"
    assert ended["status"]["message"] == "container train ended with exit code 3"
    assert ended["status"]["attempts"][0]["exitCode"] == 3
    assert objects.points(ended) == [("score", 0, 0.5), ("score", 1, 0.6)]
    assert condition(ended, "Recorded")["status"] == "True"
    assert objects.read_json(ended, "manifest.json")["outcome"] == "Failed"


def test_run_that_needs_too_much_memory_is_oom_killed(objects: Objects) -> None:
    manifest = run("hungry", "log(step=0, score=1)\ntime.sleep(6)\nblock = bytearray(400 << 20)\ntime.sleep(60)")
    container = manifest["spec"]["job"]["template"]["spec"]["containers"][0]
    container["resources"]["limits"] = {"memory": "64Mi"}
    objects.apply(manifest)
    ended = objects.wait_phase("run", "hungry", "Failed")
    assert ended["status"]["reason"] == "OOMKilled"
    assert ended["status"]["message"] == "container train exceeded its memory limit and was killed"
    assert objects.points(ended) == [("score", 0, 1.0)]


def test_retried_run_keeps_both_attempts_apart(objects: Objects) -> None:
    # The first pod has no memory of its own that outlives it, so it asks the name of its pod: the Job's second pod
    # gets another one, and the volume below is the only thing that both share.
    script = """
        log(step=0, score=0.1)
        if not os.path.exists('/shared/second'):
            open('/shared/second', 'w').close()
            sys.exit(7)
        log(step=1, score=0.9)
        artifacts.joinpath('model.txt').write_text('good')
    """
    manifest = run("retried", script, job={"backoffLimit": 2}, model={"path": "model.txt"})
    spec = manifest["spec"]["job"]["template"]["spec"]
    spec["volumes"] = [objects.shared_volume("shared")]
    spec["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
    spec["securityContext"] = {"runAsUser": 0, "runAsNonRoot": False}
    objects.apply(manifest)
    ended = objects.wait_phase("run", "retried", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    first, second = (attempt["pod"] for attempt in ended["status"]["attempts"])
    assert objects.points(ended, first) == [("score", 0, 0.1)]
    assert objects.points(ended, second) == [("score", 0, 0.1), ("score", 1, 0.9)]
    assert ended["status"]["metrics"]["score"]["last"] == 0.9
    assert second in ended["status"]["record"]["artifacts"]
    recorded = condition(ended, "Recorded")["message"]
    assert f"metrics and curves show pod {second} only" in recorded
    assert recorded.endswith(f"{first} (points: 1)")


def test_run_that_leaves_no_model_has_failed(objects: Objects) -> None:
    objects.apply(run("empty", "log(step=0, score=1)", model={"path": "model"}))
    ended = objects.wait_phase("run", "empty", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Failed"
    assert ended["status"]["reason"] == "RecordIncomplete"
    assert ended["status"]["message"] == (
        "the run left no model at /assay/artifacts/model, which spec.model.path names"
    )


def test_bad_metric_lines_are_counted_quoted_and_skipped(objects: Objects) -> None:
    script = """
        log(step=0, score=0.5, note='hello')
        with open('/assay/metrics.jsonl', 'a') as file:
            file.write('epoch 1: loss 0.3\\n{"step": 1, "score": NaN}\\n')
        log(step=2, score=0.7)
    """
    objects.apply(run("sloppy", script))
    ended = objects.wait_phase("run", "sloppy", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    points = [(name, step, repr(value)) for name, step, value in objects.points(ended)]
    assert points == [("score", 0, "0.5"), ("score", 1, "nan"), ("score", 2, "0.7")]
    assert ended["status"]["recorder"]["rejected"] == 2
    assert any("epoch 1: loss 0.3" in text for text in ended["status"]["recorder"]["warnings"])


def test_a_pending_run_reports_what_it_waits_for(objects: Objects) -> None:
    unpullable = run("unpullable", "pass")
    unpullable["spec"]["job"]["template"]["spec"]["containers"][0] |= {
        "image": "localhost/no-such-image:1",
        "imagePullPolicy": "Never",
    }
    unschedulable = run("unschedulable", "pass")
    unschedulable["spec"]["job"]["template"]["spec"]["nodeSelector"] = {"gpu": "none-here"}
    objects.apply(unpullable)
    objects.apply(unschedulable)
    found = objects.wait(
        "run", "unpullable", "ErrImageNeverPull", lambda o: o.get("status", {}).get("reason") == "ErrImageNeverPull"
    )
    assert found["status"]["phase"] == "Pending"
    found = objects.wait(
        "run", "unschedulable", "Unschedulable", lambda o: o.get("status", {}).get("reason") == "Unschedulable"
    )
    assert "node(s) didn't match Pod's node affinity/selector" in found["status"]["message"]


def test_a_run_with_refused_pods_reports_why_and_starts_once_they_are_allowed(objects: Objects) -> None:
    enforce = "pod-security.kubernetes.io/enforce"
    objects.kubectl("label", "namespace", objects.namespace, f"{enforce}=restricted")
    manifest = run("root", "log(step=0, score=1)")
    container = manifest["spec"]["job"]["template"]["spec"]["containers"][0]
    container["securityContext"] = {"runAsUser": 0, "runAsNonRoot": False}
    objects.apply(manifest)
    found = objects.wait(
        "run", "root", "PodsRefused", lambda o: o.get("status", {}).get("reason") == "PodsRefused", seconds=30
    )
    assert found["status"]["phase"] == "Pending"
    said = found["status"]["message"]
    assert said.startswith('the Job\'s pods are refused: violates PodSecurity "restricted:latest": ')
    assert "runAsUser=0" in said
    assert condition(found, "Started")["reason"] == "PodsRefused"
    assert not objects.all("pods")
    assert "PodsRefused" in objects.kubectl("describe", "run", "root")
    objects.kubectl("label", "namespace", objects.namespace, f"{enforce}-")
    ended = objects.wait_phase("run", "root", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]


def test_a_run_with_a_missing_volume_reports_it_and_starts_once_it_exists(objects: Objects) -> None:
    manifest = run("unmounted", "print(open('/settings/a').read())")
    pod = manifest["spec"]["job"]["template"]["spec"]
    pod["volumes"] = [{"name": "settings", "configMap": {"name": "settings"}}]
    pod["containers"][0]["volumeMounts"] = [{"name": "settings", "mountPath": "/settings"}]
    objects.apply(manifest)
    found = objects.wait(
        "run", "unmounted", "FailedMount", lambda o: o.get("status", {}).get("reason") == "FailedMount", seconds=120
    )
    assert 'configmap "settings" not found' in found["status"]["message"]
    objects.kubectl("create", "configmap", "settings", "--from-literal=a=1")
    assert objects.wait_phase("run", "unmounted", "Succeeded", "Failed", seconds=240)["status"]["phase"] == "Succeeded"


def test_a_run_that_takes_too_long_reports_its_deadline(objects: Objects) -> None:
    objects.apply(run("slow", "log(step=0, score=1)\ntime.sleep(300)", job={"activeDeadlineSeconds": 8}))
    ended = objects.wait_phase("run", "slow", "Failed")
    assert ended["status"]["reason"] == "DeadlineExceeded"
    assert objects.read_json(ended, "manifest.json")["outcome"] == "Failed"


def test_a_job_refused_by_the_api_server_fails_with_its_message(objects: Objects) -> None:
    manifest = run("refused", "pass")
    manifest["spec"]["job"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": "4GB"}}
    objects.apply(manifest)
    ended = objects.wait_phase("run", "refused", "Failed")
    assert ended["status"]["reason"] == "InvalidTemplate"
    assert ended["status"]["message"] == (
        "spec.job.template.spec.containers[0].resources.limits.memory: "
        "'4GB' is not an amount such as 4Gi or 500M: use G or Gi for GB"
    )
    assert not objects.all("secrets", "assay.dev/run")


def test_deleted_job_fails_its_run(objects: Objects) -> None:
    objects.apply(run("robbed", "log(step=0, score=1)\ntime.sleep(300)"))
    objects.wait_phase("run", "robbed", "Running")
    objects.kubectl("delete", "job", "robbed", "--wait=false")
    ended = objects.wait_phase("run", "robbed", "Failed")
    assert ended["status"]["reason"] == "JobDeleted"


def test_indexed_job_records_every_pod(objects: Objects) -> None:
    script = "log(step=0, score=float(os.environ['JOB_COMPLETION_INDEX']))"
    job = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
    objects.apply(run("indexed", script, job=job))
    ended = objects.wait_phase("run", "indexed", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    manifest = objects.read_json(ended, "manifest.json")
    assert [pod["complete"] for pod in manifest["pods"]] == [True, True]
    assert ended["status"]["metrics"]["score"]["last"] == 0.0, "the pod with index 0 speaks for the run"


def test_parameters_and_owned_names_reach_the_container(objects: Objects) -> None:
    script = """
        assert json.load(open('/assay/params.json')) == {'lr': 0.1, 'name': 'a b', 'flag': True}
        assert (os.environ['PARAM_lr'], os.environ['PARAM_name'], os.environ['PARAM_flag']) == ('0.1', 'a b', 'true')
        assert os.environ['ASSAY_RUN'] == 'told'
        hidden = [v for v in os.environ if 'STORE' in v or 'SECRET' in v or 'AWS' in v]
        assert not hidden, hidden
        assert not os.path.exists('/var/run/assay'), 'the store credentials are visible to the training'
        log(step=0, score=1)
    """
    objects.apply(run("told", script, parameters={"lr": 0.1, "name": "a b", "flag": True}))
    ended = objects.wait_phase("run", "told", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]


def test_finished_job_is_kept_until_it_is_recorded_and_then_for_its_time_to_live(objects: Objects) -> None:
    objects.apply(run("brief", "log(step=0, score=1)", job={"ttlSecondsAfterFinished": 1}))
    ended = objects.wait_phase("run", "brief", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    objects.kubectl("wait", "--for=delete", "job/brief", "--timeout=60s")
    assert objects.get("run", "brief")["status"]["phase"] == "Succeeded"


def test_a_suspended_experiment_stops_its_pods_and_continues_when_resumed(objects: Objects) -> None:
    script = "log(step=0, score=1)\ntime.sleep(8)\nlog(step=1, score=2)"
    objects.apply(experiment("paused", script, parameters=[{"name": "a", "values": [1, 2]}], parallelism=1))
    objects.wait_phase("run", "paused-0", "Running")
    objects.kubectl("patch", "exp", "paused", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    objects.wait_phase("run", "paused-0", "Suspended")
    objects.wait_phase("experiment", "paused", "Suspended")
    objects.kubectl("wait", "--for=delete", "pod", "-l", "assay.dev/run=paused-0", "--timeout=60s")
    assert not objects.get("run", "paused-1"), "a suspended experiment launched a run"
    objects.kubectl("patch", "exp", "paused", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    ended = objects.wait_phase("experiment", "paused", "Succeeded", "Failed", seconds=180)
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert ended["status"]["progress"] == "2/2"
    again = objects.get("run", "paused-0")
    assert objects.points(again) == [("score", 0, 1.0), ("score", 1, 2.0)]


def test_deleted_experiment_stops_its_pods_and_leaves_its_record(objects: Objects) -> None:
    script = "log(step=0, score=1)\ntime.sleep(300)"
    objects.apply(experiment("gone", script, parameters=[{"name": "a", "values": [1]}]))
    objects.wait_phase("run", "gone-0", "Running")
    running = objects.wait("run", "gone-0", "its first point", lambda o: o["status"].get("metrics"))
    objects.kubectl("delete", "exp", "gone", "--timeout=60s")
    objects.kubectl("wait", "--for=delete", "pod", "-l", "assay.dev/run=gone-0", "--timeout=90s")
    pod = running["status"]["attempts"][-1]["pod"]

    from tests.cluster.waiting import wait_for

    wait_for("the record is closed", lambda: "manifest.json" in objects.stored(running), seconds=60)
    assert objects.read_json(running, "manifest.json")["outcome"] == "Deleted"
    assert objects.points(running, pod) == [("score", 0, 1.0)]
    assert {"run.json", "params.json"} <= set(objects.stored(running))


def test_experiment_stops_when_its_target_is_reached(objects: Objects) -> None:
    script = "log(step=0, score=float(os.environ['PARAM_a']))"
    manifest = experiment("aimed", script, parameters=[{"name": "a", "values": [1, 5, 2, 3, 4]}])
    manifest["spec"]["objective"]["target"] = 5
    objects.apply(manifest)
    ended = objects.wait_phase("experiment", "aimed", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded"
    assert ended["status"]["progress"] == "2/5"
    assert condition(ended, "Complete")["reason"] == "TargetReached"
    assert ended["status"]["message"] == "aimed-1 reached score 5; the target is 5"


def test_experiment_fails_when_too_many_runs_fail(objects: Objects) -> None:
    manifest = experiment("cursed", "sys.exit(1)", parameters=[{"name": "a", "values": [1, 2, 3, 4]}], maxFailedRuns=1)
    objects.apply(manifest)
    ended = objects.wait_phase("experiment", "cursed", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Failed"
    assert ended["status"]["message"] == "2 runs failed; maxFailedRuns is 1"
    assert len(objects.all("runs")) == 2


def test_name_of_a_foreign_job_is_never_taken_over(objects: Objects) -> None:
    spec = {
        "suspend": True,
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}},
    }
    objects.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "mine"}, "spec": spec})
    objects.apply(run("mine", "pass"))
    ended = objects.wait_phase("run", "mine", "Failed")
    assert ended["status"]["reason"] == "NameTaken"
    assert ended["status"]["message"] == (
        "a Job named mine exists and does not belong to this run: delete it, or choose another name"
    )
    assert "assay.dev/run" not in objects.get("job", "mine")["metadata"].get("labels", {})


def test_a_foreign_pod_with_the_labels_of_a_run_does_not_block_its_end(objects: Objects) -> None:
    objects.apply(run("honest", "log(step=0, score=1)\ntime.sleep(6)"))
    started = objects.wait_phase("run", "honest", "Running")
    labels = {"assay.dev/run": "honest", "assay.dev/run-uid": started["metadata"]["uid"]}
    container = {"name": "a", "image": "localhost/no-such-image:1", "imagePullPolicy": "Never"}
    stray = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stray", "labels": labels}}
    with registry.without_policy(objects.cluster, "assay-links"):
        objects.apply({**stray, "spec": {"containers": [container]}})
    ended = objects.wait_phase("run", "honest", "Succeeded", "Failed")
    assert ended["status"]["phase"] == "Succeeded", ended["status"]
    assert [attempt["pod"] for attempt in ended["status"]["attempts"]] != ["stray"]
