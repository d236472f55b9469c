"""The registry on real pods, as examples/registry tells it: trained, approved, served, held, rolled back, tampered.

One story in one namespace: each step begins where the one before has ended, and runs the README's own commands where
it has some. Operator and admission policies are those that the chart installs, and nobody but the administrator of the
cluster may do everything.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import yaml

from assay.store import layout
from tests import registry
from tests.attackers import Realm
from tests.cluster.charting import Release
from tests.cluster.paths import CHECKOUT
from tests.cluster.waiting import wait_for
from tests.objects import Objects, condition, experiment, run

pytestmark = pytest.mark.e2e

EXAMPLE = CHECKOUT / "examples" / "registry"
ALIAS = "digits.champion"
SCIENTIST, APPROVER, MANAGER = "dora", "rita", "walter"
Raw = dict[str, Any]

_TRAIN = """
import joblib
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB
digits = load_digits()
(artifacts / 'model').mkdir()
joblib.dump(GaussianNB().fit(digits.data, digits.target), artifacts / 'model' / 'model.joblib')
"""
_GARBAGE = """
(artifacts / 'model').mkdir()
(artifacts / 'model' / 'model.joblib').write_bytes(b'these are no weights')
"""


@dataclass
class Story:
    """The namespace of the story, what has been noted on the way, and the first step that failed."""

    realm: Realm
    objects: Objects
    release: Release
    broken: str = ""
    times: dict[str, str] = field(default_factory=dict)
    _sections: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        text = (EXAMPLE / "README.md").read_text()
        self._sections = dict(re.findall(r"^## (.*?)\n.*?```sh\n(.*?)```", text, re.MULTILINE | re.DOTALL))

    @property
    def environment(self) -> dict[str, str]:
        """What somebody who follows the README has in their shell."""
        return {
            **os.environ,
            **self.objects.cluster.store.environment(),
            "KUBECONFIG": str(self.objects.cluster.kubeconfig.parent / f"story-{self.realm.namespace}"),
            "NAMESPACE": self.realm.namespace,
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "PYTHONPATH": str(CHECKOUT / "operator"),
        }

    def prepare_shell(self) -> None:
        """Set kubectl to the namespace, as the README asks for."""
        path = Path(self.environment["KUBECONFIG"])
        path.write_bytes(self.objects.cluster.kubeconfig.read_bytes())
        self.shell(f"kubectl config set-context --current --namespace={self.realm.namespace}")

    def follow(self, section: str) -> str:
        """Run the commands of a section of the README."""
        return self.shell(self._sections[section])

    def shell(self, script: str) -> str:
        """Run a script in the example's folder; return what it prints, and both outputs when it fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self.environment,
            cwd=EXAMPLE,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}{self.seen()}"
        return done.stdout

    def seen(self) -> str:
        """Return what there is in the namespace, for whoever has to find out why a step failed."""
        there = self.realm.admin("get", "exp,run,mv,alias,deploy,pods", "--output=wide")
        return f"\n{there}\nthe operator's log ends with:\n{self.release.log()}"

    def alias(self, what: str, holds: Callable[[Raw], Any], seconds: float = 60) -> Raw:
        """Wait until something holds of the alias's status; return the status."""
        found = self.objects.wait("alias", ALIAS, what, lambda o: "status" in o and holds(o["status"]), seconds)
        status: Raw = found["status"]
        return status

    def want(self, version: int, reason: str) -> int:
        """Have the release manager ask for a version; return the generation of the spec that asks for it."""
        outcome = self.realm.merge(MANAGER, "alias", ALIAS, {"spec": {"version": version, "reason": reason}})
        assert outcome.done, outcome.said
        generation: int = self.realm.get("alias", ALIAS)["metadata"]["generation"]
        return generation

    def approve(self, version: int) -> None:
        """Have the approver approve a version."""
        outcome = self.realm.approve(APPROVER, f"digits.v{version}")
        assert outcome.done, outcome.said

    def register(self, version: int, run_name: str) -> Raw:
        """Have the scientist register a run's model by a manifest; return the version when it is ready."""
        found = self.objects.wait_phase("run", run_name, "Succeeded", "Failed")
        assert found["status"]["phase"] == "Succeeded", found["status"]
        model = found["status"]["model"]
        manifest = {
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "ModelVersion",
            "metadata": {"name": f"digits.v{version}"},
            "spec": {
                "model": "digits",
                "version": version,
                "run": {"name": run_name, "uid": found["metadata"]["uid"]},
                "artifact": {"digest": model["digest"], "path": model["path"]},
            },
        }
        self.realm.must(SCIENTIST, "apply", "--filename=-", stdin=manifest)
        return self.ready(version)

    def ready(self, version: int) -> Raw:
        """Wait until a version is registered, and return it."""
        found = self.objects.wait_phase("mv", f"digits.v{version}", "Ready", "Failed", seconds=90)
        assert found["status"]["phase"] == "Ready", found["status"]
        return found

    def labels(self, version: int) -> dict[str, str]:
        """Return the labels of a version."""
        found: dict[str, str] = self.objects.get("mv", f"digits.v{version}")["metadata"].get("labels", {})
        return found

    def launch(self, manifest: Raw) -> None:
        """Have the scientist launch a training that the namespace's pod security lets through."""
        self.realm.must(SCIENTIST, "apply", "--filename=-", stdin=_restricted(manifest))

    def address(self) -> str:
        """Return where the Service of the server is reached."""
        return f"http://{self.realm.get('service', 'digits')['spec']['clusterIP']}"

    def pods(self) -> list[Raw]:
        """Return the server's pods that are not going."""
        found = self.objects.all("pods", "app=digits")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def audit(self, *argv: str) -> str:
        """Run `python -m assay.store.audit`."""
        return self.shell(f"python -m assay.store.audit {' '.join(argv)}")


def _restricted(manifest: Raw) -> Raw:
    """Return the manifest with what the standard `restricted` asks of pods, as experiment.yaml has it."""
    model = yaml.safe_load((EXAMPLE / "experiment.yaml").read_text())["spec"]["template"]["job"]["template"]["spec"]
    spec = manifest["spec"]
    pod = spec.get("template", spec)["job"]["template"]["spec"]
    pod["securityContext"] |= model["securityContext"]
    pod["containers"][0]["securityContext"] = model["containers"][0]["securityContext"]
    return manifest


class Client:
    """Asks a server for its version all the time, as long as the context lasts. Every answer is in `answers`."""

    def __init__(self, address: str) -> None:
        self.answers: list[str] = []
        self._address = address
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)

    def __enter__(self) -> "Client":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(30)

    def _ask_on(self) -> None:
        while not self._end.wait(0.1):
            try:
                self.answers.append(str(ask(self._address, "/version")["version"]))
            except OSError as error:
                self.answers.append(repr(error))


def ask(address: str, path: str, body: Raw | None = None) -> Raw:
    """Send a request to a server; return what it answers. Raises OSError."""
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address + path, data, timeout=5) as answer:
        found: Raw = json.loads(answer.read())
        assert answer.headers["X-Model-Version"].startswith("digits.v")
    return found


def now() -> str:
    """Return this moment as the audit trail writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def story(release: Release) -> Story:
    """Return the story's namespace, with pod security as strict as it gets."""
    cluster, name = release.cluster, "registry"
    cluster.create_namespace(name, {"pod-security.kubernetes.io/enforce": "restricted"})
    story = Story(Realm(cluster, name, ""), Objects(cluster, name), release)
    story.prepare_shell()
    return story


@pytest.fixture(autouse=True)
def step(request: pytest.FixtureRequest, story: Story) -> Iterator[None]:
    """Leave out the steps behind one that failed: there is nothing for them to begin with."""
    if story.broken:
        pytest.skip(f"{story.broken} has failed")
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        story.broken = request.node.name


# 1 to 3: the first version


def test_best_run_of_an_experiment_becomes_a_version(story: Story) -> None:
    story.follow("Rules")
    wait_for(
        "the roles to be in force",
        lambda: story.realm.act(MANAGER, "auth", "can-i", "patch", "modelaliases.assay.dev").done,
        seconds=30,
    )
    story.follow("Train")

    version = story.ready(1)
    best = story.objects.get("exp", "digits-boosting")["status"]["best"]["run"]
    trained = story.objects.get("run", best)
    spec, labels = version["spec"], version["metadata"]["labels"]
    assert spec["owner"] == SCIENTIST
    assert spec["run"] == {"name": best, "uid": trained["metadata"]["uid"], "experiment": "digits-boosting"}
    assert spec["artifact"]["digest"] == trained["status"]["model"]["digest"]
    assert spec["provenance"]["parameters"] == trained["spec"]["parameters"]
    accuracy = trained["status"]["metrics"]["val_accuracy"]
    assert spec["provenance"]["metrics"]["val_accuracy"]["last"] == accuracy["last"] >= 0.9
    images = {image["container"]: image for image in spec["provenance"]["images"]}
    assert "sha256:" in images["train"]["digest"], images
    assert (labels["assay.dev/model"], labels["assay.dev/run"]) == ("digits", best)
    assert "assay.dev/bound" not in labels
    assert "ownerReferences" not in version["metadata"]
    assert condition(version, "ArtifactVerified")["status"] == "True", version["status"]
    assert condition(version, "ProvenanceVerified")["status"] == "True", version["status"]
    assert story.objects.get("exp", "digits-boosting")["status"]["registered"] == "digits.v1"


def test_an_alias_waits_for_an_approval_and_reports_it(story: Story) -> None:
    refused = story.realm.act(SCIENTIST, "apply", f"--filename={EXAMPLE / 'alias.yaml'}")
    assert not refused.done
    assert f"{SCIENTIST} may not move {ALIAS}: this requires the verb bind" in refused.said

    told = story.follow("Request the version")
    missing = "needs 1 more approval for champion: has 0 of 1"
    assert "Held" in told
    assert missing in told

    status = story.alias("held", lambda s: s["phase"] == "Held")
    assert missing in [each["message"] for each in status["requirements"] if not each["met"]]
    assert condition({"status": status}, "Held")["status"] == "True"
    assert "boundVersion" not in status
    template = story.objects.get("deploy", "digits")["spec"]["template"]["spec"]
    assert "initContainers" not in template
    assert "env" not in template["containers"][0]
    assert "assay.dev/bound" not in story.labels(1)


def test_approved_version_is_bound_and_served(story: Story) -> None:
    answer = story.follow("Approve").splitlines()[-1]
    story.times["first"] = now()

    assert json.loads(answer) == {"model": "digits", "version": "1", "path": "/models/digits"}
    assert story.labels(1)["assay.dev/bound"]
    status = story.alias("serving", lambda s: s["serving"][0]["ready"])
    assert (status["phase"], status["boundVersion"]) == ("Bound", 1)
    assert [(each["kind"], each["name"], each["version"]) for each in status["serving"]] == [
        ("Deployment", "digits", 1)
    ]
    assert [(each["version"], each["actor"], each["reason"]) for each in status["history"]] == [
        (1, MANAGER, "the first one")
    ]
    assert ask(story.address(), "/predict", {"images": [[0.0] * 64]})["digits"]
    seen = {pod["metadata"]["annotations"]["assay.dev/served-digest"] for pod in story.pods()}
    assert seen == {status["boundDigest"]}


# 4 and 5: versions that do not make it


def test_a_worse_version_is_blocked_by_the_gate(story: Story) -> None:
    story.launch(run("broken", f"log(step=1, val_accuracy=0.98)\n{_GARBAGE}", model={"path": "model"}))
    story.launch(run("tampered", f"log(step=1, val_accuracy=0.99)\n{_TRAIN}", model={"path": "model"}))
    said = story.follow("Block a worse version").splitlines()[-1]

    old, new = (
        story.objects.get("mv", f"digits.v{number}")["spec"]["provenance"]["metrics"]["val_accuracy"]["last"]
        for number in (1, 2)
    )
    assert new < old
    assert "the accuracy must not drop" in said
    assert f"candidate.metrics.val_accuracy.last is {new:.6g}" in said
    assert f"current.metrics.val_accuracy.last is {old:.6g}" in said
    status = story.alias("held", lambda s: s["phase"] == "Held")
    assert status["boundVersion"] == 1
    assert {each["requirement"]: each["met"] for each in status["requirements"]}["approvals"]
    assert ask(story.address(), "/version")["version"] == "1"


def test_a_version_that_does_not_start_is_rolled_back_automatically(story: Story) -> None:
    version = story.register(3, "broken")
    assert version["spec"]["owner"] == SCIENTIST
    assert condition(version, "ProvenanceVerified")["status"] == "True", version["status"]
    story.approve(3)
    better = experiment(
        "better",
        f"log(step=1, val_accuracy=0.97)\n{_TRAIN}",
        objective={"metric": "val_accuracy", "direction": "maximize"},
        parameters=[{"name": "seed", "values": [1]}],
        register={"model": "digits"},
    )
    better["spec"]["template"]["model"] = {"path": "model"}
    story.launch(better)
    with Client(story.address()) as client:
        generation = story.want(3, "much better")
        story.alias("bound to 3", lambda s: s["boundVersion"] == 3)
        status = story.alias("taken back", lambda s: s["boundVersion"] == 1 and s["phase"] == "Degraded", seconds=120)
        story.alias("serving 1 again", lambda s: s["serving"][0]["ready"] and s["serving"][0]["version"] == 1)
    assert set(client.answers) == {"1"}, client.answers

    aside = status["setAside"]
    assert (aside["version"], aside["generation"], aside["reason"]) == (3, generation, "RolloutFailed")
    assert "model.joblib cannot be loaded" in aside["message"], "the pod's own words are missing"
    assert "digits-" in aside["message"], "the pod is not named"
    assert condition({"status": status}, "Degraded")["reason"] == "RolloutFailed"
    assert [each["version"] for each in status["history"]] == [1, 3, 1]
    assert "assay.dev/bound" not in story.labels(3)
    assert "assay.dev/bound" in story.labels(1)


# 6: rollback


def test_a_rollback_starts_pods_at_once_and_is_not_reverted(story: Story) -> None:
    story.ready(4)
    aside = story.alias("still set aside", lambda s: "setAside" in s)
    assert (aside["boundVersion"], aside["bindings"]) == (1, 3), "what failed was tried again"
    story.approve(4)
    generation = story.want(4, "the best so far")
    status = story.alias("serving 4", lambda s: s["boundVersion"] == 4 and s["serving"][0]["ready"], seconds=90)
    assert status["phase"] == "Bound"
    assert "setAside" not in status
    assert ask(story.address(), "/version")["version"] == "4"

    # Those that are going count as well: they have served version 1.
    before = {pod["metadata"]["uid"] for pod in story.objects.all("pods")}
    began = time.monotonic()
    with Client(story.address()) as client:
        story.follow("Roll back")
        wait_for("the first new pod", lambda: _new(story, before, "1"), seconds=30, every=0.02)
        seconds = time.monotonic() - began
        print(f"rollback_first_pod_seconds: {seconds:.2f}")
        status = story.alias("serving 1", lambda s: s["boundVersion"] == 1 and s["serving"][0]["ready"], seconds=90)
        wait_for("the server to answer with 1", lambda: client.answers[-3:] == ["1"] * 3, seconds=30)
    assert set(client.answers) <= {"1", "4"}, client.answers

    entry = status["history"][-1]
    assert (entry["version"], entry["actor"]) == (1, MANAGER)
    assert "latency" in entry["reason"]
    assert (status["setAside"]["version"], status["setAside"]["reason"]) == (4, "RolledBack")
    found = story.objects.wait(
        "alias",
        ALIAS,
        "the request to be cleared",
        lambda o: "assay.dev/rollback-requested" not in o["metadata"]["annotations"],
    )
    assert (found["spec"]["version"], found["metadata"]["generation"]) == (4, generation)
    assert found["status"]["boundVersion"] == 1


def _new(story: Story, before: set[str], version: str) -> bool:
    path = f"/api/v1/namespaces/{story.realm.namespace}/pods?labelSelector=app%3Ddigits"
    pods = story.objects.cluster.api.get(path)["items"]
    return any(
        pod["metadata"]["uid"] not in before
        and pod["metadata"]["annotations"].get("assay.dev/served-version") == version
        for pod in pods
    )


# 7: bytes that are not those that were approved


def test_tampered_bytes_are_never_served(story: Story) -> None:
    story.register(5, "tampered")
    prefix = layout.model_prefix(story.realm.namespace, "digits", 5)
    key = f"{prefix}/{layout.ARTIFACT}/model.joblib"
    bytes_ = story.objects.store.get_bytes(key, 10 << 20)
    story.approve(5)
    story.objects.store.put_bytes(key, bytes_[:-1] + bytes([bytes_[-1] ^ 1]))

    with Client(story.address()) as client:
        generation = story.want(5, "looks fine")
        status = story.alias("taken back", lambda s: s.get("setAside", {}).get("generation") == generation, seconds=120)
        status = story.alias("serving 1", lambda s: s["boundVersion"] == 1 and s["serving"][0]["ready"])
    assert set(client.answers) == {"1"}, client.answers
    assert status["phase"] == "Degraded"
    assert (status["setAside"]["version"], status["setAside"]["reason"]) == (5, "RolloutFailed")
    said = status["setAside"]["message"]
    assert "model.joblib" in said, said
    assert "sha256" in said, said


def test_metrics_claimed_by_a_manifest_do_not_pass_a_gate(story: Story) -> None:
    made = story.objects.get("run", "tampered")["status"]
    artifact = {"uri": f"{made['record']['artifacts']}{made['model']['path']}", "digest": made["model"]["digest"]}
    claimed = {"metrics": {"val_accuracy": {"last": 1.0}}}
    manifest = registry.model_version("digits", 6, namespace=story.realm.namespace, provenance=claimed)
    manifest["spec"]["artifact"] = artifact
    story.realm.must(SCIENTIST, "apply", "--filename=-", stdin=manifest)
    version = story.ready(6)
    assert condition(version, "ProvenanceVerified")["reason"] == "Claimed"
    story.approve(6)
    story.want(6, "perfect, it says")
    status = story.alias("held", lambda s: s["phase"] == "Held" and "claims" in s["message"])
    unmet = {each["requirement"] for each in status["requirements"] if not each["met"]}
    assert unmet == {"evidence/provenanceVerified"}
    assert status["boundVersion"] == 1


# 8: what stays


def test_deleting_experiments_leaves_versions_and_a_bound_one_stays(story: Story) -> None:
    refused = story.realm.act(SCIENTIST, "delete", "mv", "digits.v1")
    assert not refused.done
    assert "an alias points to this version (label assay.dev/bound); it cannot be deleted" in refused.said

    story.realm.must(SCIENTIST, "delete", "exp", "--all", "--timeout=60s")
    story.realm.must(SCIENTIST, "delete", "run", "--all", "--timeout=60s")
    wait_for("the runs to be gone", lambda: not story.objects.all("runs"), seconds=60)
    versions = {each["metadata"]["name"]: each["status"]["phase"] for each in story.objects.all("mv")}
    assert versions == {f"digits.v{number}": "Ready" for number in range(1, 7)}
    assert ask(story.address(), "/version")["version"] == "1"

    refused = story.realm.act(SCIENTIST, "delete", "mv", "digits.v3")
    assert "an alias can go back to this version (label assay.dev/rollback-target)" in refused.said
    story.realm.must(SCIENTIST, "delete", "mv", "digits.v6")
    status = story.alias("still serving 1", lambda s: s["boundVersion"] == 1)
    assert status["serving"][0]["ready"]


# 9: what is known of it afterwards


def test_the_trail_is_intact_and_shows_the_live_versions(story: Story, tmp_path: Path) -> None:
    name = story.realm.namespace
    records = [json.loads(line) for line in story.audit("list", name, "--json").splitlines()]
    heads = story.release.kubectl("get", "cm", "assay-audit-heads", "-ojson")
    head = wait_for("the head in the cluster", lambda: json.loads(heads)["data"][name], seconds=10)
    assert f"{name}: intact" in story.audit("verify", name, "--expect", head)

    moves = [record for record in records if record["action"] in ("AliasBound", "RolledBack")]
    assert [(record["action"], record["after"]["version"]) for record in moves] == [
        ("AliasBound", 1),
        ("AliasBound", 3),
        ("RolledBack", 1),
        ("AliasBound", 4),
        ("RolledBack", 1),
        ("AliasBound", 5),
        ("RolledBack", 1),
    ]
    assert [record["actor"] for record in moves if record["action"] == "AliasBound"] == [MANAGER] * 4
    assert moves[4]["actor"] == MANAGER
    assert "latency" in moves[4]["reason"]
    said = [record for record in records if record["action"] == "BindingRefused"]
    assert any("the accuracy must not drop" in record["reason"] for record in said), said

    found = json.loads(story.audit("at", name, ALIAS, story.times["first"], "--json"))
    assert (found["version"], found["by"], found["registered_by"]) == (1, MANAGER, SCIENTIST)
    assert [approval["approver"] for approval in found["approvals"]] == [APPROVER]
    assert found["registered"]["experiment"] == "digits-boosting"
    assert found["registered"]["parameters"] == {"learning_rate": 0.3}
    assert found["registered"]["metrics"]["val_accuracy"]["last"] >= 0.9
    assert "intact" in story.follow("Look back")
