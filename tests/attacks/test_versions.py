"""Attacks on what was registered: deleting or changing it, and naming bytes that are not one's own."""

import pytest

from tests import registry
from tests.attackers import ARGO_CD, INSIDER, SCIENTIST, Realm, stopped
from tests.registry import Raw, digest

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

ALMIGHTY = "almighty"


def _from(realm: Realm, model: str, uri: str) -> Raw:
    return registry.model_version(model, 1, namespace=realm.namespace, artifact={"uri": uri, "digest": digest()})


def test_v01_delete_a_version_that_is_live(realm: Realm) -> None:
    stopped("V01", realm.act(ALMIGHTY, "delete", "mv", realm.version("v01", bound=True)))


def test_v02_delete_all_versions_at_once(realm: Realm) -> None:
    name = realm.version("v02", bound=True)
    path = f"/apis/assay.dev/v1alpha1/namespaces/{realm.namespace}/modelversions?labelSelector=assay.dev/bound"
    stopped("V02", realm.act(ALMIGHTY, "delete", f"--raw={path}"))
    assert realm.get("mv", name)


def test_v03_remove_the_bound_label_first(realm: Realm) -> None:
    name = realm.version("v03", bound=True)
    stopped("V03", realm.act(ALMIGHTY, "label", "mv", name, "assay.dev/bound-"))


def test_v04_empty_the_label_first(realm: Realm) -> None:
    name = realm.version("v04", bound=True)
    stopped("V04", realm.act(ALMIGHTY, "label", "mv", name, "assay.dev/bound=", "--overwrite"))


def test_v05_set_the_label_on_a_version_that_is_not_live(realm: Realm) -> None:
    stopped("V05", realm.act(SCIENTIST, "label", "mv", realm.version("v05"), "assay.dev/bound="))


def test_v06_register_a_version_with_the_label(realm: Realm) -> None:
    metadata = {"labels": {"assay.dev/bound": "true"}}
    manifest = registry.model_version("v06", 1, namespace=realm.namespace, metadata=metadata)
    stopped("V06", realm.create(SCIENTIST, manifest))


def test_v07_have_the_garbage_collector_delete_it(realm: Realm) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}
    live = realm.version("v07", 1, bound=True)
    stopped("V07", realm.merge(ALMIGHTY, "mv", live, {"metadata": {"ownerReferences": [owner]}}))


def test_v08_mark_the_bytes_as_verified_in_the_status(realm: Realm) -> None:
    name = realm.version("v08")
    stopped("V08", realm.merge(INSIDER, "mv", name, {"status": {"phase": "Ready"}}, status=True))


def test_v09_forge_the_scores_of_a_run_in_its_status(realm: Realm) -> None:
    realm.created(SCIENTIST, registry.run("v09"))
    patch = {"status": {"phase": "Succeeded", "objective": "1.0"}}
    stopped("V09", realm.merge(INSIDER, "run", "v09", patch, status=True))


def test_v10_improve_the_recorded_metrics(realm: Realm) -> None:
    provenance = {"parameters": {"depth": 2}, "metrics": {"f1": {"last": 0.5}}}
    name = realm.version("v10", provenance=provenance)
    patch = {"spec": {"provenance": {"metrics": {"f1": {"last": 0.99}}}}}
    stopped("V10", realm.merge(SCIENTIST, "mv", name, patch))


def test_v11_change_a_parameter_that_has_no_schema(realm: Realm) -> None:
    name = realm.version("v11", provenance={"parameters": {"depth": 2}})
    stopped("V11", realm.merge(SCIENTIST, "mv", name, {"spec": {"provenance": {"parameters": {"depth": 3}}}}))


def test_v12_name_the_runs_of_another_namespace(realm: Realm) -> None:
    stopped("V12", realm.create(SCIENTIST, _from(realm, "v12", f"s3://assay/runs/{realm.other}/e/r/u/model/")))


def test_v13_name_the_models_of_another_namespace(realm: Realm) -> None:
    stopped("V13", realm.create(SCIENTIST, _from(realm, "v13", f"s3://assay/models/{realm.other}/m/v1/")))


def test_v14_escape_the_own_prefix(realm: Realm) -> None:
    uri = f"s3://assay/runs/{realm.namespace}/../{realm.other}/model/"
    stopped("V14", realm.create(SCIENTIST, _from(realm, "v14", uri)))


def test_v15_escape_the_own_prefix_with_an_encoded_path(realm: Realm) -> None:
    uri = f"s3://assay/runs/{realm.namespace}/%2e%2e/{realm.other}/model/"
    stopped("V15", realm.create(SCIENTIST, _from(realm, "v15", uri)))


def test_v16_register_from_a_namespace_whose_name_starts_with_the_own(realm: Realm) -> None:
    """The other namespace of these tests is called like this one, and goes on with `-other`."""
    assert realm.other.startswith(realm.namespace)
    stopped("V16", realm.create(SCIENTIST, _from(realm, "v16", f"s3://assay/runs/{realm.other}/model/")))


def test_v17_name_another_bucket(realm: Realm) -> None:
    uri = f"s3://payroll/runs/{realm.namespace}/model/"
    stopped("V17", realm.create(SCIENTIST, _from(realm, "v17", uri)))


def test_v18_extend_the_allowed_prefixes_of_the_own_namespace(realm: Realm) -> None:
    annotation = "assay.dev/allowed-prefixes=s3://assay/"
    stopped("V18", realm.act("nadia", "annotate", "--overwrite", "namespace", realm.namespace, annotation))


def test_v19_create_a_namespace_with_extended_allowed_prefixes(realm: Realm) -> None:
    metadata = {"name": f"{realm.namespace}-new", "annotations": {"assay.dev/allowed-prefixes": "s3://assay/"}}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    stopped("V19", realm.create("nadia", manifest))


def test_v20_create_a_version_whose_name_differs_from_its_spec(realm: Realm) -> None:
    manifest = registry.model_version("v20", 1, namespace=realm.namespace, metadata={"name": "v20.v2"})
    stopped("V20", realm.create(SCIENTIST, manifest))


def test_v21_change_a_version_by_server_side_apply(realm: Realm) -> None:
    realm.version("v21")
    artifact = {"uri": f"s3://assay/runs/{realm.namespace}/b/", "digest": digest("2")}
    manifest = registry.model_version("v21", 1, namespace=realm.namespace, artifact=artifact)
    stopped("V21", realm.apply(ARGO_CD, manifest))


def test_v22_name_another_namespaces_run_by_a_path(realm: Realm) -> None:
    run = {"name": f"../../{realm.other}/runs/r", "uid": "00000000-0000-0000-0000-000000000000"}
    manifest = registry.model_version("v22", 1, namespace=realm.namespace, run=run, artifact={"digest": digest()})
    stopped("V22", realm.create(SCIENTIST, manifest))
