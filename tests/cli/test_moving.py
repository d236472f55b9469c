"""Promotions and rollbacks with a running operator: predicted, requested, and awaited until they are served."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from assay.api.names import LABEL_BOUND as BOUND
from tests import operators, registry
from tests.attackers import PERSONAS
from tests.cli.conftest import Answer
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.integration.test_registry import Models, open_policy, person

pytestmark = pytest.mark.integration

Assay = Callable[..., Answer]
Raw = dict[str, Any]
WALTER = person("walter")


@pytest.fixture(scope="module")
def operator(governed: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[operators.OperatorProcess]:
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    with operators.OperatorProcess(governed, log) as process:
        yield process


@pytest.fixture
def models(governed: LocalCluster, operator: operators.OperatorProcess, namespace: str) -> Models:
    """Two versions of digits, and a policy that asks for nothing but a better metric."""
    assert operator.running, operator.tail()
    models = Models(governed, namespace)
    models.store.ensure_bucket()
    expression = "current == null || candidate.metrics.f1.last >= current.metrics.f1.last"
    models.apply(open_policy(gates=[{"name": "better", "expression": expression}]))
    for version, value in ((1, 0.8), (2, 0.9)):
        models.registered("digits", version, b"v%d" % version, provenance={"metrics": {"f1": {"last": value}}})
    return models


def moves(models: Models) -> list[tuple[int, str]]:
    """Return what the alias has pointed to, and who moved it."""
    history = models.get("modelalias", "digits.champion")["status"]["history"]
    return [(each["version"], each["actor"]) for each in history]


def test_an_alias_is_created_moved_and_rolled_back(assay: Assay, models: Models) -> None:
    first = assay("promote", "digits", "champion", "1", "-m", "first", *WALTER)
    assert first.lines[0] == "digits.champion: nothing is bound, v1 meets all requirements"
    assert first.lines[-1] == "digits.champion: v1 is live; no workload follows the alias"
    second = assay("promote", "digits", "champion", "v2", *person("ben"), "-o", "json").json()
    assert (second["before"], second["version"], second["outcome"]) == (1, 2, "bound")
    found = models.get("modelalias", "digits.champion")
    assert found["metadata"]["annotations"]["assay.dev/moved-by"] == "ben"
    assert "reason" not in found["spec"]
    assert "already points to v2" in assay("promote", "digits", "champion", "2", *WALTER).err
    back = assay("rollback", "digits", "champion", "-m", "latency", *WALTER)
    assert back.lines == [
        "digits.champion: v1 replaces v2; no approval is needed",
        "digits.champion: v1 is live; no workload follows the alias",
    ]
    assert moves(models) == [(1, "walter"), (2, "ben"), (1, "walter")]
    assert models.get("modelalias", "digits.champion")["status"]["history"][-1]["reason"] == "latency"
    why = assay("why", "digits.champion")
    assert why.code == 6
    assert "v1 is live, v2 was set aside: rolled back from v2 to v1 by walter: latency" in why.out
    again = assay("promote", "digits", "champion", "2", *WALTER)
    assert again.lines[-1] == "digits.champion: v2 is live; no workload follows the alias"
    assert "tried again" in models.get("modelalias", "digits.champion")["status"]["history"][-1]["reason"]


def test_a_version_with_unmet_requirements_is_blocked_with_exit_code_6(assay: Assay, models: Models) -> None:
    assert assay("promote", "digits", "champion", "2", *WALTER).code == 0
    dry = assay("promote", "digits", "champion", "1", "--dry-run", *WALTER)
    assert dry.code == 6
    assert "v2 is live, v1 will be blocked until it meets all requirements" in dry.out
    assert "candidate.metrics.f1.last is 0.8, current.metrics.f1.last is 0.9" in dry.out
    assert models.get("modelalias", "digits.champion")["spec"]["version"] == 2
    held = assay("promote", "digits", "champion", "1", "--timeout", "3s", *WALTER)
    assert held.code == 6
    assert held.out.splitlines()[-1].startswith("digits.champion: v1 is blocked: open: gate better is not met")
    assert "stopped waiting" in held.out
    assert "digits.champion: v1 is blocked" in held.err
    models.kubectl("delete", "promotionpolicy", "open")
    models.apply(open_policy("lenient"))
    models.bound("digits.champion", 1)


def test_a_promotion_waits_until_it_is_served(assay: Assay, models: Models) -> None:
    served = registry.deployment("digits", annotations={"assay.dev/serve": "digits.champion"})
    models.apply(served)
    done = assay("promote", "digits", "champion", "1", *WALTER)
    assert "digits.champion: v1 is live, served by Deployment digits" in done.lines
    assert done.lines[-1].split() == ["Deployment", "digits", "v1", "yes", "-"]
    served["spec"]["replicas"] = 1
    served["spec"]["template"]["spec"]["nodeSelector"] = {"there": "is-none"}
    models.apply(served)
    waits = assay("promote", "digits", "champion", "2", "--timeout", "20s", *WALTER)
    assert waits.code == 1
    assert "v2 is live, 0 of 1 workloads ready; Deployment digits: 0 of 1 pods ready" in waits.out


def test_without_wait_the_operator_moves_the_alias_later(assay: Assay, models: Models) -> None:
    asked = assay("promote", "digits", "champion", "1", "--no-wait", *WALTER)
    assert asked.lines[-1] == "digits.champion: v1 was requested"
    models.bound("digits.champion", 1)


def test_an_operator_that_does_not_react_is_reported(
    assay: Assay, models: Models, operator: operators.OperatorProcess
) -> None:
    operator.kill()
    try:
        answer = assay("promote", "digits", "champion", "1", "--timeout", "12s", *WALTER)
        assert answer.code == 1
        assert "waiting for the operator" in answer.out
        assert "is it running?" in answer.err
        assert "The operator has not evaluated this yet" in assay("why", "digits.champion").out
    finally:
        operator.start().wait_ready()
    models.bound("digits.champion", 1)


def test_an_impossible_rollback_is_refused_before_it_is_requested(assay: Assay, models: Models) -> None:
    assert assay("rollback", "digits", "champion", *WALTER).code == 3
    assert assay("promote", "digits", "champion", "1", *WALTER).code == 0
    assert "has no earlier version" in assay("rollback", "digits", "champion", *WALTER).err
    answer = assay("rollback", "digits", "champion", "2", *WALTER)
    assert answer.code == 6
    assert "digits.v2 has never been live in champion, so this is not a rollback" in answer.err
    assert "versions that were live: v1" in answer.err


def test_the_operators_reason_for_refusing_a_rollback_is_shown(
    assay: Assay, models: Models, operator: operators.OperatorProcess
) -> None:
    for version in ("1", "2"):
        assert assay("promote", "digits", "champion", version, *WALTER).code == 0
    models.wait("modelversion", "digits.v1", "no label", lambda o: BOUND not in o["metadata"].get("labels", {}))
    operator.kill()
    try:
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(assay, "rollback", "digits", "champion", "--timeout", "60s", *WALTER)
            asked = lambda found: "assay.dev/rollback-requested" in found["metadata"]["annotations"]  # noqa: E731
            models.alias("digits.champion", "asked", asked)
            with registry.without_policy(models.cluster, "assay-versions"):  # it keeps the way back
                models.kubectl("delete", "modelversion", "digits.v1")
            operator.start().wait_ready()
            answer = asking.result()
    finally:
        if not operator.running:
            operator.start().wait_ready()
    assert answer.code == 1
    assert answer.out.splitlines()[-1] == "digits.champion: there is no digits.v1"


def test_missing_rights_are_reported_before_anything_is_written(assay: Assay, models: Models) -> None:
    models.kubectl("apply", "--server-side", "--filename", str(PERSONAS))
    wait_for(
        "the roles to be in force",
        lambda: "yes" in models.kubectl("auth", "can-i", "delete", "runs.assay.dev", "--as=almighty"),
        seconds=30,
    )
    refused = assay("promote", "digits", "champion", "1", "--as=dora")
    assert refused.code == 4
    assert "dora may not bind for champion" in refused.err
    # Where nobody but the namespace's keeper may read it, the default is taken to be closed.
    held = assay("promote", "digits", "staging", "1", "--dry-run", "--as=dora", "-o", "json")
    assert json.loads(held.out)["allowed"] is True, held.err
    models.kubectl("delete", "promotionpolicy", "open")
    held = assay("promote", "digits", "staging", "1", "--dry-run", "--as=dora")
    assert held.code == 6
    assert "needs 1 more approval for staging" in held.out
    assert "you may not read the namespace" in held.err
    assert not models.all("modelalias")


def test_invalid_arguments_move_nothing(assay: Assay, models: Models) -> None:
    assert assay("promote", "digits", "champion", "letters.v1", *WALTER).code == 2
    assert assay("promote", "digits", "v7", "1", *WALTER).code == 2
    assert "did you mean digits.v" in assay("promote", "digits", "champion", "7", *WALTER).err
    assert assay("promote", "digits", "champion", "1", "--timeout", "soon", *WALTER).code == 2
    assert assay("promote", "digits", "champion", "1", "--dry-run", *WALTER).code == 0
    assert not models.all("modelalias")
