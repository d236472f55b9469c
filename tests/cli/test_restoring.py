"""`assay restore`: the plan, the restored objects, and repeated calls."""

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
from tests.cli.stand_in import StandIn
from tests.conftest import Cluster
from tests.integration.test_store_restore import Team

pytestmark = pytest.mark.integration

Raw = dict[str, Any]
Assay = Callable[..., Answer]
POLICY = {"match": {"aliases": ["champion"]}, "approvals": {"required": 2}}


@pytest.fixture
def stand_in(governed: Cluster, namespace: str) -> StandIn:
    return StandIn(governed, namespace)


@pytest.fixture
def team(stand_in: StandIn) -> Team:
    """A namespace of which the store knows two versions, one that was deleted, a policy and an alias."""
    team = Team(stand_in.store)
    team.namespace, team.trail = stand_in.namespace, AuditTrail(stand_in.store, stand_in.namespace)
    team.tell("PolicyChanged", names.PROMOTION_POLICY, "for-champion", after={"spec": POLICY})
    models = {number: team.register(number, b"v%d" % number) for number in (1, 2, 3)}
    team.bind(2, models[2])
    team.tell("VersionDeleted", names.MODEL_VERSION, "digits.v3")
    return team


def there(stand_in: StandIn) -> list[str]:
    found = stand_in.kubectl("get", "policy,mv,alias", "-o", "name").split()
    return [name.partition("/")[2] for name in found]


def without_times(text: str) -> str:
    return re.sub(r"\b20[-0-9]+T[0-9:.]+Z", "…", text)


def test_restore_shows_the_plan_before_it_creates_anything(assay: Assay, stand_in: StandIn, team: Team) -> None:
    unasked = assay("restore")
    assert (unasked.code, "cannot ask for confirmation" in unasked.err) == (2, True)
    shown = assay("restore", "--dry-run")
    golden.check("restore", without_times(shown.out))
    assert "omitted: ModelVersion digits.v3: it was deleted at" in shown.err
    assert there(stand_in) == []


def test_restore_creates_everything_once(assay: Assay, stand_in: StandIn, team: Team) -> None:
    answer = assay("restore", stand_in.namespace, "--yes", "--expect", str(team.trail.head))
    assert answer.code == 0, answer.err
    assert there(stand_in) == ["for-champion", "digits.v1", "digits.v2", "digits.champion"]
    assert "approvals are not restored" in answer.err
    version = json.loads(stand_in.kubectl("get", "mv", "digits.v2", "-o", "json"))
    assert version["spec"]["owner"] == "dora"
    assert version["spec"]["artifact"]["uri"].endswith(f"/models/{stand_in.namespace}/digits/v2/")
    alias = json.loads(stand_in.kubectl("get", "alias", "digits.champion", "-o", "json"))
    assert alias["spec"]["version"] == 2
    again = assay("restore", "--yes", "-o", "json").json()
    assert [item["action"] for item in again["items"]] == ["exists"] * 4
    assert (again["intact"], again["head"]) == (True, str(team.trail.head))


def test_existing_objects_are_kept_and_reported(assay: Assay, stand_in: StandIn, team: Team) -> None:
    stand_in.create(registry.model_alias("digits", "champion", 1))
    answer = assay("restore", "--yes")
    assert "it has version 1, before it had version 2" in answer.out
    assert json.loads(stand_in.kubectl("get", "alias", "digits.champion", "-o", "json"))["spec"]["version"] == 1


def test_missing_rights_are_reported_for_each_object(assay: Assay, stand_in: StandIn, team: Team) -> None:
    stand_in.kubectl("create", "role", "reader", "--verb=get,list", "--resource=mv,alias,policy")
    stand_in.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=rita")
    answer = assay("restore", "--yes", "--as", "rita")
    assert (answer.code, "4 of 4 objects could not be created" in answer.err) == (1, True)
    assert 'failed  ModelVersion digits.v1: modelversions.assay.dev is forbidden: User "rita"' in answer.out
    assert there(stand_in) == []


def test_a_damaged_trail_stops_the_restore(assay: Assay, stand_in: StandIn, team: Team) -> None:
    record = stand_in.store.get_bytes(key(stand_in.namespace, 2), 10_000)
    stand_in.store.put_bytes(key(stand_in.namespace, 2), record.replace(b'"dora"', b'"eve"'))
    refused = assay("restore", "--yes")
    assert (refused.code, "is not intact" in refused.err, there(stand_in)) == (6, True, [])
    damaged = assay("restore", "--yes", "--damaged", "-o", "json")
    assert damaged.json()["intact"] is False
    assert "WARNING" in damaged.err


def test_a_missing_trail_stops_the_restore(assay: Assay) -> None:
    answer = assay("restore", "--yes")
    assert (answer.code, "does not exist" in answer.err) == (6, True)
