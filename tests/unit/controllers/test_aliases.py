import asyncio
from datetime import UTC, datetime, tzinfo
from typing import Any, cast

import pytest

from assay.api.resources import MODEL_ALIASES, MODEL_VERSIONS, NAMESPACES, PROMOTION_POLICIES
from assay.controllers.registry import aliases, versions
from assay.controllers.runtime.model_cache import KnownNamespace
from assay.controllers.runtime.queue import Key, Requeue
from assay.planning.serving.rollout import Rollout
from tests.registry import digest
from tests.unit.controllers.fakes import Parts
from tests.unit.controllers.registry_objects import alias, policy, version, workload

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
CHAMPION, WEB = Key("ModelAlias", "ml", "digits.champion"), Key("Deployment", "ml", "web")
REGISTERED = {"phase": "Ready", "registered": "2026-03-01T12:00:00Z"}


def world(*wanted: Raw, open_by_default: bool = True) -> Parts:
    """Return the parts where two registered versions and the aliases exist."""
    parts = Parts()
    annotations = {"assay.dev/open-by-default": "true"} if open_by_default else {}
    parts.kube.put(NAMESPACES, {"metadata": {"name": "ml", "annotations": annotations}})
    parts.know(MODEL_VERSIONS, version(1, **REGISTERED), version(2, **REGISTERED))
    parts.know(MODEL_ALIASES, *(_written(each) for each in wanted))
    return parts


def _written(body: Raw, **annotations: str) -> Raw:
    return {**body, "metadata": {**body["metadata"], "generation": 1, "annotations": annotations}}


def bound(number: int, wanted: int, **status: Any) -> Raw:
    """Return the alias as it is bound to a version."""
    history = [_binding(each) for each in range(1, number + 1)]
    known = {"boundVersion": number, "boundDigest": digest(), "boundAt": "2026-03-01T12:00:00Z"}
    return alias(wanted=wanted, **known, bindings=number, history=history, **status)


def _binding(number: int) -> Raw:
    return {"version": number, "digest": digest(), "from": "2026-03-01T12:00:00Z", "actor": "ann"}


async def reconcile(parts: Parts) -> Raw:
    """Reconcile the alias, and return its status."""
    await aliases.reconcile(parts, CHAMPION)
    return found(parts)


def found(parts: Parts) -> Raw:
    status: Raw = parts.kube.all(MODEL_ALIASES)[0].get("status") or {}
    return status


async def test_a_version_is_labelled_then_recorded_then_named_in_the_status() -> None:
    parts = world(alias())
    parts.models.upsert(workload())
    status = await reconcile(parts)
    assert status["boundVersion"] == 1
    assert parts.journal == [
        "patch modelversions digits.v1",
        f"record {parts.audit.actions[0]}",
        "patch status modelaliases digits.champion",
    ]
    assert {"assay.dev/bound", "assay.dev/target"} & parts.kube.all(MODEL_VERSIONS)[0]["metadata"]["labels"].keys()
    assert WEB in parts.queue.added, "what follows the alias is served"
    assert parts.events.reasons == ["Bound"]


async def test_a_refused_version_is_blocked_with_its_requirements_in_the_status() -> None:
    parts = world(alias())
    rules = policy(aliases=["champion"], approvals={"required": 1})
    parts.kube.put(PROMOTION_POLICIES, rules)
    status = await reconcile(parts)
    assert "boundVersion" not in status
    assert any("approval" in each["message"] for each in status["requirements"] if not each["met"]), status
    assert parts.events.reasons == ["Held"]
    assert not any("modelversions" in line for line in parts.journal), "a version that is held gets no label"


async def test_a_closed_namespace_without_policies_blocks_all_aliases() -> None:
    status = await reconcile(world(alias(), open_by_default=False))
    assert "boundVersion" not in status
    assert status["requirements"]


async def test_a_missing_version_is_blocked_with_its_name() -> None:
    parts = world(alias(wanted=7))
    status = await reconcile(parts)
    assert "digits.v7 does not exist" in status["requirements"][0]["message"]
    assert len(parts.audit.recorded) == 1


async def test_a_refusal_is_recorded_once() -> None:
    parts = world(alias(wanted=7))
    await reconcile(parts)
    await reconcile(parts)
    assert len(parts.audit.recorded) == 1


async def test_a_version_that_changed_between_judging_and_labelling_is_judged_again() -> None:
    parts = world(alias())

    def archive() -> None:
        labels = {"metadata": {"labels": {"assay.dev/archived": "true"}}}
        parts.kube.change(MODEL_VERSIONS, "ml", "digits.v1", labels)

    parts.kube.before["patch", "modelversions"] = archive
    with pytest.raises(Requeue):
        await reconcile(parts)
    assert parts.audit.recorded == []
    status = await reconcile(parts)
    assert "boundVersion" not in status, "the new judgement counts"


async def test_an_alias_that_changed_meanwhile_is_not_bound() -> None:
    parts = world(alias())

    def rewrite() -> None:
        parts.kube.change(MODEL_ALIASES, "ml", "digits.champion", {"spec": {"version": 2}})

    parts.kube.before["patch", "modelversions"] = rewrite
    with pytest.raises(Requeue):
        await reconcile(parts)
    assert parts.audit.recorded == []
    assert (await reconcile(parts))["boundVersion"] == 2


async def test_a_policy_added_during_binding_is_not_bypassed() -> None:
    parts = world(alias())
    parts.kube.before["patch", "modelversions"] = lambda: _add_policy(parts)
    with pytest.raises(Requeue):
        await reconcile(parts)
    assert parts.audit.recorded == []
    assert "boundVersion" not in await reconcile(parts)


def _add_policy(parts: Parts) -> None:
    parts.kube.put(PROMOTION_POLICIES, policy(aliases=["champion"], approvals={"required": 1}))


async def test_an_alias_that_was_created_again_waits_until_changed_policies_have_stayed() -> None:
    parts = world(alias())
    parts.kube.put(PROMOTION_POLICIES, policy(aliases=["champion"], approvals={"required": 1}))
    assert "boundVersion" not in await reconcile(parts)
    await parts.kube.delete(PROMOTION_POLICIES, "ml", "p")
    parts.know(MODEL_ALIASES, _written(alias(uid="new")))
    with pytest.raises(Requeue, match="the policies changed a moment ago"):
        await reconcile(parts)


async def test_a_bound_alias_waits_until_policies_that_changed_after_a_restart_have_stayed() -> None:
    """The operator has not judged it since its start, but knows the policies."""
    parts = world(bound(1, 1))
    parts.models.namespaces["ml"] = KnownNamespace("uid-ml", {"assay.dev/open-by-default": "true"})
    parts.know(PROMOTION_POLICIES, policy(aliases=["champion"], approvals={"required": 1}))
    await reconcile(parts)
    await parts.kube.delete(PROMOTION_POLICIES, "ml", "p")
    parts.models.upsert(parts.kube.change(MODEL_ALIASES, "ml", "digits.champion", {"spec": {"version": 2}}))
    with pytest.raises(Requeue, match="the policies changed a moment ago"):
        await reconcile(parts)


async def test_a_freeze_that_begins_while_the_model_is_locked_blocks_the_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is slow to give another version of the model its number."""
    clock = [datetime(2026, 3, 1, 11, 59, tzinfo=UTC)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cast(Clock, clock[0])

    monkeypatch.setattr(aliases, "datetime", Clock)
    parts = world(alias())
    window = {"name": "noon", "start": "2026-03-01T12:00:00Z", "end": "2026-03-01T13:00:00Z"}
    none = {"artifactVerified": False, "provenanceVerified": False}
    rules = policy(aliases=["champion"], approvals={"required": 0}, evidence=none, freeze=[window])
    parts.kube.put(PROMOTION_POLICIES, rules)
    async with parts.registry.lock("ml", "digits"):
        promotion = asyncio.create_task(reconcile(parts))
        await asyncio.sleep(0)
        assert not promotion.done()
        clock[0] = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    with pytest.raises(Requeue):
        await promotion
    assert "boundVersion" not in await reconcile(parts)
    assert parts.audit.actions == ["BindingRefused"]


async def test_a_requested_rollback_binds_and_sets_the_failed_version_aside() -> None:
    parts = world()
    asked = _written(bound(2, 2), **{"assay.dev/rollback-requested": "1 ann"})
    parts.know(MODEL_ALIASES, asked)
    status = await reconcile(parts)
    assert status["boundVersion"] == 1
    assert status["setAside"]["version"] == 2
    assert parts.events.reasons == ["RolledBack"]
    assert parts.audit.recorded[0].actor == "ann"
    body = parts.kube.all(MODEL_ALIASES)[0]
    assert "assay.dev/rollback-requested" not in body["metadata"]["annotations"]
    assert (await reconcile(parts))["boundVersion"] == 1, "the version that was left does not come back by itself"


async def test_a_spec_that_was_written_after_the_rollback_was_requested_is_not_set_aside() -> None:
    parts = world()
    asked = _written(bound(2, 2), **{"assay.dev/rollback-requested": "1 ann\ngeneration: 1\nlatency"})
    asked["metadata"]["generation"] = 2
    parts.know(MODEL_ALIASES, asked)
    status = await reconcile(parts)
    assert (status["boundVersion"], status["setAside"]["version"], status["setAside"]["generation"]) == (1, 2, 1)
    assert [each.reason for each in parts.audit.recorded] == ["latency"]
    status = await reconcile(parts)
    assert (status["boundVersion"], status.get("setAside")) == (2, None)


async def test_an_impossible_rollback_is_declined_and_cleared() -> None:
    parts = world()
    parts.know(MODEL_ALIASES, _written(bound(2, 2), **{"assay.dev/rollback-requested": "9 ann"}))
    status = await reconcile(parts)
    assert status["boundVersion"] == 2
    assert parts.events.reasons == ["RollbackRefused"]
    assert parts.kube.all(MODEL_ALIASES)[0]["metadata"]["annotations"] == {}


async def test_a_failed_rollout_of_a_workload_that_served_before_rolls_the_alias_back() -> None:
    serving = [{"kind": "Deployment", "name": "web", "version": 1, "ready": True, "proven": 1}]
    parts = world(bound(2, 2, serving=serving))
    parts.models.upsert(workload())
    parts.registry.rollouts[WEB] = Rollout(2, "failed", "no pod became ready", False)
    status = await reconcile(parts)
    assert status["boundVersion"] == 1
    assert status["setAside"]["reason"] == "RolloutFailed"
    assert "no pod became ready" in status["setAside"]["message"]


async def test_a_failed_rollout_of_a_workload_that_never_served_rolls_nothing_back() -> None:
    parts = world(bound(2, 2))
    parts.models.upsert(workload())
    parts.registry.rollouts[WEB] = Rollout(2, "failed", "no pod became ready", False)
    assert (await reconcile(parts))["boundVersion"] == 2


async def test_a_binding_whose_answer_is_lost_keeps_the_labels_of_its_version() -> None:
    """The API server restarts: the answer to the write is lost, and the watch is broken."""
    parts = world(alias())
    await reconcile(parts)
    labelled = next(body for body in parts.kube.all(MODEL_VERSIONS) if body["metadata"]["name"] == "digits.v1")
    parts.models = type(parts.models)()
    parts.ingest = parts.models.upsert
    parts.models.upsert(labelled)
    parts.models.upsert(_written(alias()))
    await versions._release(parts, labelled)
    assert parts.journal[-1] == "patch status modelaliases digits.champion", "the labels are removed"
    assert (parts.models.get(CHAMPION) or {})["status"]["boundVersion"] == 1


async def account_for(parts: Parts) -> list[str]:
    """Look at version 1, which was live in champion when the operator last looked; return what is recorded."""
    held = [{"alias": "champion", "from": "2026-03-01T12:00:00Z"}]
    was_live = version(1, 9, **REGISTERED, aliases=["champion"], held=held)
    parts.know(MODEL_VERSIONS, was_live)
    await versions._account_for(parts, was_live)
    return parts.audit.actions


async def test_the_end_of_a_deleted_alias_is_recorded() -> None:
    assert await account_for(world()) == ["AliasReleased"]


async def test_the_end_of_an_alias_that_was_deleted_and_created_again_is_recorded() -> None:
    """The operator was not running meanwhile, or its watch was broken."""
    parts = world(alias(wanted=2, uid="new"), open_by_default=False)
    assert await account_for(parts) == ["AliasReleased"]
    await reconcile(parts)
    assert parts.audit.actions == ["AliasReleased", "BindingRefused"], "nothing else shows that v1 is not live any more"


async def test_an_alias_that_points_elsewhere_is_not_recorded_as_deleted() -> None:
    assert await account_for(world(bound(2, 2))) == []


async def test_an_alias_is_not_recorded_as_deleted_while_it_is_bound() -> None:
    parts = world(alias(wanted=2, uid="new"))
    async with parts.registry.lock("ml", "digits"):
        looks = asyncio.create_task(account_for(parts))
        await asyncio.sleep(0)
        assert parts.audit.actions == []
        parts.know(
            MODEL_ALIASES, _written({**bound(2, 2), "metadata": alias(uid="new", resource_version=5)["metadata"]})
        )
    assert await looks == []
