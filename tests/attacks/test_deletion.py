"""Attacks that delete without the verb, or prevent a deletion, or take the way back away."""

import pytest

from tests import registry
from tests.attackers import APPROVER, ARGO_CD, INSIDER, RELEASE_MANAGER, SCIENTIST, Realm, stopped
from tests.cluster.waiting import wait_for
from tests.registry import Raw

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

ALMIGHTY = "almighty"
ARCHIVED, TARGET = "assay.dev/archived", "assay.dev/rollback-target"
ROLLBACK = "assay.dev/rollback-requested"
GONE = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}
OWNED = {"metadata": {"ownerReferences": [GONE]}}
FINALIZED = {"metadata": {"finalizers": ["example.com/wait"]}}


def _policy(realm: Realm, name: str) -> str:
    metadata = {"name": name}
    realm.must(
        ALMIGHTY,
        "create",
        "--filename=-",
        stdin={"apiVersion": "assay.dev/v1alpha1", "kind": "PromotionPolicy", "metadata": metadata, "spec": {}},
    )
    return name


def _target(realm: Realm, model: str) -> str:
    """Return a version that an alias can go back to, says the operator."""
    name = realm.version(model)
    realm.must(registry.OPERATOR, "label", "mv", name, f"{TARGET}=true")
    return name


def _withdrawn(realm: Realm, model: str) -> str:
    name = realm.version(model)
    realm.must(RELEASE_MANAGER, "label", "mv", name, f"{ARCHIVED}=true")
    return name


def test_r01_have_the_garbage_collector_delete_a_version(realm: Realm) -> None:
    """Of somebody who may patch versions and not delete them."""
    stopped("R01", realm.merge(APPROVER, "mv", realm.version("r01"), OWNED))


def test_r02_have_the_garbage_collector_delete_an_alias(realm: Realm) -> None:
    stopped("R02", realm.merge(RELEASE_MANAGER, "alias", realm.alias("r02"), OWNED))


def test_r03_have_the_garbage_collector_delete_a_policy(realm: Realm) -> None:
    stopped("R03", realm.merge(INSIDER, "promotionpolicy", _policy(realm, "r03"), OWNED))
    realm.must(ALMIGHTY, "delete", "promotionpolicy", "r03")


def test_r04_register_a_version_with_an_owner_reference(realm: Realm) -> None:
    """What owns it may exist now, and be deleted once the version is live."""
    manifest = registry.model_version("r04", 1, namespace=realm.namespace, metadata={"ownerReferences": [GONE]})
    stopped("R04", realm.create(SCIENTIST, manifest))


def test_r05_add_an_owner_reference_by_server_side_apply(realm: Realm) -> None:
    realm.version("r05")
    owner = realm.get("mv", "r05.v1")["spec"]["owner"]
    metadata = {"ownerReferences": [GONE]}
    manifest = registry.model_version("r05", 1, namespace=realm.namespace, metadata=metadata, owner=owner)
    stopped("R05", realm.apply(ARGO_CD, manifest))


@pytest.mark.parametrize("kind", ["mv", "alias", "promotionpolicy"])
def test_r06_block_a_deletion_with_a_finalizer(realm: Realm, kind: str) -> None:
    model = f"r06-{kind.lower()}"
    made = {"mv": realm.version, "alias": realm.alias, "promotionpolicy": lambda name: _policy(realm, name)}
    name = made[kind](model)
    stopped("R06", realm.merge(ALMIGHTY, kind, name, FINALIZED))
    realm.must(ALMIGHTY, "delete", kind, name)


def test_r07_roll_an_alias_back_that_is_being_deleted(realm: Realm) -> None:
    name = realm.alias("r07", number=2, history=(1, 2))
    assert realm.merge(registry.OPERATOR, "alias", name, FINALIZED).done
    realm.must(ARGO_CD, "delete", "alias", name, "--wait=false")
    stopped("R07", realm.annotate(RELEASE_MANAGER, "alias", name, ROLLBACK, f"1 {RELEASE_MANAGER}"))
    assert realm.merge(registry.OPERATOR, "alias", name, {"metadata": {"finalizers": None}}).done


def test_r08_delete_the_previous_version(realm: Realm) -> None:
    stopped("R08", realm.act(ALMIGHTY, "delete", "mv", _target(realm, "r08")))


def test_r09_delete_all_previous_versions(realm: Realm) -> None:
    name = _target(realm, "r09")
    path = f"/apis/assay.dev/v1alpha1/namespaces/{realm.namespace}/modelversions?labelSelector={TARGET}"
    stopped("R09", realm.act(ALMIGHTY, "delete", f"--raw={path}"))
    assert realm.get("mv", name)


@pytest.mark.parametrize("change", [f"{TARGET}-", f"{TARGET}="])
def test_r10_remove_the_rollback_target_label_first(realm: Realm, change: str) -> None:
    name = _target(realm, f"r10-{'set' if change.endswith('=') else 'gone'}")
    stopped("R10", realm.act(ALMIGHTY, "label", "mv", name, change, "--overwrite"))


def test_r11_block_the_deletion_of_a_version_with_a_label(realm: Realm) -> None:
    stopped("R11", realm.act(SCIENTIST, "label", "mv", realm.version("r11"), f"{TARGET}=true"))


@pytest.mark.parametrize("user", [SCIENTIST, ARGO_CD])
def test_r12_archive_the_previous_version(realm: Realm, user: str) -> None:
    name = _target(realm, f"r12-{len(user)}")
    stopped("R12", realm.act(user, "label", "mv", name, f"{ARCHIVED}=true"))


@pytest.mark.parametrize("change", [f"{ARCHIVED}-", f"{ARCHIVED}=no"])
def test_r13_restore_a_withdrawn_version(realm: Realm, change: str) -> None:
    name = _withdrawn(realm, f"r13-{len(change)}")
    stopped("R13", realm.act(SCIENTIST, "label", "mv", name, change, "--overwrite"))


def test_r14_restore_a_withdrawn_version_by_replacing_it(realm: Realm) -> None:
    _withdrawn(realm, "r14")
    manifest = registry.model_version("r14", 1, namespace=realm.namespace)
    stopped("R14", realm.act(SCIENTIST, "replace", "--filename=-", stdin=manifest))


def test_r15_register_a_version_that_is_archived(realm: Realm) -> None:
    """What the label says is recorded as a decision."""
    manifest = registry.model_version("r15", 1, namespace=realm.namespace, metadata={"labels": {ARCHIVED: "true"}})
    stopped("R15", realm.create(SCIENTIST, manifest))


def test_the_right_to_archive_can_be_for_one_model(realm: Realm) -> None:
    rule = {"apiGroups": ["assay.dev"], "resources": ["models"], "resourceNames": ["mine"], "verbs": ["archive"]}
    role: Raw = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "archive-mine"}}
    realm.admin("apply", "--filename=-", stdin=role | {"rules": [rule]})
    realm.admin("create", "rolebinding", "archive-mine", "--role=archive-mine", f"--user={SCIENTIST}")
    theirs, mine = realm.version("theirs"), realm.version("mine")
    label = (f"{ARCHIVED}=true", "--overwrite")
    wait_for("the right to be in force", lambda: realm.act(SCIENTIST, "label", "mv", mine, *label).done, seconds=30)
    assert not realm.act(SCIENTIST, "label", "mv", theirs, *label).done
