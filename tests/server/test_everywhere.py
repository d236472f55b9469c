"""The runs of all namespaces: the same with and without a server, and only of namespaces that the user may read."""

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
from tests import generated, registry
from tests.cli.conftest import Answer, run
from tests.cli.stand_in import StandIn
from tests.server.conftest import Team
from tests.server.test_command_line import Stopped
from tests.serving import index_served, indexed

pytestmark = pytest.mark.integration

ROWS = [row for row in generated.rows(120, seed=5) if row.phase in ("Succeeded", "Failed")][:20]
#: What only the other namespace has: Dora may not know it.
SECRET = "secret-parameter"


@pytest.fixture(scope="module")
def other(team: Team) -> Iterator[StandIn]:
    """A second namespace with runs, in which Dora has no rights; Carla may list runs in the whole cluster."""
    asyncio.run(generated.write(team.cluster, team.namespace, ROWS))
    namespace = f"{team.namespace}-other"
    team.cluster.create_namespace(namespace)
    found = StandIn(team.cluster, namespace)
    found.create(registry.run("hidden", parameters={SECRET: 1}))
    found.create(registry.run(ROWS[0].name, parameters={"depth": 3}))
    team.add_reader_of_all("carla")
    yield found
    team.cluster.delete_namespace(namespace)


@pytest.fixture(scope="module")
def feed(team: Team, other: StandIn) -> Iterator[Feed]:
    """The index of the cluster, complete."""
    with indexed(team.cluster) as found:
        yield found


@pytest.fixture(scope="module")
def ask(team: Team, feed: Feed) -> Iterator[Callable[..., Any]]:
    """A function (person, **query): the response about the runs of all namespaces."""
    entrance = BearerEntrance(ApiServer(str(team.cluster.kubeconfig)))
    app = create(Parts(entrance, state=State(RunsOfIndex(lambda _: feed, Rights()))))
    with TestClient(app, base_url="http://127.0.0.1") as client:

        def asked(person: str, **query: Any) -> Any:
            headers = {"Authorization": f"Bearer {team.tokens[person]}"}
            return client.get("/api/v1/runs", params={"fresh": "now", "limit": 5000, **query}, headers=headers)

        yield asked


def test_one_of_two_namespaces_is_all_that_its_reader_learns_of(
    team: Team, other: StandIn, ask: Callable[..., Any]
) -> None:
    for query in ({}, {"where": "has(params.depth)"}, {"sort": "name", "limit": 1}, {"fresh": "live"}):
        answer = ask("dora", **query)
        assert answer.status_code == 200
        found = answer.json()
        assert {row["namespace"] for row in found["items"]} == {team.namespace}
        assert found["total"] == len(ROWS) == found["names"]["runs"]
        assert SECRET not in answer.text
        assert other.namespace not in answer.text
    for where in (f"params['{SECRET}'] == 1", f"params['{SECRET}x'] == 1"):
        assert SECRET not in str(ask("dora", where=where).json()["error"]["hint"])
    assert ask("dora", where="name == 'hidden'").json()["total"] == 0
    assert ask("dora", sort=f"params.{SECRET}").status_code == 400


def test_a_reader_of_the_cluster_gets_all_namespaces(team: Team, other: StandIn, ask: Callable[..., Any]) -> None:
    found = ask("carla", where=f"name == '{ROWS[0].name}'", sort="name").json()
    assert found["freshness"]["source"] == "index"
    assert {row["namespace"] for row in found["items"]} >= {team.namespace, other.namespace}
    assert SECRET in ask("carla").json()["names"]["keys"]["parameters"]


def test_nobody_gets_the_api_servers_reason(ask: Callable[..., Any]) -> None:
    answer = ask("nobody")
    assert answer.status_code == 403
    assert "at the cluster scope" in answer.json()["error"]["message"]


def test_fresh_now_includes_writes_and_deletions(other: StandIn, ask: Callable[..., Any]) -> None:
    for number in range(5):
        name = f"now-{number}-{other.namespace}"
        other.create(registry.run(name))
        assert ask("carla", where=f"name == '{name}'").json()["total"] == 1
        other.remove("run.assay.dev", name)
        assert ask("carla", where=f"name == '{name}'").json()["total"] == 0


@pytest.fixture(scope="module")
def assay(team: Team, other: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Answer]:
    """`assay … -A` as a person with a token."""
    folder = tmp_path_factory.mktemp("people")

    def command(person: str, *argv: str) -> Answer:
        config: Any = yaml.safe_load(team.cluster.kubeconfig.read_text())
        config["users"] = [{"name": each["name"], "user": {"token": team.tokens[person]}} for each in config["users"]]
        path: Path = folder / person
        path.write_text(yaml.safe_dump(config))
        return run(*argv, environment={"KUBECONFIG": str(path)})

    return command


@pytest.fixture(scope="module")
def address(team: Team, feed: Feed) -> Iterator[str]:
    """The address of a server with the index of the cluster."""
    with index_served(team.cluster, feed) as address:
        yield address


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("-o", "json", "--sort", "name"),
        ("-o", "csv", "--where", "params.depth in [2, 3]"),
        ("--columns", "owner,params.depth", "--sort", "val_f1", "--limit", "7"),
        ("-o", "wide", "--reverse"),
        ("--where", "params.nothing == 1"),
        ("--experiment", "nothing"),
    ],
    ids=" ".join,
)
def test_it_prints_the_same_bytes(
    assay: Callable[..., Answer], address: str, argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("cli.output.sheets", "queries.runs.rows", "server.index.searching"):
        monkeypatch.setattr(f"assay.{place}.datetime", Stopped)
    directly = assay("carla", "runs", "-A", *argv)
    by_server = assay("carla", "runs", "-A", *argv, "--server", address)
    # All namespaces: those of earlier tests, whose runs are being deleted, are among them.
    while by_server.out != directly.out and (again := assay("carla", "runs", "-A", *argv)).out != directly.out:
        directly, by_server = again, assay("carla", "runs", "-A", *argv, "--server", address)
    assert (by_server.code, by_server.out, by_server.err) == (directly.code, directly.out, directly.err)


def test_the_namespace_is_the_first_column(assay: Callable[..., Answer], other: StandIn) -> None:
    lines = assay("carla", "runs", "-A", "--sort", "name").out.splitlines()
    assert lines[0].split()[:2] == ["NAMESPACE", "RUN"]
    assert any(line.split()[:2] == [other.namespace, "hidden"] for line in lines)
    assert assay("carla", "runs", "-A", "-o", "csv").out.startswith("namespace,name,")


def test_without_the_right_it_says_which_one_is_missing(assay: Callable[..., Answer], address: str, team: Team) -> None:
    answer = assay("dora", "runs", "-A")
    assert answer.code != 0
    assert 'cannot list resource "runs" in API group "assay.dev" at the cluster scope' in answer.err
    assert "ClusterRoleBinding" in answer.err
    by_server = assay("dora", "runs", "-A", "--server", address)
    assert by_server.code == 0
    assert f"only namespaces in which you may list runs: {team.namespace}" in by_server.err


def test_archived_runs_are_those_of_one_namespace(assay: Callable[..., Answer]) -> None:
    answer = assay("carla", "runs", "-A", "--all")
    assert answer.code == 2
    assert "--all cannot be combined with --all-namespaces" in answer.err
