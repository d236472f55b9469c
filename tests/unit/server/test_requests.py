"""What strangers send: each request gets one clear answer, whatever is in it."""

import io
import json
from typing import Any
from urllib.parse import unquote, urlencode

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from assay.kube.errors import ApiError
from assay.kube.sync import Kube
from assay.queries import store_access
from assay.server.app import Parts, create
from assay.server.index.feed import Feed
from assay.server.index.runs import RunsOfIndex
from assay.server.person import Person
from assay.server.rights import Rights
from assay.server.state import State

pytestmark = pytest.mark.unit

Raw = dict[str, Any]

HERE, MLFLOW = "/api/v1/namespaces/team", "/mlflow/team/api/2.0/mlflow"


def run(name: str, experiment: str = "digits") -> Raw:
    labels = {"assay.dev/experiment": experiment}
    metadata = {"namespace": "team", "name": name, "uid": f"u-{name}", "resourceVersion": "2", "labels": labels}
    status = {"phase": "Succeeded", "metrics": {"loss": {"last": 0.5, "step": 3}}}
    return {
        "metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"parameters": {"depth": 3}},
        "status": status,
    }


def version(model: str, number: int) -> Raw:
    return {
        "metadata": {"name": f"{model}.v{number}", "uid": f"u-{model}", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"model": model, "version": number, "artifact": {"digest": "sha256:0"}},
    }


def alias(model: str, name: str, number: int) -> Raw:
    return {"metadata": {"name": f"{model}.{name}"}, "spec": {"model": model, "alias": name, "version": number}}


class Api(Kube):
    """Plays the API server of a namespace: objects by the plural of their kind."""

    namespace, server = "team", "https://api.example.com"

    def __init__(self, **objects: list[Raw]) -> None:
        self.objects = objects

    def request(self, method: str, path: str, **options: Any) -> Raw:
        (path + urlencode(options.get("query") or {})).encode("ascii")
        *_, above, last = path.split("/")
        if last == "selfsubjectaccessreviews":
            return {"status": {"allowed": True}}
        if last == "runs" or above == "team":
            model = (options.get("query") or {}).get("fieldSelector", "").removeprefix("spec.model=")
            items = [each for each in self.objects.get(last, []) if model in ("", each["spec"].get("model"))]
            return {"metadata": {"resourceVersion": "9"}, "items": items}
        for each in self.objects.get(above, []):
            if each["metadata"]["name"] == unquote(last):
                return each
        raise ApiError(404, "NotFound", f"{above} {last!r} not found")

    def stream(self, method: str, path: str, **options: Any) -> Any:
        return io.BytesIO(json.dumps(self.request(method, path, **options)).encode())


class Someone:
    """Lets everybody in, as one person."""

    routes = ()

    def __init__(self, api: Api) -> None:
        self._api = api

    def person(self, _: Request) -> Person:
        return Person(client=self._api, key="k", namespace_option="team")


def client(*, indexed: bool = False, **objects: list[Raw]) -> TestClient:
    api = Api(**objects)
    parts = Parts(Someone(api), state=_indexed(api)) if indexed else Parts(Someone(api))
    return TestClient(create(parts), base_url="http://127.0.0.1")


def _indexed(api: Api) -> State:
    """Return an index that has all runs."""
    feed = Feed(api)
    feed._list()
    return State(RunsOfIndex(lambda _: feed, Rights()))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_access, "_REPLACING_SECONDS", 0.0)


@pytest.fixture
def asked() -> TestClient:
    return client(runs=[run("digits-0"), run("digits-1")])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{HERE}/compare?run=", 404),
        (f"{HERE}/compare?run=digits-0&run=digits/", 404),
        (f"{HERE}/diff?a=&b=digits-0", 404),
        (f"{HERE}/models/Digits/aliases/champion/why?version=1", 200),
        ("/n/team/compare?run=digits-0&run=", 404),
        (f"{MLFLOW}/runs/get?run_id=/", 404),
        (f"{MLFLOW}/artifacts/list?run_id=digits/", 404),
    ],
)
def test_an_empty_name_is_not_the_name_of_all_objects(asked: TestClient, path: str, status: int) -> None:
    assert asked.get(path).status_code == status


def test_an_alias_that_is_there_before_the_first_version_hides_no_other_model() -> None:
    """As Argo CD applies it: the alias waits for its version."""
    asked = client(modelversions=[version("digits", 1)], modelaliases=[alias("faces", "champion", 1)])
    models = asked.get(f"{MLFLOW}/registered-models/search")
    assert models.status_code == 200
    assert [each["name"] for each in models.json()["registered_models"]] == ["digits"]
    versions = asked.get(f"{MLFLOW}/model-versions/search").json()["model_versions"]
    assert [(each["name"], each["version"]) for each in versions] == [("digits", "1")]
    assert asked.get(f"{MLFLOW}/registered-models/get?name=faces").status_code == 404
    named = {"filter": "name = 'faces'"}
    assert asked.get(f"{MLFLOW}/registered-models/search", params=named).json() == {"registered_models": []}


HUGE = "9" * 5000


@pytest.mark.parametrize(
    "query",
    ["run_id=digits-0&metric_key=loss&max_results=many", f"run_id=digits-0&metric_key=loss&page_token={HUGE}",
     "run_id=digits-0&metric_key=loss&page_token=%C2%B2"],
)  # fmt: skip
def test_mlflow_refuses_numbers_that_are_none(asked: TestClient, query: str) -> None:
    answer = asked.get(f"{MLFLOW}/metrics/get-history?{query}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "body",
    [
        *({"max_results": each} for each in ("many", -1, 1.5, {"a": 1}, [[1]], "²", HUGE, float("nan"), float("inf"))),
        *({"page_token": each} for each in ("-1", "²", HUGE, "\ud800")),
        *({"filter": each} for each in ("metrics.loss < 'low'", "metrics.loss < 1.2.3", "metrics.loss < (1)")),
        *({"filter": f"start_time > {each}"} for each in ("'today'", "1e30", "99999999999999999", "1e999")),
        {"filter": "params.depth = '\ud800'"},
        {"experiment_ids": ["\ud800"]},
        {"order_by": ["\ud800"]},
    ],
    ids=ascii,
)
def test_mlflow_refuses_searches_that_mean_nothing(asked: TestClient, body: Raw) -> None:
    answer = asked.post(f"{MLFLOW}/runs/search", content=json.dumps(body))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, "[]", "{", '{"max_results": 1', "\0"])
def test_mlflow_refuses_bodies_that_are_no_object(asked: TestClient, body: str) -> None:
    answer = asked.post(f"{MLFLOW}/runs/search", content=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("changed", [{"version": "²"}, {"version": HUGE}, {"name": "\ud800"}, {"alias": ["\ud800"]}])
def test_mlflow_refuses_aliases_that_cannot_be(asked: TestClient, changed: Raw) -> None:
    body = {"name": "digits", "alias": "champion", "version": "1", **changed}
    answer = asked.post(f"{MLFLOW}/registered-models/alias", content=json.dumps(body))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("value", ["9" * 400, "1e999", "-1e999", "٣"])
def test_a_parameter_that_is_like_a_number_is_compared_as_a_text(value: str) -> None:
    runs = [{**run("digits-0"), "spec": {"parameters": {"depth": value}}}, run("digits-1")]
    answer = client(runs=runs).post(f"{MLFLOW}/runs/search", json={"filter": f"params.depth = '{value}'"})
    assert [each["info"]["run_id"] for each in answer.json()["runs"]] == ["digits-0"]


@pytest.mark.parametrize(("size", "found"), [("1", ["digits-0"]), (1, ["digits-0"]), (0, ["digits-0", "digits-1"])])
def test_mlflow_takes_numbers_as_clients_write_them(asked: TestClient, size: Any, found: list[str]) -> None:
    answer = asked.post(f"{MLFLOW}/runs/search", json={"max_results": size, "order_by": ["run_id ASC"]}).json()
    assert [each["info"]["run_id"] for each in answer["runs"]] == found


@pytest.mark.parametrize("indexed", [False, True])
def test_mlflow_searches_as_many_experiments_as_there_are(indexed: bool) -> None:
    """`mlflow.search_runs(search_all_experiments=True)` names each of them, more than a filter may have."""
    runs = [run("sweep-0", "sweep"), run("digits-0"), run("alone-0", ""), run("other-0", "other")]
    every = [f"an-experiment-with-a-long-name-{number}" for number in range(500)]
    for ids, found in (
        (["digits", *every, "sweep"], ["digits-0", "sweep-0"]), (["0"], ["alone-0"]), (every, []),
        ([], ["alone-0", "digits-0", "other-0", "sweep-0"]),
    ):  # fmt: skip
        body = {"experiment_ids": ids, "filter": "params.depth = '3'", "order_by": ["run_id ASC"]}
        answer = client(indexed=indexed, runs=runs).post(f"{MLFLOW}/runs/search", json=body)
        assert answer.status_code == 200
        assert [each["info"]["run_id"] for each in answer.json()["runs"]] == found


def experiment(name: str, created: str) -> Raw:
    return {"metadata": {"name": name, "creationTimestamp": created}, "spec": {}}


EXPERIMENTS = [
    experiment("digits", "2026-01-01T00:00:00Z"),
    experiment("Digits-2", "2026-01-03T00:00:00Z"),
    experiment("faces", "2026-01-02T00:00:00Z"),
]


@pytest.mark.parametrize(
    ("asks", "found"),
    [
        ({}, ["Digits-2", "faces", "digits", "Default"]),
        ({"filter": "name = 'faces'"}, ["faces"]),
        ({"filter": "attribute.name != 'faces'"}, ["Digits-2", "digits", "Default"]),
        ({"filter": "name LIKE 'di%'"}, ["digits"]),
        ({"filter": "name ILIKE 'di%' and creation_time > 1767225600000"}, ["Digits-2"]),
        ({"filter": "name NOT LIKE '%i_it%'"}, ["faces", "Default"]),
        ({"filter": "tags.team = 'vision'"}, []),
        ({"order_by": ["name"]}, ["Default", "Digits-2", "digits", "faces"]),
        ({"order_by": ["attribute.creation_time ASC", "name"]}, ["Default", "digits", "faces", "Digits-2"]),
        ({"view_type": "DELETED_ONLY"}, []),
        ({"view_type": "ALL"}, ["Digits-2", "faces", "digits", "Default"]),
    ],
    ids=str,
)
def test_mlflow_searches_experiments(asks: Raw, found: list[str]) -> None:
    """Page by page, as its client does."""
    asked, names, token = client(experiments=EXPERIMENTS), [], ""
    while True:
        body = {"max_results": 3, **asks} | ({"page_token": token} if token else {})
        answer = asked.post(f"{MLFLOW}/experiments/search", json=body).json()
        names += [each["name"] for each in answer["experiments"]]
        assert len(answer["experiments"]) <= 3
        token = answer.get("next_page_token", "")
        if not token:
            break
    assert names == found


@pytest.mark.parametrize(
    "asks",
    [{"filter": "lifecycle = 'x'"}, {"filter": "name ="}, {"filter": "name > 'a'"}, {"filter": "creation_time = 'x'"},
     {"filter": "name = 3"}, {"order_by": ["size"]}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("experiments", [[], EXPERIMENTS], ids=["none", "some"])
def test_mlflow_refuses_searches_of_experiments_that_mean_nothing(asks: Raw, experiments: list[Raw]) -> None:
    answer = client(experiments=experiments).post(f"{MLFLOW}/experiments/search", json=asks)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(("view", "found"), [("ACTIVE_ONLY", 2), ("ALL", 2), ("DELETED_ONLY", 0)])
def test_mlflow_finds_no_deleted_runs(asked: TestClient, view: str, found: int) -> None:
    answer = asked.post(f"{MLFLOW}/runs/search", json={"run_view_type": view})
    assert len(answer.json()["runs"]) == found


@pytest.mark.parametrize("seen", ["", "{", "[]", "[" * 20_000, '{"a":' * 5000])
def test_a_form_without_what_its_page_showed_is_refused(seen: str) -> None:
    asked = client(modelversions=[version("digits", 1)], modelaliases=[alias("digits", "champion", 1)])
    answer = asked.post("/n/team/models/digits/aliases/champion/approve", data={"version": "1", "seen": seen})
    assert answer.status_code == 400
    assert "the form does not have what its page showed" in answer.text
