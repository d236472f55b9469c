"""Attacks on approvals: given in another name, for other bytes, without the right, or together with something else."""

import json

import pytest

from tests import registry
from tests.attackers import APPROVER, ARGO_CD, INSIDER, SCIENTIST, SECOND_APPROVER, Realm, stopped
from tests.registry import digest

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

KEY = "champion.approval.assay.dev/1"


def test_a01_approve_in_the_name_of_another_user(realm: Realm) -> None:
    name = realm.version("a01")
    stopped("A01", realm.approve(SECOND_APPROVER, name, value=f"{digest()} {APPROVER}"))


def test_a02_copy_an_approval_from_another_version(realm: Realm) -> None:
    approved = realm.version("a02", 1)
    artifact = {"uri": f"s3://assay/runs/{realm.namespace}/b/", "digest": digest("2")}
    other = realm.version("a02", 2, artifact=artifact)
    assert realm.approve(APPROVER, approved).done
    stopped("A02", realm.approve(APPROVER, other, value=realm.approvals(approved)[KEY]))


def test_a03_change_the_artifact_after_the_approval(realm: Realm) -> None:
    name = realm.version("a03")
    assert realm.approve(APPROVER, name).done
    stopped("A03", realm.merge(SCIENTIST, "mv", name, {"spec": {"artifact": {"digest": digest("2")}}}))


def test_a04_edit_the_approval_of_another_user(realm: Realm) -> None:
    name = realm.version("a04")
    assert realm.approve(APPROVER, name).done
    stopped("A04", realm.approve(SECOND_APPROVER, name))
    assert realm.approvals(name) == {KEY: f"{digest()} {APPROVER}"}


def test_a05_remove_the_approval_of_another_user(realm: Realm) -> None:
    name = realm.version("a05")
    assert realm.approve(APPROVER, name).done
    stopped("A05", realm.annotate(SECOND_APPROVER, "mv", name, KEY, None))


def test_a06_approve_without_the_verb(realm: Realm) -> None:
    stopped("A06", realm.approve(SCIENTIST, realm.version("a06")))


def test_a07_approve_with_the_right_for_another_model(realm: Realm) -> None:
    stopped("A07", realm.approve("nora", realm.version("a07")))


def test_a08_username_with_spaces_that_begins_with_an_approver(realm: Realm) -> None:
    stopped("A08", realm.approve("rita of risk", realm.version("a08"), value=f"{digest()} {APPROVER}"))


def test_a09_username_that_looks_like_a_digest_and_an_approver(realm: Realm) -> None:
    artifact = {"uri": f"s3://assay/runs/{realm.namespace}/b/", "digest": digest("2")}
    name = realm.version("a09", artifact=artifact)
    stopped("A09", realm.approve(f"{digest('2')} {APPROVER}", name, value=f"{digest('2')} {APPROVER}"))


def test_a10_username_that_looks_like_an_approver_in_another_script(realm: Realm) -> None:
    stopped("A10", realm.approve("ritа", realm.version("a10"), value=f"{digest()} {APPROVER}"))


def test_a11_username_of_200_characters_cut_to_an_approver(realm: Realm) -> None:
    stopped("A11", realm.approve("rit" + "a" * 197, realm.version("a11"), value=f"{digest()} {APPROVER}"))


def test_a12_alias_with_a_dot_that_reads_like_a_permission_for_a_model(realm: Realm) -> None:
    stopped("A12", realm.approve("nora", realm.version("narrow"), "narrow.champion"))


def test_a13_alias_in_capitals_that_no_role_names(realm: Realm) -> None:
    stopped("A13", realm.approve(SCIENTIST, realm.version("a13"), "Champion"))


def test_a14_approve_without_naming_an_alias(realm: Realm) -> None:
    name = realm.version("a14")
    stopped("A14", realm.annotate(SCIENTIST, "mv", name, "approval.assay.dev/1", f"{digest()} {SCIENTIST}"))


def test_a15_approve_and_relabel_in_one_write(realm: Realm) -> None:
    name = realm.version("a15")
    metadata = {"annotations": {KEY: f"{digest()} {APPROVER}"}, "labels": {"reviewed": "true"}}
    stopped("A15", realm.merge(APPROVER, "mv", name, {"metadata": metadata}))


def test_a16_approve_and_annotate_in_one_write(realm: Realm) -> None:
    name = realm.version("a16")
    annotations = {KEY: f"{digest()} {APPROVER}", "reviewed-by": "the whole team"}
    stopped("A16", realm.merge(APPROVER, "mv", name, {"metadata": {"annotations": annotations}}))


def test_a17_hide_an_approval_among_others(realm: Realm) -> None:
    name = realm.version("a17")
    value = f"{digest()} {SCIENTIST}"
    annotations = {"staging.approval.assay.dev/1": value, KEY: value}
    stopped("A17", realm.merge(SCIENTIST, "mv", name, {"metadata": {"annotations": annotations}}))


def test_a18_create_a_version_that_is_approved_already(realm: Realm) -> None:
    metadata = {"annotations": {"staging.approval.assay.dev/1": f"{digest()} {SCIENTIST}"}}
    manifest = registry.model_version("a18", 1, namespace=realm.namespace, metadata=metadata)
    stopped("A18", realm.create(SCIENTIST, manifest))


def test_a19_append_a_second_approver_to_the_first_line(realm: Realm) -> None:
    name = realm.version("a19")
    stopped("A19", realm.approve(APPROVER, name, value=f"{digest()} {APPROVER} and {SECOND_APPROVER}"))


def test_a20_take_over_an_approval_by_server_side_apply(realm: Realm) -> None:
    name = realm.version("a20")
    assert realm.approve(APPROVER, name).done
    manifest = realm.get("mv", name)
    metadata = {"name": name, "annotations": {KEY: f"{digest()} {SECOND_APPROVER}"}}
    stopped("A20", realm.apply(SECOND_APPROVER, manifest | {"metadata": metadata}))


def test_a21_drop_approvals_by_replacing_the_version(realm: Realm) -> None:
    name = realm.version("a21")
    assert realm.approve(APPROVER, name).done
    manifest = registry.model_version("a21", 1, namespace=realm.namespace)
    stopped("A21", realm.act(SCIENTIST, "replace", "--filename=-", stdin=manifest))


def test_a22_approve_by_json_patch_without_the_verb(realm: Realm) -> None:
    name = realm.version("a22")
    value = {"champion.approval.assay.dev/1": f"{digest()} {SCIENTIST}"}
    operation = {"op": "add", "path": "/metadata/annotations", "value": value}
    stopped("A22", realm.json_patch(SCIENTIST, "mv", name, operation))


def test_a23_delete_recreate_with_other_bytes_and_restore_the_approval(realm: Realm) -> None:
    name = realm.version("a23")
    assert realm.approve(APPROVER, name).done
    approval = realm.approvals(name)[KEY]
    realm.must(SCIENTIST, "delete", "mv", name)
    artifact = {"uri": f"s3://assay/runs/{realm.namespace}/b/", "digest": digest("2")}
    assert realm.approvals(realm.version("a23", artifact=artifact)) == {}
    stopped("A23", realm.approve(SCIENTIST, name, value=approval))


def test_a24_a_dry_run_records_nothing(realm: Realm) -> None:
    name = realm.version("a24")
    annotation = json.dumps({"metadata": {"annotations": {KEY: f"{digest()} {APPROVER}"}}})
    realm.must(APPROVER, "patch", "mv", name, "--type=merge", f"--patch={annotation}", "--dry-run=server")
    assert realm.approvals(name) == {}


def test_a25_approve_with_only_the_bind_verb(realm: Realm) -> None:
    stopped("A25", realm.approve(ARGO_CD, realm.version("a25")))


def test_a26_approve_with_every_verb_of_kubernetes(realm: Realm) -> None:
    stopped("A26", realm.approve(INSIDER, realm.version("a26")))


def test_a27_approve_as_the_operator(realm: Realm) -> None:
    stopped("A27", realm.approve(registry.OPERATOR, realm.version("a27")))


def test_a28_approve_through_the_status(realm: Realm) -> None:
    """The status has no metadata of its own: what is sent along is dropped."""
    name = realm.version("a28")
    patch = {"metadata": {"annotations": {KEY: f"{digest()} {APPROVER}"}}}
    realm.merge(registry.OPERATOR, "mv", name, patch | {"status": {"phase": "Ready"}}, status=True)
    assert realm.get("mv", name)["status"]["phase"] == "Ready"
    assert realm.approvals(name) == {}
