"""Each row of docs/evidence.yaml, tried as each person: only those may write a field who are in its row."""

import json
from collections.abc import Callable

import pytest

from assay.api.experiment import ExperimentSpec
from assay.planning.search.belonging import run_body
from tests import evidence, registry
from tests.attackers import (
    ADMIN,
    APPROVER,
    ARGO_CD,
    EDITOR,
    INSIDER,
    INTERN,
    OMNIPOTENT,
    PLATFORM,
    RELEASE_MANAGER,
    SCIENTIST,
    Realm,
)
from tests.registry import Raw

pytestmark = [pytest.mark.attacks, pytest.mark.integration]

PEOPLE = {
    **{user: user for user in (SCIENTIST, APPROVER, INSIDER, RELEASE_MANAGER, PLATFORM, INTERN)},
    **{user: user for user in (OMNIPOTENT, EDITOR, ADMIN, "almighty")},
    "argo-cd": ARGO_CD,
}
TRIED = [row for row in evidence.rows() if "try" in row]


def _run(realm: Realm) -> str:
    realm.created(SCIENTIST, registry.experiment("evidence-of"))
    experiment = realm.get("experiment", "evidence-of")
    made = run_body(experiment, ExperimentSpec.model_validate(experiment["spec"]), 0)
    realm.created(registry.OPERATOR, made)
    return "run/evidence-of-0"


def _experiment(realm: Realm) -> str:
    realm.created(SCIENTIST, registry.experiment("evidence"))
    return "experiment/evidence"


def _policy(realm: Realm) -> str:
    policy = {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "PromotionPolicy",
        "metadata": {"name": "evidence"},
        "spec": {},
    }
    realm.admin("create", "--filename=-", stdin=policy)
    return "promotionpolicy/evidence"


def _secret(realm: Realm) -> str:
    name = "assay-run-evidence"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    realm.created(registry.OPERATOR, secret)
    return f"secret/{name}"


#: An object of each kind, as its author has made it.
MADE: dict[str, Callable[[Realm], str]] = {
    "Job": lambda realm: realm.launched("evidence-job") and "job/evidence-job",
    "Pod": lambda realm: f"pod/{realm.training_pod('evidence-pod')}",
    "Run": _run,
    "Experiment": _experiment,
    "ModelVersion": lambda realm: f"mv/{realm.version('evidence')}",
    "ModelAlias": lambda realm: f"alias/{realm.alias('evidence', history=(1, 2))}",
    "PromotionPolicy": _policy,
    "Deployment": lambda realm: realm.served("evidence"),
    "Secret": _secret,
}


@pytest.fixture(scope="module")
def objects(realm: Realm) -> dict[str, str]:
    """One object of each kind."""
    return {kind: make(realm) for kind, make in MADE.items()}


@pytest.mark.parametrize("row", TRIED, ids=[f"{row['kind']} {row['fields'][0]}" for row in TRIED])
def test_only_the_listed_writers_can_write_a_field(realm: Realm, objects: dict[str, str], row: Raw) -> None:
    kind_and_name = objects[row["kind"]]
    how = [f"--subresource={row['to']}"] if "to" in row else []
    patch = ("--type=strategic" if row["kind"] in ("Pod", "Deployment") else "--type=merge", json.dumps(row["try"]))
    argv = ("patch", kind_and_name, *how, patch[0], f"--patch={patch[1]}", "--dry-run=server")
    done = {person for person, user in PEOPLE.items() if realm.act(user, *argv).done}
    assert done == set(row.get("may", ())), f"{row['writers']}; kept by {row['kept']}"
