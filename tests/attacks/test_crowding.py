"""Attacks on the room for approvals, on the groups of who gives them, and on the name of who has changed a policy."""

import json

import pytest

from tests import registry
from tests.attackers import APPROVER, INSIDER, SCIENTIST, Outcome, Realm, stopped
from tests.registry import Raw, digest

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

ALMIGHTY = "almighty"
KEY = "champion.approval.assay.dev/1"
CHANGED_BY = "assay.dev/changed-by"


def _policy(name: str, changed_by: str | None = None) -> Raw:
    annotations = {} if changed_by is None else {CHANGED_BY: changed_by}
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "assay.dev/v1alpha1", "kind": "PromotionPolicy", "metadata": metadata, "spec": {}}


def _annotate(realm: Realm, user: str, name: str, annotations: Raw) -> Outcome:
    """Send many annotations in one request, by a file: they are too many for a command line."""
    return realm.act(
        user,
        "apply",
        "--server-side",
        "--field-manager=crowd",
        "--filename=-",
        stdin={
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "ModelVersion",
            "metadata": {"name": name, "annotations": annotations},
        },
    )


def _changer(realm: Realm, name: str) -> str | None:
    found: str | None = realm.get("promotionpolicy", name)["metadata"].get("annotations", {}).get(CHANGED_BY)
    return found


def test_r20_approve_again_and_again(realm: Realm) -> None:
    name = realm.version("r20")
    for identity in ("1", "2"):
        assert realm.approve(SCIENTIST, name, "staging", id=identity).done
    stopped("R20", realm.approve(SCIENTIST, name, "staging", id="3"))
    assert realm.approve(SCIENTIST, name, "staging", id="2", value=f"{digest()} {SCIENTIST}\nanew").done


def test_r21_approve_with_an_oversized_comment(realm: Realm) -> None:
    name = realm.version("r21")
    stopped("R21", realm.approve(APPROVER, name, value=f"{digest()} {APPROVER}\n" + "x" * 3072))


def test_r22_fill_a_version_with_tiny_annotations(realm: Realm) -> None:
    name = realm.version("r22")
    stopped("R22", _annotate(realm, SCIENTIST, name, {f"e/{number}": "" for number in range(20_000)}))
    outcome = realm.approve(APPROVER, name)
    assert outcome.done, outcome.said


def test_r23_fill_a_version_with_large_annotations(realm: Realm) -> None:
    name = realm.version("r23")
    stopped("R23", _annotate(realm, SCIENTIST, name, {f"example.com/{number}": "x" * 9000 for number in range(10)}))
    outcome = realm.approve(APPROVER, name)
    assert outcome.done, outcome.said


def test_r24_register_a_version_that_is_full(realm: Realm) -> None:
    annotations = {f"example.com/{number}": "ä" * 4500 for number in range(10)}
    manifest = registry.model_version("r24", 1, namespace=realm.namespace, metadata={"annotations": annotations})
    stopped("R24", realm.create(SCIENTIST, manifest))


def test_r25_fill_the_room_of_an_alias_under_many_names(realm: Realm) -> None:
    """Each may give two approvals; the room of other aliases is not touched."""
    name, full = realm.version("r25"), []
    for number in range(4):
        for identity in ("1", "2"):
            user = f"filler-{number}"
            value = f"{digest()} {user}\n" + "x" * 2800
            patch = {"metadata": {"annotations": {f"staging.approval.assay.dev/{number}-{identity}": value}}}
            full.append(realm.act(user, "patch", "mv", name, "--type=merge", f"--patch={json.dumps(patch)}"))
    assert [outcome.done for outcome in full] == [True] * 5 + [False] * 3
    stopped("R25", full[-1])
    outcome = realm.approve(APPROVER, name, value=f"{digest()} {APPROVER}\n" + "x" * 2800)
    assert outcome.done, outcome.said


def test_r26_claim_membership_in_other_groups(realm: Realm) -> None:
    """As who has no groups: where the server fills them in, it has nothing to write over the claim."""
    name = realm.version("r26")
    stopped("R26", realm.approve(APPROVER, name, value=f"{digest()} {APPROVER}\ngroups: risk-officers"))


def test_r27_write_a_policy_in_the_name_of_another_user(realm: Realm) -> None:
    outcome = realm.create(INSIDER, _policy("r27", APPROVER))
    if registry.stamps(realm.cluster):
        assert outcome.done, outcome.said
        assert _changer(realm, "r27") == INSIDER
        realm.must(ALMIGHTY, "delete", "promotionpolicy", "r27")
    else:
        assert f"assay.dev/changed-by must be your own name, {INSIDER}" in outcome.said


@pytest.mark.parametrize("value", [APPROVER, None, ""])
def test_r28_forge_the_last_editor_of_a_policy(realm: Realm, value: str | None) -> None:
    name = f"r28-{value or len(str(value))}"
    realm.created(ALMIGHTY, _policy(name))
    before = _changer(realm, name)
    realm.annotate(INSIDER, "promotionpolicy", name, CHANGED_BY, value)
    assert (_changer(realm, name) or None) == before  # an empty name is nobody's
    patch = {"metadata": {"annotations": {CHANGED_BY: ALMIGHTY}}, "spec": {"approvals": {"required": 0}}}
    realm.merge(INSIDER, "promotionpolicy", name, patch)
    assert (_changer(realm, name) or None) == (INSIDER if registry.stamps(realm.cluster) else before)
    realm.must(ALMIGHTY, "delete", "promotionpolicy", name)
