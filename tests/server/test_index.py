"""The index in front of a real API server: the same answers, and as fresh as it was asked for."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from assay.kube.bearer import ApiServer
from assay.kube.sync import Kube
from assay.server.app import Parts, create
from assay.server.entrance.bearer import BearerEntrance
from assay.server.index.feed import Feed
from assay.server.index.runs import RunsOfIndex
from assay.server.rights import Rights
from assay.server.state import State
from tests import generated, registry
from tests.cluster.waiting import wait_for
from tests.server.conftest import Team
from tests.serving import indexed

pytestmark = pytest.mark.integration

ROWS = list(generated.rows(80, seed=1))
#: How often what was written is asked for at once, and by how many at the same time.
WRITES, WRITERS = 1000, 4
LISTER = ("--role=lister", "--user=lister")


@pytest.fixture(scope="module")
def filled(team: Team) -> Team:
    """The team with 80 runs."""
    asyncio.run(generated.write(team.cluster, team.namespace, ROWS))
    return team


@pytest.fixture
def feed(filled: Team) -> Iterator[Feed]:
    """The index of the cluster, complete."""
    with indexed(filled.cluster) as found:
        yield found


@pytest.fixture
def client(filled: Team, feed: Feed) -> Iterator[Callable[..., Any]]:
    """Ask for runs as one of the people: through the index, which the API server's answer is compared with."""
    server = ApiServer(str(filled.cluster.kubeconfig))
    indexed = create(Parts(BearerEntrance(server), state=State(RunsOfIndex(lambda _: feed, Rights(kept=2.0)))))
    with TestClient(indexed, base_url="http://127.0.0.1") as found:

        def ask(person: str = "dora", **query: Any) -> Any:
            headers = {"Authorization": f"Bearer {filled.tokens[person]}"}
            return found.get(f"/api/v1/namespaces/{filled.namespace}/runs", params=query, headers=headers)

        yield ask


def status(team: Team, name: str, message: str) -> str:
    """Write a run's status as the operator does, and return the resource version."""
    found = team.objects.set_status("run.assay.dev", name, {"reason": message})
    return str(found["metadata"]["resourceVersion"])


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"sort": "val_f1", "limit": 5, "offset": 3},
        {"sort": "-duration", "where": "duration > 100.0"},
        {"where": 'datasets.digits.version == "2.1" && metrics.val_f1.best > 0.5', "sort": "loss", "reverse": True},
        {"where": "labels.exists(k, k == 'team')", "sort": "name"},
        {"where": "phase == 'Running' || params.depth in [2, 3]", "experiment": ROWS[0].experiment},
        {"where": "metrics.val_f2.best > 1"},
        {"sort": "nothing"},
        {"experiment": "nothing"},
        {"archived": True, "limit": 1000},
    ],
    ids=str,
)
def test_the_index_answers_as_the_api_server_does(
    as_user: Any, client: Callable[..., Any], filled: Team, query: dict[str, Any]
) -> None:
    direct = as_user("dora").get(f"/api/v1/namespaces/{filled.namespace}/runs", params=query)
    indexed = client(**query)
    assert indexed.status_code == direct.status_code
    found, wanted = indexed.json(), direct.json()
    if direct.status_code == 200:
        assert found.pop("freshness")["source"] == "index"
        wanted.pop("freshness")
        for row in [*found["items"], *wanted["items"]]:
            if row["phase"] == "Running":
                row.pop("duration")
    assert found == wanted


def test_a_user_without_rights_gets_nothing_from_the_index(client: Callable[..., Any], filled: Team) -> None:
    for _ in range(2):
        answer = client("nobody")
        assert answer.status_code == 403
        assert f'User "{filled.user("nobody")}" cannot list resource "runs"' in answer.json()["error"]["message"]


def test_revoked_rights_take_effect_within_seconds(client: Callable[..., Any], filled: Team) -> None:
    assert client("keyless").status_code == 200
    filled.objects.kubectl("delete", "rolebinding", "keyless")
    wait_for("the index to be closed", lambda: client("keyless").status_code == 403, seconds=15)


def test_reads_include_preceding_writes(client: Callable[..., Any], filled: Team) -> None:
    """Read your writes: each answer that waits for a write has it, while others write as well."""

    def write_and_read(name: str) -> int:
        for number in range(WRITES // WRITERS):
            version = status(filled, name, f"write {number}")
            found = client(where=f"name == '{name}'", fresh=version, names=False).json()
            assert found["items"][0]["reason"] == f"write {number}"
            assert int(found["freshness"]["asOf"]) >= int(version)
        return number + 1

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(write_and_read, [row.name for row in ROWS[:WRITERS]])) == WRITES


def test_fresh_now_includes_all_preceding_writes_and_deletions(client: Callable[..., Any], filled: Team) -> None:
    for number in range(20):
        name = f"now-{number}"
        filled.objects.create(registry.run(name))
        assert client(where=f"name == '{name}'", fresh="now").json()["total"] == 1
        if number % 2:
            filled.objects.remove("run.assay.dev", name)
            assert client(where=f"name == '{name}'", fresh="now").json()["total"] == 0


def test_waiting_for_a_future_resource_version_times_out(
    client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.server.index.runs.PATIENCE_SECONDS", 0.2)
    answer = client(fresh="99999999999999")
    assert answer.status_code == 503
    assert "must be that of a run" in answer.json()["error"]["hint"]


def test_a_broken_watch_loses_nothing(client: Callable[..., Any], feed: Feed, filled: Team) -> None:
    """The connection is cut again and again while somebody writes."""
    done = threading.Event()

    def cut() -> None:
        while not done.wait(0.05):
            feed.interrupt()

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        for number in range(40):
            name = ROWS[number % len(ROWS)].name
            version = status(filled, name, f"cut {number}")
            found = client(where=f"name == '{name}'", fresh=version, names=False)
            assert found.json()["items"][0]["reason"] == f"cut {number}"
    finally:
        done.set()
        thread.join()
    assert _same_as_the_api_server(client, filled)


def test_a_restarted_server_knows_what_was_written_in_the_meantime(filled: Team, asking: Callable[..., Any]) -> None:
    for number in range(3):
        version = status(filled, ROWS[0].name, f"restart {number}")
        feed = Feed(Kube(str(filled.cluster.kubeconfig)))
        feed.start()  # the first question comes while the index is built
        try:
            found = asking(feed, where=f"name == '{ROWS[0].name}'", fresh=version)
        finally:
            feed.stop()
        assert (found["items"][0]["reason"], found["freshness"]["source"]) == (f"restart {number}", "index")


def test_a_gap_in_the_watch_triggers_a_relist(
    client: Callable[..., Any], feed: Feed, filled: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resource version has expired: nothing is answered from the tables until all runs were listed again."""
    monkeypatch.setattr("assay.server.index.runs.PATIENCE_SECONDS", 0.1)
    before = feed.lists
    feed._unsynced("a test")
    assert client(limit=1).json()["freshness"]["source"] == "apiserver"
    feed._tables[filled.namespace].remove(ROWS[0].name)
    feed._tables[filled.namespace].put([(1, {**feed._tables[filled.namespace].row(1), "name": "gone"})])
    feed._list()
    assert feed.lists > before
    assert client(limit=1).json()["freshness"]["source"] == "index"
    assert _same_as_the_api_server(client, filled)


def test_a_namespace_without_an_index_is_read_at_once(
    filled: Team, asking: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server for some namespaces: nothing is being built for the others that a request could wait for."""
    monkeypatch.setattr("assay.server.index.runs.PATIENCE_SECONDS", 3600.0)
    assert asking(None)["freshness"]["source"] == "apiserver"


def test_an_index_that_is_not_kept_current_is_not_used(filled: Team, asking: Callable[..., Any]) -> None:
    """Who may list and not watch gets a complete index that stays as it is."""
    for argv in (("role", "lister", "--verb=list", "--resource=runs.assay.dev"), ("rolebinding", "lister", *LISTER)):
        filled.objects.kubectl("create", *argv)
    feed = Feed(Kube(str(filled.cluster.kubeconfig), as_user="lister"), filled.namespace, stale=1.0)
    feed.start()
    try:
        wait_for("the index to have no watch", lambda: feed.synced and feed.problem, seconds=60)
        filled.objects.create(registry.run("later"))
        wait_for("that to be noticed", lambda: feed.trouble, seconds=30)
        assert re.match(r"the index was not confirmed for \d+ s: .* cannot watch resource", feed.trouble)
        found = asking(feed, where="name == 'later'")
        assert (found["freshness"]["source"], found["total"]) == ("apiserver", 1)
    finally:
        feed.stop()


@pytest.fixture
def asking(filled: Team) -> Callable[..., Any]:
    """A function (feed, **query): what Dora gets from a server with this index, or with none."""

    def ask(feed: Feed | None, **query: Any) -> Any:
        entrance = BearerEntrance(ApiServer(str(filled.cluster.kubeconfig)))
        indexed = create(Parts(entrance, state=State(RunsOfIndex(lambda _: feed, Rights()))))
        headers = {"Authorization": f"Bearer {filled.tokens['dora']}"}
        with TestClient(indexed, base_url="http://127.0.0.1") as client:
            return client.get(f"/api/v1/namespaces/{filled.namespace}/runs", params=query, headers=headers).json()

    return ask


def _same_as_the_api_server(client: Callable[..., Any], team: Team) -> bool:
    there = json.loads(team.objects.kubectl("get", "runs.assay.dev", "-o", "json"))["items"]
    wanted = {each["metadata"]["name"]: (each.get("status") or {}).get("reason", "") for each in there}
    found = client(limit=1000, fresh="now").json()["items"]
    return {each["name"]: each["reason"] for each in found} == wanted
