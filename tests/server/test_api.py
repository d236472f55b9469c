"""The JSON API in front of a real API server and store, used by people with tokens of their own."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from assay.store import system
from assay.store.client import ObjectStore
from tests import generated, registry
from tests.cli.conftest import run
from tests.server.conftest import Team

pytestmark = pytest.mark.integration

As = Callable[[str], TestClient]
ROWS = [row for row in generated.rows(60, seed=1) if row.phase in ("Succeeded", "Failed")][:8]


@pytest.fixture(scope="module")
def filled(team: Team) -> Team:
    """The team with eight runs, an experiment, a version and an alias."""
    asyncio.run(generated.write(team.cluster, team.namespace, ROWS))
    team.objects.create(registry.experiment("digits-sweep"))
    version = registry.model_version("digits", 1, namespace=team.namespace)
    team.objects.create(version, {"phase": "Ready"})
    team.objects.create(registry.model_alias("digits", "champion", 1), {"phase": "Pending", "message": "waits"})
    return team


def get(client: TestClient, path: str, **query: Any) -> Any:
    """Return an answer, which has to be as the OpenAPI document says."""
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    document = client.get("/api/v1/openapi.json").json()
    pattern = next(each for each in document["paths"] if _fits(each, path))
    schema = document["paths"][pattern]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    found = answer.json()
    Draft202012Validator({**schema, "components": document["components"]}).validate(found)
    return found


def _fits(pattern: str, path: str) -> bool:
    pairs = list(zip(pattern.split("/"), path.split("/"), strict=False))
    return len(pattern.split("/")) == len(path.split("/")) and all(a == b or a.startswith("{") for a, b in pairs)


def test_users_are_identified_by_their_token(as_user: As, filled: Team) -> None:
    for person in ("dora", "rita", "walter"):
        assert get(as_user(person), "/api/v1/me")["user"] == filled.user(person)


def test_runs_are_those_of_the_command_line(as_user: As, filled: Team) -> None:
    where = 'datasets.digits.version == "2.1" && metrics.val_f1.best > 0.5'
    path = f"/api/v1/namespaces/{filled.namespace}/runs"
    environment = {"KUBECONFIG": str(filled.cluster.kubeconfig)}
    argv = ("runs", "--where", where, "--sort", "val_f1", "-o", "json", "--namespace", filled.namespace)
    found = get(as_user("dora"), path, where=where, sort="val_f1")
    assert found["items"] == run(*argv, environment=environment).json()["items"]
    assert 0 < found["total"] < len(ROWS)


def test_pages_are_parts_of_the_whole(as_user: As, filled: Team) -> None:
    path = f"/api/v1/namespaces/{filled.namespace}/runs"
    whole = get(as_user("dora"), path, sort="name")
    pages = [get(as_user("dora"), path, sort="name", limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [item for page in pages for item in page["items"]] == whole["items"]
    assert {page["total"] for page in pages} == {len(ROWS)}
    assert whole["names"]["objectives"] == {"val_f1": len(ROWS)}


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        ({"where": "metrics.val_f2.best > 1"}, "no run has metrics.val_f2", "did you mean val_f1?"),
        ({"where": "metrics.("}, "invalid --where: line 1", ""),
        ({"sort": "val_f2"}, "no run has val_f2", "did you mean val_f1?"),
    ],
)
def test_errors_of_filters_are_explained(
    as_user: As, filled: Team, query: dict[str, str], message: str, hint: str
) -> None:
    answer = as_user("dora").get(f"/api/v1/namespaces/{filled.namespace}/runs", params=query)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert hint in answer.json()["error"]["hint"]


def test_the_other_subjects_answer(as_user: As, filled: Team) -> None:
    client, base = as_user("dora"), f"/api/v1/namespaces/{filled.namespace}"
    name = ROWS[0].name
    assert get(client, f"{base}/runs/{name}")["row"]["parameters"] == ROWS[0].parameters
    assert [each["name"] for each in get(client, f"{base}/experiments")["items"]] == ["digits-sweep"]
    assert get(client, f"{base}/experiments/digits-sweep")["progress"]["finished"] == 0
    assert get(client, f"{base}/models")["items"][0]["latest"] == 1
    assert get(client, f"{base}/models/digits/versions")["items"][0]["name"] == "digits.v1"
    assert get(client, f"{base}/versions/digits.v1")["version"]["version"] == 1
    assert get(client, f"{base}/aliases")["items"][0]["message"] == "waits"
    assert get(client, f"{base}/models/digits/aliases/champion/why")["alias"] == "digits.champion"
    assert get(client, f"{base}/compare", run=[row.name for row in ROWS[:2]])["runs"] == [r.name for r in ROWS[:2]]
    assert get(client, f"{base}/diff", a=ROWS[0].name, b=ROWS[1].name)["same"] is False
    assert get(client, f"{base}/audit")["items"] == []
    assert get(client, f"{base}/models/digits/aliases/champion/history")["items"] == []
    assert get(client, "/api/v1/namespaces")["items"] == ["default"]


PATHS = (
    "runs", "runs/{run}", "runs/{run}/system", "experiments", "experiments/digits-sweep", "models",
    "models/digits/versions", "aliases", "versions/digits.v1", "models/digits/aliases/champion/why",
    "compare?run={run}", "audit",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_user_without_rights_gets_403_and_the_reason(as_user: As, filled: Team, path: str) -> None:
    answer = as_user("nobody").get(f"/api/v1/namespaces/{filled.namespace}/{path.format(run=ROWS[0].name)}")
    assert answer.status_code == 403
    error = answer.json()["error"]
    assert f'User "{filled.user("nobody")}" cannot' in error["message"]
    assert "docs/personas.md" in error["hint"]


@pytest.mark.parametrize("path", ["runs", "models", "audit"])
def test_another_teams_namespace_stays_closed(as_user: As, filled: Team, path: str) -> None:
    assert as_user("dora").get(f"/api/v1/namespaces/kube-system/{path}").status_code == 403


def test_a_token_unknown_to_the_api_server_is_refused(app: Any, filled: Team) -> None:
    client = TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": "Bearer made.up.token"})
    assert client.get("/api/v1/me").status_code == 401
    assert client.get(f"/api/v1/namespaces/{filled.namespace}/runs").status_code == 401


def test_curves_of_many_runs_are_smoothed_then_thinned(as_user: As, filled: Team) -> None:
    """Two seeds of one configuration, one of them with a value that is no number; and a run without curves."""
    client, base = as_user("dora"), f"/api/v1/namespaces/{filled.namespace}"
    names = []
    for seed in (1, 2):
        name = f"curve-{seed}"
        run = filled.objects.run(name, {"phase": "Running"}, parameters={"depth": 3, "seed": seed})
        points = [("loss", step, 1000.0 + step, float(seed * (step % 2))) for step in range(400)]
        if seed == 2:
            points[7] = ("loss", 7, 1007.0, float("nan"))
        filled.objects.streamed(run, "pod-1", [points[:200], points[200:]])
        names.append(name)
    query = {"run": [*names, ROWS[0].name], "metric": ["loss"], "smooth": 0.9, "buckets": 20}
    found = get(client, f"{base}/curves", **query)
    first, second = found["items"]
    assert (first["run"], first["points"], second["notFinite"]) == ("curve-1", 400, [7.0])
    assert len(first["x"]) <= 4 * 20 + 20
    assert max(first["raw"]["y"]) == 1.0, "the raw line keeps its spikes"
    assert max(first["y"][-20:]) < 0.6, "smoothed on all points, not on those that are left"
    assert [each["run"] for each in found["problems"]] == [ROWS[0].name]
    zoomed = get(client, f"{base}/curves", **{**query, "low": 100, "high": 110})
    assert zoomed["items"][0]["x"][0] == 99
    assert zoomed["items"][0]["x"][-1] == 111
    (group,) = get(client, f"{base}/curves", run=names, metric=["loss"], group="*", band="minmax")["groups"]
    assert (group["group"], group["runs"]) == ({"depth": 3}, names)
    assert (max(group["n"]), max(group["high"]), min(group["low"])) == (2, 2.0, 0.0)
    assert as_user("keyless").get(f"{base}/curves", params=query).status_code == 403


def test_points_of_an_ended_run_are_read_once_and_for_nobody_without_keys(
    as_user: As, filled: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    chunks = ObjectStore.read_chunks

    def counted(store: ObjectStore, key: str, *more: Any, **options: Any) -> Iterator[bytes]:
        read.append(key.rpartition("/")[2])
        return chunks(store, key, *more, **options)

    monkeypatch.setattr(ObjectStore, "read_chunks", counted)
    client, path = as_user("dora"), f"/api/v1/namespaces/{filled.namespace}/curves"
    ended = {
        "attempts": [{"pod": "pod-1", "phase": "Succeeded"}],
        "record": {"uri": "s3://assay/runs/", "pod": "pod-1"},
    }
    run = filled.objects.run("ended", {"phase": "Succeeded", **ended})
    points = [("loss", float(step), 1000.0 + step, step / 100) for step in range(100)]
    filled.objects.compacted(run, "pod-1", points, tmp_path)
    (whole,) = get(client, path, run="ended", metric="loss")["items"]
    (zoomed,) = get(client, path, run="ended", metric="loss", low=10, high=12, smooth=0.5)["items"]
    assert zoomed["x"] == [9, 10, 11, 12, 13]
    (over_time,) = get(client, path, run="ended", metric="loss", x="relative")["items"]
    assert (whole["points"], over_time["points"], read) == (100, 100, ["metrics.parquet"] * 2)
    assert as_user("keyless").get(path, params={"run": "ended", "metric": "loss"}).status_code == 403
    filled.objects.compacted(run, "pod-1", points[:50], tmp_path)
    assert get(client, path, run="ended", metric="loss")["items"][0]["points"] == 50
    assert not get(client, path, run="ended", metric="lss")["items"]


def test_samples_of_a_run_are_thinned_and_have_the_limit(as_user: As, filled: Team) -> None:
    container = {"name": "train", "image": "train", "resources": {"limits": {"memory": "2Gi"}}}
    job = {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    status = {"phase": "Succeeded", "usage": {"samples": 0, "message": "the node is not trusted"}}
    run = filled.objects.run("sampled", status, job=job)
    dora, path = as_user("dora"), f"/api/v1/namespaces/{filled.namespace}/runs/sampled/system"
    assert get(dora, path) == {"items": [], "message": "the node is not trusted", "notes": []}
    for pod, first in (("a", 0), ("b", 5000)):
        rows = [
            {"container": "train", "metric": f"system.{metric}", "time": float(time), "value": value}
            for time in range(first, first + 1000)
            for metric, value in (("cpu_cores", time % 7 / 7), ("cpu_seconds", 1.0), ("memory_bytes", 1e9))
        ]
        system.append(filled.objects.store, filled.objects.prefix(run), pod, None, rows)
    items = get(dora, path, buckets=20)["items"]
    assert [(each["metric"], each["pod"], each["container"], each["limit"]) for each in items] == [
        ("system.cpu_cores", "a", "train", None),
        ("system.cpu_cores", "b", "train", None),
        ("system.memory_bytes", "a", "train", 2.0**31),
        ("system.memory_bytes", "b", "train", 2.0**31),
    ]
    assert all(each["points"] == 1000 and len(each["x"]) == len(each["y"]) <= 80 for each in items)
    zoomed, _ = get(dora, path, pod="b", low=5100, high=5110)["items"]
    assert (zoomed["x"][0], zoomed["x"][-1]) == (5099, 5111)
    missing = dora.get(path, params={"pod": "c"})
    assert (missing.status_code, missing.json()["error"]["hint"]) == (404, "pods: a, b")
    assert as_user("keyless").get(path).status_code == 403
