"""Who has moved an alias: the API server fills it in, and holds clients to the truth where it cannot."""

import json
from collections.abc import Iterator

import pytest

from tests import registry
from tests.attackers import (
    APPROVER,
    ARGO_CD,
    MOVED_BY,
    PERSONAS,
    RELEASE_MANAGER,
    SCIENTIST,
    Realm,
    filled_in,
    mover,
)
from tests.cluster.waiting import wait_for

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

ADMIN = "almighty"
ROLLBACK = "assay.dev/rollback-requested"
BINDING = "mutatingadmissionpolicybinding/assay-mover"


@pytest.fixture(scope="module")
def unstamped(realm: Realm) -> Iterator[Realm]:
    """A namespace in which no names are filled in, as on servers before Kubernetes 1.36."""
    name = f"{realm.namespace}-unstamped"
    found = Realm(realm.cluster, name, realm.other)
    realm.cluster.create_namespace(name)
    found.admin("apply", "--server-side", "--filename", str(PERSONAS))
    wait_for("the roles to be in force", lambda: found.act(ADMIN, "auth", "can-i", "delete", "runs.assay.dev").done)
    leave_out = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [name]}
    if registry.stamps(realm.cluster):
        _bind(realm, {"namespaceSelector": {"matchExpressions": [leave_out]}})
    wait_for("the names to be left alone", lambda: MOVED_BY not in _dry(found))
    yield found
    if registry.stamps(realm.cluster):
        _bind(realm, None)
    realm.cluster.delete_namespace(name)


def _bind(realm: Realm, match: registry.Raw | None) -> None:
    patch = json.dumps({"spec": {"matchResources": match}})
    realm.cluster.kubectl("patch", BINDING, "--type=merge", f"--patch={patch}")


def _dry(realm: Realm) -> str:
    manifest = registry.model_alias("probe", "champion", 1)
    return realm.must(ADMIN, "create", "--dry-run=server", "--output=json", "--filename=-", stdin=manifest)


def test_changing_the_spec_records_the_mover(realm: Realm) -> None:
    name = realm.alias("moved")
    assert mover(realm, name) == filled_in(realm, ARGO_CD)
    assert realm.merge(ADMIN, "alias", name, {"spec": {"version": 2}}).done
    assert mover(realm, name) == filled_in(realm, ADMIN)
    assert realm.json_patch(ARGO_CD, "alias", name, {"op": "replace", "path": "/spec/version", "value": 3}).done
    assert mover(realm, name) == filled_in(realm, ARGO_CD)
    assert realm.merge(ADMIN, "alias", name, {"spec": {"reason": "better"}}).done
    assert mover(realm, name) == filled_in(realm, ADMIN)


def test_a_rollback_in_one_write_sets_the_mover(realm: Realm) -> None:
    name = realm.alias("went-back", number=2, history=(1, 2))
    patch = {"metadata": {"annotations": {ROLLBACK: f"1 {RELEASE_MANAGER}"}}, "spec": {"version": 1}}
    assert realm.merge(RELEASE_MANAGER, "alias", name, patch).done
    assert mover(realm, name) == filled_in(realm, RELEASE_MANAGER)


def test_requesting_or_clearing_a_rollback_does_not_change_the_mover(realm: Realm) -> None:
    name = realm.alias("asks-back", number=2, history=(1, 2))
    assert realm.annotate(RELEASE_MANAGER, "alias", name, ROLLBACK, f"1 {RELEASE_MANAGER}").done
    assert realm.annotate(registry.OPERATOR, "alias", name, ROLLBACK, None).done
    assert mover(realm, name) == filled_in(realm, ARGO_CD)


@pytest.mark.parametrize("how", [["--server-side"], []], ids=["server-side", "client-side"])
def test_reapplying_an_unchanged_manifest_writes_nothing(realm: Realm, how: list[str]) -> None:
    """As Argo CD does: the second time and by whomever, and in between somebody takes the name away."""
    manifest = registry.model_alias(f"applied{len(how)}", "champion", 1)
    name = manifest["metadata"]["name"]
    realm.must(ARGO_CD, "apply", *how, "--filename=-", stdin=manifest)
    before = realm.get("alias", name)["metadata"]["resourceVersion"]
    for user in (ARGO_CD, ADMIN, ARGO_CD):
        realm.must(user, "apply", *how, "--filename=-", stdin=manifest)
        if filled_in(realm, ARGO_CD):
            assert realm.annotate(SCIENTIST, "alias", name, MOVED_BY, None).done
    assert realm.get("alias", name)["metadata"]["resourceVersion"] == before
    assert mover(realm, name) == filled_in(realm, ARGO_CD)


def test_a_manifest_that_moves_the_alias_replaces_the_previous_mover(realm: Realm) -> None:
    """Nobody owns the name: it is in no field manager's way."""
    manifest = registry.model_alias("overtaken", "champion", 1)
    realm.must(ARGO_CD, "apply", "--server-side", "--filename=-", stdin=manifest)
    realm.must(ADMIN, "apply", "--server-side", "--filename=-", stdin=registry.model_alias("overtaken", "champion", 2))
    assert mover(realm, "overtaken.champion") == filled_in(realm, ADMIN)
    managed = json.loads(realm.admin("get", "alias", "overtaken.champion", "--output=json", "--show-managed-fields"))
    assert MOVED_BY not in json.dumps(managed["metadata"]["managedFields"])


def test_an_empty_map_of_annotations_is_filled_in(realm: Realm) -> None:
    manifest = registry.model_alias("empty", "champion", 1, metadata={"annotations": {}})
    assert realm.create(ARGO_CD, manifest).done
    assert mover(realm, "empty.champion") == filled_in(realm, ARGO_CD)


def test_an_alias_older_than_the_policy_has_no_mover_until_it_moves(unstamped: Realm) -> None:
    name = unstamped.alias("old")
    outcome = unstamped.annotate(ADMIN, "alias", name, MOVED_BY, APPROVER)
    assert "it cannot be changed on its own" in outcome.said
    assert mover(unstamped, name) is None


def test_users_may_set_only_themselves_or_no_one_as_mover(unstamped: Realm) -> None:
    """On servers that fill nothing in."""
    metadata = {"annotations": {MOVED_BY: ARGO_CD}}
    assert unstamped.create(ARGO_CD, registry.model_alias("own", "champion", 1, metadata=metadata)).done
    named = {"metadata": {"annotations": {MOVED_BY: ADMIN}}, "spec": {"version": 2}}
    assert unstamped.merge(ADMIN, "alias", "own.champion", named).done
    assert mover(unstamped, "own.champion") == ADMIN
    left_out = {"metadata": {"annotations": {MOVED_BY: None}}, "spec": {"version": 3}}
    assert unstamped.merge(ARGO_CD, "alias", "own.champion", left_out).done
    assert mover(unstamped, "own.champion") is None


def test_another_name_is_refused(unstamped: Realm) -> None:
    metadata = {"annotations": {MOVED_BY: APPROVER}}
    outcome = unstamped.create(ARGO_CD, registry.model_alias("forged", "champion", 1, metadata=metadata))
    assert f"assay.dev/moved-by must be your own name, {ARGO_CD}, or be left out" in outcome.said
    assert not unstamped.get("alias", "forged.champion")


def test_an_outdated_mover_is_refused(unstamped: Realm) -> None:
    metadata = {"annotations": {MOVED_BY: ARGO_CD}}
    assert unstamped.create(ARGO_CD, registry.model_alias("stale", "champion", 1, metadata=metadata)).done
    outcome = unstamped.merge(ADMIN, "alias", "stale.champion", {"spec": {"version": 2}})
    assert f"assay.dev/moved-by must be your own name, {ADMIN}, or be left out" in outcome.said
    assert unstamped.get("alias", "stale.champion")["spec"]["version"] == 1


def test_the_mover_is_unchanged_while_the_spec_is_unchanged(unstamped: Realm) -> None:
    metadata = {"annotations": {MOVED_BY: ARGO_CD}}
    assert unstamped.create(ARGO_CD, registry.model_alias("stays", "champion", 1, metadata=metadata)).done
    for value in (None, APPROVER, ADMIN):
        outcome = unstamped.annotate(ADMIN, "alias", "stays.champion", MOVED_BY, value)
        assert "it cannot be changed on its own" in outcome.said
    assert unstamped.annotate(SCIENTIST, "alias", "stays.champion", "example.com/note", "seen").done
    assert mover(unstamped, "stays.champion") == ARGO_CD
