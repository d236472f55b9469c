"""Experiments, versions and aliases from memory: as the API server lists them, fresh, and with the user's rights."""

import asyncio
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from assay.api.resources import EXPERIMENTS, MODEL_ALIASES, MODEL_VERSIONS, RUNS, Resource
from assay.kube.bearer import ApiServer
from assay.kube.sync import Kube
from assay.server.app import Parts, create
from assay.server.entrance.bearer import BearerEntrance
from assay.server.index.feed import Feed
from assay.server.index.objects import KINDS, ObjectFeed, ObjectsOfIndex
from assay.server.index.runs import RunsOfIndex
from assay.server.rights import Rights
from assay.server.runs import RunsOfApiServer
from assay.server.state import State
from assay.server.streams.pending import Pending
from assay.server.streams.watching import Wanted, Watcher, version_now
from tests import registry
from tests.cli.stand_in import StandIn
from tests.cluster.waiting import wait_for
from tests.server.conftest import Team

pytestmark = pytest.mark.integration

LISTS = ("experiments", "models", "models/digits/versions", "models/faces/versions", "aliases")
#: Which kinds a list is made of; the first one is what the API server refuses first.
MADE_OF: dict[str, tuple[Resource, ...]] = {
    "experiments": (EXPERIMENTS,),
    "models": (MODEL_VERSIONS, MODEL_ALIASES),
    "models/digits/versions": (MODEL_VERSIONS, MODEL_ALIASES),
    "aliases": (MODEL_ALIASES,),
}
HIDDEN = "hidden-model"

Ask = Callable[..., Any]


def version(team: Team, model: str, number: int, namespace: str = "") -> dict[str, Any]:
    return registry.model_version(model, number, namespace=namespace or team.namespace, owner="dora")


@pytest.fixture(scope="module")
def filled(team: Team) -> Iterator[Team]:
    """The team with two models, two aliases and two experiments; another namespace has a model of its own."""
    for model, number in (("digits", 1), ("digits", 2), ("digits", 10), ("faces", 1)):
        team.objects.create(version(team, model, number), {"phase": "Ready"})
    team.objects.create(registry.model_alias("digits", "champion", 2), {"phase": "Bound", "boundVersion": 1})
    team.objects.create(registry.model_alias("faces", "champion", 1))
    for name in ("sweep-a", "sweep-b"):
        team.objects.create(registry.experiment(name), {"phase": "Running", "runs": {"total": 3}})
    other = f"{team.namespace}-other"
    team.cluster.create_namespace(other)
    StandIn(team.cluster, other).create(version(team, HIDDEN, 1, other))
    yield team
    team.cluster.delete_namespace(other)


@pytest.fixture(scope="module")
def feeds(filled: Team) -> Iterator[dict[Resource, ObjectFeed]]:
    """The index of the cluster, complete."""
    found = {kind: ObjectFeed(Kube(str(filled.cluster.kubeconfig)), kind) for kind in KINDS}
    for feed in found.values():
        feed.start()
    wait_for("the index to be complete", lambda: all(feed.synced for feed in found.values()), seconds=60)
    yield found
    for feed in found.values():
        feed.stop()


@pytest.fixture(scope="module")
def ask(filled: Team, feeds: dict[Resource, ObjectFeed]) -> Iterator[Ask]:
    """A function (path, person, **query): the response of a server with the index."""
    lists = ObjectsOfIndex({kind: lambda _, feed=feed: feed for kind, feed in feeds.items()}, Rights(kept=1.0))  # type: ignore[misc]
    state = State(RunsOfApiServer(), lists)
    app = create(Parts(BearerEntrance(ApiServer(str(filled.cluster.kubeconfig))), state=state))
    with TestClient(app, base_url="http://127.0.0.1") as client:

        def asked(path: str, person: str = "dora", **query: Any) -> Any:
            headers = {"Authorization": f"Bearer {filled.tokens[person]}"}
            return client.get(f"/api/v1/namespaces/{filled.namespace}/{path}", params=query, headers=headers)

        yield asked


@pytest.mark.parametrize("path", LISTS)
def test_lists_are_those_of_the_api_server(ask: Ask, as_user: Any, filled: Team, path: str) -> None:
    direct = as_user("dora").get(f"/api/v1/namespaces/{filled.namespace}/{path}").json()
    indexed, now = ask(path).json(), ask(path, fresh="now").json()
    assert [each.pop("freshness")["source"] for each in (direct, indexed, now)] == ["apiserver", "index", "apiserver"]
    assert indexed == direct == now
    assert direct["items"]


def test_an_unknown_model_has_the_same_error(ask: Ask, as_user: Any, filled: Team) -> None:
    direct = as_user("dora").get(f"/api/v1/namespaces/{filled.namespace}/models/digit/versions")
    indexed = ask("models/digit/versions")
    assert (indexed.status_code, indexed.json()) == (direct.status_code, direct.json())
    assert "did you mean digits?" in indexed.text


@pytest.mark.parametrize("path", MADE_OF)
def test_a_user_without_rights_gets_the_reason_and_nothing_else(ask: Ask, filled: Team, path: str) -> None:
    for _ in range(2):
        answer = ask(path, "nobody")
        assert answer.status_code == 403
        kind = MADE_OF[path][0][1]
        assert f'User "{filled.user("nobody")}" cannot list resource "{kind}"' in answer.json()["error"]["message"]


def test_one_namespace_tells_nothing_of_another(ask: Ask, feeds: dict[Resource, ObjectFeed], filled: Team) -> None:
    assert f"{filled.namespace}-other" in feeds[MODEL_VERSIONS].namespaces
    assert HIDDEN not in ask("models").text
    assert HIDDEN not in ask("models/hidden-mode/versions").text


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[1])
def test_a_right_to_one_kind_opens_no_other(ask: Ask, filled: Team, kind: Resource) -> None:
    person = f"only-{kind[1]}"
    rights = ("role", person, "--verb=list", f"--resource={kind[1]}.assay.dev")
    account = f"--serviceaccount={filled.namespace}:{person}"
    for argv in (("serviceaccount", person), rights, ("rolebinding", person, f"--role={person}", account)):
        filled.objects.kubectl("create", *argv)
    filled.tokens[person] = filled.objects.kubectl("create", "token", person).strip()
    for path, kinds in MADE_OF.items():
        # Versions are shown without what only aliases say.
        needed = kinds[:1] if path.endswith("versions") else kinds
        assert ask(path, person).status_code == (200 if set(needed) <= {kind} else 403)


def test_revoked_rights_take_effect_within_seconds(ask: Ask, filled: Team) -> None:
    assert ask("experiments", "keyless").status_code == 200
    filled.objects.kubectl("delete", "rolebinding", "keyless")
    wait_for("the index to be closed", lambda: ask("experiments", "keyless").status_code == 403, seconds=15)


def test_reads_include_preceding_writes_of_any_kind(ask: Ask, filled: Team) -> None:
    """A version of one kind may be the newest of all: the answer about others includes it as well."""
    for _ in range(10):
        name = f"written-{secrets.token_hex(3)}"
        alias = filled.objects.create(registry.model_alias("digits", name, 1))
        sweep = filled.objects.create(registry.experiment(name))
        seen = ask("models", fresh=alias["metadata"]["resourceVersion"]).json()["items"]
        assert name in {each["alias"] for model in seen for each in model["aliases"]}
        found = ask("experiments", fresh=sweep["metadata"]["resourceVersion"]).json()
        assert name in {each["name"] for each in found["items"]}


def test_the_watch_reports_deletions_and_changes_during_the_first_read(ask: Ask, filled: Team) -> None:
    filled.objects.create(version(filled, "gone", 1), {"phase": "Pending"})

    def phase() -> Any:
        found = ask("models/gone/versions").json()
        return [each["phase"] for each in found.get("items", [])]

    wait_for("the version to be there", lambda: phase() == ["Pending"])
    filled.objects.set_status("modelversion", "gone.v1", {"phase": "Ready"})
    wait_for("its phase to change", lambda: phase() == ["Ready"])
    filled.objects.remove("modelversion", "gone.v1")
    wait_for("the version to be gone", lambda: ask("models/gone/versions").status_code == 404)


def test_a_broken_watch_loses_nothing(ask: Ask, feeds: dict[Resource, ObjectFeed], filled: Team) -> None:
    for number in range(10):
        feeds[EXPERIMENTS].interrupt()
        filled.objects.set_status("experiment", "sweep-a", {"message": f"cut {number}"})
    wait_for(
        "the last write to be in the index",
        lambda: (
            ("sweep-a", "cut 9") in {(each["name"], each["message"]) for each in ask("experiments").json()["items"]}
        ),
    )


def test_without_a_complete_index_the_api_server_answers(
    ask: Ask, feeds: dict[Resource, ObjectFeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds[MODEL_ALIASES], "synced", False)
    found = ask("aliases").json()
    assert found["freshness"]["source"] == "apiserver"
    assert {each["name"] for each in found["items"]} >= {"digits.champion", "faces.champion"}
    # What is put together has the age of its oldest part.
    assert ask("models").json()["freshness"]["source"] == "index"


def test_waiting_for_a_version_that_does_not_exist_ends_soon(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server answers: what it lists includes every write that is done."""
    monkeypatch.setattr("assay.server.index.objects.PATIENCE_SECONDS", 0.1)
    found = ask("aliases", fresh="99999999999999")
    assert (found.status_code, found.json()["freshness"]["source"]) == (200, "apiserver")
    assert ask("aliases", fresh="yesterday").status_code == 400


def test_bodies_are_whole_but_for_managed_fields(feeds: dict[Resource, ObjectFeed], filled: Team) -> None:
    there = json.loads(filled.objects.kubectl("get", "modelversions.assay.dev", "-o", "json"))["items"]
    with feeds[MODEL_VERSIONS].reading(filled.namespace) as table:
        kept = {each["metadata"]["name"]: each for each in map(json.loads, table.texts())}
    for body in there:
        body["metadata"].pop("managedFields", None)
        assert kept[body["metadata"]["name"]] == body


@pytest.mark.parametrize("kind", [*KINDS, RUNS], ids=lambda kind: kind[1])
async def test_whoever_learns_of_a_change_finds_it(
    filled: Team, kind: Resource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index gets its event later than the reader's stream: the stream waits for it."""
    kube = Kube(str(filled.cluster.kubeconfig))
    feed: Any = Feed(kube) if kind == RUNS else ObjectFeed(kube, kind)
    feed.start()
    wait_for("the index to be complete", lambda: feed.synced, seconds=60)
    late, apply = threading.Event(), feed._apply
    monkeypatch.setattr(feed, "_apply", lambda event: (late.wait(30), apply(event))[1])
    rights = Rights()
    lists = ObjectsOfIndex({} if kind == RUNS else {kind: lambda _: feed}, rights)
    runs: Any = RunsOfIndex(lambda _: feed, rights) if kind == RUNS else RunsOfApiServer()
    state, pending = State(runs, lists), Pending()
    name = f"told-{secrets.token_hex(3)}"
    manifest = {
        RUNS: registry.run(name),
        EXPERIMENTS: registry.experiment(name),
        MODEL_ALIASES: registry.model_alias("digits", name, 1),
        MODEL_VERSIONS: version(filled, name, 1),
    }[kind]
    wanted = Wanted(kind, filled.namespace)
    watcher = Watcher(kube, wanted, version_now(kube, wanted), pending, state.reach)
    try:
        created = filled.objects.create(manifest)
        threading.Timer(0.3, late.set).start()
        told = ""
        while name not in told:
            told, _ = await asyncio.wait_for(pending.take(30), 60)
        with feed.reading(filled.namespace) as table:
            assert created["metadata"]["name"] in table.versions()
    finally:
        late.set()
        watcher.stop()
        feed.stop()
