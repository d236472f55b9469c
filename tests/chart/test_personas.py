"""The table of docs/personas.md, asked of a real API server cell by cell, with the roles that Helm renders."""

import json
import re
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from assay.api import names
from assay.api.crd import KINDS
from tests.chart.test_chart import TRYING_OUT, named, rendered
from tests.cluster.local import LocalCluster
from tests.cluster.paths import CHECKOUT
from tests.cluster.waiting import wait_for

pytestmark = [pytest.mark.chart, pytest.mark.integration]

Raw = dict[str, Any]
DOCS = Path(__file__).resolve().parents[2] / "docs/personas.md"
KUBERNETES = ("view", "edit", "admin")
DECIDING = (
    ("aliases", "approve"),
    ("aliases", "revoke"),
    ("aliases", "bind"),
    ("aliases", "rollback"),
    ("models", "archive"),
    ("users", "delegate"),
    ("namespaces", "configure"),
)
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
# Of others, as far as it matters to us.
OTHERS = {"jobs.batch", "pods/log", "deployments.apps", "secrets", "secrets `assay-read`"}


class Cell(NamedTuple):
    """One cell of the table."""

    persona: str
    resource: str
    verb: str
    allowed: bool


def table() -> list[Cell]:
    lines = [line.strip("|").split("|") for line in DOCS.read_text().splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines if len(line) > 3]
    (_, _, *personas), _, *rest = rows
    found = []
    for resources, verbs, *answers in rest:
        for resource, verb in product(re.sub(r" \(.*?\)", "", resources).split(", "), verbs.split(", ")):
            assert set(answers) <= {"yes", "no"}, resources
            found += [Cell(who, resource, verb, said == "yes") for who, said in zip(personas, answers, strict=True)]
    return found


def role_of(persona: str) -> str:
    return persona if persona in KUBERNETES else f"assay-{persona}"


@pytest.fixture(scope="module")
def personas(control_plane: LocalCluster) -> Iterator[LocalCluster]:
    """A namespace in which a user of each persona's name holds its role, and nothing else."""
    roles = list(named(rendered(TRYING_OUT), "ClusterRole").values())
    # The operator's own roles and those of everybody are there for other tests, and stay.
    ours = [role for role in roles if role["metadata"]["name"] not in _installed()]
    kubectl = control_plane.kubectl
    listed = {"apiVersion": "v1", "kind": "List", "items": ours}
    kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(listed))
    control_plane.create_namespace("personas")
    for persona in {cell.persona for cell in table()}:
        argv = (f"--clusterrole={role_of(persona)}", f"--user={persona}", "--namespace=personas")
        kubectl("create", "rolebinding", persona, *argv)
    wait_for("the roles to be aggregated", partial(_aggregated, control_plane), seconds=30)
    yield control_plane
    control_plane.delete_namespace("personas")
    kubectl("delete", "clusterrole", *[role["metadata"]["name"] for role in ours])


def _installed() -> set[str]:
    """Return the names of the objects that every cluster with the operator's RBAC has."""
    files = (CHECKOUT / "charts/assay/rbac").glob("*.yaml")
    return {each["metadata"]["name"] for file in files for each in yaml.safe_load_all(file.read_text())}


def _aggregated(cluster: LocalCluster) -> bool:
    """Whether view, edit and admin have all that they get: edit from view, admin from edit."""
    last = [(who, "runs", "get") for who in KUBERNETES] + [("edit", "runs", "create"), ("admin", "runs", "create")]
    return all(answers(cluster, [Question(*each) for each in [*last, ("admin", "promotionpolicies", "create")]]))


class Question(NamedTuple):
    """Whether a user may do something. ``name`` is the object's, or what stands for one."""

    user: str
    resource: str
    verb: str
    name: str = "champion"

    def review(self) -> Raw:
        """The question as admission's authorizer asks it, too."""
        found, _, name = self.resource.partition(" ")
        found, _, subresource = found.partition("/")
        found, _, group = found.partition(".")
        if not group and self.resource not in OTHERS:
            group = names.GROUP
        attributes = {"namespace": "personas", "group": group, "resource": found, "subresource": subresource}
        attributes |= {"verb": self.verb, "name": name.strip("`") or self.name}
        spec = {"user": self.user, "resourceAttributes": attributes}
        return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def answers(cluster: LocalCluster, questions: list[Question]) -> list[bool]:
    """What the API server says to each, asked by one call of kubectl."""
    asked = {"apiVersion": "v1", "kind": "List", "items": [each.review() for each in questions]}
    said = cluster.kubectl("create", "--output=json", "--filename=-", stdin=json.dumps(asked))
    found = [json.loads(text) for text in re.split(r"(?m)^(?=\{)", said) if text.strip()]
    assert len(found) == len(questions)
    return [bool(each["status"]["allowed"]) for each in found]


def allowed(cluster: LocalCluster, *question: str) -> bool:
    return answers(cluster, [Question(*question)])[0]


def test_the_table_covers_all_kinds_and_verbs() -> None:
    wanted = {(kind.plural, verb) for kind, verb in product(KINDS, VERBS)}
    wanted |= {(f"{kind.plural}/status", verb) for kind, verb in product(KINDS, ("update", "patch"))}
    cells = [(cell.resource, cell.verb) for cell in table() if cell.resource not in OTHERS]
    assert set(cells) == wanted | set(DECIDING)
    personas = {role_of(cell.persona) for cell in table()}
    roles = {name for name in named(rendered(TRYING_OUT), "ClusterRole") if not name.startswith("assay-operator")}
    no_personas = {
        "assay-view",
        "assay-edit",
        "assay-admin",
        "assay-node-stats",
        "assay-metrics-reader",
        "assay-discovery",
    }
    assert personas == (roles - no_personas) | set(KUBERNETES)
    assert len(cells) == len(set(cells)) * len(personas), "each is asked once"


def test_every_cell_matches_the_api_server(personas: LocalCluster) -> None:
    cells = table()
    said = answers(personas, [Question(cell.persona, cell.resource, cell.verb) for cell in cells])
    wrong = [cell for cell, answer in zip(cells, said, strict=True) if cell.allowed is not answer]
    assert wrong == []


@pytest.mark.parametrize("persona", KUBERNETES)
def test_built_in_kubernetes_roles_grant_no_release_verbs(personas: LocalCluster, persona: str) -> None:
    whom = ("", "champion", "digits.champion", "dora", "personas")
    questions = [Question(persona, *deciding, name) for deciding, name in product(DECIDING, whom)]
    may = [each for each, answer in zip(questions, answers(personas, questions), strict=True) if answer]
    assert may == []


def test_a_role_for_one_alias_reaches_no_other(personas: LocalCluster) -> None:
    (role,) = [each for each in _examples() if each["kind"] == "Role"]
    role["metadata"]["namespace"] = "personas"
    personas.kubectl("apply", "--filename=-", stdin=json.dumps(role))
    personas.kubectl(
        "create", "rolebinding", "narrow", f"--role={role['metadata']['name']}", "--user=nora", "--namespace=personas"
    )
    ask = partial(allowed, personas, "nora", "aliases")
    wait_for("the binding to be known", lambda: ask("approve", "staging"), seconds=10)
    assert ask("bind", "staging")
    assert ask("bind", "digits.champion")
    assert not ask("approve", "digits.champion")
    assert not ask("bind", "champion")
    assert not ask("bind", "other.champion")


def test_the_access_review_in_the_docs_works(personas: LocalCluster) -> None:
    command = re.search(r"^kubectl (create --output.*?) <<END\n(.*?)^END$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert command is not None
    argv, review = command[1].split(), command[2]
    ours = review.replace("namespace: team", "namespace: personas")
    assert personas.kubectl(*argv, stdin=ours.replace("user: rita", "user: approver")).strip() == "true"
    assert personas.kubectl(*argv, stdin=ours).strip() in ("false", "")


def _examples() -> list[Raw]:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]
