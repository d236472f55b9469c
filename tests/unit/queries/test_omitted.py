"""A filter over a metric that a status has no room for reads it from the record."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from assay.planning.runs.outcome import MAX_METRICS
from assay.queries.runs import omitted
from assay.queries.runs.filters import LISTED_METRICS, Filter
from assay.store.errors import NotFound, StoreUnavailable
from assay.store.records import Summary
from tests.unit.queries.runs import FOUND, row

pytestmark = pytest.mark.unit


class Store:
    """The summaries of a run with two pods."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure, self.read = failure, 0

    def folders(self, prefix: str, _: str = "") -> list[str]:
        if self.failure:
            raise self.failure
        return ["old", "new"] if prefix.endswith("/pods/") else []

    def stat(self, key: str) -> object:
        if "/pods/" in key:
            return object()
        raise NotFound(key)

    def list(self, prefix: str, **_: Any) -> list[Any]:
        return [SimpleNamespace(key=f"{prefix}summary.json")] if "/pods/" in prefix else []

    def get_bytes(self, key: str, _: int) -> bytes:
        self.read += 1
        pod = key.split("/pods/")[1].split("/")[0]
        last = {"old": 0.1, "new": "NaN" if "r-nan" in key else 0.9}[pod]
        metrics = {"rare": {"last": last, "step": 1, "count": 1}, "other": {"last": 1.0, "step": 1, "count": 1}}
        record = {"pod": pod, "updated": {"old": "1", "new": "2"}[pod], "metrics": metrics}
        return Summary.model_validate(record).to_json()


def matching(store: Store, where: str) -> tuple[list[str], list[str]]:
    notes: list[str] = []
    access = SimpleNamespace(store=store, namespace="ns", note=notes.append)
    full = {f"m{at}": FOUND for at in range(LISTED_METRICS)}
    rows = [row("r-full", metrics=full), row("r-nan", metrics=full), row("r-few", metrics={"m1": FOUND})]
    rows = [{**each, "uid": each["name"]} for each in rows]
    found = Filter(where)
    filled = omitted.filled(cast(Any, access), found, cast(Any, rows))
    return [each["name"] for each in filled if found.matches(each)], notes


def test_the_newest_pods_value_counts() -> None:
    store = Store()
    assert matching(store, "metrics.rare.last > 0.5") == (["r-full"], [])
    assert store.read == 4


def test_nothing_is_read_for_metrics_that_are_listed() -> None:
    store = Store()
    assert matching(store, "metrics.m1.last > 0.5") == (["r-full", "r-nan", "r-few"], [])
    assert store.read == 0


def test_an_unreadable_store_is_reported() -> None:
    found, notes = matching(Store(StoreUnavailable("it is away")), "metrics.rare.last > 0.5")
    assert found == []
    assert notes == ["2 runs have more metrics than their statuses list, and the store is not read: it is away"]


def test_the_limit_is_that_of_a_status() -> None:
    assert LISTED_METRICS == MAX_METRICS
