"""Which fields a spec omits, and the values that count instead."""

import pytest

from assay.api.experiment import ExperimentSpec
from assay.api.promotionpolicy import PromotionPolicySpec
from assay.planning.defaults import omitted
from tests.unit.planning.objects import experiment_spec

pytestmark = pytest.mark.unit


def of_policy(**spec: object) -> list[str]:
    return omitted(PromotionPolicySpec.model_validate(spec))


def test_an_empty_policy_omits_everything_that_has_a_default() -> None:
    assert of_policy() == [
        'match.models: ["*"]',
        'match.aliases: ["*"]',
        'mode: "Enforce"',
        "approvals.required: 1",
        "approvals.excludeOwner: true",
        "evidence.reproducible: false",
        "evidence.artifactVerified: true",
        "evidence.provenanceVerified: true",
        "evidence.signed: false",
    ]


def test_written_fields_are_not_omitted_even_with_default_values() -> None:
    said = of_policy(mode="Enforce", approvals={"required": 1}, match={"models": ["digits"]}, evidence={})
    assert 'mode: "Enforce"' not in said
    assert "approvals.required: 1" not in said
    assert {"approvals.excludeOwner: true", 'match.aliases: ["*"]', "evidence.provenanceVerified: true"} < set(said)


def test_items_of_lists_are_named() -> None:
    said = of_policy(freeze=[{"name": "nights", "weekly": {"days": ["Mon"], "from": "20:00"}}])
    assert [each for each in said if each.startswith("freeze")] == [
        'freeze[nights].weekly.to: "24:00"',
        'freeze[nights].weekly.timeZone: "UTC"',
    ]


def test_an_experiment_that_is_not_suspended_says_so() -> None:
    spec = ExperimentSpec.model_validate(experiment_spec(parameters=[{"name": "lr", "values": [1]}]))
    assert omitted(spec) == [
        'parameters[lr].distribution: "uniform"',
        'search.strategy: "grid"',
        "search.seed: 0",
        "parallelism: 1",
        "suspend: false",
        "adoptRecords: false",
    ]
