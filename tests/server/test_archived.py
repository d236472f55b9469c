"""Archived runs through the server: the same bytes as `assay runs --all`, from memory after the first time."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from assay.kube.bearer import ApiServer
from assay.server.app import Parts, create
from assay.server.entrance.bearer import BearerEntrance
from assay.server.index.feed import Feed
from assay.server.index.runs import RunsOfIndex
from assay.server.rights import Rights
from assay.server.state import State
from assay.store import archive, layout
from assay.store.client import ObjectStore
from tests import generated, registry
from tests.cli.conftest import Answer, run
from tests.server.conftest import Team
from tests.server.test_command_line import Stopped
from tests.serving import index_served, indexed

pytestmark = pytest.mark.integration

ROWS = [row for row in generated.rows(200, seed=7) if row.phase in ("Succeeded", "Failed")]
#: In the cluster; in the archive; in both, as runs whose records are closed and whose objects are there.
LIVE, GONE, CLOSED = ROWS[:15], ROWS[15:40], ROWS[:5]


def archived(team: Team, row: generated.GeneratedRun, uid: str = "", **labels: str) -> str:
    """Leave the record of a run whose object is gone, and return its prefix."""
    body = generated.body(row)
    body["metadata"] |= {
        "namespace": team.namespace,
        "uid": uid or f"00000000-0000-0000-0000-{row.seed:012}",
        "creationTimestamp": row.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return recorded(team.objects.store, {**body, "status": generated.status(row)})


def recorded(store: ObjectStore, body: dict[str, Any]) -> str:
    prefix = layout.prefix_of(body)
    store.put_bytes(f"{prefix}/{layout.MANIFEST}", b"{}")
    archive.write_archived(store, prefix, body)
    return prefix


@pytest.fixture(scope="module")
def filled(team: Team) -> Team:
    """The team with runs of which some are archived. One name was used twice, and once more by a run that is there."""
    asyncio.run(generated.write(team.cluster, team.namespace, LIVE))
    for row in GONE:
        archived(team, row)
    archived(team, GONE[0], "00000000-0000-0000-0001-000000000000")
    archived(team, LIVE[0], "00000000-0000-0000-0002-000000000000")
    for row in CLOSED:
        recorded(team.objects.store, team.cluster.api.get(path(team, row.name)))
    return team


def path(team: Team, name: str) -> str:
    return f"/apis/assay.dev/v1alpha1/namespaces/{team.namespace}/runs/{name}"


@pytest.fixture(scope="module")
def feed(filled: Team) -> Iterator[Feed]:
    """The index of the cluster, complete."""
    with indexed(filled.cluster) as found:
        yield found


@pytest.fixture(scope="module")
def ask(filled: Team, feed: Feed) -> Iterator[Callable[..., Any]]:
    """A function (person, **query): the response about runs, archived ones included."""
    yield from _asking(filled, feed)


@pytest.fixture
def asking(filled: Team, feed: Feed) -> Iterator[Callable[..., Any]]:
    """The same of a server that has just started."""
    yield from _asking(filled, feed)


def _asking(filled: Team, feed: Feed) -> Iterator[Callable[..., Any]]:
    entrance = BearerEntrance(ApiServer(str(filled.cluster.kubeconfig)))
    app = create(Parts(entrance, state=State(RunsOfIndex(lambda _: feed, Rights(kept=1.0)))))
    with TestClient(app, base_url="http://127.0.0.1") as client:

        def asked(person: str = "dora", **query: Any) -> Any:
            headers = {"Authorization": f"Bearer {filled.tokens[person]}"}
            query = {"archived": True, "fresh": "now", "limit": 1000, **query}
            return client.get(f"/api/v1/namespaces/{filled.namespace}/runs", params=query, headers=headers)

        yield asked


@pytest.fixture(scope="module")
def address(filled: Team, feed: Feed) -> Iterator[str]:
    with index_served(filled.cluster, feed) as address:
        yield address


@pytest.fixture(scope="module")
def assay(filled: Team, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Answer]:
    """`assay runs --all …` as Dora, who signs in with a token."""
    config: Any = yaml.safe_load(filled.cluster.kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": filled.tokens["dora"]}} for each in config["users"]]
    file: Path = tmp_path_factory.mktemp("dora") / "config"
    file.write_text(yaml.safe_dump(config))

    def command(*argv: str) -> Answer:
        return run("runs", "--all", *argv, "--namespace", filled.namespace, environment={"KUBECONFIG": str(file)})

    return command


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--sort", "val_f1", "--limit", "7"),
        ("--sort", "name", "-o", "csv"),
        ("-o", "json", "--sort", "-duration"),
        ("-o", "wide", "--reverse"),
        ("-o", "csv", "--where", "params.depth in [2, 3]"),
        ("-o", "json", "--where", "archived", "--sort", "created"),
        ("-o", "yaml", "--where", "metrics.val_f1.best > 0.5 && phase == 'Succeeded'", "--sort", "loss"),
        ("--columns", "owner,params.depth,metrics.loss.min,archived", "--sort", "phase"),
        ("--experiment", GONE[0].experiment, "-o", "json"),
        ("--experiment", LIVE[0].experiment, "-o", "json", "--sort", "name"),
        ("--where", "metrics.val_f2.best > 1"),
        ("--where", "labels.exists(k, k == 'team')"),
        ("--sort", "nothing"),
        ("--experiment", "nothing"),
        ("--where", "phase == 'Nothing'"),
    ],
    ids=" ".join,
)
def test_it_prints_the_same_bytes(
    assay: Callable[..., Answer], address: str, argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.cli.output.sheets.datetime", Stopped)
    directly, by_server = assay(*argv), assay(*argv, "--server", address)
    assert (by_server.code, by_server.out, by_server.err) == (directly.code, directly.out, directly.err)


def test_every_run_is_there_once(ask: Callable[..., Any]) -> None:
    found = ask().json()
    assert found["freshness"]["source"] == "index"
    assert found["total"] == len(LIVE) + len(GONE) + 2 == len({each["uid"] for each in found["items"]})
    assert sorted(each["archived"] for each in found["items"]).count(True) == len(GONE) + 2


def test_records_are_read_once(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask().status_code == 200
    read: list[str] = []
    get = ObjectStore.get_bytes
    monkeypatch.setattr(ObjectStore, "get_bytes", lambda self, key, limit: read.append(key) or get(self, key, limit))
    assert ask(sort="name").json()["total"] == len(LIVE) + len(GONE) + 2
    assert ask(experiment=GONE[0].experiment).status_code == 200
    assert read == []


def test_a_run_is_found_before_and_after_it_is_archived(ask: Callable[..., Any], filled: Team) -> None:
    """Names are used again, by runs that nobody asks about while they are there: the watch has seen them."""
    name = f"again-{filled.namespace}"

    def found() -> list[tuple[str, bool]]:
        items = ask(where=f"name == '{name}'").json()["items"]
        return sorted((each["uid"], each["archived"]) for each in items)

    gone: list[tuple[str, bool]] = []
    for asked_about in (True, False, True):
        body = filled.objects.create(registry.run(name), {"phase": "Succeeded"})
        uid = body["metadata"]["uid"]
        if asked_about:
            assert found() == sorted([*gone, (uid, False)])
        recorded(filled.objects.store, body)
        if asked_about:
            assert found() == sorted([*gone, (uid, False)])
        filled.objects.remove("run.assay.dev", name)
        gone.append((uid, True))
        assert found() == sorted(gone)


def test_an_open_record_is_looked_at_again(ask: Callable[..., Any], filled: Team) -> None:
    row = ROWS[50]
    prefix = archived(filled, row)
    filled.objects.store.delete(f"{prefix}/{layout.MANIFEST}")
    where = f"name == '{row.name}'"
    assert ask(where=where).json()["total"] == 0
    filled.objects.store.put_bytes(f"{prefix}/{layout.MANIFEST}", b"{}")
    assert ask(where=where).json()["total"] == 1


def test_a_broken_record_says_so_until_it_is_mended(ask: Callable[..., Any], filled: Team) -> None:
    row = ROWS[51]
    prefix = archived(filled, row)
    good = filled.objects.store.get_bytes(f"{prefix}/{layout.ARCHIVED}", 1 << 20)
    filled.objects.store.put_bytes(f"{prefix}/{layout.ARCHIVED}", b"{")
    for _ in range(2):
        (item,) = ask(where=f"name == '{row.name}'").json()["items"]
        assert (item["phase"], "cannot be read" in item["reason"]) == ("Unknown", True)
    filled.objects.store.put_bytes(f"{prefix}/{layout.ARCHIVED}", good)
    (item,) = ask(where=f"name == '{row.name}'").json()["items"]
    assert item["phase"] == row.phase


def test_a_record_that_was_deleted_is_gone(ask: Callable[..., Any], filled: Team) -> None:
    row = ROWS[52]
    prefix = archived(filled, row)
    assert ask(where=f"name == '{row.name}'").json()["total"] == 1
    filled.objects.store.delete_all([each.key for each in filled.objects.store.list(f"{prefix}/")])
    assert ask(where=f"name == '{row.name}'").json()["total"] == 0


def test_the_archive_is_for_whoever_has_keys_that_read_it(ask: Callable[..., Any], filled: Team) -> None:
    """What one person's keys have read is in memory: the next one's keys have to read it as well."""
    assert ask("dora").status_code == 200
    answer = ask("keyless")
    assert answer.status_code == 403
    assert 'cannot get resource "secrets"' in answer.json()["error"]["message"]
    assert ask("nobody").status_code == 403
    assert ask("keyless", archived=False).status_code == 200


def test_what_was_read_stays_when_the_store_fails_in_the_middle(
    filled: Team, asking: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.store.errors import StoreUnavailable

    read: list[str] = []
    ended = archive.ended

    def failing(store: ObjectStore, prefix: str) -> Any:
        read.append(prefix)
        if len(read) == 12:
            raise StoreUnavailable("the store is being restarted")
        return ended(store, prefix)

    monkeypatch.setattr(archive, "ended", failing)
    monkeypatch.setattr("assay.server.index.archived._WORKERS", 1)
    monkeypatch.setattr("assay.server.index.archived.BATCH", 1)
    assert asking().status_code == 503
    again = len(read)
    found = asking().json()
    assert found["total"] >= len(LIVE) + len(GONE) + 2
    assert len(read) - again <= found["total"] - len(LIVE) - 9, "the first ones were not read again"


@pytest.mark.parametrize("refused", ["folders", "stat"])
def test_keys_that_may_not_read_get_nothing_from_memory(
    ask: Callable[..., Any], refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.store.errors import StoreDenied

    assert ask().status_code == 200

    def denied(*_: Any, **__: Any) -> Any:
        raise StoreDenied("Access Denied")

    monkeypatch.setattr(ObjectStore, refused, denied)
    answer = ask()
    assert (answer.status_code, "items" in answer.json()) == (403, False)
