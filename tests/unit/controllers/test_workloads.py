from datetime import timedelta
from typing import Any

import pytest

from assay.api.resources import DEPLOYMENTS, MODEL_ALIASES, MODEL_VERSIONS, NAMESPACES, SECRETS
from assay.controllers.registry import aliases, versions, workloads
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.queue import Key, Requeue
from assay.kube.errors import ApiError
from assay.store.credentials import Credentials
from tests import registry
from tests.registry import digest
from tests.unit.controllers.fakes import Parts
from tests.unit.controllers.registry_objects import alias, seen, version

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
WEB, CHAMPION = Key("Deployment", "ml", "web"), Key("ModelAlias", "ml", "digits.champion")
AT = "2026-03-01T12:00:00Z"


def world(bound: int | None = 1, **status: Any) -> Parts:
    """Return the parts where a Deployment follows an alias that points to a version."""
    parts = Parts()
    parts.kube.put(NAMESPACES, {"metadata": {"name": "ml", "annotations": {"assay.dev/open-by-default": "true"}}})
    parts.know(MODEL_VERSIONS, _version(1), _version(2))
    history = [{"version": each, "digest": digest(), "from": AT, "actor": "ann"} for each in (1, 2)]
    points = {"boundVersion": bound, "boundDigest": digest(), "boundAt": AT, "bindings": 2, "history": history}
    champion = alias(wanted=bound or 1, **(points if bound else {"phase": "Pending"}), **status)
    champion["metadata"]["generation"] = 1
    parts.know(MODEL_ALIASES, champion)
    body = registry.deployment("web", annotations={"assay.dev/serve": "digits.champion"})
    body["spec"]["replicas"] = 1
    body["metadata"]["generation"] = 1
    parts.know(DEPLOYMENTS, seen(body))
    return parts


def _version(number: int) -> Raw:
    artifact = {"uri": f"s3://assay/models/ml/digits/v{number}/", "digest": digest(), "manifestDigest": digest("2")}
    # The Secret never expires: the store is not asked for another one.
    secret = {"secret": f"model-digits-v{number}"}
    return version(number, phase="Ready", registered=AT, artifact=artifact, credentials=secret)


def template(parts: Parts) -> Raw:
    """Return the Deployment's pod template."""
    found: Raw = parts.kube.all(DEPLOYMENTS)[0]["spec"]["template"]
    return found


def report(parts: Parts, **status: Any) -> None:
    """Let the Deployment's controller report on the Deployment as it is."""
    generation = parts.kube.all(DEPLOYMENTS)[0]["metadata"]["generation"]
    status = {"observedGeneration": generation, **status}
    parts.models.upsert(parts.kube.change(DEPLOYMENTS, "ml", "web", {"status": status}))


async def test_a_workload_gets_the_version_that_its_alias_points_to() -> None:
    parts = world(2)
    with pytest.raises(Requeue, match="the rollout is still running"):
        await workloads.reconcile(parts, WEB)
    marks = template(parts)["metadata"]["annotations"]
    assert (marks["assay.dev/served-model"], marks["assay.dev/served-version"]) == ("digits", "2")
    assert [each["name"] for each in template(parts)["spec"]["initContainers"]] == ["assay-fetch-model"]
    assert parts.journal == ["apply deployments web"]
    assert parts.events.reasons == ["Serving"]
    assert parts.registry.began[WEB][0] == 2
    assert CHAMPION in parts.queue.added, "the alias says how far the workload is"


async def test_a_workload_of_an_unbound_alias_is_not_changed() -> None:
    parts = world(None)
    await workloads.reconcile(parts, WEB)
    assert parts.journal == []
    assert "is not bound yet" in parts.registry.rollouts[WEB].message


async def test_a_version_with_other_bytes_than_were_bound_is_not_served() -> None:
    parts = world(2)
    champion = parts.kube.change(MODEL_ALIASES, "ml", "digits.champion", {"status": {"boundDigest": digest("9")}})
    parts.models.upsert(champion)
    await workloads.reconcile(parts, WEB)
    assert parts.journal == []
    assert parts.events.reasons == ["CannotServe"]


async def test_a_refusal_by_the_api_server_is_reported_and_blocks_the_workload() -> None:
    parts = world(2)
    parts.kube.refusals["apply", "deployments"] = ApiError(403, "Forbidden", "a quota is exceeded")
    with pytest.raises(Requeue):
        await workloads.reconcile(parts, WEB)
    assert parts.registry.rollouts[WEB].state == "blocked"
    assert "a quota is exceeded" in parts.events.posted[0][1]


async def test_a_refusal_for_an_outdated_workload_is_not_reported() -> None:
    parts = world(2)
    parts.kube.refusals["apply", "deployments"] = ApiError(409, "Conflict", "another UID")
    parts.kube.change(DEPLOYMENTS, "ml", "web", {"metadata": {"labels": {"team": "a"}}})
    with pytest.raises(Requeue, match="changed since it was read"):
        await workloads.reconcile(parts, WEB)
    assert parts.events.posted == []


async def test_a_failed_rollout_of_a_proven_workload_serves_the_previous_version() -> None:
    proven = [{"kind": "Deployment", "name": "web", "version": 1, "ready": True, "proven": 1}]
    parts = world(2, serving=proven)
    with pytest.raises(Requeue):
        await workloads.reconcile(parts, WEB)
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    late |= dict.fromkeys(("lastUpdateTime", "lastTransitionTime"), "2099-01-01T00:00:00Z")
    report(parts, replicas=1, updatedReplicas=1, conditions=[late])
    await workloads.reconcile(parts, WEB)
    assert parts.registry.rollouts[WEB].state == "failed"
    await aliases.reconcile(parts, CHAMPION)
    status = parts.kube.all(MODEL_ALIASES)[0]["status"]
    assert (status["boundVersion"], status["setAside"]["version"]) == (1, 2)
    assert WEB in parts.queue.added
    with pytest.raises(Requeue):
        await workloads.reconcile(parts, WEB)
    assert template(parts)["metadata"]["annotations"]["assay.dev/served-version"] == "1"


async def test_the_rollout_of_a_workload_that_was_created_again_begins_anew() -> None:
    """As by `kubectl replace --force`: what is created carries the version already."""
    parts = world(2)
    with pytest.raises(Requeue):
        await workloads.reconcile(parts, WEB)
    parts.registry.began[WEB] = (2, now() - timedelta(hours=1))
    report(parts, replicas=1, updatedReplicas=1)
    await workloads.reconcile(parts, WEB)
    assert parts.registry.rollouts[WEB].state == "failed"
    created = {"uid": "uid-new", "creationTimestamp": now().isoformat()}
    parts.models.upsert(parts.kube.change(DEPLOYMENTS, "ml", "web", {"metadata": created}))
    with pytest.raises(Requeue, match="the rollout is still running"):
        await workloads.reconcile(parts, WEB)


async def test_the_secret_of_the_previous_version_stays_until_its_pods_are_gone() -> None:
    """A pod of v1 that starts again while v2 rolls out still mounts it."""
    parts = world(2)
    v1 = Key("ModelVersion", "ml", "digits.v1")

    async def kept() -> bool:
        body = parts.models.get(v1)
        assert body is not None
        return bool((await versions._credentials(parts, body)).get("status", {}).get("credentials"))

    assert await kept(), "an operator that has just started knows nothing of the rollout"
    with pytest.raises(Requeue):
        await workloads.reconcile(parts, WEB)
    report(parts, replicas=2, updatedReplicas=1, availableReplicas=1)
    with pytest.raises(Requeue):
        await workloads.reconcile(parts, WEB)
    assert await kept()
    assert not parts.queue.added[v1]
    report(parts, replicas=1, updatedReplicas=1, availableReplicas=1, readyReplicas=1)
    await workloads.reconcile(parts, WEB)
    assert parts.queue.added[v1], "nothing else would look at the version again"
    assert not await kept()


async def test_a_version_that_is_deleted_while_its_keys_are_issued_gets_no_secret() -> None:
    parts = world()
    body = version(3, phase="Ready", registered=AT)
    parts.know(MODEL_VERSIONS, body)
    parts.store.answers["issue_model_credentials"] = Credentials("http://s", "assay", "", "key", "secret", None, None)
    parts.store.before["issue_model_credentials"] = lambda: parts.models.forget(body)
    with pytest.raises(Requeue):
        await versions.ensure_credentials(parts, body)
    assert parts.kube.all(SECRETS) == []
