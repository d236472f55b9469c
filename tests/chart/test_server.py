"""The web application of the chart, installed: who may do what through it, and what it says of a broken index."""

import json
import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.chart.conftest import Release
from tests.cli.conftest import run
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import Objects, experiment
from tests.ports import free_port

pytestmark = [pytest.mark.chart, pytest.mark.e2e]

Raw = dict[str, Any]
HOST, SERVER, SESSION = "assay.example.com", "assay-server", "assay-server-session"
KINDS = ["experiments", "modelaliases", "modelversions", "promotionpolicies", "runs"]
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"


@pytest.fixture(scope="module")
def release(bare_release: Release) -> Release:
    """The chart with the server, behind a NetworkPolicy, and with a key for sessions that outlives its pods."""
    bare_release.prepare()
    key = f"--from-literal=key={secrets.token_urlsafe(48)}"
    bare_release.kubectl("delete", "secret", SESSION, "--ignore-not-found")
    bare_release.kubectl("create", "secret", "generic", SESSION, key)
    bare_release.install(networkPolicy={"enabled": True}, server={"enabled": True, "hosts": [HOST, "127.0.0.1"]})
    bare_release.kubectl("rollout", "status", f"deployment/{SERVER}", "--timeout=60s")
    return bare_release


@dataclass(frozen=True)
class Team:
    """A namespace with two runs. Dora has the role of a data scientist in it; Nora has no role anywhere.

    Nobody makes keys for the store: Dora reads those of the operator.
    """

    cluster: LocalCluster
    namespace: str
    kubeconfigs: dict[str, str]

    def headers(self, person: str) -> dict[str, str]:
        """What a proxy sends for a person."""
        (user,) = yaml.safe_load(Path(self.kubeconfigs[person]).read_text())["users"]
        return {"Host": HOST, "Authorization": f"Bearer {user['user']['token']}"}


@pytest.fixture(scope="module")
def team(release: Release) -> Team:
    """The team, whose runs have ended."""
    cluster, name = release.cluster, f"team-{secrets.token_hex(3)}"
    cluster.create_namespace(name)
    found = Objects(cluster, name)
    script = "log(step=1, score=float(os.environ['PARAM_a']))"
    found.apply(experiment("digits", script, parameters=[{"name": "a", "values": [1, 2]}]))
    for person in ("dora", "nora"):
        found.kubectl("create", "serviceaccount", person)
    role = ("--clusterrole=assay-data-scientist", f"--serviceaccount={name}:dora")
    found.kubectl("create", "rolebinding", "dora", *role)
    found.wait_phase("experiment", "digits", "Succeeded", seconds=90)
    return Team(cluster, name, {person: str(cluster.token_kubeconfig(name, person)) for person in ("dora", "nora")})


@pytest.fixture(scope="module")
def service(release: Release) -> str:
    """The address of the server's Service."""
    address = release.kubectl("get", "service", SERVER, "-o", "jsonpath={.spec.clusterIP}")
    return f"http://{address}"


@pytest.fixture(scope="module")
def ask(team: Team, service: str) -> Iterator[Callable[..., httpx.Response]]:
    """A function (person, path, **query) that gets a path through the Service with the person's token."""
    with httpx.Client(base_url=service, timeout=30) as client:

        def get(person: str, path: str, accept: str = "*/*", **query: Any) -> httpx.Response:
            path = path.format(team=team.namespace)
            return client.get(path, params=query, headers={**team.headers(person), "Accept": accept})

        yield get


def test_the_server_is_ready_and_accepts_only_its_own_hosts(service: str, release: Release) -> None:
    assert httpx.get(f"{service}/readyz", headers={"Host": HOST}).text == "ok"
    refused = httpx.get(f"{service}/readyz", headers={"Host": "rebound.example.org"})
    assert (refused.status_code, "does not answer for the host" in refused.text) == (421, True)
    (pod,) = _pods(release)
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


def test_its_metrics_say_that_the_index_is_current_and_name_nobody(service: str, team: Team) -> None:
    assert (
        httpx.get(f"{service}/api/v1/namespaces/{team.namespace}/runs", headers=team.headers("nora")).status_code == 403
    )
    found = httpx.get(f"{service}:9095/metrics").text
    assert "assay_server_index_ready 1.0" in found
    assert 'route="/api/v1/namespaces/{namespace}/runs"' in found
    assert team.namespace not in found
    assert "nora" not in found


@pytest.mark.parametrize("where", ["of the release", "of a team", "of the cluster"])
def test_the_server_account_may_only_list_and_watch_the_five_kinds(release: Release, team: Team, where: str) -> None:
    namespace = {"of the release": release.namespace, "of a team": team.namespace}.get(where, "kube-system")
    everybody, mine = (_rules(release, namespace, name) for name in ("default", SERVER))
    (rule,) = [each for each in mine if each not in everybody]
    assert sorted(rule["verbs"]) == ["list", "watch"]
    assert (rule["apiGroups"], sorted(rule["resources"])) == (["assay.dev"], KINDS)
    assert "resourceNames" not in rule


def test_a_person_gets_their_runs_from_the_index(ask: Callable[..., httpx.Response]) -> None:
    answer = ask("dora", "/api/v1/namespaces/{team}/runs", fresh="now", where="params.a > 1")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [item["parameters"] for item in found["items"]] == [{"a": 2}]
    assert found["freshness"]["source"] == "index"


def test_a_person_gets_curves_from_the_operators_store(ask: Callable[..., httpx.Response], team: Team) -> None:
    names = [each["metadata"]["name"] for each in Objects(team.cluster, team.namespace).all("runs")]
    answer = ask("dora", "/api/v1/namespaces/{team}/curves", run=names, metric="score")
    assert answer.status_code == 200, answer.text
    assert sorted(line["y"] for line in answer.json()["items"]) == [[1.0], [2.0]]


@pytest.mark.parametrize("path", ["runs", "experiments", "models", "aliases", "audit"])
def test_a_user_without_rights_gets_403_and_the_reason(ask: Callable[..., httpx.Response], path: str) -> None:
    answer = ask("nora", f"/api/v1/namespaces/{{team}}/{path}")
    assert answer.status_code == 403, answer.text
    assert set(answer.json()) == {"error"}
    assert ':nora" cannot ' in answer.json()["error"]["message"]


def test_requests_without_a_token_of_this_cluster_are_refused(service: str, team: Team) -> None:
    path = f"{service}/api/v1/namespaces/{team.namespace}/runs"
    none = httpx.get(path, headers={"Host": HOST})
    assert (none.status_code, "needs a token" in none.text) == (401, True)
    foreign = httpx.get(path, headers={"Host": HOST, "Authorization": "Bearer abc.def.ghi"})
    assert foreign.status_code == 401, foreign.text


@pytest.mark.parametrize("page", ["runs", "experiments", "experiments/digits", "models", "audit"])
def test_its_pages_answer(ask: Callable[..., httpx.Response], page: str) -> None:
    shown = ask("dora", f"/n/{{team}}/{page}", accept="text/html")
    assert shown.status_code == 200, shown.text
    assert shown.headers["content-type"].startswith("text/html")
    refused = ask("nora", f"/n/{{team}}/{page}", accept="text/html")
    assert (refused.status_code, "cannot" in refused.text) == (403, True)


def test_the_page_of_a_run_has_what_it_recorded(ask: Callable[..., httpx.Response], team: Team) -> None:
    name = Objects(team.cluster, team.namespace).all("runs")[0]["metadata"]["name"]
    shown = ask("dora", f"/n/{{team}}/runs/{name}", accept="text/html")
    assert (shown.status_code, "score" in shown.text) == (200, True)


def test_the_command_line_prints_the_same_through_it(release: Release, team: Team) -> None:
    with _forwarded(release) as address:
        for person in ("dora", "nora"):
            environment = {"KUBECONFIG": team.kubeconfigs[person]}
            argv = ("runs", "--namespace", team.namespace, "-o", "csv")
            direct, through = (run(*argv, *more, environment=environment) for more in ((), ("--server", address)))
            assert through.out == direct.out
            assert through.code == direct.code
            assert "cannot list" in through.err if person == "nora" else through.out.count("\n") == 3


def test_a_broken_index_is_reported_and_sessions_survive_a_restart(release: Release, team: Team, service: str) -> None:
    """The last test of the module: it takes the server's rights away and gives them back."""
    token = team.headers("dora")["Authorization"].removeprefix("Bearer ")
    signed_in = httpx.post(f"{service}/sign-in", headers={"Host": HOST}, data={"token": token})
    assert signed_in.status_code == 303, signed_in.text
    cookies = "; ".join(each.partition(";")[0] for each in signed_in.headers.get_list("set-cookie") if "=" in each)
    binding = release.kubectl("get", "clusterrolebinding", SERVER, "-o", "json")
    (before,) = _pods(release)
    release.kubectl("delete", "clusterrolebinding", SERVER)
    wait_for("the rights to be gone", lambda: KINDS not in _resources(release), seconds=30)
    release.kubectl("delete", "pod", before["metadata"]["name"], "--wait=true")

    def said() -> str:
        (pod,) = _pods(release)
        answer = httpx.get(f"http://{pod['status']['podIP']}:8080/readyz", headers={"Host": HOST})
        return f"{answer.status_code} {answer.text}"

    wait_for("the server to say why it is not ready", lambda: "cannot list" in _or_nothing(said), seconds=40)
    assert said().startswith("503 runs.assay.dev is forbidden")
    assert SERVER not in _endpoints(release)
    kept = {name: value for name, value in json.loads(binding).items() if name != "metadata"}
    metadata = {name: json.loads(binding)["metadata"][name] for name in ("name", "labels", "annotations")}
    release.cluster.kubectl("create", "-f", "-", stdin=json.dumps({**kept, "metadata": metadata}))
    release.kubectl("rollout", "status", f"deployment/{SERVER}", "--timeout=60s")
    path = f"{service}/api/v1/namespaces/{team.namespace}/runs"
    wait_for("the Service to find it", lambda: _or_nothing(lambda: httpx.get(path).text), seconds=30)
    answer = httpx.get(path, headers={"Host": HOST, "Cookie": cookies})
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == 2


def _pods(release: Release) -> list[Raw]:
    text = release.kubectl("get", "pods", "-l", "app.kubernetes.io/component=server", "-o", "json")
    return [pod for pod in json.loads(text)["items"] if "deletionTimestamp" not in pod["metadata"]]


def _rules(release: Release, namespace: str, account: str) -> list[Raw]:
    """What the API server says that an account of the release's namespace may do in a namespace."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{release.namespace}", "system:authenticated")
    who = [f"--as=system:serviceaccount:{release.namespace}:{account}", *(f"--as-group={each}" for each in groups)]
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    body = json.dumps({**review, "spec": {"namespace": namespace}})
    text = release.cluster.kubectl("create", "--raw", REVIEW, "-f", "-", *who, stdin=body)
    found: Raw = json.loads(text)["status"]
    assert not found["incomplete"], found
    return [*found["resourceRules"]]


def _resources(release: Release) -> list[list[str]]:
    return [sorted(rule["resources"]) for rule in _rules(release, release.namespace, SERVER)]


def _endpoints(release: Release) -> str:
    """The names of the ready pods behind the Service."""
    slices = ("get", "endpointslices", "-l", f"kubernetes.io/service-name={SERVER}", "-o", "json")
    found = [each for item in json.loads(release.kubectl(*slices))["items"] for each in item["endpoints"] or []]
    return " ".join(each["targetRef"]["name"] for each in found if each["conditions"]["ready"])


def _or_nothing(asked: Callable[[], str]) -> str:
    try:
        return asked()
    except (httpx.TransportError, LookupError, ValueError):  # no pod with an address yet, or none that listens
        return ""


@contextmanager
def _forwarded(release: Release) -> Iterator[str]:
    """The address at which `kubectl port-forward` offers the Service: a token goes to no other host in plain text."""
    port = free_port()
    kubectl, config = release.cluster.spec.programs["kubectl"], f"--kubeconfig={release.cluster.kubeconfig}"
    argv = (kubectl, config, "-n", release.namespace, "port-forward", f"service/{SERVER}", f"{port}:80")
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        wait_for("the port to be forwarded", lambda: _listens(port), seconds=30)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
