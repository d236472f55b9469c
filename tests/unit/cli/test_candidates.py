"""A candidate compared with the live version: changes of metrics, differing parameters, ids of approvals."""

from typing import Any

import pytest

from assay.api.errors import InvalidRequest
from assay.queries import models
from assay.queries.promotion import candidates, requests

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
DIGEST = "sha256:" + "1" * 64


def version(metrics: Raw | None = None, parameters: Raw | None = None, annotations: Raw | None = None) -> Raw:
    return {
        "metadata": {
            "name": "digits.v2",
            "creationTimestamp": "2026-03-02T10:00:00Z",
            "annotations": annotations or {},
        },
        "spec": {"model": "digits", "version": 2, "artifact": {"digest": DIGEST}},
        "status": {"provenance": {"metrics": metrics or {}, "parameters": parameters or {}}},
    }


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"last": 1, "min": 0, "max": 2, "best": 2}, ("f1", "maximize")),
        ({"last": 1, "min": 0, "max": 2, "best": 0}, ("f1", "minimize")),
        ({"last": 1, "min": 1, "max": 1, "best": 1}, None),
        ({"last": 1, "min": 0, "max": 2}, None),
    ],
)
def test_the_direction_follows_from_the_best_value(summary: Raw, expected: Any) -> None:
    assert candidates.objective_of_summary({"loss": {"last": 3}, "f1": summary}) == expected


def test_only_the_objective_has_a_better_value() -> None:
    ours = version({"f1": {"last": 0.8, "best": 0.9}, "loss": {"last": 0.4}, "new": {"last": 1.0}})
    theirs = version({"f1": {"last": 0.85, "best": 0.85}, "loss": {"last": 0.5}})
    up = candidates.metrics(ours, theirs, ("f1", "maximize"))
    assert [(each["name"], each["value"], each["better"]) for each in up] == [
        ("f1", "best", True),
        ("loss", "last", None),
        ("new", "last", None),
    ]
    assert up[0]["change"] == pytest.approx(0.05)
    assert (up[2]["live"], up[2]["change"]) == (None, None)
    assert candidates.metrics(ours, theirs, ("f1", "minimize"))[0]["better"] is False
    assert candidates.metrics(ours, ours, ("f1", "maximize"))[0]["better"] is None


def test_equal_parameters_are_omitted() -> None:
    ours, theirs = version(parameters={"a": 1, "b": True, "c": 3}), version(parameters={"a": 1, "b": 1})

    def row(body: Raw) -> models.Version:
        return models.version(body, None)

    found = candidates.parameters(row(ours), row(theirs))
    assert [(each["name"], each["candidate"], each["live"]) for each in found] == [("b", True, 1), ("c", 3, None)]
    assert len(candidates.parameters(row(ours), None)) == 3


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        ("rita", "rita"),
        ("rita@example.com", "rita-example.com"),
        ("system:serviceaccount:a:b", "system-serviceaccount-a-b"),
        ("Рита", "approval"),
        ("_." + "x" * 90 + ".", "x" * 57),
    ],
)
def test_an_id_is_derived_from_a_name(user: str, identity: str) -> None:
    assert requests.annotation_name(version(), "champion", user) == f"champion.approval.assay.dev/{identity}"


def test_an_id_of_another_user_is_not_reused() -> None:
    there = version(annotations={"champion.approval.assay.dev/rita-": f"{DIGEST} x"})
    assert requests.annotation_name(there, "champion", "rita").endswith("/rita")
    there = version(annotations={"champion.approval.assay.dev/rita": f"{DIGEST} somebody else"})
    assert requests.annotation_name(there, "champion", "rita").endswith("/rita-2")
    # For another alias it is another annotation.
    assert requests.annotation_name(there, "staging", "rita").endswith("/rita")


def test_an_id_that_the_api_server_would_refuse_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="invalid approval id"):
        requests.annotation_name(version(), "champion", "rita", "a/b")
