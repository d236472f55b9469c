"""What a real node does only now and then, played by one that does it on purpose; the store is a real one."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import pytest

from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.tracking_cache import TrackingCache
from assay.controllers.tracking import log_stream
from assay.controllers.tracking.log_stream import LogStream, Sources
from assay.controllers.tracking.logs import LogReader
from assay.kube.aio import Kube
from assay.kube.errors import ApiError
from assay.planning.runs.starts import Start
from assay.store import logs
from assay.store.aio import AsyncStore
from assay.store.client import ObjectStore
from assay.store.errors import AlreadyExists, StoreUnavailable
from assay.store.layout import LogName
from tests.s3 import S3Server
from tests.unit.planning.objects import job, pod, run

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
NAME = LogName("p-1", "train")
RUNNING, ENDED = Start("train", 0, "c-0", True, False, False), Start("train", 0, "c-0", False, False, False)


def line(second: float, text: str) -> bytes:
    return f"2026-03-01T12:00:{second:012.9f}Z {text}\n".encode()


class Node:
    """Gives, of the file that it has of a log now, what was asked for."""

    def __init__(self) -> None:
        self.file = b""
        self.previous: bytes | None = None
        self.error: ApiError | None = None
        self.asked: list[Mapping[str, str]] = []

    async def log(self, namespace: str, name: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        self.asked.append(query)
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        data = self.previous if "previous" in query else self.file
        if data is None:
            raise ApiError(400, "BadRequest", 'previous terminated container "train" in pod "p-1" not found')
        least = query.get("sinceTime", "")[:19].encode()
        for start in range(0, len(data), 50_000):
            wanted = [
                each
                for each in data[start : start + 50_000].splitlines(True)
                if not each[:1].isdigit() or each[:19] >= least
            ]
            yield b"".join(wanted)


class Desk:
    """One log on a store of its own prefix."""

    def __init__(self, store: ObjectStore) -> None:
        self.node, self.store = Node(), store
        self.prefix = f"runs/team/_/digits/{uuid.uuid4()}"
        self.sources = Sources(cast(Kube, self.node), AsyncStore(store, 2), asyncio.Semaphore(2))

    def stream(self, name: LogName = NAME) -> LogStream:
        return LogStream(self.sources, "team", self.prefix, name)

    def kept(self, name: LogName = NAME) -> list[str]:
        return [each.text for each in logs.read_log(self.store, self.prefix, name)]

    def gaps(self, name: LogName = NAME) -> list[str]:
        return [gap.reason for log in logs.list_logs(self.store, self.prefix) if log.name == name for gap in log.gaps]


@pytest.fixture
def desk(minio: S3Server) -> Desk:
    return Desk(minio.store())


async def test_a_log_is_read_incrementally_and_then_to_its_end(desk: Desk) -> None:
    stream = desk.stream()
    desk.node.file = line(1, "a") + line(2, "b")[:-1]
    await stream.visit(RUNNING, over=False)
    assert desk.kept() == ["a"]
    desk.node.file = line(1, "a") + line(2, "b") + line(2, "c")
    await stream.visit(RUNNING, over=False)
    await stream.visit(RUNNING, over=False)
    assert not stream.done
    desk.node.file += line(9, "last words")[:-1]
    await stream.visit(ENDED, over=False)
    assert stream.done
    assert stream.whole
    assert desk.kept() == ["a", "b", "c", "last words"]
    assert [query.get("sinceTime") for query in desk.node.asked] == [
        None, "2026-03-01T11:59:56+00:00", "2026-03-01T11:59:57+00:00", "2026-03-01T11:50:02+00:00",
    ]  # fmt: skip


async def test_a_rotated_log_continues_and_reports_the_gap(desk: Desk) -> None:
    stream = desk.stream()
    desk.node.file = line(1, "a") + line(2, "b")
    await stream.visit(RUNNING, over=False)
    desk.node.file = line(5, "d") + line(6, "e")
    await stream.visit(RUNNING, over=False)
    assert desk.kept() == ["a", "b", "d", "e"]
    assert desk.gaps() == ["the node rotated the log before it was read: lines may be missing"]
    assert not stream.whole
    [log] = logs.list_logs(desk.store, desk.prefix)
    assert log.gaps[0].after == "2026-03-01T12:00:02.000000000Z"


async def test_an_end_lost_to_rotation_is_reported(desk: Desk) -> None:
    stream = desk.stream()
    desk.node.file = line(1, "a")
    await stream.visit(RUNNING, over=False)
    desk.node.file = b""
    await stream.visit(RUNNING, over=False)
    assert desk.gaps() == []
    await stream.visit(ENDED, over=True)
    assert stream.done
    assert len(desk.gaps()) == 1


async def test_a_truncated_answer_is_requested_again(desk: Desk) -> None:
    stream = desk.stream()
    whole = line(1, "a") + line(2, "b") + line(2, "c")
    desk.node.file = whole
    await stream.visit(RUNNING, over=False)
    desk.node.file = whole[: len(line(1, "a")) + 8]
    for _ in range(2):
        with pytest.raises(ApiError, match="ends before the last stored line"):
            await stream.visit(ENDED, over=True)
    desk.node.file = whole + line(3, "d")
    await stream.visit(ENDED, over=True)
    assert desk.kept() == ["a", "b", "c", "d"]
    assert stream.whole


async def test_error_text_from_the_node_is_not_stored_as_log(desk: Desk) -> None:
    stream = desk.stream()
    desk.node.file = b"unable to retrieve container logs for containerd://c-0"
    with pytest.raises(ApiError, match="unexpected line from the node: unable to retrieve"):
        await stream.visit(ENDED, over=True)
    assert not stream.done
    assert desk.kept() == []


async def test_large_logs_come_in_parts_and_visits_of_bounded_size(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PART_BYTES", 100_000)
    monkeypatch.setattr(log_stream, "_MAX_READ", 400_000)
    desk.node.file = b"".join(line(1 + number // 1000, f"{number} {'x' * 100}") for number in range(9000))
    stream = desk.stream()
    visits = 0
    while not stream.done:
        await stream.visit(ENDED, over=True)
        assert stream.taken < 500_000
        visits += 1
    assert visits >= 4
    assert stream.parts >= 9
    assert [int(text.split()[0]) for text in desk.kept()] == list(range(9000))


# Two starts of a container, and two operators


async def test_lines_of_the_next_start_are_never_attributed_to_this_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Start("train", 0, "c-0", True, False, True)
    stream = desk.stream()
    # The node is ahead of what the operator has seen: it gives the second start's log already.
    desk.node.previous, desk.node.file = line(1, "first"), line(5, "second")
    await stream.visit(running, over=False)
    assert desk.kept() == []
    assert stream.waits > 0
    await stream.visit(Start("train", 0, "c-0", False, True, True), over=False)
    monkeypatch.setattr(log_stream, "_DEBOUNCE_SECONDS", 0.0)
    await stream.visit(Start("train", 0, "c-0", False, True, True), over=False)
    assert desk.kept() == ["first"]
    assert stream.done
    assert stream.whole


async def test_log_lines_already_read_are_kept_after_the_node_removes_the_log(desk: Desk) -> None:
    stream = desk.stream()
    desk.node.file = line(1, "first")
    await stream.visit(Start("train", 0, "c-0", False, False, True), over=False)
    desk.node.file, desk.node.previous = line(5, "second"), None
    with pytest.raises(ApiError, match="not found"):
        await stream.visit(Start("train", 0, "c-0", False, True, True), over=False)
    assert desk.kept() == []
    await stream.give_up("gone", [b"2026-03-01T12:00:05.000000000Z"])
    assert desk.kept() == ["first"]
    assert desk.gaps() == []
    # And not if it was the other start's.
    other = desk.stream(LogName("p-2", "train"))
    await other.visit(Start("train", 0, "c-0", False, False, True), over=False)
    with pytest.raises(ApiError, match="not found"):
        await other.visit(Start("train", 0, "c-0", False, True, True), over=False)
    await other.give_up("gone", [b"2026-03-01T12:00:05.000000000Z"])
    assert desk.kept(LogName("p-2", "train")) == []
    assert desk.gaps(LogName("p-2", "train")) == ["gone"]


async def test_two_operators_that_read_one_log_keep_each_line_once(desk: Desk) -> None:
    mine, others = desk.stream(), desk.stream()
    desk.node.file = line(1, "a")
    await mine.visit(RUNNING, over=False)
    await others.visit(RUNNING, over=False)
    desk.node.file += line(2, "b")
    await mine.visit(RUNNING, over=False)
    desk.node.file += line(3, "c")
    with pytest.raises(AlreadyExists):
        await others.visit(RUNNING, over=False)
    await others.visit(RUNNING, over=False)
    desk.node.file += line(4, "d")
    with pytest.raises(AlreadyExists):
        await mine.visit(ENDED, over=True)
    await mine.visit(ENDED, over=True)
    assert desk.kept() == ["a", "b", "c", "d"]


# When it is read


class Reading:
    """A reader of the logs of the run `sweep-0`, whose pods are as the test says."""

    def __init__(self, store: ObjectStore) -> None:
        self.node, self.tracking, self.store = Node(), TrackingCache(), store
        self.woken: asyncio.Queue[Key] = asyncio.Queue()
        self.run = run()
        self.run["metadata"]["uid"] = f"uid-{uuid.uuid4()}"
        self.run["status"] = {"jobUid": "uid-job"}
        self.tracking.upsert_run(self.run)
        self.reader = LogReader(cast(Kube, self.node), AsyncStore(store, 2), self.tracking, 0.5, self.woken.put_nowait)

    def see(self, phase: str, state: Raw, **more: Any) -> Raw:
        """Let a pod with one container be seen."""
        found = pod(phase, {"name": "train", "state": state, "containerID": "c-0"}, init=[], **more)
        found["metadata"]["labels"]["assay.dev/run-uid"] = self.run["metadata"]["uid"]
        found["metadata"]["resourceVersion"] = uuid.uuid4().hex
        found["spec"] = {"restartPolicy": "Never", "containers": [{"name": "train"}]}
        owner = job()
        owner["metadata"]["labels"]["assay.dev/run-uid"] = self.run["metadata"]["uid"]
        owner["metadata"]["ownerReferences"][0]["uid"] = self.run["metadata"]["uid"]
        self.tracking.upsert_job(owner)
        self.tracking.upsert_pod(found)
        self.reader.wake(found)
        return found

    async def finished(self) -> bool:
        """Ask as a run does that has ended, until it is told to go on or comes by itself."""
        async with asyncio.timeout(60):
            while not self.reader.finished(self.run, self.tracking.pods(self.run)):
                await self.woken.get()
        return True


@pytest.fixture
async def reading(minio: S3Server) -> AsyncGenerator[Reading, None]:
    found = Reading(minio.store())
    found.reader.start()
    yield found
    await found.reader.stop()


async def test_a_run_proceeds_once_every_log_is_read_to_its_end(reading: Reading) -> None:
    reading.node.file = line(1, "a")
    reading.see("Running", {"running": {}})
    assert not reading.reader.finished(reading.run, reading.tracking.pods(reading.run))
    reading.node.file += line(2, "b")
    reading.see("Succeeded", {"terminated": {"exitCode": 0, "containerID": "c-0"}})
    assert await reading.finished()
    name = LogName("sweep-0-abcde", "train")
    assert reading.reader.whole(reading.run) == {name}
    prefix = f"runs/team/sweep/sweep-0/{reading.run['metadata']['uid']}"
    assert [each.text for each in logs.read_log(reading.store, prefix, name)] == ["a", "b"]
    reading.reader.forget(reading.run)
    assert reading.reader.whole(reading.run) == frozenset()


async def test_an_unresponsive_node_delays_a_run_by_seconds_only(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.controllers.tracking.logs._PATIENCE", 1.0)
    reading.node.error = ApiError(500, "InternalError", "dial tcp: connection refused")
    reading.see("Failed", {"terminated": {"exitCode": 1, "containerID": "c-0"}})
    assert await reading.finished()
    assert reading.reader.whole(reading.run) == frozenset()
    [log] = logs.list_logs(reading.store, f"runs/team/sweep/sweep-0/{reading.run['metadata']['uid']}")
    assert [gap.reason for gap in log.gaps] == ["the log cannot be read: dial tcp: connection refused"]


async def test_a_pod_deleted_before_its_log_was_read_is_reported(reading: Reading) -> None:
    reading.node.file = line(1, "a")
    seen = reading.see("Running", {"running": {}})
    prefix = f"runs/team/sweep/sweep-0/{reading.run['metadata']['uid']}"
    async with asyncio.timeout(30):
        while not logs.list_logs(reading.store, prefix):
            await asyncio.sleep(0.05)
    reading.tracking.forget_pod(seen)
    reading.reader.wake(seen)
    await asyncio.wait_for(reading.woken.get(), 30)
    [log] = logs.list_logs(reading.store, prefix)
    assert [gap.reason for gap in log.gaps] == ["the pod was deleted before its log was read to the end"]


async def test_a_run_waits_for_an_unreachable_store_and_reports_it(own_minio: S3Server) -> None:
    reading = Reading(own_minio.store())
    own_minio.kill()
    reading.reader.start()
    reading.node.file = line(1, "a")
    reading.see("Failed", {"terminated": {"exitCode": 1, "containerID": "c-0"}})
    with pytest.raises(StoreUnavailable):
        await reading.finished()
    own_minio.start()
    async with asyncio.timeout(60):
        while True:
            try:
                if await reading.finished():
                    break
            except StoreUnavailable:
                await reading.woken.get()
    assert reading.reader.whole(reading.run) == {LogName("sweep-0-abcde", "train")}
    await reading.reader.stop()


async def test_a_foreign_pod_does_not_affect_the_logs_of_a_run(reading: Reading) -> None:
    reading.node.file = line(1, "a")
    reading.see("Succeeded", {"terminated": {"exitCode": 0, "containerID": "c-0"}})
    assert await reading.finished()
    labels = {"assay.dev/run": "other", "assay.dev/run-uid": reading.run["metadata"]["uid"]}
    for namespace in ("team", "other"):
        reading.reader.wake({"metadata": {"namespace": namespace, "name": "x", "labels": labels}})
    reading.node.file += line(2, "b")
    reading.see("Succeeded", {"terminated": {"exitCode": 0, "containerID": "c-0"}}, name="sweep-0-fghij")
    assert await reading.finished()
    assert len(reading.reader.whole(reading.run)) == 2
