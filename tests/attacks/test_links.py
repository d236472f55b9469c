"""Attacks on what links objects to each other: a Job to its run, pods to their Job, runs to their experiment."""

import copy
import json
from typing import Any

import pytest

from assay.api.experiment import ExperimentSpec
from assay.planning.search.belonging import run_body
from tests import registry
from tests.attackers import EDITOR, OMNIPOTENT, SCIENTIST, Outcome, Realm, stopped
from tests.registry import Raw

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"


def _owner(owner: Raw, **more: Any) -> Raw:
    kept = {key: owner["metadata"][key] for key in ("name", "uid")}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **kept, **more}


def _links(run: Raw) -> Raw:
    return {"assay.dev/run": run["metadata"]["name"], "assay.dev/run-uid": run["metadata"]["uid"]}


def _pod(name: str, **metadata: Any) -> Raw:
    return {**registry.PLAIN_POD, "metadata": {"name": name, **metadata}}


def _job(name: str, labels: Raw | None = None, template: Raw | None = None, **metadata: Any) -> Raw:
    pod = {"metadata": {"labels": template or {}}, "spec": {"restartPolicy": "Never", **registry.PLAIN_POD["spec"]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels or {}, **metadata},
        "spec": {"suspend": True, "template": pod},
    }


def _copy(job: Raw, name: str) -> Raw:
    """What `kubectl get job -o json` gives, with another name and command."""
    metadata = {
        "name": name,
        "labels": job["metadata"]["labels"],
        "ownerReferences": job["metadata"]["ownerReferences"],
    }
    found = copy.deepcopy(job["spec"])
    for key in ("selector", "manualSelector"):
        found.pop(key, None)
    for key in (CONTROLLER_UID, "controller-uid", "batch.kubernetes.io/job-name", "job-name"):
        found["template"]["metadata"]["labels"].pop(key, None)
    found["template"]["spec"]["volumes"] = []
    found["template"]["spec"]["initContainers"] = []
    for container in found["template"]["spec"]["containers"]:
        container |= {"command": ["sh", "-c", "echo mine"], "volumeMounts": []}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": found}


def _patch(realm: Realm, user: str, what: str, patch: Raw, *more: str) -> Outcome:
    return realm.act(user, "patch", what, "--type=merge", f"--patch={json.dumps(patch)}", *more)


@pytest.mark.parametrize("user", [SCIENTIST, EDITOR, OMNIPOTENT])
def test_l01_create_a_second_job_for_a_run(realm: Realm, user: str) -> None:
    _, job = realm.launched(f"l01-{user}")
    stopped("L01", realm.create(user, _copy(job, f"l01-{user}-again")))


def test_l02_a_job_that_a_run_owns_without_its_labels(realm: Realm) -> None:
    run, _ = realm.launched("l02")
    owners = [_owner(run, controller=True)]
    stopped("L02", realm.create(OMNIPOTENT, _job("l02-again", ownerReferences=owners)))


@pytest.mark.parametrize("how", [(), ("--subresource=status",)], ids=["object", "status"])
def test_l03_add_the_labels_of_a_run_to_an_existing_job(realm: Realm, how: tuple[str, ...]) -> None:
    name = f"l03-{len(how)}"
    run, _ = realm.launched(name)
    realm.created(OMNIPOTENT, _job(f"{name}-own"))
    patch = {"metadata": {"labels": _links(run)}}
    stopped("L03", _patch(realm, OMNIPOTENT, f"job/{name}-own", patch, *how))


def test_l04_add_the_labels_of_a_run_to_the_pod_template_of_a_job(realm: Realm) -> None:
    run, _ = realm.launched("l04")
    stopped("L04", realm.create(SCIENTIST, _job("l04-own", {"app": "mine"}, template=_links(run))))


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"])
def test_l05_add_the_labels_of_a_run_to_the_pod_template_of_a_workload(realm: Realm, kind: str) -> None:
    run, _ = realm.launched(f"l05-{kind.lower()}")
    manifest = registry.deployment(f"l05-{kind.lower()}", kind=kind)
    if kind == "DaemonSet":
        del manifest["spec"]["replicas"]
    manifest["spec"]["template"]["metadata"]["labels"] |= _links(run)
    stopped("L05", realm.create(OMNIPOTENT, manifest))


@pytest.mark.parametrize("where", ["job", "pod"])
def test_l06_create_the_job_with_a_cron_job(realm: Realm, where: str) -> None:
    run, _ = realm.launched(f"l06-{where}")
    job = _job("unused", template=_links(run) if where == "pod" else None)
    labels = _links(run) if where == "job" else {}
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": f"l06-{where}"},
        "spec": {
            "schedule": "0 0 1 1 *",
            "jobTemplate": {"metadata": {"labels": labels}, "spec": {"template": job["spec"]["template"]}},
        },
    }
    outcome = realm.create(EDITOR, manifest)
    if where == "pod":
        stopped("L06", outcome)
    else:
        assert not outcome.done
        assert "only the operator writes the labels" in outcome.said


def test_l07_pod_that_claims_to_belong_to_a_run(realm: Realm) -> None:
    run, job = realm.launched("l07")
    owners = [_owner(job, controller=True)]
    stopped("L07", realm.create(EDITOR, _pod("l07", labels=_links(run), ownerReferences=owners)))


@pytest.mark.parametrize("key", [CONTROLLER_UID, "controller-uid"])
def test_l08_a_pod_for_a_runs_job_to_adopt(realm: Realm, key: str) -> None:
    name = f"l08-{len(key)}"
    _, job = realm.launched(name)
    stopped("L08", realm.create(EDITOR, _pod(name, labels={key: job["metadata"]["uid"]})))
    realm.created(EDITOR, _pod(name))
    stopped("L08", _patch(realm, EDITOR, f"pod/{name}", {"metadata": {"labels": {key: job["metadata"]["uid"]}}}))


@pytest.mark.parametrize("value", [None, "another"])
def test_l09_detach_the_job_from_its_run(realm: Realm, value: str | None) -> None:
    name = f"l09-{value or 'none'}"
    realm.launched(name)
    patch = {"metadata": {"labels": {"assay.dev/run-uid": value}}}
    stopped("L09", _patch(realm, EDITOR, f"job/{name}", patch))


def test_l10_remove_the_owner_of_the_job_of_a_run(realm: Realm) -> None:
    realm.launched("l10")
    stopped("L10", _patch(realm, EDITOR, "job/l10", {"metadata": {"ownerReferences": None}}))


@pytest.mark.parametrize("where", ["job", "template", "pod"])
def test_l11_give_a_run_other_parameters_than_it_records(realm: Realm, where: str) -> None:
    name = f"l11-{where}"
    what = f"pod/{realm.training_pod(name)}" if where == "pod" else f"job/{realm.launched(name) and name}"
    patch: Raw = {"metadata": {"annotations": {"assay.dev/parameters": '{"a": 2}'}}}
    if where == "template":
        patch = {"spec": {"template": patch}}
    stopped("L11", _patch(realm, EDITOR, what, patch))


def test_l12_have_the_operator_resume_a_job_that_it_did_not_suspend(realm: Realm) -> None:
    realm.launched("l12")
    patch = {"metadata": {"annotations": {"assay.dev/suspended-by": "Experiment"}}}
    stopped("L12", _patch(realm, EDITOR, "job/l12", patch))


def test_l13_mark_the_job_of_a_run_complete_in_its_status(realm: Realm) -> None:
    realm.launched("l13")
    at = "2026-01-02T03:04:05Z"
    # Before 1.31, a Job has the first one only for a success policy.
    kinds = ("SuccessCriteriaMet", "Complete") if registry.stamps(realm.cluster) else ("Complete",)
    conditions = [{"type": kind, "status": "True"} for kind in kinds]
    patch = {"status": {"startTime": at, "completionTime": "2027-01-02T03:04:05Z", "conditions": conditions}}
    stopped("L13", _patch(realm, OMNIPOTENT, "job/l13", patch, "--subresource=status"))


def test_l14_mark_the_pod_of_a_run_succeeded_in_its_status(realm: Realm) -> None:
    what = f"pod/{realm.training_pod('l14')}"
    stopped("L14", _patch(realm, OMNIPOTENT, what, {"status": {"phase": "Succeeded"}}, "--subresource=status"))


def test_l15_change_the_job_uid_of_a_run(realm: Realm) -> None:
    run, _ = realm.launched("l15")
    patch = {"status": {"jobUid": run["metadata"]["uid"]}}
    stopped("L15", _patch(realm, OMNIPOTENT, "run/l15", patch, "--subresource=status"))


def test_l16_create_a_run_with_a_status(realm: Realm) -> None:
    manifest = registry.run("l16") | {"status": {"jobUid": "mine", "experimentUid": "mine"}}
    realm.created(OMNIPOTENT, manifest)
    assert "status" not in realm.get("run", "l16")


# Experiments


def _experiment(realm: Realm, name: str, namespace: str = "") -> Raw:
    manifest = registry.experiment(name, parameters=[{"name": "a", "values": [1, 2]}])
    realm.created(SCIENTIST, manifest)
    return realm.get("experiment", name)


def _stuffed(experiment: Raw, name: str, **labels: str) -> Raw:
    manifest = registry.run(name)
    manifest["metadata"] |= {"ownerReferences": [_owner(experiment, controller=True)], "labels": labels}
    return manifest


@pytest.mark.parametrize("user", [SCIENTIST, OMNIPOTENT])
def test_l17_create_a_run_owned_by_an_experiment(realm: Realm, user: str) -> None:
    experiment = _experiment(realm, f"l17-{user}")
    stopped("L17", realm.create(user, _stuffed(experiment, f"l17-{user}-run")))


def test_l18_add_an_existing_run_to_an_experiment(realm: Realm) -> None:
    experiment = _experiment(realm, "l18")
    realm.created(SCIENTIST, registry.run("l18-run"))
    patch = {"metadata": {"ownerReferences": [_owner(experiment, controller=True)]}}
    stopped("L18", _patch(realm, SCIENTIST, "run/l18-run", patch))


def test_l19_add_a_run_of_another_namespace_to_an_experiment(realm: Realm) -> None:
    experiment = _experiment(realm, "l19")
    manifest = _stuffed(experiment, "l19-run")
    there = f"--namespace={realm.other}"
    realm.admin(there, "create", "rolebinding", "l19", "--clusterrole=admin", "--user=l19")
    realm.admin(there, "create", "role", "l19", "--verb=create", "--resource=runs.assay.dev")
    realm.admin(there, "create", "rolebinding", "l19-runs", "--role=l19", "--user=l19")
    stopped("L19", realm.act("l19", there, "create", "--filename=-", stdin=manifest))


def test_l20_squat_an_index_with_the_labels_alone(realm: Realm) -> None:
    _experiment(realm, "l20")
    manifest = registry.run("l20-0")
    manifest["metadata"]["labels"] = {"assay.dev/experiment": "l20", "assay.dev/index": "0"}
    stopped("L20", realm.create(SCIENTIST, manifest))


def test_l21_move_a_run_to_an_experiment_with_zero_retention(realm: Realm) -> None:
    mine = registry.experiment("l21", retention={"artifactsAfter": "0s"})
    realm.created(SCIENTIST, mine)
    realm.launched("l21-victim")
    patch = {"metadata": {"ownerReferences": [_owner(realm.get("experiment", "l21"), controller=True)]}}
    stopped("L21", _patch(realm, SCIENTIST, "run/l21-victim", patch))


def test_l22_remove_a_run_from_its_experiment(realm: Realm) -> None:
    experiment = _experiment(realm, "l22")
    made = run_body(experiment, ExperimentSpec.model_validate(experiment["spec"]), 0)
    realm.created(registry.OPERATOR, made)
    stopped("L22", _patch(realm, SCIENTIST, "run/l22-0", {"metadata": {"ownerReferences": None}}))


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap", "Service", "ServiceAccount", "PersistentVolumeClaim"])
@pytest.mark.parametrize("by", ["labels", "ownerReferences"])
def test_l23_link_an_object_of_any_kind_to_a_run(realm: Realm, kind: str, by: str) -> None:
    name = f"l23-{kind.lower()}-{by.lower()}"
    run, _ = realm.launched(name)
    link = {"labels": _links(run)} if by == "labels" else {"ownerReferences": [_owner(run)]}
    manifest: Raw = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **link}}
    if kind == "Service":
        manifest["spec"] = {"ports": [{"port": 80}]}
    if kind == "PersistentVolumeClaim":
        manifest["spec"] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    outcome = realm.create(EDITOR, manifest)
    if by == "labels":
        stopped("L23", outcome)
    else:
        assert not outcome.done
        assert "only the operator makes objects of assay.dev the owners of others" in outcome.said


def test_l24_label_a_pod_by_binding_it_to_a_node(realm: Realm) -> None:
    run, _ = realm.launched("l24")
    realm.created(EDITOR, _pod("l24"))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "l24", "labels": _links(run)},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "nowhere"},
    }
    path = f"/api/v1/namespaces/{realm.namespace}/pods/l24/binding"
    stopped("L24", realm.act(OMNIPOTENT, "create", f"--raw={path}", "--filename=-", stdin=binding))
