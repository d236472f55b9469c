"""Server-sent events: what they contain, when a reader is refused, and how streams end."""

import asyncio
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.testclient import TestClient

from assay.kube.bearer import ApiServer
from assay.server.app import Parts, create
from assay.server.entrance.bearer import BearerEntrance
from assay.server.local import Server
from assay.server.streams import points, streams, watching
from assay.server.streams.pending import MOST_NAMES, Pending
from assay.store import system
from tests.cli.stand_in import metric
from tests.cluster.waiting import wait_for
from tests.server.conftest import Site, Team

As = Callable[[str], TestClient]


@dataclass
class Reader:
    """One open stream. ``events`` are (type, data, id) in order."""

    answer: httpx.Response
    events: "queue.Queue[tuple[str, dict[str, object], str]]" = field(default_factory=queue.Queue)
    position: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        kind = data = ""
        try:
            for line in self.answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    self.position = value
                elif name == "event":
                    kind = value
                elif name == "data":
                    data = value
                elif not line and data:
                    self.events.put((kind, json.loads(data), self.position))
                    kind = data = ""
        except httpx.HTTPError:
            pass
        finally:
            self.done.set()

    def next(self, kind: str) -> dict[str, object]:
        """Return the data of the next event of a kind."""
        deadline = time.monotonic() + 30
        while True:
            found, data, _ = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            if found == kind:
                return data


@contextmanager
def reading(site: Site, team: Team, person: str, path: str, after: str = "") -> Iterator[Reader]:
    headers = {"Authorization": f"Bearer {team.tokens[person]}"} | ({"Last-Event-ID": after} if after else {})
    address = f"{site.address}/api/v1/namespaces/{team.namespace}/events/{path}"
    with httpx.Client(timeout=40, headers=headers) as client, client.stream("GET", address) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = Reader(answer)
        thread = threading.Thread(target=found.read, daemon=True)
        thread.start()
        yield found
        # Closing would wait for the thread that reads.
        with suppress(OSError):
            answer.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        thread.join(30)


@pytest.mark.integration
def test_a_reader_learns_which_runs_change_and_resumes_without_a_loss(site: Site, team: Team) -> None:
    team.objects.run("other", {"phase": "Running"})
    team.objects.run("watched", {"phase": "Running"})
    with reading(site, team, "dora", "runs?run=watched") as reader:
        assert reader.next("runs") == {"names": [], "more": True}, "anything may have changed before"
        team.objects.set_status("run.assay.dev", "other", {"phase": "Failed"})
        team.objects.set_status("run.assay.dev", "watched", {"metrics": {"loss": metric(0.5)}})
        assert reader.next("runs") == {"names": ["watched"], "more": False}
        position = reader.position
    assert position.startswith("runs=")
    team.objects.set_status("run.assay.dev", "watched", {"phase": "Succeeded"})
    with reading(site, team, "dora", "runs?run=watched", position) as reader:
        assert reader.next("runs") == {"names": ["watched"], "more": False}
    with reading(site, team, "dora", f"runs?run=watched&run=other&after={position}") as reader:
        assert reader.next("runs") == {"names": ["watched"], "more": False}


@pytest.mark.integration
def test_a_position_that_is_too_old_says_that_anything_may_have_changed(site: Site, team: Team) -> None:
    team.objects.run("aged", {"phase": "Running"})
    with reading(site, team, "dora", "runs?run=aged", "runs=1") as reader:
        assert reader.next("runs") == {"names": [], "more": True}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("experiments", "experiments", "live"),
        ("experiments?experiment=live", "runs", "live-1"),
        ("runs?experiment=live", "runs", "live-1"),
        ("models", "modelversions", "live.v1"),
        ("models", "modelaliases", "live.champion"),
    ],
)
def test_each_kind_has_a_stream(site: Site, team: Team, path: str, kind: str, name: str) -> None:
    manifests = {"experiments": "experiment", "modelversions": "version", "modelaliases": "alias"}
    with reading(site, team, "dora", path) as reader:
        reader.next(kind)
        _make(team, manifests.get(kind, "run"), name)
        assert name in reader.next(kind)["names"]  # type: ignore[operator]
    _remove(team, kind, name)


@pytest.mark.integration
def test_new_points_in_the_store_are_reported(site: Site, team: Team) -> None:
    run = team.objects.run("pointed", {"phase": "Running", "attempts": [{"pod": "pod-1", "phase": "Running"}]})
    with reading(site, team, "dora", "runs?run=pointed&points=1") as reader:
        parts = [[("loss", 1, 1000.0, 0.5)], [("loss", 2, 1001.0, 0.4)]]
        for number in (1, 2):
            team.objects.streamed(run, "pod-1", parts[:number])
            assert reader.next("points") == {"names": ["pointed"], "more": False}


@pytest.mark.integration
def test_new_samples_in_the_store_are_reported(site: Site, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "_RENEWED_SECONDS", 0.0)
    run = team.objects.run("sampled", {"phase": "Running", "attempts": [{"pod": "pod-1", "phase": "Running"}]})
    store, prefix, part = team.objects.store, team.objects.prefix(run), None
    with reading(site, team, "dora", "runs?run=sampled&points=1") as reader:
        monkeypatch.setattr(system, "FULL_BYTES", 200)
        for number in range(4):  # the first part grows, then another one follows
            row = {"container": "train", "metric": "system.cpu_cores", "time": 1000.0 + number, "value": 0.5}
            part = system.append(store, prefix, "pod-1", part, [row])
            assert reader.next("usage") == {"names": ["sampled"], "more": False}
    assert part
    assert part.number == 2


@pytest.mark.integration
@pytest.mark.parametrize("path", ["runs", "experiments", "models"])
def test_a_person_without_rights_is_refused_before_the_stream_begins(as_user: As, team: Team, path: str) -> None:
    answer = as_user("nobody").get(f"/api/v1/namespaces/{team.namespace}/events/{path}")
    assert answer.status_code == 403
    assert f'User "{team.user("nobody")}" cannot list' in answer.json()["error"]["message"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("path", "message"), [("runs?points=1", "named runs"), ("runs?experiment=A,b", "invalid name")]
)
def test_an_invalid_question_is_refused(as_user: As, team: Team, path: str, message: str) -> None:
    answer = as_user("dora").get(f"/api/v1/namespaces/{team.namespace}/events/{path}")
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


@pytest.mark.integration
def test_a_stream_ends_when_the_reader_loses_the_right(site: Site, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LIFE_SECONDS", 1)  # at most ten in earnest
    with reading(site, team, "dora", "runs") as reader:
        reader.next("runs")
        role = json.loads(team.objects.kubectl("get", "rolebinding", "dora", "-o", "json"))
        team.objects.kubectl("delete", "rolebinding", "dora")
        try:
            assert "cannot watch" in str(reader.next("end")["message"])
            assert reader.done.wait(30)
        finally:
            role["metadata"] = {"name": "dora"}
            team.objects.kubectl("create", "-f", "-", stdin=json.dumps(role))


@pytest.mark.integration
def test_one_person_has_a_bounded_number_of_streams(
    site: Site, app: Starlette, as_user: As, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_OF_ONE", 1)
    path = f"/api/v1/namespaces/{team.namespace}/events/runs"
    with reading(site, team, "rita", "runs"):
        answer = as_user("rita").get(path)
        assert (answer.status_code, "open streams already" in answer.text) == (429, True)
        with reading(site, team, "walter", "runs") as other:
            other.next("runs")
    threads = lambda: sum(thread.name in ("stream", "points") for thread in threading.enumerate())  # noqa: E731
    wait_for("the threads of closed streams end", lambda: threads() == 0, seconds=30, saw=threads)
    with reading(site, team, "rita", "runs") as again:
        again.next("runs")


@pytest.mark.integration
def test_a_server_that_shuts_down_ends_its_streams_at_once(team: Team) -> None:
    entrance = BearerEntrance(ApiServer(str(team.cluster.kubeconfig)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # It would wait for two minutes for streams that do not end.
        server = Server(uvicorn.Config(create(Parts(entrance)), log_level="warning", timeout_graceful_shutdown=120))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_for("the server starts", lambda: server.started, seconds=30)
        site = Site(f"http://127.0.0.1:{listener.getsockname()[1]}", team.namespace)
        with reading(site, team, "dora", "runs") as reader:
            reader.next("runs")
            server.should_exit = True
            assert reader.next("end") == {"message": "the server is shutting down"}
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.unit
def test_the_backlog_of_a_slow_reader_stays_small() -> None:
    async def read() -> str:
        pending = Pending()
        for number in range(100_000):
            pending.changed("runs", f"run-{number % 5000}", str(number))
        text, over = await pending.take(1)
        assert not over
        return text

    text = asyncio.run(read())
    head, event = text.strip().split("\n\n")
    assert head == ": \nid: runs=99999"
    data = json.loads(event.partition("data: ")[2])
    assert (len(data["names"]), data["more"]) == (MOST_NAMES, True)


@pytest.mark.unit
def test_a_silent_stream_has_a_heartbeat_that_is_no_event() -> None:
    async def read() -> list[tuple[str, bool]]:
        pending = Pending()
        first = await pending.take(0.01)
        pending.passed("runs", "7")
        return [first, await pending.take(0.01)]

    assert asyncio.run(read()) == [(": \n\n", False), (": \nid: runs=7\n\n", False)]


def _make(team: Team, kind: str, name: str) -> None:
    from tests import registry

    if kind == "run":
        team.objects.run(name, {"phase": "Running"}, experiment="live")
    elif kind == "experiment":
        team.objects.create(registry.experiment(name))
    elif kind == "version":
        team.objects.create(registry.model_version("live", 1, namespace=team.namespace))
    else:
        team.objects.create(registry.model_alias("live", "champion", 1))


def _remove(team: Team, kind: str, name: str) -> None:
    team.objects.remove(f"{kind}.assay.dev", name)
