from datetime import timedelta
from typing import Any

import pytest

from assay.api.common import Condition
from assay.api.modelversion import HeldStatus, ModelVersionStatus
from assay.planning.promotion import approvals, verdict, views
from assay.planning.promotion.approvals import MAX_APPROVALS
from assay.planning.promotion.policies import AliasView, Approvals, Held, Policy, VersionView
from tests import registry
from tests.unit.planning.objects import NOW

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
DIGEST, OTHER = registry.digest("1"), registry.digest("2")
CHAMPION = AliasView("digits", "champion")


def version(status: Raw | None = None, *, metadata: Raw | None = None, **spec: Any) -> Raw:
    """Return the version 1 of `digits`, dora's, as the API server has it."""
    return registry.model_version("digits", 1, namespace="ml", owner="dora", metadata=metadata, **spec) | {
        "status": status or {}
    }


def view(body: Raw, *held: HeldStatus) -> VersionView:
    return views.version_view(body, list(held))


def annotated(annotations: dict[str, str], *, looked: bool = True) -> Raw:
    """Return a version with annotations, after the operator has looked at them or before."""
    known = approvals.look(annotations, DIGEST, [], NOW).known if looked else []
    return version(ModelVersionStatus(approvals=known).to_dict(), metadata={"annotations": annotations})


def key(number: object = 1, alias: str = "champion") -> str:
    return f"{alias}.approval.assay.dev/{number}"


def test_an_unprocessed_version_has_no_evidence() -> None:
    found = view(registry.model_version("digits", 1, namespace="ml"))
    assert found == VersionView("digits.v1", "digits", 1, DIGEST, "")


def test_evidence_lists_only_true_conditions() -> None:
    conditions = [
        Condition(type=kind, status=status, reason="R", last_transition_time=NOW).to_dict()
        for kind, status in (
            ("Reproducible", "True"),
            ("ArtifactVerified", "Unknown"),
            ("ProvenanceVerified", "False"),
            ("Signed", "True"),
        )
    ]
    found = view(version({"conditions": conditions}))
    assert found.evidence == {"reproducible", "signed"}


def test_recorded_provenance_overrides_the_manifest() -> None:
    claimed = {"metrics": {"f1": {"last": 0.99}}, "parameters": {"lr": 1}}
    recorded = {"metrics": {"f1": {"last": 0.5, "max": 0.6}}, "parameters": {"lr": 2}}
    found = view(version(provenance=claimed))
    assert (found.metrics["f1"]["last"], found.parameters) == (0.99, {"lr": 1})
    found = view(version({"provenance": recorded}, provenance=claimed))
    assert (found.metrics["f1"]["last"], found.metrics["f1"]["max"], found.parameters) == (0.5, 0.6, {"lr": 2})
    found = view(version({"provenance": {}}, provenance=claimed))
    assert (found.metrics, found.parameters) == ({}, {}), "a run that recorded nothing bears no claim out"


def test_archived_and_deleting_are_read_from_the_object() -> None:
    assert view(version(metadata={"labels": {"assay.dev/archived": ""}})).archived
    assert view(version(metadata={"deletionTimestamp": "2026-03-01T12:00:00Z"})).deleting
    found = view(version())
    assert (found.archived, found.deleting) == (False, False)


def test_live_periods_come_from_the_arguments_not_the_status() -> None:
    stale = {"held": [{"alias": "staging", "from": "2020-01-01T00:00:00Z"}]}
    end = NOW + timedelta(hours=1)
    found = view(version(stale), HeldStatus(alias="champion", from_=NOW, to=end))
    assert found.held == (Held("champion", NOW, end),)


# Approvals


def test_an_approval_combines_the_annotation_with_its_recorded_time() -> None:
    (found,) = view(annotated({key(): f"{OTHER} rita\nfine"})).approvals
    assert (found.alias, found.id, found.digest, found.approver, found.comment, found.at) == (
        "champion",
        "1",
        OTHER,
        "rita",
        "fine",
        NOW,
    )


def test_a_revoked_approval_does_not_count_despite_the_status() -> None:
    body = annotated({key(): f"{DIGEST} rita"})
    body["metadata"]["annotations"] = {}
    assert view(body).approvals == ()


def test_an_edited_approval_does_not_inherit_the_recorded_time() -> None:
    body = annotated({key(): f"{DIGEST} rita"})
    body["metadata"]["annotations"] = {key(): f"{DIGEST} rita\nand again"}
    assert view(body).approvals == ()


def test_an_unprocessed_approval_does_not_count() -> None:
    assert view(annotated({key(): f"{DIGEST} rita"}, looked=False)).approvals == ()


def test_an_approval_expires_even_when_the_status_is_full() -> None:
    """Without a time it would begin anew at each look. Those of others have filled the status here."""
    flood = {key(f"a{number}", "staging"): f"{DIGEST} user{number}" for number in range(MAX_APPROVALS)}
    body = annotated(flood | {key("z"): f"{DIGEST} rita"})
    assert all(approval.at == NOW for approval in view(body).approvals)
    expiring = Policy("p", approvals=Approvals(1, expire_after=timedelta(hours=1)), evidence=frozenset())
    for when in (NOW, NOW + timedelta(days=9)):
        assert not verdict.evaluate(CHAMPION, view(body), None, [expiring], when + timedelta(hours=1)).allowed


# Policies


def test_a_policy_is_read() -> None:
    spec = {"match": {"models": ["digits"], "aliases": ["champ*"]}, "approvals": {"required": 2, "expireAfter": "1d"}}
    found = views.policy_of({"metadata": {"name": "p"}, "spec": spec})
    assert (found.name, found.models, found.aliases, found.problem) == ("p", ("digits",), ("champ*",), "")
    assert found.approvals == Approvals(2, True, timedelta(days=1))


@pytest.mark.parametrize(
    "spec",
    [
        {"approvals": {"required": "many"}},
        {"mode": "Perhaps", "match": {"models": ["other"]}},
        {"gates": [{"name": "g"}]},
        {"freeze": 7},
    ],
)
def test_a_policy_with_an_invalid_spec_blocks_all_aliases(spec: Raw) -> None:
    found = views.policy_of({"metadata": {"name": "odd"}, "spec": spec})
    assert "its spec is invalid" in found.problem
    assert "\n" not in found.problem
    answer = verdict.evaluate(CHAMPION, view(version()), None, [found], NOW, open_by_default=True)
    assert not answer.allowed
    assert [each.policy for each in answer.requirements if not each.met] == ["odd"]


def test_a_policy_with_an_invalid_window_blocks_only_matching_aliases() -> None:
    window = {"name": "night", "weekly": {"days": ["Mon"], "from": "10:00", "to": "10:00", "timeZone": "UTC"}}
    spec = {"match": {"models": ["digits"]}, "freeze": [window]}
    found = views.policy_of({"metadata": {"name": "odd"}, "spec": spec})
    assert "freeze night is from 10:00 to 10:00" in found.problem
    assert verdict.matches(found, CHAMPION)
    assert not verdict.matches(found, AliasView("letters", "champion"))
