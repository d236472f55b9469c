"""What counts as drift."""

import json
from typing import Any

import pytest

from tests.argocd.diffing import LAST_APPLIED, MANAGER, server_side, three_way

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
GIT = {"metadata": {"name": "a"}, "spec": {"version": 1}}


def live(spec: Raw, applied: Raw | None = None, fields: Raw | None = None, **metadata: Any) -> Raw:
    if applied is not None:
        metadata["annotations"] = {LAST_APPLIED: json.dumps(applied)}
    if fields is not None:
        metadata["managedFields"] = [{"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}]
    return {"metadata": {"name": "a", **metadata}, "spec": spec, "status": {"phase": "Held"}}


def test_three_way_leaves_alone_what_git_never_had() -> None:
    assert three_way(GIT, live({"version": 1, "suspend": True}, GIT, resourceVersion="7")) == {}


def test_three_way_sees_what_git_has_otherwise_and_what_it_has_no_more() -> None:
    before = {"metadata": {"name": "a"}, "spec": {"version": 2, "reason": "x"}}
    found = three_way(GIT, live({"version": 2, "reason": "x"}, before))
    assert found == {"spec.version": (1, 2), "spec.reason": (None, "x")}


def test_three_way_takes_a_list_as_one_value_so_a_default_in_it_is_drift() -> None:
    git = {"metadata": {"name": "a"}, "spec": {"parameters": [{"name": "lr"}]}}
    filled_in = [{"name": "lr", "distribution": "uniform"}]
    assert three_way(git, live({"parameters": filled_in}, git)) == {"spec.parameters": ([{"name": "lr"}], filled_in)}


def test_server_side_sees_what_the_manager_owns_and_owned() -> None:
    predicted = live({"version": 1}, fields={"f:spec": {"f:version": {}}}, generation=2)
    now = live({"version": 2, "reason": "x"}, fields={"f:spec": {"f:version": {}, "f:reason": {}}}, generation=1)
    assert server_side(predicted, now) == {"spec.version": (1, 2), "spec.reason": (None, "x")}
    assert set(server_side(predicted, now, mutations=True)) == {"spec.version", "spec.reason", "metadata.generation"}


def test_server_side_leaves_alone_what_others_own() -> None:
    fields = {"f:spec": {"f:version": {}, "f:items": {'k:{"name":"b"}': {"f:name": {}}}}}
    predicted = live({"version": 1, "items": [{"name": "b"}]}, fields=fields, annotations={"stamp": "new"})
    now = live({"version": 1, "items": [{"name": "c"}]}, fields=fields, annotations={"stamp": "old"})
    assert set(server_side(predicted, now)) == {"spec.items"}
    assert set(server_side(predicted, now, mutations=True)) == {"spec.items", "metadata.annotations.stamp"}
