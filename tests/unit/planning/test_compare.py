import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.planning.runs import compare
from assay.planning.runs.compare import HIDDEN, Difference, Side
from tests.unit.planning.test_recipe import COMMIT, DIGEST, OTHER, known
from tests.unit.planning.test_recipe import json_values as anything

pytestmark = pytest.mark.unit

Raw = dict[str, Any]


def pair() -> tuple[Raw, Raw]:
    return known(), known()


def container(body: Raw) -> Raw:
    found: Raw = body["spec"]["job"]["template"]["spec"]["containers"][0]
    return found


def differences(a: Raw, b: Raw, before: Raw | None = None, after: Raw | None = None) -> list[Difference]:
    return compare.compare(Side(a, before or {}), Side(b, after or {}))


def test_runs_by_one_recipe_do_not_differ() -> None:
    a, b = pair()
    b["metadata"] |= {"name": "other", "uid": "other"}
    b["spec"]["rerunOf"] = {"name": "sweep-0", "uid": "u"}
    assert differences(a, b) == []


def test_every_part_is_compared_and_they_come_in_order() -> None:
    a, b = pair()
    container(a)["args"] = ["--rounds=1"]
    a["spec"]["job"]["backoffLimit"] = 1
    a["status"] |= {"metrics": {"score": {"last": 0.5}}, "model": {"path": "m", "digest": DIGEST, "size": 1}}
    b["spec"] |= {"source": {"repository": "r", "revision": COMMIT}, "seed": 7, "owner": "rita"}
    b["spec"]["parameters"] = {"lr": 0.1, "depth": 3}
    b["spec"]["datasets"][0]["digest"] = OTHER
    container(b)["args"] = ["--rounds=2"]
    container(b)["resources"] = {"requests": {"cpu": "2"}}
    b["status"]["images"][0]["digest"] = f"registry.example.com/train@{OTHER}"
    b["status"] |= {"metrics": {"score": {"last": 0.6}}, "model": {"path": "m", "digest": OTHER, "size": 1}}
    b["status"]["phase"] = "Failed"
    before = {"packages": {"numpy": "2.3.1"}, "hardware": {"cpu": {"model": "x"}}, "os": {"id": "debian"}}
    after = {"packages": {"numpy": "2.3.2", "new": "1"}, "hardware": {"cpu": {"model": "y"}}, "os": {"id": "debian"}}
    found = differences(a, b, before, after)
    assert found[0] == Difference("spec.source.repository", "https://git.example.com/ml/digits", "r", "code")
    pod = "spec.job.template.spec.containers[train]"
    assert [(each.path, each.kind) for each in found[1:]] == [
        ("status.images[train].digest", "images"),
        ("environment.packages.new", "packages"),
        ("environment.packages.numpy", "packages"),
        ("spec.datasets[digits].digest", "data"),
        ("spec.parameters.depth", "parameters"),
        ("spec.seed", "parameters"),
        (f"{pod}.args", "command"),
        (f"{pod}.resources.requests.cpu", "resources"),
        ("environment.hardware.cpu.model", "hardware"),
        ("spec.job.backoffLimit", "job"),
        ("status.metrics.score.last", "metrics"),
        ("status.model.digest", "model"),
        ("status.phase", "outcome"),
        ("spec.owner", "other"),
    ]
    values = {each.path: (each.a, each.b) for each in found}
    assert values["environment.packages.new"] == (None, "1")
    assert values["spec.job.backoffLimit"] == (1, 0)


def test_variable_values_are_compared_but_not_shown() -> None:
    a, b = pair()
    container(a)["env"] = [{"name": "TOKEN", "value": "first"}, {"name": "SAME", "value": "s"}]
    container(b)["env"] = [{"name": "SAME", "value": "s"}, {"name": "TOKEN", "value": "second"}]
    path = "spec.job.template.spec.containers[train].env[TOKEN].value"
    assert differences(a, b) == [Difference(path, HIDDEN, HIDDEN, "environment")]
    container(b)["env"].pop()
    assert differences(a, b) == [Difference(path, HIDDEN, None, "environment")]


def test_no_environment_is_too_deep() -> None:
    a, b = pair()
    deep: Raw = {}
    for _ in range(500):
        deep = {"x": deep}
    found = differences(a, b, {}, deep)
    assert [each.kind for each in found] == ["environment"]
    assert differences(a, b, deep, deep) == []


def test_where_a_variable_comes_from_is_shown() -> None:
    a, b = pair()
    for body, key in ((a, "old"), (b, "new")):
        container(body)["env"] = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": key}}}]
    assert [(each.a, each.b) for each in differences(a, b)] == [("old", "new")]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_template_reveals_variable_values(data: st.DataObject) -> None:
    """Also not one in which containers or variables have no names, or the same one twice."""
    secret = "hunter2"
    names = st.sampled_from(["a", "b"])
    variables = st.lists(
        st.fixed_dictionaries({"value": st.just(secret) | st.just({"x": secret})}, optional={"name": names}), max_size=3
    )
    containers = st.lists(
        st.fixed_dictionaries({"env": variables | st.just(secret)}, optional={"name": names}), min_size=1, max_size=3
    )
    a, b = pair()
    a["spec"]["job"]["template"]["spec"]["containers"] = data.draw(containers)
    a["spec"]["job"]["template"]["spec"]["initContainers"] = data.draw(containers)
    assert secret not in repr(differences(a, b) + differences(b, a))


def test_integers_equal_floats_but_not_booleans() -> None:
    a, b = pair()
    a["spec"]["parameters"], b["spec"]["parameters"] = {"x": 1}, {"x": 1.0}
    assert differences(a, b) == []
    b["spec"]["parameters"] = {"x": True}
    assert [each.path for each in differences(a, b)] == ["spec.parameters.x"]


def test_a_found_digest_equals_a_declared_digest() -> None:
    a, b = pair()
    del a["spec"]["datasets"][0]["digest"]
    a["status"]["datasets"] = [{"name": "digits", "digest": DIGEST}]
    assert differences(a, b) == []


def test_a_source_without_a_dirty_field_counts_as_clean() -> None:
    a, b = pair()
    a["spec"]["source"]["dirty"] = False
    assert differences(a, b) == []
    a["spec"]["source"]["dirty"] = True
    assert [(each.path, each.a, each.b) for each in differences(a, b)] == [("spec.source.dirty", True, None)]


# What makes it another recipe


def paths(a: Raw, b: Raw) -> list[str]:
    return [each.path for each in compare.recipe_differences(a, b)]


def test_data_sets_with_equal_digests_are_the_same_at_any_address() -> None:
    a, b = pair()
    b["spec"]["datasets"][0]["uri"] = "s3://mirror/digits/"
    assert paths(a, b) == []
    b["spec"]["datasets"][0]["digest"] = OTHER
    assert paths(a, b) == ["spec.datasets[digits]"]
    for body in (a, b):
        del body["spec"]["datasets"][0]["digest"]
    assert paths(a, b) == ["spec.datasets[digits]"], "without digests, the place is all that is known"
    b["spec"]["datasets"] = []
    assert paths(a, b) == ["spec.datasets[digits]"]


def test_digests_of_different_things_are_not_compared() -> None:
    a, b = pair()
    b["status"]["images"][0]["digest"] = OTHER
    assert paths(a, b) == []
    a["status"]["images"][0]["digest"] = DIGEST
    assert paths(a, b) == ["status.images[train].digest"]


@pytest.mark.parametrize("field", ["command", "args", "workingDir", "env"])
def test_command_arguments_and_variables_are_part_of_the_recipe(field: str) -> None:
    a, b = pair()
    container(b)[field] = [{"name": "A", "value": "1"}] if field == "env" else ["x"]
    assert len(paths(a, b)) == 1


@given(anything, anything)
@settings(max_examples=200, deadline=None)
def test_templates_of_any_shape_are_compared(value: Any, other: Any) -> None:
    a, b = pair()
    a["spec"]["job"]["template"]["spec"] |= {"initContainers": value, "x": other}
    b["spec"]["job"]["template"]["spec"] |= {"initContainers": other, "x": value}
    assert differences(a, copy.deepcopy(a)) == []
    back = {(each.path, repr(each.a), repr(each.b)) for each in differences(b, a)}
    assert {(each.path, repr(each.b), repr(each.a)) for each in differences(a, b)} == back
