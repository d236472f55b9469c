"""The cluster is lost: what a namespace had is shown, made again, and not made twice."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from assay.api import names
from assay.store.audit import AuditTrail
from assay.store.audit.sources import key
from tests import registry
from tests.cli import golden
from tests.cli.conftest import Answer
from tests.cli.told import Told
from tests.conftest import Cluster
from tests.integration.test_store_restore import Team

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Assay = Callable[..., Answer]
POLICY = {"match": {"aliases": ["champion"]}, "approvals": {"required": 2}}


@pytest.fixture
def told(governed: Cluster, namespace: str) -> Told:
    return Told(governed, namespace)


@pytest.fixture
def team(told: Told) -> Team:
    """A namespace of which the store knows two versions, one that was deleted, a policy and an alias."""
    team = Team(told.store)
    team.namespace, team.trail = told.namespace, AuditTrail(told.store, told.namespace)
    team.tell("PolicyChanged", names.PROMOTION_POLICY, "for-champion", after={"spec": POLICY})
    models = {number: team.register(number, b"v%d" % number) for number in (1, 2, 3)}
    team.bind(2, models[2])
    team.tell("VersionDeleted", names.MODEL_VERSION, "digits.v3")
    return team


def there(told: Told) -> list[str]:
    found = told.kubectl("get", "policy,mv,alias", "-o", "name").split()
    return [name.partition("/")[2] for name in found]


def without_times(text: str) -> str:
    return re.sub(r"\b20[-0-9]+T[0-9:.]+Z", "…", text)


def test_it_is_shown_first_and_nobody_is_taken_by_surprise(assay: Assay, told: Told, team: Team) -> None:
    unasked = assay("restore")
    assert (unasked.code, "cannot ask for confirmation" in unasked.err) == (2, True)
    shown = assay("restore", "--dry-run")
    golden.check("restore", without_times(shown.out))
    assert "omitted: ModelVersion digits.v3: it was deleted at" in shown.err
    assert there(told) == []


def test_what_there_was_is_made_again_once(assay: Assay, told: Told, team: Team) -> None:
    answer = assay("restore", told.namespace, "--yes", "--expect", str(team.trail.head))
    assert answer.code == 0, answer.err
    assert there(told) == ["for-champion", "digits.v1", "digits.v2", "digits.champion"]
    assert "approvals are not restored" in answer.err
    version = json.loads(told.kubectl("get", "mv", "digits.v2", "-o", "json"))
    assert version["spec"]["owner"] == "dora"
    assert version["spec"]["artifact"]["uri"].endswith(f"/models/{told.namespace}/digits/v2/")
    alias = json.loads(told.kubectl("get", "alias", "digits.champion", "-o", "json"))
    assert alias["spec"]["version"] == 2
    again = assay("restore", "--yes", "-o", "json").json()
    assert [item["action"] for item in again["items"]] == ["exists"] * 4
    assert (again["intact"], again["head"]) == (True, str(team.trail.head))


def test_what_is_there_is_left_and_said(assay: Assay, told: Told, team: Team) -> None:
    told.create(registry.model_alias("digits", "champion", 1))
    answer = assay("restore", "--yes")
    assert "it has version 1, before it had version 2" in answer.out
    assert json.loads(told.kubectl("get", "alias", "digits.champion", "-o", "json"))["spec"]["version"] == 1


def test_who_may_not_make_them_is_told_by_each(assay: Assay, told: Told, team: Team) -> None:
    told.kubectl("create", "role", "reader", "--verb=get,list", "--resource=mv,alias,policy")
    told.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=rita")
    answer = assay("restore", "--yes", "--as", "rita")
    assert (answer.code, "4 of 4 objects could not be created" in answer.err) == (1, True)
    assert 'failed  ModelVersion digits.v1: modelversions.assay.dev is forbidden: User "rita"' in answer.out
    assert there(told) == []


def test_a_trail_that_is_not_intact_stops_it(assay: Assay, told: Told, team: Team) -> None:
    record = told.store.get_bytes(key(told.namespace, 2), 10_000)
    told.store.put_bytes(key(told.namespace, 2), record.replace(b'"dora"', b'"eve"'))
    refused = assay("restore", "--yes")
    assert (refused.code, "is not intact" in refused.err, there(told)) == (6, True, [])
    damaged = assay("restore", "--yes", "--damaged", "-o", "json")
    assert damaged.json()["intact"] is False
    assert "WARNING" in damaged.err


def test_a_trail_that_is_not_there_stops_it(assay: Assay) -> None:
    answer = assay("restore", "--yes")
    assert (answer.code, "does not exist" in answer.err) == (6, True)
