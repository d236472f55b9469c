"""Faults while an alias is bound and served: the operator killed between any two steps, the store gone, pods failing.

What is served here is no model but a word; the server is a few lines of Python that answer with the version they got.
"""

import json
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from assay.store.audit.records import AuditRecord
from assay.store.audit.sources import read_store
from assay.store.digests import bytes_digest
from tests import operators, registry
from tests.attackers import Realm
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.objects import TRAINING_IMAGE, Objects, condition
from tests.operators import OperatorProcess

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

APPROVER, MOVER = "rita", "walter"
#: Who is in it may do everything; the names are what is told apart.
EVERYTHING = "--as-group=system:masters"
Raw = dict[str, Any]

# Ends at once when the word is "broken", or the version is the one that FAILS_WITH names.
SERVER = """
import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
word = open(os.environ['MODEL_PATH']).read()
if word == 'broken' or os.environ['MODEL_VERSION'] == os.environ.get('FAILS_WITH'):
    sys.exit('the word is ' + word)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ['MODEL_VERSION'].encode())
http.server.HTTPServer(('', 8080), Handler).serve_forever()
"""


class Stage:
    """A namespace with versions of `words`, the alias words.live and servers that follow it."""

    def __init__(self, objects: Objects, log: Path) -> None:
        self.log = log
        self.objects = objects
        self.realm = Realm(objects.cluster, objects.namespace, "")

    def register(self, *words: str) -> None:
        """Register a word each, as the versions 1, 2 and so on."""
        for number, word in enumerate(words, 1):
            key = f"runs/{self.objects.namespace}/words/{number}/word.txt"
            self.objects.store.put_bytes(key, word.encode())
            artifact = {"uri": f"s3://assay/{key}", "digest": bytes_digest(word.encode())}
            manifest = registry.model_version("words", number, namespace=self.objects.namespace)
            manifest["spec"]["artifact"] = artifact
            self.objects.apply(manifest)
        for number in range(1, len(words) + 1):
            self.objects.wait_phase("mv", f"words.v{number}", "Ready", seconds=60)

    def approve(self, version: int) -> None:
        """Have somebody else than the owner approve."""
        name = f"words.v{version}"
        value = f"{self.realm.get('mv', name)['spec']['artifact']['digest']} {APPROVER}"
        self.realm.must(APPROVER, EVERYTHING, "annotate", "mv", name, f"live.approval.assay.dev/a={value}")

    def approved(self, version: int) -> None:
        """Have somebody approve, and wait until the operator has taken it in."""
        self.approve(version)
        self.objects.wait("mv", f"words.v{version}", "approved", lambda o: o["status"].get("approvals"))

    def want(self, version: int) -> None:
        """Ask for a version; the alias is made with the first."""
        manifest = registry.model_alias("words", "live", version)
        self.realm.must(MOVER, EVERYTHING, "apply", "--filename=-", stdin=manifest)

    def serve(self, name: str, *, kind: str = "Deployment", replicas: int = 1, fails_with: int = 0) -> None:
        """Have a workload follow the alias."""
        container = {
            "name": "server",
            "image": TRAINING_IMAGE,
            "command": ["python", "-c", textwrap.dedent(SERVER)],
            "env": [{"name": "FAILS_WITH", "value": str(fails_with)}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
        annotations = {"assay.dev/serve": "words.live"}
        manifest = registry.deployment(
            name, kind=kind, annotations=annotations, containers=[container], terminationGracePeriodSeconds=2
        )
        manifest["spec"]["replicas"] = replicas
        if kind == "StatefulSet":
            # Else it replaces no pod while another one is not ready, and one without a model never is.
            manifest["spec"]["podManagementPolicy"] = "Parallel"
        self.objects.apply(manifest)

    def live(self, version: int, seconds: float = 90) -> Raw:
        """Wait until a version is bound and all followers serve it; return the alias's status."""

        def holds(found: Raw) -> bool:
            status = found.get("status", {})
            serving = status.get("serving", [])
            ready = bool(serving) and all(each["ready"] and each["version"] == version for each in serving)
            return ready and status.get("boundVersion") == version

        found = self.objects.wait("alias", "words.live", f"version {version} is live", holds, seconds)
        status: Raw = found["status"]
        return status

    def served(self, name: str) -> set[str]:
        """Return what the pods of a workload answer."""
        pods = self.objects.all("pods", f"app={name}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        answers = set()
        for pod in pods:
            if "deletionTimestamp" not in pod["metadata"]:
                with opener.open(f"http://{pod['status']['podIP']}:8080/", timeout=5) as answer:
                    answers.add(answer.read().decode())
        return answers

    def records(self) -> list[AuditRecord]:
        """Return the audit trail of the namespace."""
        files = read_store(self.objects.store, self.objects.namespace)
        return [AuditRecord.model_validate_json(file.data) for file in files if file.data]

    def bound(self) -> list[Any]:
        """Return the versions that the trail says the alias was bound to, in order."""
        return [record.after["version"] for record in self.records() if record.action == "AliasBound" and record.after]

    def actions(self) -> list[str]:
        """Return what the trail says was done, in order."""
        return [str(record.action) for record in self.records()]

    def labelled(self) -> list[str]:
        """Return the versions that are labelled as bound."""
        return sorted(found["metadata"]["name"] for found in self.objects.all("mv", "assay.dev/bound"))

    def unrecorded(self) -> bool:
        """Whether the operator could not write a record, which it does behind the label, and the label goes again."""
        lines = self.log.read_text().splitlines()
        return any(f"audit/{self.objects.namespace}/" in line and "cannot be reached" in line for line in lines)


@pytest.fixture
def stage(objects: Objects, operator: OperatorProcess) -> Stage:
    """Return a namespace that the operator serves."""
    return Stage(objects, operator.log)


# The operator dies between two steps of a binding: it is held up there by a right that it lacks, or without a store.


@contextmanager
def _without_right(cluster: LocalCluster, resource: str) -> Iterator[None]:
    """Take the right to patch a resource from the operator, and give it back."""
    role = json.loads(cluster.kubectl("get", "clusterrole", operators.SERVICE_ACCOUNT, "--output=json"))
    rules = []
    for rule in role["rules"]:
        others = [each for each in rule.get("resources", []) if each != resource]
        verbs = [verb for verb in rule["verbs"] if verb != "patch"] or ["get"]
        rules += [rule | {"resources": others}] if others else []
        rules += [rule | {"resources": [resource], "verbs": verbs}] if others != rule["resources"] else []
    cluster.kubectl("replace", "--filename=-", stdin=json.dumps(role | {"rules": rules}))
    try:
        can_i = ("auth", "can-i", "patch", resource.split("/")[0], f"--as={registry.OPERATOR}")
        subresource = [f"--subresource={resource.split('/')[1]}"] if "/" in resource else []
        wait_for("the right to be gone", lambda: _refused(cluster, *can_i, *subresource), seconds=30)
        yield
    finally:
        operators.install(cluster)


def _refused(cluster: LocalCluster, *argv: str) -> bool:
    try:
        cluster.kubectl(*argv, "--all-namespaces")
    except ClusterError as error:
        return "exit code 1" in str(error)
    return False


@contextmanager
def _without_store(cluster: LocalCluster) -> Iterator[None]:
    cluster.stop_component("minio")
    try:
        yield
    finally:
        cluster.start_component("minio")


def _nothing(_: LocalCluster) -> AbstractContextManager[None]:
    return nullcontext()


#: Moment: what holds the operator up there, and how it shows that it has come so far.
MOMENTS: dict[str, tuple[Callable[[LocalCluster], AbstractContextManager[None]], Callable[[Stage], Any]]] = {
    "wanted, nothing done": (_nothing, lambda stage: True),
    "labelled, not recorded": (_without_store, lambda stage: stage.unrecorded()),
    "recorded, not reported": (
        lambda cluster: _without_right(cluster, "modelaliases/status"),
        lambda stage: stage.bound(),
    ),
    "reported, not served": (
        lambda cluster: _without_right(cluster, "deployments"),
        lambda stage: stage.realm.get("alias", "words.live")["status"].get("boundVersion"),
    ),
    "served, not followed": (
        _nothing,
        lambda stage: "initContainers" in stage.realm.get("deploy", "server")["spec"]["template"]["spec"],
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_operator_killed_while_binding_binds_once(
    moment: str, stage: Stage, operator: OperatorProcess, installed: LocalCluster
) -> None:
    hold_up, came_so_far = MOMENTS[moment]
    stage.register("hello")
    stage.serve("server")
    stage.approved(1)
    with hold_up(installed):
        stage.want(1)
        wait_for(moment, lambda: came_so_far(stage), seconds=30, every=0.02)
        operator.kill()
    operator.start()
    status = stage.live(1)
    wait_for("the server to answer", lambda: stage.served("server") == {"1"}, seconds=30)

    assert (status["bindings"], [each["version"] for each in status["history"]]) == (1, [1])
    assert stage.bound() == [1]
    assert len({record.event for record in stage.records()}) == len(stage.records())
    assert stage.labelled() == ["words.v1"]


ROLLBACK_MOMENTS: dict[str, tuple[Callable[[LocalCluster], AbstractContextManager[None]], Callable[[Stage], Any]]] = {
    "asked, nothing done": (_nothing, lambda stage: True),
    "labelled, not recorded": (_without_store, lambda stage: stage.unrecorded()),
    "recorded, not reported": (
        lambda cluster: _without_right(cluster, "modelaliases/status"),
        lambda stage: stage.actions().count("RolledBack"),
    ),
    "reported, not cleared": (
        lambda cluster: _without_right(cluster, "modelaliases"),
        lambda stage: stage.realm.get("alias", "words.live")["status"]["boundVersion"] == 1,
    ),
}


@pytest.mark.parametrize("moment", ROLLBACK_MOMENTS)
def test_operator_killed_while_rolling_back_rolls_back_once(
    moment: str, stage: Stage, operator: OperatorProcess, installed: LocalCluster
) -> None:
    hold_up, came_so_far = ROLLBACK_MOMENTS[moment]
    stage.register("hello", "goodbye")
    stage.serve("server")
    for version in (1, 2):
        stage.approve(version)
        stage.want(version)
        stage.live(version)
    wait_for("version 2 alone to be labelled", lambda: stage.labelled() == ["words.v2"], seconds=30)
    with hold_up(installed):
        request = f"assay.dev/rollback-requested=1 {MOVER}\nlatency"
        stage.realm.must(MOVER, EVERYTHING, "annotate", "alias", "words.live", request)
        wait_for(moment, lambda: came_so_far(stage), seconds=30, every=0.02)
        operator.kill()
    operator.start()
    status = stage.live(1)
    stage.objects.wait(
        "alias",
        "words.live",
        "the request to be cleared",
        lambda o: "assay.dev/rollback-requested" not in o["metadata"]["annotations"],
    )
    assert [(each["version"], each["actor"]) for each in status["history"]] == [(1, MOVER), (2, MOVER), (1, MOVER)]
    assert (status["setAside"]["version"], status["setAside"]["reason"]) == (2, "RolledBack")
    assert stage.actions().count("RolledBack") == 1
    wait_for("version 1 alone to be labelled", lambda: stage.labelled() == ["words.v1"], seconds=30)
    assert stage.served("server") == {"1"}


def test_operator_killed_during_an_automatic_rollback_rolls_back_once(stage: Stage, operator: OperatorProcess) -> None:
    stage.register("hello", "broken")
    stage.serve("server")
    stage.approve(1)
    stage.approve(2)
    stage.want(1)
    stage.live(1)
    stage.want(2)
    wait_for("version 2 to be bound", lambda: stage.bound() == [1, 2], seconds=30)
    wait_for("a pod to fail", lambda: _restarts(stage) >= 1, seconds=60)
    operator.kill()
    # Unless it was so quick that it has gone back already, and those pods are gone.
    wait_for(
        "a pod to fail while nobody looks",
        lambda: _restarts(stage) >= 2 or stage.actions().count("RolledBack"),
        seconds=60,
    )
    operator.start()
    status = stage.live(1)
    assert [each["version"] for each in status["history"]] == [1, 2, 1]
    assert (status["setAside"]["version"], status["setAside"]["reason"]) == (2, "RolloutFailed")
    assert "the word is broken" in status["setAside"]["message"]
    assert stage.labelled() == ["words.v1"]
    assert stage.actions().count("RolledBack") == 1
    assert stage.served("server") == {"1"}


def _restarts(stage: Stage) -> int:
    """Return how often a container of version 2 was restarted. A pod of version 1 may restart on a busy machine."""
    found = stage.objects.all("pods", "app=server")
    pods = [pod for pod in found if pod["metadata"].get("annotations", {}).get("assay.dev/served-version") == "2"]
    return max(
        (state["restartCount"] for pod in pods for state in pod["status"].get("containerStatuses", [])), default=0
    )


def test_binding_waits_for_the_store(stage: Stage, installed: LocalCluster) -> None:
    stage.register("hello")
    stage.serve("server")
    stage.want(1)
    stage.objects.wait_phase("alias", "words.live", "Held")
    with _without_store(installed):
        stage.approve(1)
        seen_until = time.monotonic() + 5
        wait_for("five seconds", lambda: _unbound(stage) and time.monotonic() > seen_until, seconds=30)
    status = stage.live(1)
    assert status["bindings"] == 1
    assert stage.bound() == [1]


def _unbound(stage: Stage) -> bool:
    status = stage.realm.get("alias", "words.live")["status"]
    assert "boundVersion" not in status, "what is not in the audit trail was reported as bound"
    return True


# What follows an alias


def test_two_followers_go_back_when_one_fails(stage: Stage) -> None:
    stage.register("hello", "goodbye")
    stage.serve("steady")
    stage.serve("picky", fails_with=2)
    stage.approve(1)
    stage.approve(2)
    stage.want(1)
    assert len(stage.live(1)["serving"]) == 2
    stage.want(2)
    status = stage.objects.wait(
        "alias", "words.live", "set aside", lambda o: o.get("status", {}).get("setAside"), seconds=120
    )["status"]
    assert "Deployment picky" in status["setAside"]["message"]
    status = stage.live(1)
    assert status["phase"] == "Degraded"
    assert stage.served("steady") == stage.served("picky") == {"1"}


def test_a_new_workload_that_does_not_start_rolls_nothing_back(stage: Stage) -> None:
    stage.register("hello", "goodbye")
    stage.serve("steady")
    stage.approve(1)
    stage.approve(2)
    stage.want(1)
    stage.live(1)
    stage.want(2)
    stage.live(2)
    # Whoever may make Deployments cannot roll anybody's alias back with one that never ran.
    stage.serve("newcomer", fails_with=2)
    found = stage.objects.wait(
        "alias",
        "words.live",
        "the newcomer to be named",
        lambda o: "newcomer" in o["status"].get("message", "") and "the word is goodbye" in o["status"]["message"],
        seconds=120,
    )
    assert (found["status"]["boundVersion"], found["status"]["bindings"]) == (2, 2)
    assert "setAside" not in found["status"]
    assert stage.served("steady") == {"2"}


def test_an_alias_rolls_back_to_the_last_version_that_served(stage: Stage) -> None:
    stage.register("hello", "broken", "broken")
    stage.serve("server")
    stage.approve(1)
    stage.approve(2)
    stage.approve(3)
    stage.want(1)
    stage.live(1)
    stage.want(2)
    wait_for("version 2 to be bound", lambda: stage.bound() == [1, 2], seconds=30)
    stage.want(3)
    wait_for("version 3 to be bound", lambda: stage.bound() == [1, 2, 3], seconds=30)
    status = stage.live(1, seconds=120)
    assert status["setAside"]["version"] == 3
    assert stage.served("server") == {"1"}


def test_a_deployment_that_stops_following_is_cleaned(stage: Stage) -> None:
    stage.register("hello")
    stage.approve(1)
    stage.want(1)
    stage.serve("server")
    stage.live(1)
    stage.objects.kubectl("annotate", "deploy", "server", "assay.dev/serve-")
    found = stage.objects.wait(
        "deploy",
        "server",
        "nothing of ours in it",
        lambda o: "initContainers" not in o["spec"]["template"]["spec"],
        seconds=30,
    )
    template = found["spec"]["template"]
    assert not [word for word in ("assay.dev/", "assay-fetch", "assay-model") if word in json.dumps(template)]
    names = [each["name"] for each in template["spec"]["containers"][0]["env"]]
    assert names == ["FAILS_WITH"]
    found = stage.objects.wait("alias", "words.live", "no follower", lambda o: not o["status"].get("serving"))
    assert condition(found, "Ready")["reason"] == "NothingFollows"


def test_a_stateful_set_follows_and_is_rolled_back(stage: Stage) -> None:
    stage.register("hello", "goodbye", "broken")
    for version in (1, 2, 3):
        stage.approve(version)
    stage.want(1)
    stage.objects.wait_phase("alias", "words.live", "Bound")
    stage.serve("server", kind="StatefulSet", replicas=2)
    status = stage.live(1)
    assert [(each["kind"], each["name"]) for each in status["serving"]] == [("StatefulSet", "server")]
    stage.want(2)
    stage.live(2)
    assert stage.served("server") == {"2"}
    stage.want(3)
    status = stage.objects.wait("alias", "words.live", "set aside", lambda o: o["status"].get("setAside"), seconds=120)[
        "status"
    ]
    assert (status["setAside"]["version"], status["boundVersion"]) == (3, 2)
    assert "the word is broken" in status["setAside"]["message"]
    stage.live(2)
    assert stage.served("server") == {"2"}
