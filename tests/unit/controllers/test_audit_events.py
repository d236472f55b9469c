"""What the trail is told: the shapes that its queries read, and the same name for the same happening."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from assay.api import names
from assay.api.modelversion import ApprovalStatus, ArtifactStatus, Provenance
from assay.api.run_status import ModelStatus, RecordStatus, RunStatus
from assay.controllers.audit import events as audit_events
from assay.controllers.audit.events import NOT_SEEN, Pointed
from assay.planning.promotion.policies import Policy
from assay.store.audit.records import EMPTY, MAX_RECORD_BYTES, AuditEvent, AuditRecord
from tests import registry

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
DIGEST, MANIFEST = registry.digest("1"), registry.digest("2")
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KEY = "champion.approval.assay.dev/rita-1"
OPERATOR = names.operator_user("ml-platform")
VALUE = f"{DIGEST} rita\nlooks good\nto me"


def body(made: Raw, **more: Any) -> Raw:
    """As the API server lists it: without a kind, with a UID."""
    made = copy.deepcopy(made)
    made["metadata"] |= {"namespace": "ml", "uid": f"uid-{made['metadata']['name']}", "generation": 3} | more
    return {key: value for key, value in made.items() if key not in ("kind", "apiVersion")}


def version(**spec: Any) -> Raw:
    return body(registry.model_version("digits", 1, namespace="ml", owner="dora", **spec), annotations={KEY: VALUE})


def alias(**status: Any) -> Raw:
    found = body(registry.model_alias("digits", "champion", 2), annotations={names.ANNOTATION_MOVED_BY: "walter"})
    return found | {"status": status}


def approval(**more: Any) -> ApprovalStatus:
    fields: Raw = {
        "alias": "champion",
        "approver": "rita",
        "id": "rita-1",
        "since": NOON,
        "fingerprint": "f" * 64,
        "valid": True,
    }
    return ApprovalStatus.model_validate(fields | more)


def archived(since: str) -> Raw:
    conditions = [{"type": names.ARCHIVED, "status": "True", "reason": "r", "lastTransitionTime": since}]
    return version() | {"status": {"conditions": conditions}}


ARTIFACT = ArtifactStatus(uri="s3://assay/models/ml/digits/v1/", digest=DIGEST, manifest_digest=MANIFEST)
ONE, TWO = Pointed(1, DIGEST), Pointed(2, MANIFEST)

EVENTS: dict[str, Callable[[], AuditEvent]] = {
    "RunEnded": lambda: audit_events.run_ended(body(registry.run("r")), RunStatus(phase="Failed"), operator=OPERATOR),
    "VersionRegistered": lambda: audit_events.version_registered(version(), ARTIFACT),
    "RegistrationRefused": lambda: audit_events.registration_refused(
        version(), "expected another digest", operator=OPERATOR
    ),
    "VersionArchived": lambda: audit_events.version_archived(version(), True),
    "VersionDeleted": lambda: audit_events.version_deleted(version()),
    "ApprovalGiven": lambda: audit_events.approval_given(version(), approval()),
    "ApprovalRevoked": lambda: audit_events.approval_revoked(version(), approval()),
    "BindingRefused": lambda: audit_events.binding_refused(alias(), 2, DIGEST, ["needs 1 more approval"], 3),
    "AliasBound": lambda: audit_events.alias_bound(alias(), ONE, TWO, "walter", "better", 2),
    "RolledBack": lambda: audit_events.rolled_back(alias(), TWO, ONE, OPERATOR, "it failed", 3, automatic=True),
    "AliasDegraded": lambda: audit_events.alias_degraded(alias(), 2, "the pods fail", operator=OPERATOR),
    "AliasReleased": lambda: audit_events.alias_released(alias(boundVersion=2, boundDigest=DIGEST)),
    "PolicyChanged": lambda: audit_events.policy_changed(body({"metadata": {"name": "p"}, "spec": {"mode": "Warn"}})),
}


@pytest.mark.parametrize("action", EVENTS)
def test_the_same_event_has_the_same_name_and_object_identity(action: str) -> None:
    first, again = EVENTS[action](), EVENTS[action]()
    assert first == again
    assert first.action == action
    assert first.event.startswith(f"{first.object.uid}/")
    assert first.object.namespace == "ml"
    assert (first.object.kind, first.object.uid) == (
        {"Run": "Run", "Alias": "ModelAlias", "Policy": "PromotionPolicy", "Rolled": "ModelAlias"}.get(
            next((word for word in ("Run", "Alias", "Policy", "Rolled") if action.startswith(word)), ""),
            "ModelAlias" if action == "BindingRefused" else "ModelVersion",
        ),
        f"uid-{first.object.name}",
    )


def test_no_two_events_of_one_object_have_the_same_name() -> None:
    made = [make().event for make in EVENTS.values()]
    later = approval(since=NOON + timedelta(seconds=1))
    made += [
        audit_events.approval_given(version() | {"status": {"approvalChanges": 2}}, approval()).event,
        audit_events.approval_given(version(), approval(fingerprint="e" * 64)).event,
        audit_events.approval_given(version(), approval(alias="staging")).event,
        audit_events.approval_revoked(version(), later).event,
        audit_events.version_archived(version(), False).event,
        audit_events.version_archived(archived("2026-01-01T00:00:00Z"), True).event,
        audit_events.alias_bound(alias(), ONE, TWO, "walter", "again", 4).event,
        audit_events.alias_degraded(alias(bindings=2), 2, "the pods fail", operator=OPERATOR).event,
        audit_events.registration_refused(version(), "another reason", operator=OPERATOR).event,
        audit_events.binding_refused(alias(), 2, DIGEST, [], 4).event,
        audit_events.binding_refused(alias(), 1, DIGEST, [], 3).event,
    ]
    assert len(set(made)) == len(made)


def test_the_longest_names_fit() -> None:
    long = version()
    long["metadata"]["uid"] = "u" * 36
    found = approval(alias="a" * 40, id="i" * 63, approver="r" * 512)
    for event in (audit_events.approval_given(long, found), audit_events.approval_revoked(long, found)):
        assert len(event.event) <= 253
        assert event.event.endswith(("/0", "/2026-11-21T12:00:00Z"))


def test_an_approval_that_is_seen_again_later_is_the_same_event() -> None:
    """The operator stopped after the record and before the status."""
    later = approval(since=NOON + timedelta(seconds=1))
    assert (
        audit_events.approval_given(version(), later).event == audit_events.approval_given(version(), approval()).event
    )


def test_an_approval_event_has_digest_approver_and_comment() -> None:
    event = audit_events.approval_given(version(), approval())
    assert (event.actor, event.time, event.reason) == ("rita", "2026-11-21T12:00:00Z", "looks good\nto me")
    assert event.digests == {"artifact": DIGEST}
    assert event.after == {"alias": "champion", "id": "rita-1", "approver": "rita", "valid": True}


def test_an_approval_event_has_the_digest_that_was_approved() -> None:
    other = version()
    other["metadata"]["annotations"][KEY] = f"{MANIFEST} rita"
    assert audit_events.approval_given(other, approval(valid=False)).digests == {"artifact": MANIFEST}
    other["metadata"]["annotations"] = None
    assert audit_events.approval_given(other, approval(valid=False)).digests == {}
    assert audit_events.approval_revoked(other, approval(valid=False)).digests == {}


@pytest.mark.parametrize("action", ["ApprovalRevoked", "VersionArchived", "VersionDeleted", "AliasReleased"])
def test_an_unknown_actor_is_recorded_as_unknown(action: str) -> None:
    event = EVENTS[action]()
    assert (event.actor, event.reason) == ("unknown", NOT_SEEN)


def test_a_registration_says_what_the_model_was_made_from() -> None:
    recorded = Provenance.model_validate({"parameters": {"lr": 0.1}, "datasets": [{"name": "d", "uri": "s3://d/x"}]})
    run = {"name": "sweep-3", "uid": "u-3", "experiment": "sweep"}
    found = audit_events.version_registered(version(run=run), ARTIFACT, recorded, verified=True)
    assert found.digests == {"artifact": DIGEST, "manifest": MANIFEST}
    assert found.actor == "dora"
    assert found.after is not None
    assert (found.after["run"], found.after["experiment"], found.after["owner"]) == (run, "sweep", "dora")
    assert found.after["parameters"] == {"lr": 0.1}
    assert found.after["datasets"][0]["uri"] == "s3://d/x"
    assert found.after["provenanceVerified"] is True
    said = version(provenance={"parameters": {"lr": 0.2}})
    assert (audit_events.version_registered(said, ARTIFACT).after or {})["parameters"] == {"lr": 0.2}
    # A manifest may say less than its run has recorded.
    assert (audit_events.version_registered(said, ARTIFACT, recorded).after or {})["parameters"] == {"lr": 0.1}


def test_a_run_says_how_it_ended() -> None:
    model = ModelStatus(path="model", digest=DIGEST, size=7)
    status = RunStatus(
        phase="Succeeded",
        reason="JobComplete",
        completion_time=NOON,
        model=model,
        record=RecordStatus(uri="s3://assay/runs/ml/_/r/u/", manifest_digest=MANIFEST),
    )
    found = audit_events.run_ended(body(registry.run("r", owner="dora")), status, operator=OPERATOR)
    assert (found.actor, found.time) == ("dora", "2026-11-21T12:00:00Z")
    assert found.digests == {"artifact": DIGEST, "manifest": MANIFEST}
    assert found.after is not None
    assert (found.after["outcome"], found.after["model"]["path"]) == ("Succeeded", "model")
    gone = audit_events.run_ended(body(registry.run("r")), RunStatus(phase="Running"), "Deleted", operator=OPERATOR)
    assert (gone.after or {})["outcome"] == "Deleted"
    assert gone.actor == OPERATOR


def test_binding_events_have_the_previous_and_the_new_version() -> None:
    first = audit_events.alias_bound(alias(), None, ONE, "walter", "release", 1, at=NOON)
    assert (first.before, first.after) == (None, {"version": 1, "digest": DIGEST})
    assert first.event == "uid-digits.champion/binding/1/v1/g3"
    back = audit_events.rolled_back(alias(), TWO, ONE, "rita", "latency", 3)
    assert back.before == {"version": 2, "digest": MANIFEST}
    assert back.after == {"version": 1, "digest": DIGEST, "automatic": False}
    assert (back.actor, back.reason) == ("rita", "latency")
    itself = audit_events.rolled_back(alias(), TWO, ONE, OPERATOR, "it failed", 3, automatic=True)
    assert itself.actor == OPERATOR


def test_a_refusal_event_has_its_requester_and_unmet_requirements() -> None:
    event = audit_events.binding_refused(alias(), 2, None, ["needs 1 more approval", "in a freeze"], 3)
    assert (event.actor, event.reason) == ("walter", "needs 1 more approval; in a freeze")
    assert event.after == {"version": 2, "unmet": ["needs 1 more approval", "in a freeze"]}
    assert event.digests == {}
    assert audit_events.moved_by({"metadata": {}}) == "unknown"


def test_oversized_fields_are_replaced_by_their_hash() -> None:
    parameters = {f"p{number}": "x" * 4000 for number in range(64)}
    said = version(provenance={"parameters": parameters, "metrics": {"acc": {"last": 0.9}}})
    found = audit_events.version_registered(said, ARTIFACT)
    assert found.after is not None
    assert found.after["parameters"].keys() == {"leftOut", "sha256"}
    assert found.after["parameters"]["leftOut"] > 256_000
    assert found.after["metrics"] == {"acc": {"last": 0.9}}
    spec = {"gates": [{"name": f"g{n}", "expression": "é" * 4096} for n in range(50)]}
    policy = body({"metadata": {"name": "p"}, "spec": spec})
    changed = audit_events.policy_changed(policy, spec)
    for event in (found, changed):
        fields = event.model_dump() | {"sequence": 1, "previous": EMPTY.digest, "time": "2026-01-01T00:00:00Z"}
        assert len(AuditRecord.model_validate(fields).to_json()) < MAX_RECORD_BYTES
    assert json.dumps(changed.after).count("leftOut") == 1


def test_a_policy_event_has_the_old_and_the_new_spec() -> None:
    policy = body({"metadata": {"name": "p"}, "spec": {"mode": "Warn"}})
    made, changed = audit_events.policy_changed(policy), audit_events.policy_changed(policy, {"mode": "Enforce"})
    assert (made.before, made.after) == (None, {"spec": {"mode": "Warn"}, "generation": 3})
    assert changed.before == {"spec": {"mode": "Enforce"}}
    gone = audit_events.policy_changed(policy, deleted=True)
    assert (gone.before, gone.after) == ({"spec": {"mode": "Warn"}}, None)
    assert gone.event != made.event


def test_a_policy_event_has_its_editor() -> None:
    annotations = {"assay.dev/changed-by": "paula"}
    policy = body({"metadata": {"name": "p", "annotations": annotations}, "spec": {"mode": "Warn"}})
    changed, gone = audit_events.policy_changed(policy), audit_events.policy_changed(policy, deleted=True)
    assert (changed.actor, changed.reason) == ("paula", "")
    assert (gone.actor, gone.reason) == ("unknown", audit_events.NOT_SEEN)


def test_a_binding_names_the_policies_that_it_was_judged_by() -> None:
    policies = [Policy("release", generation=4, digest=DIGEST, changed_by="paula"), Policy("soft", mode="Warn")]
    bound = audit_events.alias_bound(alias(), ONE, TWO, "walter", "better", 2)
    found = audit_events.judged_by(bound, policies, open_by_default=False)
    assert found.event == bound.event
    assert found.after == {
        **(bound.after or {}),
        "openByDefault": False,
        "policies": [
            {"name": "release", "mode": "Enforce", "generation": 4, "digest": DIGEST, "changedBy": "paula"},
            {"name": "soft", "mode": "Warn", "generation": 0, "digest": "", "changedBy": "unknown"},
        ],
    }


def test_names_and_reasons_of_any_length_can_be_recorded() -> None:
    long = [audit_events.alias_bound(alias(), None, ONE, "u" * 2000 + end, "r" * 5000, 1) for end in "ab"]
    assert len({event.actor for event in long}) == 2
    assert {len(event.reason) for event in long} == {2000}
    assert long[0].reason.endswith("…")
