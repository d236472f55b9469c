"""Attacks on workloads that follow an alias: pretending to serve, and serving other bytes."""

import asyncio
import copy
import json
from typing import Any

import pytest

from assay.api.resources import DEPLOYMENTS, STATEFUL_SETS
from assay.kube.aio import Kube
from assay.planning.serving import injection
from assay.planning.serving.injection import Served, ServingSettings
from tests import operators, registry
from tests.attackers import EDITOR, OMNIPOTENT, SCIENTIST, Outcome, Realm, stopped
from tests.registry import Raw, deployment, digest

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

SERVE = {"assay.dev/serve": "digits.champion"}
FETCH = {"name": "assay-fetch-model", "image": "mine"}
SETTINGS = ServingSettings("assay")


def _serving(realm: Realm, manifest: Raw, *how: str) -> Raw:
    """Have the scientist apply a workload, and the operator set in it what it sets; return what comes of it."""
    name = manifest["metadata"]["name"]
    realm.must(SCIENTIST, "apply", *how, "--filename=-", stdin=manifest)
    found = json.loads(realm.admin("get", manifest["kind"], name, "--output=json", "--show-managed-fields"))
    prefix = f"models/{realm.namespace}/digits/v1"
    served = Served("digits", "champion", 1, digest(), digest("a"), prefix, "assay-model-digits-v1")
    return asyncio.run(_apply(realm, injection.applied(found, served, SETTINGS)))


async def _apply(realm: Realm, body: Raw) -> Raw:
    """Have the operator apply a body as it does; `kubectl apply` would hand it what others have applied."""
    kube = Kube(1)
    await kube.connect(str(realm.cluster.token_kubeconfig(operators.NAMESPACE, operators.SERVICE_ACCOUNT)))
    try:
        resource = STATEFUL_SETS if body["kind"] == "StatefulSet" else DEPLOYMENTS
        return await kube.apply(resource, realm.namespace, body["metadata"]["name"], body)
    finally:
        await kube.close()


def _patch(realm: Realm, workload: str, patch: Raw, *more: str) -> Outcome:
    return realm.act(SCIENTIST, "patch", workload, "--type=strategic", f"--patch={json.dumps(patch)}", *more)


def test_s01_create_a_deployment_with_its_own_fetch_container(realm: Realm) -> None:
    stopped("S01", realm.create(SCIENTIST, deployment("s01", annotations=SERVE, initContainers=[FETCH])))


def test_s02_pretend_to_serve_a_version(realm: Realm) -> None:
    manifest = deployment("s02")
    manifest["spec"]["template"]["metadata"]["annotations"] = {"assay.dev/served-version": "7"}
    stopped("S02", realm.create(SCIENTIST, manifest))


def test_s03_change_the_served_version_of_a_workload(realm: Realm) -> None:
    workload = realm.served("s03")
    stopped("S03", realm.act(SCIENTIST, "annotate", workload, "assay.dev/served-version=7", "--overwrite"))


def test_s04_change_the_served_version_through_the_status(realm: Realm) -> None:
    workload = realm.served("s04")
    patch = {"metadata": {"annotations": {"assay.dev/served-version": "7"}}}
    stopped("S04", _patch(realm, workload, patch, "--subresource=status"))


def test_s05_replace_the_image_that_fetches(realm: Realm) -> None:
    workload = realm.served("s05")
    stopped("S05", _patch(realm, workload, {"spec": {"template": {"spec": {"initContainers": [FETCH]}}}}))


def test_s06_remove_the_init_container(realm: Realm) -> None:
    workload = realm.served("s06")
    operation = [{"op": "remove", "path": "/spec/template/spec/initContainers"}]
    stopped("S06", realm.act(SCIENTIST, "patch", workload, "--type=json", f"--patch={json.dumps(operation)}"))


def test_s07_put_other_files_in_the_volume(realm: Realm) -> None:
    workload = realm.served("s07")
    volumes = [{"name": "assay-model", "emptyDir": None, "configMap": {"name": "mine"}}]
    stopped("S07", _patch(realm, workload, {"spec": {"template": {"spec": {"volumes": volumes}}}}))


def test_s08_overwrite_the_files_from_another_container(realm: Realm) -> None:
    workload = realm.served("s08")
    mounts = [{"name": "assay-model", "mountPath": "/there"}]
    containers = [{"name": "helper", "image": "mine", "volumeMounts": mounts}]
    stopped("S08", _patch(realm, workload, {"spec": {"template": {"spec": {"initContainers": containers}}}}))


def test_s09_mount_other_files_over_the_model(realm: Realm) -> None:
    workload = realm.served("s09")
    volumes = [{"name": "mine", "configMap": {"name": "mine"}}]
    containers = [{"name": "server", "volumeMounts": [{"name": "mine", "mountPath": "/models/weights"}]}]
    pod = {"volumes": volumes, "containers": containers}
    stopped("S09", _patch(realm, workload, {"spec": {"template": {"spec": pod}}}))


def test_s10_change_the_model_variables_of_the_server(realm: Realm) -> None:
    workload = realm.served("s10")
    containers = [{"name": "server", "env": [{"name": "MODEL_PATH", "value": "/tmp"}]}]
    stopped("S10", _patch(realm, workload, {"spec": {"template": {"spec": {"containers": containers}}}}))


def test_s11_create_a_server_with_its_own_model_variables(realm: Realm) -> None:
    containers = [{"name": "server", "image": "server", "env": [{"name": "MODEL_VERSION", "value": "7"}]}]
    stopped("S11", realm.create(SCIENTIST, deployment("s11", annotations=SERVE, containers=containers)))


def test_s12_opt_in_with_a_preset_model_path(realm: Realm) -> None:
    containers = [{"name": "server", "image": "server", "env": [{"name": "MODEL_PATH", "value": "/tmp"}]}]
    realm.created(SCIENTIST, deployment("s12", containers=containers))
    stopped("S12", realm.act(SCIENTIST, "annotate", "deployment/s12", "assay.dev/serve=digits.champion"))


def test_s13_replace_the_init_container_of_a_stateful_set(realm: Realm) -> None:
    workload = realm.served("s13", "StatefulSet")
    stopped("S13", _patch(realm, workload, {"spec": {"template": {"spec": {"initContainers": [FETCH]}}}}))


def test_s14_run_the_server_under_the_name_of_the_init_container(realm: Realm) -> None:
    containers = [{"name": "assay-fetch-model", "image": "mine"}]
    stopped("S14", realm.create(SCIENTIST, deployment("s14", annotations=SERVE, containers=containers)))


def test_s15_follow_an_alias_of_another_namespace(realm: Realm) -> None:
    annotations = {"assay.dev/serve": f"{realm.other}/digits.champion"}
    stopped("S15", realm.create(SCIENTIST, deployment("s15", annotations=annotations)))


def test_s16_copy_a_served_deployment(realm: Realm) -> None:
    copy = json.loads(realm.admin("get", realm.served("s16"), "--output=json"))
    copy["metadata"] = {"name": "s16-copy", "annotations": copy["metadata"]["annotations"]}
    stopped("S16", realm.create(SCIENTIST, copy))


def test_s17_keep_the_old_version_by_replacing_the_deployment(realm: Realm) -> None:
    realm.served("s17")
    manifest = deployment("s17", annotations=SERVE)
    stopped("S17", realm.act(SCIENTIST, "replace", "--filename=-", stdin=manifest))


def test_s18_bypass_the_gate_with_rollout_undo(realm: Realm) -> None:
    workload = realm.served("s18")
    realm.admin("rollout", "status", workload, "--timeout=60s")
    patch = {"spec": {"template": {"metadata": {"annotations": {"assay.dev/served-version": "2"}}}}}
    realm.must(registry.OPERATOR, "patch", workload, f"--patch={json.dumps(patch)}")
    realm.admin("rollout", "status", workload, "--timeout=60s")
    stopped("S18", realm.act(SCIENTIST, "rollout", "undo", workload))


def test_s19_fetch_with_other_credentials(realm: Realm) -> None:
    _serving(realm, deployment("s19", annotations=SERVE))
    volumes = [{"name": "assay-model-credentials", "secret": {"secretName": "mine"}}]
    stopped("S19", _patch(realm, "deployment/s19", {"spec": {"template": {"spec": {"volumes": volumes}}}}))


def test_s20_create_a_deployment_with_its_own_credentials_volume(realm: Realm) -> None:
    volumes = [{"name": "assay-model-credentials", "secret": {"secretName": "mine"}}]
    stopped("S20", realm.create(SCIENTIST, deployment("s20", annotations=SERVE, volumes=volumes)))


def test_s21_mount_the_credentials_in_the_server(realm: Realm) -> None:
    _serving(realm, deployment("s21", annotations=SERVE, kind="StatefulSet"))
    mounts = [{"name": "assay-model-credentials", "mountPath": "/credentials"}]
    containers = [{"name": "server", "volumeMounts": mounts}]
    stopped("S21", _patch(realm, "statefulset/s21", {"spec": {"template": {"spec": {"containers": containers}}}}))


@pytest.mark.parametrize("path", ["/./models/weights", "//models/weights", "models/weights", "/data/../models/weights"])
def test_s22_mount_other_files_over_the_model_with_another_spelling_of_the_path(realm: Realm, path: str) -> None:
    name = "s22"
    _serving(realm, deployment(name, annotations=SERVE))
    volumes = [{"name": "mine", "configMap": {"name": "mine"}}]
    containers = [{"name": "server", "volumeMounts": [{"name": "mine", "mountPath": path}]}]
    pod = {"volumes": volumes, "containers": containers}
    stopped("S22", _patch(realm, f"deployment/{name}", {"spec": {"template": {"spec": pod}}}))


# The other side: with all of it set, whoever attacks nothing goes on working.


@pytest.mark.parametrize("how", [[], ["--server-side"]], ids=["client-side", "server-side"])
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_served_workload_is_applied_again_and_changed(realm: Realm, kind: str, how: list[str]) -> None:
    volumes = [{"name": "data", "emptyDir": {}}]
    mounts = [{"name": "data", "mountPath": path} for path in ("/data/", "/var/.cache", "/models-too")]
    containers = [{"name": "server", "image": "s:1", "volumeMounts": mounts}]
    name = f"again{len(how)}"
    manifest = deployment(name, kind=kind, annotations=SERVE, containers=containers, volumes=volumes)
    before = _serving(realm, manifest, *how)["spec"]["template"]
    realm.must(SCIENTIST, "apply", *how, "--filename=-", stdin=manifest)
    assert realm.get(kind, name)["spec"]["template"] == before
    changed = copy.deepcopy(manifest)
    changed["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "x"})
    realm.must(SCIENTIST, "apply", *how, "--filename=-", stdin=changed)
    _serving(realm, changed, *how)


def test_removing_a_list_from_the_manifest_would_also_remove_operator_entries(realm: Realm) -> None:
    """For `kubectl apply` the list is deleted whole; docs/serving.md says what to write instead."""
    env = [{"name": "A", "value": "1"}]
    _serving(realm, deployment("listed", annotations=SERVE, containers=[{"name": "server", "image": "s", "env": env}]))
    bare = deployment("listed", annotations=SERVE)
    outcome = realm.act(SCIENTIST, "apply", "--filename=-", stdin=bare)
    assert "only the operator sets MODEL_PATH, MODEL_NAME and MODEL_VERSION" in outcome.said
    bare["spec"]["template"]["spec"]["containers"][0] |= {"image": "s", "env": []}
    realm.must(SCIENTIST, "apply", "--filename=-", stdin=bare)


def test_a_huge_served_workload_stays_within_the_policy_cost_limit(realm: Realm) -> None:
    """The API server bounds what a policy may cost: thirty containers, each with a lot of its own."""
    mounts: list[Raw] = [{"name": f"data-{number}", "mountPath": f"/data/{number}/{'x' * 200}"} for number in range(20)]
    environment = [{"name": f"VARIABLE_{number}", "value": "x" * 50} for number in range(60)]
    containers: list[Raw] = [
        {"name": f"server-{number}", "image": "server", "env": environment, "volumeMounts": mounts}
        for number in range(30)
    ]
    volumes: list[Any] = [{"name": mount["name"], "emptyDir": {}} for mount in mounts]
    huge = deployment("huge", annotations=SERVE, containers=containers, volumes=volumes)
    _serving(realm, huge, "--server-side")
    realm.must(SCIENTIST, "rollout", "restart", "deployment/huge")
    realm.must(SCIENTIST, "set", "image", "deployment/huge", "server-7=server:2")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_an_opted_out_workload_can_be_edited_freely(realm: Realm, kind: str) -> None:
    name = "back"
    found = _serving(realm, deployment(name, kind=kind, annotations=SERVE))
    realm.must(SCIENTIST, "annotate", kind, name, "assay.dev/serve-")
    given_back = asyncio.run(_apply(realm, injection.applied(found, None, SETTINGS)))
    assert [each["name"] for each in given_back["spec"]["template"]["spec"].get("volumes", [])] == []
    env = [{"name": "MODEL_PATH", "value": "/tmp"}]
    containers = [{"name": "server", "env": env}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    assert _patch(realm, f"{kind.lower()}/{name}", patch).done
    assert [each["name"] for each in realm.get(kind, name)["spec"]["template"]["spec"]["containers"]] == ["server"]


@pytest.mark.parametrize("volume", ["assay-model", "assay-model-credentials"])
@pytest.mark.parametrize("annotations", [SERVE, None], ids=["served", "served later"])
def test_s23_replace_the_volume_with_a_claim(realm: Realm, volume: str, annotations: Raw | None) -> None:
    name = f"s23-{volume}-{'later' if annotations is None else 'now'}"
    manifest = deployment(name, kind="StatefulSet", annotations=annotations)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    manifest["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": volume}, "spec": spec}]
    stopped("S23", realm.create(SCIENTIST, manifest))


def test_s24_overwrite_the_files_from_an_ephemeral_container(realm: Realm) -> None:
    pod = _served_pod(realm, "s24")
    mounts = [{"name": "assay-model", "mountPath": "/models"}]
    patch = {"spec": {"ephemeralContainers": [{"name": "mine", "image": "mine", "volumeMounts": mounts}]}}
    how = ("--subresource=ephemeralcontainers", "--type=strategic", f"--patch={json.dumps(patch)}")
    stopped("S24", realm.act(OMNIPOTENT, "patch", "pod", pod, *how))


def test_s25_replace_what_fetches_in_a_pod(realm: Realm) -> None:
    pod = _served_pod(realm, "s25")
    patch = {"spec": {"initContainers": [{"name": "assay-fetch-model", "image": "mine"}]}}
    stopped("S25", realm.act(EDITOR, "patch", "pod", pod, "--type=strategic", f"--patch={json.dumps(patch)}"))


def _served_pod(realm: Realm, name: str) -> str:
    """Return a pod like those of a served workload, as its controller creates them."""
    workload = realm.served(name)
    template = realm.get(*workload.split("/"))["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": name}}
    controller = "system:serviceaccount:kube-system:replicaset-controller"
    realm.created(controller, {**pod, "spec": {**template["spec"], "schedulerName": "no"}})
    return name
