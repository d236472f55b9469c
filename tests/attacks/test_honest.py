"""The other side of the attack table: whoever has the right gets what they ask for, and controllers go on working."""

import json
import secrets

import pytest

from tests import registry
from tests.attackers import (
    APPROVER,
    ARGO_CD,
    PERSONAS,
    PLATFORM,
    RELEASE_MANAGER,
    SCIENTIST,
    SECOND_APPROVER,
    Realm,
)
from tests.cluster.waiting import wait_for
from tests.registry import deployment, digest

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

KEY = "champion.approval.assay.dev/1"
ROLLBACK = "assay.dev/rollback-requested"


def test_the_creator_becomes_the_owner(realm: Realm) -> None:
    realm.created(SCIENTIST, registry.experiment("honest"))
    realm.created(SCIENTIST, registry.run("honest"))
    name = realm.version("honest")
    for kind, of in (("experiment", "honest"), ("run", "honest"), ("mv", name)):
        assert realm.get(kind, of)["spec"]["owner"] == SCIENTIST


@pytest.mark.parametrize("how", [["--server-side"], []], ids=["server-side", "client-side"])
def test_a_manifest_without_an_owner_can_be_applied_again_and_again(realm: Realm, how: list[str]) -> None:
    """As Argo CD does: the second time by somebody else, and the owner stays."""
    model = f"again{len(how)}"
    manifests = [registry.experiment(model), registry.run(model)]
    manifests.append(registry.model_version(model, 1, namespace=realm.namespace))
    both = {"apiVersion": "v1", "kind": "List", "items": manifests}
    for user in (SCIENTIST, SCIENTIST, "almighty"):
        outcome = realm.act(user, "apply", *how, "--filename=-", stdin=both)
        if not registry.stamps(realm.cluster):
            assert not outcome.done
            assert "spec.owner must be your own name" in outcome.said
            return
        assert outcome.done, outcome.said
    for kind, name in (("experiment", model), ("run", model), ("mv", f"{model}.v1")):
        assert realm.get(kind, name)["spec"]["owner"] == SCIENTIST


def test_a_delegate_sets_another_user_as_owner(realm: Realm) -> None:
    manifest = registry.model_version("delegated", 1, namespace=realm.namespace, owner=SCIENTIST)
    assert realm.create(PLATFORM, manifest).done
    assert realm.get("mv", "delegated.v1")["spec"]["owner"] == SCIENTIST


def test_the_operator_launches_a_run_for_its_owner(realm: Realm) -> None:
    outcome = realm.create(registry.OPERATOR, registry.run("for-dora", owner=SCIENTIST))
    assert outcome.done, outcome.said


def test_two_approvers_agree_and_one_comments(realm: Realm) -> None:
    name = realm.version("agreed")
    assert realm.approve(APPROVER, name).done
    value = f"{digest()} {SECOND_APPROVER}\nReport 17, all figures checked."
    assert realm.approve(SECOND_APPROVER, name, id="2", value=value).done
    assert realm.approvals(name) == {
        KEY: f"{digest()} {APPROVER}",
        "champion.approval.assay.dev/2": value,
    }


def test_an_approver_edits_and_withdraws_their_own_approval(realm: Realm) -> None:
    name = realm.version("withdrawn")
    assert realm.approve(APPROVER, name).done
    assert realm.approve(APPROVER, name, value=f"{digest()} {APPROVER}\nOn second thought").done
    assert realm.annotate(APPROVER, "mv", name, KEY, None).done
    assert realm.approvals(name) == {}


@pytest.mark.parametrize(
    "user",
    ["rita of risk", "ritа", f"{digest('2')} rita", "rit" + "a" * 197],
    ids=["spaces", "another script", "like a digest", "200 characters"],
)
def test_an_approver_with_any_username_can_approve(realm: Realm, user: str) -> None:
    name = realm.version(f"called-{secrets.token_hex(3)}")
    outcome = realm.approve(user, name)
    assert outcome.done, outcome.said
    assert realm.approvals(name) == {KEY: f"{digest()} {user}"}


def test_the_right_for_one_model_is_enough_for_it(realm: Realm) -> None:
    name = realm.version("narrow", 2)
    assert realm.approve("nora", name).done
    assert realm.create("nora", registry.model_alias("narrow", "champion", 2)).done


def test_a_revoker_removes_an_approval(realm: Realm) -> None:
    name = realm.version("revoked")
    assert realm.approve(APPROVER, name).done
    outcome = realm.annotate(RELEASE_MANAGER, "mv", name, KEY, None)
    assert outcome.done, outcome.said


def test_an_approval_is_given_with_kubectl_annotate_on_an_applied_version(realm: Realm) -> None:
    """`kubectl apply` keeps a copy of the manifest in an annotation; it is in nobody's way."""
    manifest = registry.model_version("applied", 1, namespace=realm.namespace)
    realm.must(SCIENTIST, "apply", "--filename=-", stdin=manifest)
    realm.must(APPROVER, "annotate", "mv", "applied.v1", f"{KEY}={digest()} {APPROVER}")
    realm.must(SCIENTIST, "apply", "--filename=-", stdin=manifest)
    assert realm.approvals("applied.v1") == {KEY: f"{digest()} {APPROVER}"}


def test_an_approval_fits_next_to_the_annotations_of_other_users(realm: Realm) -> None:
    """The room of an alias is its own: nobody can use it up so that others cannot approve."""
    name = realm.version("crowded")
    annotations = {f"example.com/{number}": "x" * 350 for number in range(200)}
    realm.must(SCIENTIST, "annotate", "mv", name, *[f"{key}={value}" for key, value in annotations.items()])
    for identity in ("a", "b"):
        value = f"{digest()} {SCIENTIST}\n" + "x" * 2900
        assert realm.approve(SCIENTIST, name, "staging", id=identity, value=value).done
    outcome = realm.approve(APPROVER, name, value=f"{digest()} {APPROVER}\n" + "figures " * 350)
    assert outcome.done, outcome.said
    outcome = realm.annotate(RELEASE_MANAGER, "mv", name, KEY, None)
    assert outcome.done, outcome.said


@pytest.mark.parametrize("comment", ["", "\nReport 17", "\ngroups: admins\nReport 17"])
def test_the_groups_of_an_approver_are_filled_in(realm: Realm, comment: str) -> None:
    name = realm.version(f"groups-{secrets.token_hex(3)}")
    patch = {"metadata": {"annotations": {KEY: f"{digest()} {APPROVER}{comment}"}}}
    groups = [f"--as-group={group}" for group in ("risk", "oncall, and more", "system:authenticated", "eu")]
    outcome = realm.act(APPROVER, "patch", "mv", name, "--type=merge", f"--patch={json.dumps(patch)}", *groups)
    if not registry.stamps(realm.cluster):
        assert outcome.done is not comment.startswith("\ngroups")
        return
    assert outcome.done, outcome.said
    words = comment.replace("\ngroups: admins", "")
    assert realm.approvals(name) == {KEY: f"{digest()} {APPROVER}\ngroups: risk,eu{words}"}


def test_argo_cd_binds_moves_and_removes_an_alias(realm: Realm) -> None:
    name = realm.alias("bound")
    assert realm.apply(ARGO_CD, registry.model_alias("bound", "champion", 2, reason="better")).done
    assert realm.act(ARGO_CD, "delete", "alias", name).done


def test_a_scientist_moves_staging(realm: Realm) -> None:
    assert realm.create(SCIENTIST, registry.model_alias("tried", "staging", 1)).done
    assert realm.merge(SCIENTIST, "alias", "tried.staging", {"spec": {"version": 2}}).done


def test_a_release_manager_asks_for_a_rollback_and_the_operator_clears_it(realm: Realm) -> None:
    name = realm.alias("asked", number=2, history=(1, 2))
    outcome = realm.annotate(RELEASE_MANAGER, "alias", name, ROLLBACK, f"1 {RELEASE_MANAGER}\nerrors since noon")
    assert outcome.done, outcome.said
    assert realm.annotate(registry.OPERATOR, "alias", name, ROLLBACK, None).done


@pytest.mark.parametrize("writes_spec", [False, True])
@pytest.mark.parametrize("reason", ["", "\nsince noon", "\n\ngeneration: none"], ids=["none", "short", "odd"])
def test_a_rollback_request_names_the_generation_of_the_alias(realm: Realm, writes_spec: bool, reason: str) -> None:
    """The API server fills it in where it can; a client may write it itself."""
    name = realm.alias(f"names-{len(reason)}-{writes_spec}".lower(), number=2, history=(1, 2))
    generation = realm.get("alias", name)["metadata"]["generation"] + writes_spec
    for given in ("", f"\ngeneration: {generation}"):
        request = f"1 {RELEASE_MANAGER}{given}{reason}"
        patch = {"metadata": {"annotations": {ROLLBACK: request}}} | ({"spec": {"version": 1}} if writes_spec else {})
        patched = ("--type=merge", f"--patch={json.dumps(patch)}", "--dry-run=server", "--output=json")
        found = json.loads(realm.must(RELEASE_MANAGER, "patch", "alias", name, *patched))
        line = f"\ngeneration: {generation}" if registry.stamps(realm.cluster) else given
        assert found["metadata"]["annotations"][ROLLBACK] == f"1 {RELEASE_MANAGER}{line}{reason}"


def test_a_release_manager_rolls_back_in_one_write(realm: Realm) -> None:
    name = realm.alias("back", number=2, history=(1, 2))
    patch = {"metadata": {"annotations": {ROLLBACK: f"1 {RELEASE_MANAGER}"}}, "spec": {"version": 1}}
    outcome = realm.merge(RELEASE_MANAGER, "alias", name, patch)
    assert outcome.done, outcome.said


def test_a_version_that_is_not_live_can_be_archived_and_deleted(realm: Realm) -> None:
    name = realm.version("idle")
    realm.must(RELEASE_MANAGER, "label", "mv", name, "assay.dev/archived=true")
    realm.must(SCIENTIST, "delete", "mv", name)


def test_a_version_can_be_deleted_once_the_operator_removes_its_label(realm: Realm) -> None:
    name = realm.version("released", bound=True)
    realm.must(registry.OPERATOR, "label", "mv", name, "assay.dev/bound-")
    realm.must(SCIENTIST, "delete", "mv", name)


def test_the_platform_team_allows_a_prefix(realm: Realm) -> None:
    artifact = {"uri": "s3://shared/models/base/", "digest": digest()}
    manifest = registry.model_version("shared", 1, namespace=realm.namespace, artifact=artifact)
    assert not realm.create(SCIENTIST, manifest).done
    allowed = "assay.dev/allowed-prefixes=s3://elsewhere/ s3://shared/models/"
    realm.must("petra", "annotate", "--overwrite", "namespace", realm.namespace, allowed)
    wait_for("the prefix to be allowed", lambda: realm.create(SCIENTIST, manifest).done, seconds=30)
    realm.must("nadia", "label", "namespace", realm.namespace, "team=digits")


def test_a_served_deployment_can_be_changed_restarted_and_scaled(realm: Realm) -> None:
    workload = realm.served("changed")
    realm.must(SCIENTIST, "set", "image", workload, "server=server:2")
    realm.must(SCIENTIST, "rollout", "restart", workload)
    realm.must(SCIENTIST, "scale", workload, "--replicas=0")
    manifest = deployment("changed", annotations={"assay.dev/serve": "digits.staging"})
    outcome = realm.apply(SCIENTIST, manifest)
    assert outcome.done, outcome.said


def test_a_deployment_that_is_applied_keeps_what_the_operator_set(realm: Realm) -> None:
    annotations = {"assay.dev/serve": "digits.champion"}
    realm.must(SCIENTIST, "apply", "--filename=-", stdin=deployment("kept", annotations=annotations))
    patch = {"spec": {"template": {"metadata": {"annotations": {"assay.dev/served-version": "1"}}}}}
    realm.must(registry.OPERATOR, "patch", "deployment/kept", f"--patch={json.dumps(patch)}")
    realm.must(SCIENTIST, "apply", "--filename=-", stdin=deployment("kept", annotations=annotations))
    template = realm.get("deployment", "kept")["spec"]["template"]
    assert template["metadata"]["annotations"] == {"assay.dev/served-version": "1"}


def test_a_large_workload_stays_within_the_policy_cost_limit(realm: Realm) -> None:
    mounts = [{"name": f"data-{number}", "mountPath": f"/data/{number}"} for number in range(20)]
    environment = [{"name": f"VARIABLE_{number}", "value": "x" * 50} for number in range(60)]
    containers = [
        {"name": f"server-{number}", "image": "server", "env": environment, "volumeMounts": mounts}
        for number in range(30)
    ]
    volumes = [{"name": mount["name"], "emptyDir": {}} for mount in mounts]
    large = deployment(
        "large", annotations={"assay.dev/serve": "digits.champion"}, containers=containers, volumes=volumes
    )
    outcome = realm.create(SCIENTIST, large)
    assert outcome.done, outcome.said
    patch = {"spec": {"template": {"metadata": {"annotations": {"assay.dev/served-version": "1"}}}}}
    realm.must(registry.OPERATOR, "patch", "deployment/large", f"--patch={json.dumps(patch)}")
    realm.must(SCIENTIST, "rollout", "restart", "deployment/large")


def test_a_deployment_can_be_edited_freely_after_opting_out(realm: Realm) -> None:
    realm.served("out")
    realm.must(SCIENTIST, "replace", "--filename=-", stdin=deployment("out"))
    env = [{"name": "MODEL_PATH", "value": "/tmp"}]
    containers = [{"name": "server", "image": "server", "env": env}]
    realm.must(SCIENTIST, "replace", "--filename=-", stdin=deployment("out", containers=containers))


def test_a_namespace_with_every_kind_in_it_can_be_deleted(realm: Realm) -> None:
    """With a version that is live, and with finalizers that a controller takes away."""
    name = f"{realm.namespace}-doomed"
    realm.cluster.create_namespace(name)
    doomed = Realm(realm.cluster, name, realm.other)
    doomed.admin("apply", "--server-side", "--filename", str(PERSONAS))
    wait_for("the roles", lambda: doomed.act(SCIENTIST, "auth", "can-i", "create", "mv").said.strip() == "yes")
    wait_for("the operator's role", lambda: doomed.act(registry.OPERATOR, "auth", "can-i", "patch", "mv").done)
    policy = {"apiVersion": "assay.dev/v1alpha1", "kind": "PromotionPolicy", "metadata": {"name": "p"}, "spec": {}}
    doomed.admin("create", "--filename=-", stdin=policy)
    doomed.created(SCIENTIST, registry.experiment("e"))
    doomed.created(SCIENTIST, registry.run("r"))
    version = doomed.version("digits", bound=True)
    assert doomed.approve(APPROVER, version).done
    doomed.alias("digits", history=(1,))
    doomed.served("server")
    doomed.cluster.kubectl("delete", "namespace", name, "--wait=false")
    gone = lambda: not doomed.cluster.kubectl("get", "namespace", name, "--ignore-not-found")  # noqa: E731
    status = lambda: doomed.cluster.kubectl("get", "namespace", name, "--output=jsonpath={.status}")  # noqa: E731
    wait_for("the namespace to be gone", gone, seconds=120, saw=status)


def test_an_object_blocked_by_a_finalizer_can_be_released(realm: Realm) -> None:
    """One from before the policy: who takes the finalizer away holds none of Assay's rights."""
    name = realm.alias("finalized")
    finalizers = {"metadata": {"finalizers": ["example.com/wait"]}}
    assert realm.merge(registry.OPERATOR, "alias", name, finalizers).done
    realm.must(ARGO_CD, "delete", "alias", name, "--wait=false")
    outcome = realm.merge(SCIENTIST, "alias", name, {"metadata": {"finalizers": None}})
    assert outcome.done, outcome.said
    assert not realm.get("alias", name)


@pytest.mark.parametrize("cascade", ["foreground", "orphan"])
def test_the_garbage_collector_finishes_what_the_server_has_begun(realm: Realm, cascade: str) -> None:
    """The server itself adds the finalizer of such a deletion, and the garbage collector takes it away."""
    alias, version = realm.alias(f"gone-{cascade}"), realm.version(f"gone-{cascade}")
    realm.must(ARGO_CD, "delete", "alias", alias, f"--cascade={cascade}", "--wait=false")
    realm.must(SCIENTIST, "delete", "mv", version, f"--cascade={cascade}", "--wait=false")
    wait_for("the alias to be gone", lambda: not realm.get("alias", alias), seconds=60)
    wait_for("the version to be gone", lambda: not realm.get("mv", version), seconds=60)
