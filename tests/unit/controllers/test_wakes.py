import asyncio
from typing import Any, cast

import pytest

from assay.controllers.registry import versions
from assay.controllers.runtime.context import Context
from assay.controllers.runtime.handlers import DELETED_POLICY, DELETED_RUN, DELETED_VERSION, EventHandlers
from assay.controllers.runtime.model_cache import STATEFUL_SET, ModelCache
from assay.controllers.runtime.queue import Key, WorkQueue
from assay.controllers.runtime.tracking_cache import TrackingCache
from assay.planning.promotion import pointers
from tests.registry import digest
from tests.unit.controllers.registry_objects import alias, policy, version, workload
from tests.unit.planning.objects import container, job, pod, run

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
V1, V2 = Key("ModelVersion", "ml", "digits.v1"), Key("ModelVersion", "ml", "digits.v2")
CHAMPION, STAGING = Key("ModelAlias", "ml", "digits.champion"), Key("ModelAlias", "ml", "digits.staging")
LETTERS = Key("ModelAlias", "ml", "letters.champion")
WEB, POLICY = Key("Deployment", "ml", "web"), Key("PromotionPolicy", "ml", "p")
SWEEP, RUN = Key("Experiment", "team", "sweep"), Key("Run", "team", "sweep-0")
_LAST = Key("Last", "", "")


class Desk:
    """Wakes on a real cache and a real queue; what is queued is taken out here, and nothing is done with it."""

    def __init__(self) -> None:
        self._taken: list[Key] = []
        self._over = asyncio.Event()
        self._queue = WorkQueue(self._take, 1)
        self._queue.start()
        nothing = cast(Any, None)
        self.context = Context(
            settings=nothing,
            kube=nothing,
            store=nothing,
            tracking=TrackingCache(),
            models=ModelCache(),
            queue=self._queue,
            events=nothing,
            audit=nothing,
            copies=nothing,
            pods=nothing,
            debounce=0,
        )
        self.handlers = EventHandlers(self.context)

    async def _take(self, key: Key) -> None:
        if key == _LAST:
            self._over.set()
        else:
            self._taken.append(key)

    async def woken(self) -> set[Key]:
        """Return what was queued since the last call. One worker takes keys in order: after the last, that is all."""
        self._over.clear()
        self._queue.add(_LAST)
        await asyncio.wait_for(self._over.wait(), 10)
        found, self._taken = set(self._taken), []
        return found

    async def by(self, *bodies: Raw) -> set[Key]:
        """Return what is woken by what is seen."""
        for body in bodies:
            self.handlers.ingest(body)
        return await self.woken()

    async def by_loss(self, body: Raw) -> set[Key]:
        self.handlers.forget(body)
        return await self.woken()


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def after(desk: Desk, *bodies: Raw) -> Desk:
    """Let objects be known, and forget whom that has woken."""
    await desk.by(*bodies)
    return desk


# Versions


async def test_a_new_version_requeues_its_experiment_and_waiting_aliases(desk: Desk) -> None:
    await after(desk, alias(), alias("staging", 2), alias(model="letters"))
    body = version(run={"name": "r", "uid": "u", "experiment": "sweep"})
    assert await desk.by(body) == {V1, CHAMPION, Key("Experiment", "ml", "sweep")}
    assert await desk.by(version(1, 2)) == {V1}, "a change is the version's own affair"


async def test_known_states_requeue_nothing(desk: Desk) -> None:
    await after(desk, version(1, 5), alias("champion", 1, 5), policy(5), workload(resource_version=5))
    assert await desk.by(version(1, 5), alias("champion", 1, 4), policy(5), workload(resource_version=4)) == set()


async def test_a_deleted_version_is_recorded_and_requeues_its_aliases(desk: Desk) -> None:
    await after(desk, version(), alias(), alias(model="letters"))
    gone = Key(DELETED_VERSION, "ml", "digits.v1", "uid-digits.v1")
    assert await desk.by_loss(version(1, 2)) == {gone, CHAMPION}
    assert list(desk.context.models.deleted) == ["uid-digits.v1"]
    assert desk.context.models.get(V1) is None


async def test_the_deletion_of_a_version_is_recorded_once(desk: Desk) -> None:
    """The watch tells of it, and the listing that finds what watches have missed may too."""
    await after(desk, version())
    await desk.by_loss(version())
    desk.context.models.deleted.clear()
    assert await desk.by_loss(version()) == set()
    assert desk.context.models.deleted == {}


async def test_the_deletion_of_a_version_whose_name_is_in_use_again_is_recorded(desk: Desk) -> None:
    """The watch was broken meanwhile, or an alias has asked for the new one before the watch shows it."""
    await after(desk, version(uid="old"), alias())
    gone = Key(DELETED_VERSION, "ml", "digits.v1", "old")
    assert await desk.by(version(1, 5, uid="new")) == {V1, CHAMPION, gone}
    assert await desk.by_loss(version(1, 4, uid="old")) == set(), "once"
    assert await desk.by(version(1, 6, uid="old")) == set(), "the answer to a late write brings the old one back"
    assert (desk.context.models.get(V1) or {})["metadata"]["uid"] == "new"


# Aliases


async def test_a_written_alias_is_requeued(desk: Desk) -> None:
    await after(desk, alias(boundVersion=1), workload(), alias("staging"))
    assert await desk.by(alias("champion", 2, 2, boundVersion=1)) == {CHAMPION}


async def test_a_moved_alias_requeues_both_versions_followers_and_waiting_aliases(desk: Desk) -> None:
    await after(desk, alias(boundVersion=1), workload(), workload("other", "digits.staging"), alias("staging"))
    await after(desk, alias(model="letters"))
    assert await desk.by(alias("champion", 2, 2, boundVersion=2)) == {CHAMPION, V1, V2, WEB, STAGING}


async def test_a_new_alias_requeues_its_followers(desk: Desk) -> None:
    await after(desk, workload())
    assert await desk.by(alias()) == {CHAMPION, WEB}


async def test_a_deleted_alias_requeues_its_version_and_its_followers(desk: Desk) -> None:
    await after(desk, alias(boundVersion=1), workload())
    assert await desk.by_loss(alias()) == {V1, WEB}
    assert await desk.by_loss(alias()) == set()


async def test_a_recreated_alias_requeues_the_version_and_followers_of_the_old_one(desk: Desk) -> None:
    """The new one may be seen before the old one is lost."""
    await after(desk, alias(uid="old", boundVersion=1), workload())
    assert await desk.by(alias(uid="new", resource_version=5)) == {CHAMPION, V1, WEB}
    await desk.by_loss(alias(uid="old", resource_version=4))
    assert (desk.context.models.get(CHAMPION) or {})["metadata"]["uid"] == "new"


async def test_the_late_loss_of_an_alias_does_not_end_the_bindings_of_its_successor(desk: Desk) -> None:
    """The listing that finds what watches have missed takes seconds, and ends with what was known at its beginning."""
    binding = {"version": 1, "digest": digest(), "from": "2026-03-01T12:00:00Z", "actor": "ann"}
    v1 = version()
    await after(desk, v1, alias(uid="old"))
    await desk.by_loss(alias(uid="old"))
    await after(desk, alias(uid="new", resource_version=5, boundVersion=1, history=[binding]))
    await desk.by_loss(alias(uid="old"))
    assert pointers.holding(versions.held_by(desk.context.models, v1)) == ["champion"]


async def test_the_history_of_an_alias_whose_name_is_in_use_again_is_remembered(desk: Desk) -> None:
    binding = {"version": 1, "digest": digest(), "from": "2026-03-01T12:00:00Z", "actor": "ann"}
    await after(desk, alias(uid="old", boundVersion=1, history=[binding]), alias(uid="new", resource_version=5))
    (history,) = desk.context.models.histories_of("ml", "digits")
    assert [(each.version, each.to is None) for each in history.bindings] == [(1, False)]


# Policies and namespaces


async def test_a_changed_policy_requeues_all_aliases_of_its_namespace(desk: Desk) -> None:
    await after(desk, alias(), alias(model="letters"), alias("canary", namespace="other"))
    assert await desk.by(policy()) == {POLICY, CHAMPION, LETTERS}
    assert await desk.by(policy(2) | {"status": {"observedGeneration": 1}}) == {POLICY}
    assert await desk.by(policy(3, mode="Warn")) == {POLICY, CHAMPION, LETTERS}
    deleted = Key(DELETED_POLICY, POLICY.namespace, POLICY.name, policy()["metadata"]["uid"])
    assert await desk.by_loss(policy(4)) == {CHAMPION, LETTERS, deleted}


async def test_the_deletion_of_a_policy_whose_name_is_in_use_again_is_recorded(desk: Desk) -> None:
    await after(desk, policy(), alias())
    body = policy(5)
    body["metadata"]["uid"] = "new"
    assert await desk.by(body) == {POLICY, Key(DELETED_POLICY, "ml", "p", "uid-p")}
    assert list(desk.context.models.deleted) == ["uid-p"]


def namespace(**annotations: str) -> Raw:
    return {"metadata": {"name": "ml", "uid": "uid-ml", "annotations": annotations or None}}


async def test_a_changed_namespace_default_requeues_its_aliases(desk: Desk) -> None:
    await after(desk, alias(), alias("canary", namespace="other"))
    for annotations, woken in (
        ({}, set()),
        ({"team": "a"}, set()),
        ({"assay.dev/open-by-default": "true"}, {CHAMPION}),
        ({"assay.dev/open-by-default": "true", "team": "b"}, set()),
        ({}, {CHAMPION}),
    ):
        desk.handlers.ingest_namespace(namespace(**annotations))
        assert await desk.woken() == woken, annotations


# Workloads


async def test_a_new_follower_requeues_itself_and_its_alias(desk: Desk) -> None:
    assert await desk.by(workload()) == {WEB, CHAMPION}
    assert await desk.by(workload(resource_version=2)) == {WEB}, "how its rollout goes on is its own affair"


async def test_a_workload_that_changes_its_alias_requeues_both_aliases(desk: Desk) -> None:
    await after(desk, workload())
    assert await desk.by(workload("web", "digits.staging", resource_version=2)) == {WEB, CHAMPION, STAGING}
    assert await desk.by(workload("web", None, resource_version=3)) == {WEB, STAGING}
    assert await desk.by(workload("web", None, resource_version=4)) == set()


async def test_a_workload_that_stops_following_is_requeued_for_cleanup(desk: Desk) -> None:
    await after(desk, workload(carried=("digits", "1")))
    assert await desk.by(workload("web", None, ("digits", "1"), 2)) == {WEB, CHAMPION}


async def test_a_version_no_longer_served_by_a_workload_is_requeued(desk: Desk) -> None:
    await after(desk, workload(carried=("digits", "1")))
    assert await desk.by(workload("web", carried=("digits", "2"), resource_version=2)) == {WEB, V1}
    assert V2 in await desk.by_loss(workload("web", carried=("digits", "2"), resource_version=3))


async def test_a_deleted_workload_requeues_its_alias(desk: Desk) -> None:
    await after(desk, workload("set", kind=STATEFUL_SET))
    assert await desk.by_loss(workload("set", kind=STATEFUL_SET)) == {Key(STATEFUL_SET, "ml", "set"), CHAMPION}


async def test_unrelated_workloads_requeue_nothing(desk: Desk) -> None:
    assert await desk.by(workload(asks=None)) == set()


async def test_an_invalid_alias_name_requeues_no_alias(desk: Desk) -> None:
    assert await desk.by(workload(asks="no alias")) == {WEB}
    assert await desk.by(workload(asks="digits.champion", resource_version=2)) == {WEB, CHAMPION}


# Runs and what belongs to them


def experiment(resource_version: int = 1, **spec: Any) -> Raw:
    metadata = {"namespace": "team", "name": "sweep", "uid": "uid-sweep", "resourceVersion": str(resource_version)}
    return {"kind": "Experiment", "metadata": metadata, "spec": spec}


def noted(**status: str) -> Raw:
    """Return the run as the operator has noted it: made for the experiment, with its Job."""
    return run() | {"status": {"experimentUid": "uid-sweep", "jobUid": "uid-job", **status}}


def ended(resource_version: str = "9") -> Raw:
    body = noted(phase="Succeeded")
    body["metadata"]["resourceVersion"] = resource_version
    return body


async def test_a_run_and_its_children_requeue_the_run_and_its_experiment(desk: Desk) -> None:
    assert await desk.by(experiment()) == {SWEEP}
    assert await desk.by(noted()) == {RUN, SWEEP}
    assert await desk.by(job()) == {RUN}
    assert await desk.by(pod("Running", container("running"))) == {RUN}
    assert await desk.by(job(), pod("Running", container("running"))) == set()
    assert await desk.by_loss(pod("Running")) == {RUN}
    assert await desk.by_loss(job()) == {RUN}
    assert await desk.by(ended()) == {SWEEP}, "a run that has ended costs nothing"


async def test_a_run_of_its_own_wakes_no_experiment(desk: Desk) -> None:
    body = run()
    del body["metadata"]["ownerReferences"]
    assert await desk.by(body) == {RUN}


async def test_an_experiment_that_is_suspended_wakes_its_runs(desk: Desk) -> None:
    await after(desk, experiment(), noted())
    assert await desk.by(experiment(2, suspend=True)) == {SWEEP, RUN}
    assert await desk.by(experiment(3, suspend=True, parallelism=2)) == {SWEEP}


async def test_a_run_that_was_deleted_before_it_ended_has_its_record_closed(desk: Desk) -> None:
    await after(desk, experiment(), noted())
    assert await desk.by_loss(run()) == {SWEEP, Key(DELETED_RUN, "team", "sweep-0", "uid-sweep-0")}
    await after(desk, experiment(2))
    body = ended()
    body["metadata"]["uid"] = "second"
    await after(desk, body)
    assert await desk.by_loss(body) == {SWEEP}


async def test_a_run_whose_name_is_in_use_again_has_its_record_closed(desk: Desk) -> None:
    """The watch was broken meanwhile."""
    await after(desk, experiment(), noted())
    again = run()
    again["metadata"] |= {"uid": "second", "resourceVersion": "9"}
    gone = Key(DELETED_RUN, "team", "sweep-0", "uid-sweep-0")
    assert await desk.by(again) == {RUN, SWEEP, gone}
    assert desk.context.tracking.deleted_runs["uid-sweep-0"] == noted()


async def test_a_deleted_experiment_requeues_nothing(desk: Desk) -> None:
    await after(desk, experiment())
    assert await desk.by_loss(experiment()) == set()
    assert await desk.by(run()) == {RUN}


# The start


async def test_all_objects_are_requeued_once_at_start(desk: Desk) -> None:
    """The cache is filled by listing, without the watches."""
    tracking, known = desk.context.tracking, desk.context.models
    tracking.upsert_experiment(experiment())
    tracking.upsert_run(run())
    for body in (version(), alias(), policy(), workload(), workload("set", kind=STATEFUL_SET), workload("no", None)):
        known.upsert(body)
    desk.handlers.everything()
    assert await desk.woken() == {SWEEP, RUN, V1, CHAMPION, POLICY, WEB, Key(STATEFUL_SET, "ml", "set")}
    assert await desk.by(version(), alias(), policy(), workload(), run(), experiment()) == set()
