"""The keeper of the trails on a real store and a real API server: nothing lost, nothing forked, every cut noticed."""

import asyncio
import json
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from assay.api import names
from assay.api.modelversion import ApprovalStatus, ArtifactStatus
from assay.api.resources import CONFIGMAPS
from assay.controllers.audit import events as audit_events
from assay.controllers.audit import recorder
from assay.controllers.audit.events import Pointed
from assay.controllers.audit.recorder import CONFIG_MAP, Auditor
from assay.kube.aio import ApiError, Kube, Raw
from assay.store.aio import AsyncStore
from assay.store.audit import Action, AuditEvent, AuditObject, Head, verify_store
from assay.store.audit.__main__ import main
from assay.store.audit.records import AuditRecord
from assay.store.audit.sources import key, read_store
from assay.store.client import ObjectStore
from assay.store.errors import StoreUnavailable
from tests import operators, registry
from tests.cluster.local import LocalCluster
from tests.s3 import S3Server

pytestmark = pytest.mark.integration

DEADLINE_SECONDS = 30.0


def event(name: str, namespace: str) -> AuditEvent:
    thing = AuditObject(kind="ModelAlias", namespace=namespace, name="digits.champion", uid="u")
    return AuditEvent(event=name, actor="anna", action=Action.ALIAS_BOUND, object=thing, after={"version": 1})


class Line(Kube):
    """The API, through a line that can be cut. Counts what is sent."""

    cut = False
    patches = 0

    async def _request(self, method: str, *args: Any, **kwargs: Any) -> Raw:
        if self.cut:
            raise ApiError(0, "Unreachable", "the line is cut")
        self.patches += method == "PATCH"
        return await super()._request(method, *args, **kwargs)


class Place:
    """Where one operator lives: a namespace, a store, and keepers of its trails."""

    def __init__(self, kube: Line, store: ObjectStore, namespace: str) -> None:
        self.kube, self.store, self.namespace = kube, store, namespace
        self.pool = AsyncStore(store, 4)

    def keeper(self, store: ObjectStore | None = None, retention: timedelta | None = None) -> Auditor:
        return Auditor(self.kube, self.pool, store or self.store, retention, self.namespace)

    async def heads(self) -> dict[str, str]:
        found = await self.kube.get(CONFIGMAPS, self.namespace, CONFIG_MAP)
        return dict((found or {}).get("data") or {})

    def events(self, namespace: str) -> list[str]:
        files = read_store(self.store, namespace)
        return [AuditRecord.model_validate_json(file.data or b"").event for file in files]


@asynccontextmanager
async def connected(kubeconfig: str) -> AsyncIterator[Line]:
    kube = Line(4)
    await kube.connect(kubeconfig)
    try:
        yield kube
    finally:
        await kube.close()


@pytest.fixture
async def place(control_plane: LocalCluster, namespace: str, minio: S3Server) -> AsyncIterator[Place]:
    async with connected(str(control_plane.kubeconfig)) as kube:
        found = Place(kube, minio.store(), namespace)
        yield found
        found.pool.close()


@pytest.fixture
def team() -> str:
    return f"ns-{uuid.uuid4()}"


def gauge(name: str, namespace: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"namespace": namespace})


async def eventually(what: str, holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, f"after {DEADLINE_SECONDS:g} s still not: {what}"
        await asyncio.sleep(0.02)


# The heads


async def test_heads_are_stored_and_truncation_is_detected(
    place: Place, team: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = f"ns-{uuid.uuid4()}"
    first = place.keeper()
    await first.load()
    for name in "abc":
        head = (await first.record(event(name, team))).head
    await first.record(event("a", other))
    assert await place.heads() == {}
    await first.flush()
    assert (await place.heads()).keys() == {team, other}
    assert (await place.heads())[team] == str(head)
    assert verify_store(place.store, team, [Head.parse((await place.heads())[team])]).intact

    place.store.delete(key(team, 3))
    second = place.keeper()
    await second.load()
    with caplog.at_level(logging.WARNING):
        appended = [await second.record(event(name, team)) for name in "de"]
    assert {each.doubt for each in appended} == {"record 3 was written but is no longer in the store"}
    assert [record.getMessage() for record in caplog.records] == [
        "the audit trail differs from what the operator wrote: record 3 was written but is no longer in the store"
    ]
    assert (gauge("assay_audit_doubt", team), gauge("assay_audit_doubt", other)) == (1, 0)
    await second.flush()
    report = verify_store(place.store, team, [Head.parse((await place.heads())[team])])
    assert {finding.kind for finding in report.findings} == {"missing"}


async def test_records_are_written_without_the_api_and_heads_follow_later(
    place: Place, team: str, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = place.keeper()
    await keeper.load()
    place.kube.cut = True
    with caplog.at_level(logging.WARNING):
        for name in "abc":
            assert (await keeper.record(event(name, team))).written
            await keeper.flush()
    assert [record.getMessage() for record in caplog.records] == [
        f"ConfigMap {place.namespace}/{CONFIG_MAP} cannot be written, retrying: the line is cut"
    ]
    assert REGISTRY.get_sample_value("assay_audit_heads_pending") == 1
    place.kube.cut = False
    await keeper.flush()
    assert (await place.heads())[team].startswith("3:")
    assert REGISTRY.get_sample_value("assay_audit_heads_pending") == 0


async def test_a_start_without_the_api_still_notices_a_cut(place: Place, team: str) -> None:
    first = place.keeper()
    for name in "abc":
        await first.record(event(name, team))
    await first.flush()
    known = (await place.heads())[team]
    for number in (2, 3):
        place.store.delete(key(team, number))

    place.kube.cut = True
    second, fresh = place.keeper(), f"ns-{uuid.uuid4()}"
    await second.load()
    assert (await second.record(event("d", team))).doubt == ""
    await second.record(event("a", fresh))
    await second.flush()
    place.kube.cut = False
    await second.flush()
    # What was appended unchecked does not replace the witness; a trail that has none gets one.
    assert (await place.heads())[team] == known
    assert (await place.heads())[fresh].startswith("1:")
    assert (await second.record(event("e", team))).doubt == "record 3 was written but is no longer in the store"
    await second.flush()
    assert (await place.heads())[team].startswith("4:")
    assert not verify_store(place.store, team, [Head.parse(known)]).intact


async def test_a_start_without_the_api_and_an_intact_trail(place: Place, team: str) -> None:
    first = place.keeper()
    await first.record(event("a", team))
    await first.flush()
    place.kube.cut = True
    second = place.keeper()
    await second.record(event("b", team))
    place.kube.cut = False
    await second.flush()
    assert (await second.record(event("c", team))).doubt == ""
    assert not (await second.record(event("b", team))).written
    await second.flush()
    assert place.events(team) == ["a", "b", "c"]
    assert verify_store(place.store, team, [Head.parse((await place.heads())[team])]).records == 3


async def test_heads_survive_a_deleted_or_edited_config_map(place: Place, team: str) -> None:
    keeper, others = place.keeper(), [f"ns-{uuid.uuid4()}" for _ in range(3)]
    for name in (team, *others):
        await keeper.record(event("a", name))
    await keeper.flush()
    before = await place.heads()
    await place.kube.delete(CONFIGMAPS, place.namespace, CONFIG_MAP)
    head = (await keeper.record(event("b", team))).head
    await keeper.flush()
    assert await place.heads() == before | {team: str(head)}

    await place.kube.merge_patch(CONFIGMAPS, place.namespace, CONFIG_MAP, {"data": {team: "no head", "note": "mine"}})
    again = place.keeper()
    assert (await again.record(event("c", team))).doubt == ""
    await again.flush()
    assert (await place.heads())[team].startswith("3:")
    assert (await place.heads())["note"] == "mine"


async def test_heads_are_written_at_most_once_a_second(
    place: Place, team: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = place.keeper()
    await keeper.load()
    task = asyncio.create_task(keeper.keep())
    began = time.monotonic()
    heads = [(await keeper.record(event(f"e{number}", team))).head for number in range(40)]

    async def written() -> bool:
        return (await place.heads()).get(team) == str(heads[-1])

    await eventually("the last head is in the ConfigMap", written)
    sent, seconds = place.kube.patches, time.monotonic() - began
    assert 1 <= sent <= seconds / recorder.FLUSH_SECONDS + 1
    # Nothing has changed, so nothing is sent: also not for an event that is told again.
    assert not (await keeper.record(event("e39", team))).written
    await keeper.flush()
    assert place.kube.patches == sent
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_the_operator_has_exactly_the_required_rights(
    control_plane: LocalCluster, namespace: str, minio: S3Server, team: str
) -> None:
    operators.install(control_plane)
    token = control_plane.token_kubeconfig(operators.NAMESPACE, operators.SERVICE_ACCOUNT)
    async with connected(str(token)) as kube:
        home = Place(kube, minio.store(), operators.NAMESPACE)
        keeper = home.keeper()
        head = (await keeper.record(event("a", team))).head
        await keeper.flush()
        assert (await home.heads())[team] == str(head)
        for where, name in ((operators.NAMESPACE, "kube-root-ca.crt"), (namespace, CONFIG_MAP)):
            with pytest.raises(ApiError) as caught:
                await kube.get(CONFIGMAPS, where, name)
            assert caught.value.status == 403
        home.pool.close()
    admin = json.dumps({"data": {team: None}})
    control_plane.kubectl(
        "patch", "configmap", CONFIG_MAP, f"--namespace={operators.NAMESPACE}", "--type=merge", f"--patch={admin}"
    )


# Many at once


async def test_events_of_a_namespace_are_recorded_in_the_order_of_the_calls(place: Place, team: str) -> None:
    keeper = place.keeper()
    told = [f"e{number}" for number in range(60)]
    appended = await asyncio.gather(*(keeper.record(event(name, team)) for name in told))
    assert [each.record.sequence for each in appended] == list(range(1, 61))
    assert place.events(team) == told


class Slow(ObjectStore):
    """A store that answers the creations of one namespace only when it is told to."""

    slow = ""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.go = threading.Event()

    def create(self, key: str, *args: Any, **kwargs: Any) -> None:
        if f"audit/{self.slow}/" in key:
            assert self.go.wait(DEADLINE_SECONDS)
        super().create(key, *args, **kwargs)


async def test_a_slow_namespace_does_not_block_others(minio: S3Server, place: Place, team: str) -> None:
    store = Slow(minio.config())
    store.slow, quick = team, f"ns-{uuid.uuid4()}"
    place.pool = AsyncStore(store, 2)
    keeper = place.keeper(store)
    waiting = [asyncio.create_task(keeper.record(event(f"e{number}", team))) for number in range(10)]
    try:
        async with asyncio.timeout(DEADLINE_SECONDS / 2):
            assert (await keeper.record(event("a", quick))).written
        assert not any(task.done() for task in waiting)
    finally:
        store.go.set()
    assert all(each.written for each in await asyncio.gather(*waiting))


async def test_a_cancelled_caller_does_not_damage_the_trail(minio: S3Server, place: Place, team: str) -> None:
    store = Slow(minio.config())
    store.slow = team
    keeper = place.keeper(store)
    gone = asyncio.create_task(keeper.record(event("a", team)))
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(gone), 0.2)
    gone.cancel()
    store.go.set()
    with suppress(asyncio.CancelledError):
        await gone
    for name in "ab":
        await keeper.record(event(name, team))
    await keeper.flush()
    assert place.events(team) == ["a", "b"]
    assert verify_store(place.store, team, [Head.parse((await place.heads())[team])]).intact


# The store


async def test_an_event_repeated_after_a_store_outage_is_written_once(
    own_minio: S3Server, place: Place, team: str
) -> None:
    store = own_minio.store()
    place.pool = AsyncStore(store, 2)
    keeper = place.keeper(store)
    await keeper.record(event("a", team))
    own_minio.kill()
    with pytest.raises(StoreUnavailable):
        await keeper.record(event("b", team))
    await keeper.flush()
    assert (await place.heads())[team].startswith("1:")
    own_minio.start()
    assert [(await keeper.record(event("b", team))).written for _ in range(2)] == [True, False]
    place.store = store
    assert place.events(team) == ["a", "b"]


async def test_a_store_without_conditional_writes_is_reported(
    rclone: S3Server, minio: S3Server, place: Place, team: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        keeper, safe = place.keeper(rclone.store()), f"ns-{uuid.uuid4()}"
        for name in "ab":
            await keeper.record(event(name, team))
        await place.keeper().record(event("a", safe))
    assert (gauge("assay_audit_exclusive", team), gauge("assay_audit_exclusive", safe)) == (0, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "the store ignores If-None-Match: exactly one operator may write the trail"
    ]


async def test_a_bucket_of_its_own_is_made_with_locks(minio: S3Server, place: Place, team: str) -> None:
    store = ObjectStore(minio.config(bucket=f"audit-{uuid.uuid4()}"))
    await place.keeper(store, timedelta(days=1)).record(event("a", team))
    assert store.object_lock()
    assert gauge("assay_audit_locked", team) == 1


async def test_retention_without_object_lock_is_reported(
    place: Place, team: str, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = place.keeper(retention=timedelta(days=1))
    with caplog.at_level(logging.WARNING):
        assert [(await keeper.record(event(name, team))).written for name in "ab"] == [True, True]
    assert gauge("assay_audit_locked", team) == 0
    assert [record.getMessage() for record in caplog.records] == [
        "the audit trail's bucket has no object lock: records are not protected"
    ]


async def test_the_bucket_is_made_for_the_first_record(minio: S3Server, place: Place, team: str) -> None:
    place.store = ObjectStore(minio.config(bucket=f"assay-{uuid.uuid4()}"))
    place.pool = AsyncStore(place.store, 2)
    await place.keeper().record(event("a", team))
    assert not place.store.object_lock()
    assert place.events(team) == ["a"]


async def test_records_are_counted_by_what_they_say(place: Place, team: str) -> None:
    labels = {"action": "AliasBound"}
    before = REGISTRY.get_sample_value("assay_audit_records_total", labels) or 0
    keeper = place.keeper()
    for name in "aab":
        await keeper.record(event(name, team))
    assert REGISTRY.get_sample_value("assay_audit_records_total", labels) == before + 2


# The whole story


class Story:
    """What an operator tells, hour by hour, about one model."""

    def __init__(self, keeper: Auditor, namespace: str) -> None:
        self.keeper, self.namespace = keeper, namespace

    def body(self, made: Raw, **annotations: str) -> Raw:
        metadata = {"namespace": self.namespace, "uid": f"uid-{made['metadata']['name']}", "generation": 1}
        return made | {"metadata": made["metadata"] | metadata | {"annotations": annotations}}

    def version(self, number: int, approval_changes: int = 0) -> Raw:
        datasets = [{"name": "digits", "uri": "s3://datasets/digits/", "digest": registry.digest("d")}]
        provenance = {"parameters": {"lr": number / 10}, "datasets": datasets}
        run = {"name": f"sweep-{number}", "uid": f"run-{number}", "experiment": "sweep"}
        made = registry.model_version(
            "digits", number, namespace=self.namespace, owner="dora", run=run, provenance=provenance
        )
        made["spec"]["artifact"]["digest"] = registry.digest(str(number))
        value = f"{registry.digest(str(number))} rita\nfine"
        status = {"status": {"approvalChanges": approval_changes}}
        return self.body(made, **{"champion.approval.assay.dev/rita-1": value}) | status

    def alias(self, wanted: int, **status: Any) -> Raw:
        made = self.body(registry.model_alias("digits", "champion", wanted), **{names.ANNOTATION_MOVED_BY: "walter"})
        return made | {"status": status}

    async def tell(self, event: AuditEvent, hour: int) -> None:
        # Twice, as an operator does that was stopped before it could write the status.
        for _ in range(2):
            await self.keeper.record(event.model_copy(update={"time": f"2026-11-21T{hour:02d}:05:00Z"}))

    async def register(self, number: int, hour: int) -> None:
        uri = f"s3://assay/models/{self.namespace}/digits/v{number}/"
        artifact = ArtifactStatus(uri=uri, digest=registry.digest(str(number)))
        await self.tell(audit_events.version_registered(self.version(number), artifact, verified=True), hour)

    def approval(self, hour: int) -> ApprovalStatus:
        since = datetime(2026, 11, 21, hour, tzinfo=UTC)
        return ApprovalStatus(
            alias="champion", approver="rita", id="rita-1", since=since, fingerprint="f" * 64, valid=True
        )


def pointed(number: int) -> Pointed:
    return Pointed(number, registry.digest(str(number)))


async def _live_through(story: Story) -> None:
    for number in (1, 2):
        await story.register(number, 8)
    refused = audit_events.binding_refused(
        story.alias(1), 1, registry.digest("1"), ["needs 1 more approval for champion"], 1
    )
    await story.tell(refused, 9)
    await story.tell(audit_events.approval_given(story.version(1), story.approval(10)), 10)
    await story.tell(audit_events.alias_bound(story.alias(1), None, pointed(1), "walter", "release", 1), 11)
    # Taken back, and given again in the same words: that is another approval.
    await story.tell(audit_events.approval_given(story.version(2), story.approval(12)), 12)
    await story.tell(audit_events.approval_revoked(story.version(2, 1), story.approval(12)), 13)
    await story.tell(audit_events.approval_given(story.version(2, 2), story.approval(14)), 14)
    moved = story.alias(2, boundVersion=1, bindings=1)
    await story.tell(audit_events.alias_bound(moved, pointed(1), pointed(2), "walter", "better", 2), 15)
    failing = story.alias(2, boundVersion=2, boundDigest=registry.digest("2"), bindings=2)
    await story.tell(audit_events.alias_degraded(failing, 2, "the pods fail", operator=registry.OPERATOR), 16)
    await story.tell(
        audit_events.rolled_back(
            failing, pointed(2), pointed(1), registry.OPERATOR, "the pods fail", 3, automatic=True
        ),
        16,
    )
    last = story.alias(2, boundVersion=1, boundDigest=registry.digest("1"), bindings=3)
    await story.tell(audit_events.alias_released(last), 18)
    await story.tell(audit_events.version_deleted(story.version(2)), 19)


async def test_live_versions_are_answered_from_the_operators_records(
    place: Place, minio: S3Server, team: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper = place.keeper()
    await _live_through(Story(keeper, team))
    await keeper.flush()
    monkeypatch.setenv("ASSAY_STORE_ENDPOINT", minio.endpoint)
    monkeypatch.setenv("ASSAY_STORE_ACCESS_KEY", minio.access_key)
    monkeypatch.setenv("ASSAY_STORE_SECRET_KEY", minio.secret_key)
    assert len(place.events(team)) == len(set(place.events(team))) == 13
    assert main(["verify", team, f"--expect={(await place.heads())[team]}"]) == 0

    def at(hour: int) -> Any:
        capsys.readouterr()
        assert main(["at", team, "digits.champion", f"2026-11-21T{hour:02d}:30:00Z", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert [at(10), at(18)] == [None, None]
    first, second, back = at(11), at(15), at(17)
    assert (first["version"], first["by"], first["reason"]) == (1, "walter", "release")
    assert [(each["approver"], each["time"]) for each in first["approvals"]] == [("rita", "2026-11-21T10:05:00Z")]
    assert first["registered"]["run"]["name"] == "sweep-1"
    assert first["registered"]["parameters"] == {"lr": 0.1}
    assert first["registered"]["datasets"][0]["digest"] == registry.digest("d")
    assert first["registered_by"] == "dora"
    assert (second["version"], second["until"]) == (2, "2026-11-21T16:05:00Z")
    assert [each["time"] for each in second["approvals"]] == ["2026-11-21T14:05:00Z"]
    assert (back["version"], back["action"], back["by"]) == (1, "RolledBack", registry.OPERATOR)
    assert back["approvals"] == first["approvals"]
    assert (back["reason"], back["until"]) == ("the pods fail", "2026-11-21T18:05:00Z")
