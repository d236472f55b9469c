"""Attacks on workloads that follow an alias: pretending to serve, and serving other bytes."""

import json

import pytest

from tests import registry
from tests.attackers import SCIENTIST, Outcome, Realm, stopped
from tests.registry import Raw, deployment

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

SERVE = {"assay.dev/serve": "digits.champion"}
FETCH = {"name": "assay-fetch-model", "image": "mine"}


def _patch(realm: Realm, workload: str, patch: Raw, *more: str) -> Outcome:
    return realm.act(SCIENTIST, "patch", workload, "--type=strategic", f"--patch={json.dumps(patch)}", *more)


def test_s01_bring_the_init_container_along(realm: Realm) -> None:
    stopped("S01", realm.create(SCIENTIST, deployment("s01", annotations=SERVE, initContainers=[FETCH])))


def test_s02_pretend_to_serve_a_version(realm: Realm) -> None:
    manifest = deployment("s02")
    manifest["spec"]["template"]["metadata"]["annotations"] = {"assay.dev/served-version": "7"}
    stopped("S02", realm.create(SCIENTIST, manifest))


def test_s03_say_that_another_version_is_served(realm: Realm) -> None:
    workload = realm.served("s03")
    stopped("S03", realm.act(SCIENTIST, "annotate", workload, "assay.dev/served-version=7", "--overwrite"))


def test_s04_say_so_by_way_of_the_status(realm: Realm) -> None:
    workload = realm.served("s04")
    patch = {"metadata": {"annotations": {"assay.dev/served-version": "7"}}}
    stopped("S04", _patch(realm, workload, patch, "--subresource=status"))


def test_s05_replace_the_image_that_fetches(realm: Realm) -> None:
    workload = realm.served("s05")
    stopped("S05", _patch(realm, workload, {"spec": {"template": {"spec": {"initContainers": [FETCH]}}}}))


def test_s06_take_the_init_container_away(realm: Realm) -> None:
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


def test_s09_mount_other_files_over_them(realm: Realm) -> None:
    workload = realm.served("s09")
    volumes = [{"name": "mine", "configMap": {"name": "mine"}}]
    containers = [{"name": "server", "volumeMounts": [{"name": "mine", "mountPath": "/models/weights"}]}]
    pod = {"volumes": volumes, "containers": containers}
    stopped("S09", _patch(realm, workload, {"spec": {"template": {"spec": pod}}}))


def test_s10_have_the_server_read_elsewhere(realm: Realm) -> None:
    workload = realm.served("s10")
    containers = [{"name": "server", "env": [{"name": "MODEL_PATH", "value": "/tmp"}]}]
    stopped("S10", _patch(realm, workload, {"spec": {"template": {"spec": {"containers": containers}}}}))


def test_s11_have_the_server_read_elsewhere_from_the_beginning(realm: Realm) -> None:
    containers = [{"name": "server", "image": "server", "env": [{"name": "MODEL_VERSION", "value": "7"}]}]
    stopped("S11", realm.create(SCIENTIST, deployment("s11", annotations=SERVE, containers=containers)))


def test_s12_opt_in_with_a_path_set_before(realm: Realm) -> None:
    containers = [{"name": "server", "image": "server", "env": [{"name": "MODEL_PATH", "value": "/tmp"}]}]
    realm.must(SCIENTIST, "create", "--filename=-", stdin=deployment("s12", containers=containers))
    stopped("S12", realm.act(SCIENTIST, "annotate", "deployment/s12", "assay.dev/serve=digits.champion"))


def test_s13_the_same_with_a_stateful_set(realm: Realm) -> None:
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


def test_s18_go_back_without_the_gate_by_rollout_undo(realm: Realm) -> None:
    workload = realm.served("s18")
    realm.admin("rollout", "status", workload, "--timeout=60s")
    patch = {"spec": {"template": {"metadata": {"annotations": {"assay.dev/served-version": "2"}}}}}
    realm.must(registry.OPERATOR, "patch", workload, f"--patch={json.dumps(patch)}")
    realm.admin("rollout", "status", workload, "--timeout=60s")
    stopped("S18", realm.act(SCIENTIST, "rollout", "undo", workload))
