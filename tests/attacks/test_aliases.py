"""Attacks on aliases: moving one without the right, in every way that the API has, and getting round the gate."""

import json

import pytest

from tests import registry
from tests.attackers import (
    APPROVER,
    ARGO_CD,
    INSIDER,
    MOVED_BY,
    RELEASE_MANAGER,
    SCIENTIST,
    Realm,
    filled_in,
    mover,
    stopped,
)

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

ROLLBACK = "assay.dev/rollback-requested"
# May do everything that a right can be given for, so that only the rule is left.
ADMIN = "almighty"


def test_b01_create_an_alias_without_the_verb(realm: Realm) -> None:
    """Already pointing at a version that nobody has approved."""
    stopped("B01", realm.create(SCIENTIST, registry.model_alias("b01", "champion", 1)))


def test_b02_move_an_alias_by_merge_patch(realm: Realm) -> None:
    name = realm.alias("b02")
    stopped("B02", realm.merge(SCIENTIST, "alias", name, {"spec": {"version": 2}}))


def test_b03_move_an_alias_by_replace(realm: Realm) -> None:
    realm.alias("b03")
    manifest = registry.model_alias("b03", "champion", 2)
    stopped("B03", realm.act(SCIENTIST, "replace", "--filename=-", stdin=manifest))


def test_b04_move_an_alias_by_server_side_apply(realm: Realm) -> None:
    realm.alias("b04")
    stopped("B04", realm.apply(SCIENTIST, registry.model_alias("b04", "champion", 2)))


def test_b05_move_an_alias_by_json_patch(realm: Realm) -> None:
    name = realm.alias("b05")
    operation = {"op": "replace", "path": "/spec/version", "value": 2}
    stopped("B05", realm.json_patch(SCIENTIST, "alias", name, operation))


def test_b06_forge_the_live_version_in_the_status(realm: Realm) -> None:
    name = realm.alias("b06")
    patch = {"status": {"phase": "Bound", "boundVersion": 2}}
    stopped("B06", realm.merge(INSIDER, "alias", name, patch, status=True))


def test_b07_invent_a_history_to_roll_back_to(realm: Realm) -> None:
    name = realm.alias("b07")
    patch = {"status": {"history": [{"version": 2, "from": "2026-01-02T03:04:05Z"}]}}
    stopped("B07", realm.merge(INSIDER, "alias", name, patch, status=True))


def test_b08_move_an_alias_through_the_status(realm: Realm) -> None:
    """The status has no spec: what is sent along is dropped."""
    name = realm.alias("b08")
    patch = {"spec": {"version": 2}, "status": {"phase": "Held"}}
    assert realm.merge(registry.OPERATOR, "alias", name, patch, status=True).done
    alias = realm.get("alias", name)
    assert (alias["spec"]["version"], alias["status"]["phase"]) == (1, "Held")


def test_b09_create_an_alias_with_a_status(realm: Realm) -> None:
    manifest = registry.model_alias("b09", "champion", 1) | {"status": {"phase": "Bound", "boundVersion": 1}}
    assert realm.create(ARGO_CD, manifest).done
    assert "status" not in realm.get("alias", "b09.champion")


def test_b10_delete_an_alias_without_the_verb(realm: Realm) -> None:
    stopped("B10", realm.act(SCIENTIST, "delete", "alias", realm.alias("b10")))


def test_b11_delete_all_aliases_at_once(realm: Realm) -> None:
    name = realm.alias("b11")
    path = f"/apis/assay.dev/v1alpha1/namespaces/{realm.namespace}/modelaliases?labelSelector=!none"
    stopped("B11", realm.act(SCIENTIST, "delete", f"--raw={path}"))
    assert realm.get("alias", name)


def test_b12_bind_with_the_right_for_another_model(realm: Realm) -> None:
    stopped("B12", realm.create("nora", registry.model_alias("b12", "champion", 1)))


def test_b13_bind_with_the_right_for_another_alias(realm: Realm) -> None:
    name = realm.alias("b13", "champion")
    stopped("B13", realm.merge(SCIENTIST, "alias", name, {"spec": {"version": 2}}))


def test_b14_rename_an_alias_with_the_bind_verb_to_another_alias(realm: Realm) -> None:
    manifest = registry.model_alias("b14", "staging", 1)
    assert realm.create(SCIENTIST, manifest).done
    stopped("B14", realm.merge(SCIENTIST, "alias", "b14.staging", {"spec": {"alias": "champion"}}))


def test_b15_change_the_model_of_an_alias(realm: Realm) -> None:
    name = realm.alias("b15")
    stopped("B15", realm.merge(ARGO_CD, "alias", name, {"spec": {"model": "another"}}))


def test_b16_create_an_alias_whose_name_differs_from_its_spec(realm: Realm) -> None:
    manifest = registry.model_alias("b16", "staging", 1, metadata={"name": "b16.champion"})
    stopped("B16", realm.create(SCIENTIST, manifest))


def test_b17_name_a_model_like_an_alias(realm: Realm) -> None:
    manifest = registry.model_version("digits.champion", 1, namespace=realm.namespace)
    stopped("B17", realm.create(SCIENTIST, manifest))


def test_b18_name_an_alias_like_a_version(realm: Realm) -> None:
    stopped("B18", realm.create(ADMIN, registry.model_alias("b18", "v1", 1)))


def test_b19_weaken_the_policy_in_the_same_apply(realm: Realm) -> None:
    policy = {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "PromotionPolicy",
        "metadata": {"name": "b19"},
        "spec": {"approvals": {"required": 0}},
    }
    both = {"apiVersion": "v1", "kind": "List", "items": [policy, registry.model_alias("b19", "staging", 1)]}
    stopped("B19", realm.apply(SCIENTIST, both))
    assert not realm.get("policy", "b19")


def test_b20_change_the_recorded_reason(realm: Realm) -> None:
    name = realm.alias("b20")
    stopped("B20", realm.merge(SCIENTIST, "alias", name, {"spec": {"reason": "the risk officer wanted it"}}))


def test_b21_roll_back_without_the_verb(realm: Realm) -> None:
    name = realm.alias("b21", number=2, history=(1, 2))
    stopped("B21", realm.annotate(SCIENTIST, "alias", name, ROLLBACK, f"1 {SCIENTIST}"))


def test_b22_roll_back_in_the_name_of_another_user(realm: Realm) -> None:
    name = realm.alias("b22", number=2, history=(1, 2))
    stopped("B22", realm.annotate(RELEASE_MANAGER, "alias", name, ROLLBACK, f"1 {APPROVER}"))


def test_b23_roll_back_to_what_has_never_been_live(realm: Realm) -> None:
    name = realm.alias("b23", number=2, history=(1, 2))
    stopped("B23", realm.annotate(RELEASE_MANAGER, "alias", name, ROLLBACK, f"7 {RELEASE_MANAGER}"))


def test_b24_bind_with_the_right_to_roll_back(realm: Realm) -> None:
    name = realm.alias("b24", number=2, history=(1, 2))
    patch = {"metadata": {"annotations": {ROLLBACK: f"1 {RELEASE_MANAGER}"}}, "spec": {"version": 3}}
    stopped("B24", realm.merge(RELEASE_MANAGER, "alias", name, patch))


def test_b25_remove_a_rollback_request(realm: Realm) -> None:
    name = realm.alias("b25", number=2, history=(1, 2))
    assert realm.annotate(RELEASE_MANAGER, "alias", name, ROLLBACK, f"1 {RELEASE_MANAGER}").done
    stopped("B25", realm.annotate(SCIENTIST, "alias", name, ROLLBACK, None))


def test_b26_create_an_alias_with_a_rollback(realm: Realm) -> None:
    metadata = {"annotations": {ROLLBACK: f"1 {ADMIN}"}}
    stopped("B26", realm.create(ADMIN, registry.model_alias("b26", "champion", 1, metadata=metadata)))


def test_b27_bind_as_the_operator(realm: Realm) -> None:
    name = realm.alias("b27")
    stopped("B27", realm.merge(registry.OPERATOR, "alias", name, {"spec": {"version": 2}}))


def test_b28_a_dry_run_moves_nothing(realm: Realm) -> None:
    name = realm.alias("b28")
    patch = json.dumps({"spec": {"version": 2}})
    realm.must(ARGO_CD, "patch", "alias", name, "--type=merge", f"--patch={patch}", "--dry-run=server")
    assert realm.get("alias", name)["spec"]["version"] == 1


def test_b29_a_service_account_called_like_the_operator(realm: Realm) -> None:
    name = realm.alias("b29")
    patch = {"status": {"phase": "Bound", "boundVersion": 2}}
    namesake = "system:serviceaccount:somewhere-else:assay-operator"
    stopped("B29", realm.merge(namesake, "alias", name, patch, status=True))


def test_b30_another_service_account_of_the_operators_namespace(realm: Realm) -> None:
    name = realm.alias("b30")
    patch = {"status": {"phase": "Bound", "boundVersion": 2}}
    neighbour = "system:serviceaccount:assay-system:default"
    stopped("B30", realm.merge(neighbour, "alias", name, patch, status=True))


def test_b31_mark_a_broken_policy_as_valid_in_its_status(realm: Realm) -> None:
    policy = {"apiVersion": "assay.dev/v1alpha1", "kind": "PromotionPolicy", "metadata": {"name": "b31"}, "spec": {}}
    realm.admin("create", "--filename=-", stdin=policy)
    stopped("B31", realm.merge(INSIDER, "policy", "b31", {"status": {"message": ""}}, status=True))


# In these the API server does what is asked of it but for the name, or refuses; the true name stands either way.


def test_b32_create_an_alias_in_the_name_of_another_user(realm: Realm) -> None:
    metadata = {"annotations": {MOVED_BY: APPROVER}}
    realm.create(ARGO_CD, registry.model_alias("b32", "champion", 1, metadata=metadata))
    if registry.stamps(realm.cluster):
        assert mover(realm, "b32.champion") == ARGO_CD
    else:
        assert not realm.get("alias", "b32.champion")


def test_b33_move_an_alias_in_the_name_of_another_user(realm: Realm) -> None:
    name = realm.alias("b33")
    patch = {"metadata": {"annotations": {MOVED_BY: APPROVER}}, "spec": {"version": 2}}
    realm.merge(ADMIN, "alias", name, patch)
    assert mover(realm, name) == filled_in(realm, ADMIN)


def test_b34_move_an_alias_in_the_name_of_the_previous_mover(realm: Realm) -> None:
    name = realm.alias("b34")
    patch = {"metadata": {"annotations": {MOVED_BY: ARGO_CD}}, "spec": {"version": 2}}
    realm.merge(ADMIN, "alias", name, patch)
    assert mover(realm, name) == filled_in(realm, ADMIN)


def test_b35_claim_that_another_user_moved_the_alias(realm: Realm) -> None:
    name = realm.alias("b35")
    for user in (SCIENTIST, ADMIN, ARGO_CD):
        realm.annotate(user, "alias", name, MOVED_BY, APPROVER)
        assert mover(realm, name) == filled_in(realm, ARGO_CD)


def test_b36_remove_the_mover_annotation(realm: Realm) -> None:
    name = realm.alias("b36")
    realm.annotate(ADMIN, "alias", name, MOVED_BY, None)
    realm.json_patch(ADMIN, "alias", name, {"op": "remove", "path": "/metadata/annotations"})
    realm.act(ADMIN, "replace", "--filename=-", stdin=registry.model_alias("b36", "champion", 1))
    assert mover(realm, name) == filled_in(realm, ARGO_CD)


def test_b37_change_the_mover_annotation_through_the_status(realm: Realm) -> None:
    name = realm.alias("b37")
    patch = {"metadata": {"annotations": {MOVED_BY: APPROVER}}, "status": {"phase": "Held"}}
    assert realm.merge(registry.OPERATOR, "alias", name, patch, status=True).done
    assert realm.get("alias", name)["status"]["phase"] == "Held"
    assert mover(realm, name) == filled_in(realm, ARGO_CD)


def test_b38_own_the_mover_annotation_by_server_side_apply(realm: Realm) -> None:
    name = realm.alias("b38")
    metadata = {"annotations": {MOVED_BY: APPROVER}}
    realm.apply(ADMIN, registry.model_alias("b38", "champion", 2, metadata=metadata))
    assert mover(realm, name) == filled_in(realm, ADMIN)


def test_b39_move_an_alias_back_and_forth_without_a_mover(realm: Realm) -> None:
    name = realm.alias("b39")
    for number in (2, 1):
        patch = {"metadata": {"annotations": None}, "spec": {"version": number}}
        assert realm.merge(ADMIN, "alias", name, patch).done
    assert mover(realm, name) == filled_in(realm, ADMIN)


def test_b40_request_a_rollback_as_of_another_generation(realm: Realm) -> None:
    """The operator would take an older spec for the newer wish, or would not notice a newer one."""
    name = realm.alias("b40", number=2, history=(1, 2))
    for generation in ("2", "0", "01", "1 ", ""):
        request = f"1 {RELEASE_MANAGER}\ngeneration: {generation}\nlatency"
        stopped("B40", realm.annotate(RELEASE_MANAGER, "alias", name, ROLLBACK, request))
