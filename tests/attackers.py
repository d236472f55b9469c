"""A namespace full of people for the attack tests, and the attack table that they are held to.

What an attacker sees stands in docs/security.md and nowhere else: a test reads it there.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.planning.runs.job import JobSettings, build_job
from tests import registry
from tests.cluster import calls
from tests.cluster.calls import Who
from tests.cluster.errors import ClusterError
from tests.cluster.waiting import wait_for
from tests.registry import Cluster, Raw, digest

SECURITY = Path(__file__).resolve().parent.parent / "docs/security.md"
PERSONAS = Path(__file__).resolve().parent / "attacks/personas.yaml"

# Who is who; what they may do is in personas.yaml.
SCIENTIST = "dora"
APPROVER, SECOND_APPROVER = "rita", "rolf"
INSIDER = "mallory"
RELEASE_MANAGER = "walter"
ARGO_CD = "system:serviceaccount:argocd:argocd-application-controller"
PLATFORM = "paula"
INTERN = "nick"
#: Every right in the namespace, and the roles that Kubernetes comes with.
OMNIPOTENT, EDITOR, ADMIN = "olga", "edith", "adam"
JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"

MOVED_BY = "assay.dev/moved-by"


@dataclass(frozen=True)
class Outcome:
    """What became of a call, what the caller was told, and the object if it is that."""

    done: bool
    said: str
    found: Raw = field(default_factory=dict)


@dataclass(frozen=True)
class Realm:
    """The attack tests' namespace, and one beside it. Tests keep apart by the names of their models."""

    cluster: Cluster
    namespace: str
    other: str

    def admin(self, *argv: str, stdin: Raw | None = None) -> str:
        """Call kubectl as the administrator, for what a test takes as given."""
        text = None if stdin is None else json.dumps(registry.owned(self.cluster, stdin, argv))
        return self.cluster.kubectl(f"--namespace={self.namespace}", *argv, stdin=text)

    def act(self, user: str, *argv: str, stdin: Raw | None = None) -> Outcome:
        """Call kubectl as a user."""
        return _outcome(lambda: self.admin(f"--as={user}", *argv, stdin=stdin))

    def must(self, user: str, *argv: str, stdin: Raw | None = None) -> str:
        """Do what the user may do."""
        outcome = self.act(user, *argv, stdin=stdin)
        assert outcome.done, f"{user} could not {' '.join(argv)}: {outcome.said}"
        return outcome.said

    def create(self, user: str, manifest: Raw) -> Outcome:
        """Create an object as a user."""
        wanted = registry.owned(self.cluster, manifest, Who(user).flags)
        return _outcome(lambda: calls.create(self.cluster, self.namespace, wanted, who=Who(user)))

    def created(self, user: str, manifest: Raw) -> Raw:
        """Create an object that the user may create, and return it."""
        return _must(self.create(user, manifest))

    def apply(self, user: str, manifest: Raw, manager: str = "kubectl") -> Outcome:
        """Apply an object on the server's side, as a user who insists."""
        wanted = registry.owned(self.cluster, manifest, Who(user).flags)
        return _outcome(lambda: calls.apply(self.cluster, self.namespace, wanted, who=Who(user), manager=manager))

    def merge(self, user: str, kind: str, name: str, patch: Raw, *, status: bool = False) -> Outcome:
        """Send a merge patch as a user, perhaps of the status."""
        where = (self.cluster, self.namespace, kind, name)
        return _outcome(lambda: calls.patch(*where, patch, who=Who(user), status=status))

    def json_patch(self, user: str, kind: str, name: str, *operations: Raw) -> Outcome:
        """Send a JSON patch as a user."""
        where = (self.cluster, self.namespace, kind, name)
        return _outcome(lambda: calls.patch(*where, list(operations), who=Who(user)))

    def annotate(self, user: str, kind: str, name: str, key: str, value: str | None) -> Outcome:
        """Set or (None) take away one annotation as a user."""
        return self.merge(user, kind, name, {"metadata": {"annotations": {key: value}}})

    def approve(self, user: str, name: str, alias: str = "champion", *, id: str = "1", value: str = "") -> Outcome:  # noqa: A002
        """Approve as a user; ``value`` is what an honest approver would write, unless it is given."""
        honest = value or f"{self.get('mv', name)['spec']['artifact']['digest']} {user}"
        return self.annotate(user, "mv", name, f"{alias}.approval.assay.dev/{id}", honest)

    def get(self, kind: str, name: str) -> Raw:
        """Return an object as it is stored; {} when there is none."""
        return calls.one(self.cluster, self.namespace, kind, name)

    def approvals(self, name: str) -> dict[str, str]:
        """Return the approvals of a version, by the annotation's name."""
        annotations = self.get("mv", name)["metadata"].get("annotations", {})
        return {key: value for key, value in annotations.items() if "approval.assay.dev" in key}

    # What tests begin with

    def version(self, model: str, number: int = 1, *, bound: bool = False, **spec: Any) -> str:
        """Have the scientist register a version; ``bound``: an alias points to it, says the operator."""
        manifest = registry.model_version(model, number, namespace=self.namespace, **spec)
        name = str(self.created(SCIENTIST, manifest)["metadata"]["name"])
        if bound:
            _must(self.merge(registry.OPERATOR, "mv", name, {"metadata": {"labels": {"assay.dev/bound": "true"}}}))
        return name

    def alias(self, model: str, alias: str = "champion", number: int = 1, history: tuple[int, ...] = ()) -> str:
        """Have Argo CD create an alias that has pointed to the versions of ``history``, says the operator."""
        manifest = registry.model_alias(model, alias, number)
        name = str(self.created(ARGO_CD, manifest)["metadata"]["name"])
        if history:
            bindings = [{"version": held, "from": "2026-01-02T03:04:05Z"} for held in history]
            _must(self.merge(registry.OPERATOR, "alias", name, {"status": {"history": bindings}}, status=True))
        return name

    def launched(self, name: str) -> tuple[Raw, Raw]:
        """Have the scientist create a Run, and the operator its Job, which is suspended; return both."""
        run, wanted = self._launch(name)
        wanted["spec"]["suspend"] = True
        return run, self.created(registry.OPERATOR, wanted)

    def training_pod(self, name: str) -> str:
        """Have the scientist create a Run, and the operator its Job; return its pod's name. No node takes it."""
        run, wanted = self._launch(name)
        wanted["spec"]["template"]["spec"]["schedulerName"] = "nobody"
        self.created(registry.OPERATOR, wanted)
        selector = f"assay.dev/run-uid={run['metadata']['uid']}"

        def pod() -> str:
            found = calls.many(self.cluster, self.namespace, "pods", selector)
            return str(found[0]["metadata"]["name"]) if found else ""

        return wait_for(f"the pod of the run {name}", pod, seconds=30)

    def _launch(self, name: str) -> tuple[Raw, Raw]:
        run = self.created(SCIENTIST, registry.run(name))
        return run, build_job(run, f"runs/{self.namespace}/_/{name}/u", JobSettings("assay"))

    def served(self, name: str, kind: str = "Deployment") -> str:
        """Have the scientist make a workload that follows an alias, with what the operator sets in it."""
        kind_and_name = f"{kind.lower()}/{name}"
        annotations = {"assay.dev/serve": "digits.champion"}
        self.created(SCIENTIST, registry.deployment(name, kind=kind, annotations=annotations))
        mount = {"name": "assay-model", "mountPath": "/models"}
        patch = {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": name, "annotations": {"assay.dev/served-version": "1"}},
            "spec": {
                "template": {
                    "metadata": {"annotations": {"assay.dev/served-version": "1", "assay.dev/served-digest": digest()}},
                    "spec": {
                        "initContainers": [{"name": "assay-fetch-model", "image": "assay", "volumeMounts": [mount]}],
                        "containers": [
                            {
                                "name": "server",
                                "env": [{"name": "MODEL_PATH", "value": "/models"}],
                                "volumeMounts": [mount | {"readOnly": True}],
                            }
                        ],
                        "volumes": [{"name": "assay-model", "emptyDir": {}}],
                    },
                }
            },
        }
        _must(self.apply(registry.OPERATOR, patch, "assay-operator"))
        return kind_and_name


def _outcome(call: Callable[[], str | Raw]) -> Outcome:
    """Make a call, again while a controller is faster: then nothing was decided."""
    outcome = _once(call)
    for _ in range(20):
        if "the object has been modified" not in outcome.said:
            break
        outcome = _once(call)
    return outcome


def _once(call: Callable[[], str | Raw]) -> Outcome:
    try:
        answer = call()
    except ClusterError as error:
        # What is said without the command line is what the API server has said.
        return Outcome(False, re.sub(r"^`.*?` failed with exit code \d+: ", "", str(error), flags=re.DOTALL))
    return Outcome(True, answer) if isinstance(answer, str) else Outcome(True, json.dumps(answer), answer)


def _must(outcome: Outcome) -> Raw:
    """Return the object of a call that succeeded."""
    assert outcome.done, outcome.said
    return outcome.found


def mover(realm: Realm, alias: str) -> str | None:
    """Return who has written the alias's spec as it is, if anything is said of it."""
    name: str | None = realm.get("alias", alias)["metadata"].get("annotations", {}).get(MOVED_BY)
    return name


def filled_in(realm: Realm, user: str) -> str | None:
    """Return what the API server says of an alias that the user has moved: nothing where it fills in no names."""
    return user if registry.stamps(realm.cluster) else None


def table() -> dict[str, str]:
    """Return the attack table of docs/security.md: what the attacker sees, by id of the row."""
    rows = re.findall(r"^\| ([A-Z]\d\d) \|(.*)\|$", SECURITY.read_text(), re.MULTILINE)
    return {row: cells.split(" | ")[-1].strip() for row, cells in rows}


def stopped(row: str, outcome: Outcome) -> None:
    """Hold an attack to the table: it was refused, and in the words of its row; `…` stands for anything."""
    assert not outcome.done, f"{row} was not stopped: {outcome.said}"
    quoted = table()[row].strip("`")
    pattern = ".*".join(re.escape(part) for part in quoted.split("…"))
    assert re.search(pattern, outcome.said, re.DOTALL), f"{row}: the table says {quoted!r}, the server {outcome.said!r}"
