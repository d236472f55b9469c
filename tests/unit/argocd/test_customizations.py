"""Argo CD's health checks and actions for our kinds, run on what the operator writes, and the files made of them."""

import copy
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from assay.api import names
from assay.api.experiment import ExperimentStatus
from assay.api.modelalias import ModelAliasStatus
from assay.api.modelversion import ModelVersionStatus
from assay.api.run_status import RunStatus
from assay.planning.runs import recipe
from tests.argocd import customizations, generated, lua, scenes
from tests.argocd.customizations import FOLDER, Customization
from tests.argocd.scenes import DIGEST

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
KINDS = [each.kind for each in customizations.customizations()]
UNSEEN = "waiting for the operator to process this"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def written() -> list[tuple[str, Path]]:
    return [(kind, path) for kind in KINDS for path in sorted((FOLDER / kind / "testdata").glob("*.yaml"))]


def health_tests() -> list[Any]:
    found = [(kind, test) for kind in KINDS for test in read(FOLDER / kind / "health_test.yaml")["tests"]]
    return [pytest.param(kind, test, id=f"{kind}-{Path(test['inputPath']).stem}") for kind, test in found]


def action_tests(part: str) -> list[Any]:
    found = [
        (path.parent, test) for path in sorted(FOLDER.glob("*/actions/action_test.yaml")) for test in read(path)[part]
    ]
    return [pytest.param(folder, test, id=Path(test["inputPath"]).stem) for folder, test in found]


# Health


def test_every_kind_has_a_health_check_and_no_other_thing_has() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(KINDS)
    assert all(Customization(kind).health for kind in KINDS)


@pytest.mark.parametrize(("kind", "test"), health_tests())
def test_health(kind: str, test: Raw) -> None:
    body = read(FOLDER / kind / test["inputPath"])
    assert body["kind"] == kind
    assert lua.health(Customization(kind).health, body) == test["healthStatus"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_object_of_the_testdata_is_tested_once_and_named_for_its_health(kind: str) -> None:
    tests = read(FOLDER / kind / "health_test.yaml")["tests"]
    assert sorted(test["inputPath"] for test in tests) == [
        f"testdata/{path.name}" for of, path in written() if of == kind
    ]
    for test in tests:
        assert Path(test["inputPath"]).stem.split("_")[0] == test["healthStatus"]["status"].lower()


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_is_healthy_before_the_operator_has_seen_its_spec(kind: str) -> None:
    for of, path in written():
        if of != kind:
            continue
        body = read(path)
        body["metadata"]["generation"] += 1
        found = lua.health(Customization(kind).health, body)
        assert (found["status"], UNSEEN in found["message"]) == ("Progressing", True), path.name


@pytest.mark.parametrize("kind", KINDS)
def test_health_checks_accept_an_incomplete_status(kind: str) -> None:
    for of, path in written():
        body = read(path)
        for field in body.get("status") or {} if of == kind else ():
            less = copy.deepcopy(body)
            del less["status"][field]
            assert lua.health(Customization(kind).health, less)["status"] in lua.HEALTH


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        (names.EXPERIMENT, ExperimentStatus),
        (names.RUN, RunStatus),
        (names.MODEL_VERSION, ModelVersionStatus),
        (names.MODEL_ALIAS, ModelAliasStatus),
    ],
)
def test_every_phase_is_in_the_testdata(kind: str, model: Any) -> None:
    annotation = model.model_fields["phase"].annotation
    literals = [each for each in get_args(annotation) if get_args(each)] or [annotation]
    phases = {phase for literal in literals for phase in get_args(literal)}
    seen = {read(path).get("status", {}).get("phase") for of, path in written() if of == kind}
    # An alias is Pending only until it has been judged for the first time, and an experiment until its first run.
    assert phases - seen <= {"Pending"}


# Actions


@pytest.mark.parametrize(("folder", "test"), action_tests("discoveryTests"))
def test_discovery(folder: Path, test: Raw) -> None:
    found = lua.actions((folder / "discovery.lua").read_text(), read(folder / test["inputPath"]))
    assert found == {each["name"]: {key: each[key] for key in each if key != "name"} for each in test["result"]}


@pytest.mark.parametrize(("folder", "test"), action_tests("actionTests"))
def test_an_action_changes_what_it_says_and_nothing_else(folder: Path, test: Raw) -> None:
    script = (folder / test["action"] / "action.lua").read_text()
    body, expected = read(folder / test["inputPath"]), read(folder / test["expectedOutputPath"])
    if isinstance(expected, list):
        made = [{"k8sOperation": "create", "unstructuredObj": each} for each in lua.create(script, body)]
        assert made == expected
    else:
        assert lua.act(script, body) == expected


def test_no_action_requires_a_personal_identity() -> None:
    """An action is written by Argo CD, whoever has clicked: an approval carries a person's own name."""
    acting = {kind: Customization(kind) for kind in KINDS if Customization(kind).discovery}
    assert {kind: sorted(each.actions) for kind, each in acting.items()} == {
        names.EXPERIMENT: ["resume", "suspend"],
        names.RUN: ["rerun"],
        names.MODEL_ALIAS: ["rollback"],
    }
    for kind, each in acting.items():
        assert not any("approval" in script for script in each.actions.values())
        for body in (scene() for name, scene in scenes.ACTIONS[kind].items() if "_" not in name):
            assert set(lua.actions(each.discovery, body)) == set(each.actions)


def rerun(body: Raw) -> Raw:
    (made,) = lua.create(Customization(names.RUN).actions["rerun"], body)
    return made


def an_ended_run() -> Raw:
    return copy.deepcopy(scenes.ACTIONS[names.RUN]["succeeded"]())


@pytest.mark.parametrize("phase", [None, "Pending", "Running", "Suspended"])
def test_a_running_run_is_not_repeated(phase: str | None) -> None:
    body = an_ended_run()
    body["status"] = {"phase": phase} if phase else None
    with pytest.raises(lua.ScriptError, match="run sweep-0 has not finished: wait for its end before you rerun it"):
        rerun(body)


def test_an_argo_cd_rerun_equals_that_of_the_recipe() -> None:
    body = an_ended_run()
    body["metadata"]["name"] = "n" * 45
    pod = body["spec"]["job"]["template"]["spec"]
    pod["initContainers"] = [{"name": "warm", "image": "warm:1", "env": [], "resources": {}}, {"name": "odd"}]
    body["status"]["images"] += [
        {"container": "warm", "image": "warm:1", "digest": DIGEST},
        {"container": "odd", "image": "odd:1"},
    ]
    body["spec"] |= {"parameters": {"lr": 0.1, "n": 3, "name": "a", "on": False}, "seed": 2**53 - 1, "source": SOURCE}
    body["spec"]["datasets"].append({"name": "other", "uri": "s3://o/", "digest": "sha256:" + "4" * 64})
    body["spec"]["rerunOf"] = {"name": "first", "uid": "u-1", "tolerance": 0.5, "tolerances": {}}
    assert rerun(body) == scenes.without_empty(recipe.rerun_body(body))
    body["metadata"]["name"] += "n"
    assert rerun(body)["metadata"]["generateName"] == "rerun-", "a name that leaves no room for an ending"


SOURCE = {"repository": "https://git.example.com/ml/digits", "revision": "3" * 40}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 2**53 + 1}, "seed: its number is too large"),
        ({"parameters": {"n": -(2**60)}}, "n: its number is too large"),
        ({"job": {"template": {"spec": {"affinity": {"labelSelector": {}}}}}}, "labelSelector: it is empty"),
        ({"job": {"template": {"spec": {"tolerations": [{"key": "a"}, {}]}}}}, "tolerations: an item of it is empty"),
        ({"job": {"template": {"spec": {"volumes": [{"name": "a", "projected": {}}]}}}}, "projected: it is empty"),
    ],
)
def test_a_rerun_is_refused_when_argo_cd_would_change_its_values(change: Raw, said: str) -> None:
    body = an_ended_run()
    body["spec"] |= change
    with pytest.raises(lua.ScriptError, match=f"cannot be done again from here.* cannot write its field {said}"):
        rerun(body)


@pytest.mark.parametrize("scene", ["first", "rolledBack"])
def test_a_rollback_action_without_a_previous_version_is_refused(scene: str) -> None:
    body = scenes.ACTIONS[names.MODEL_ALIAS][scene]()
    with pytest.raises(
        lua.ScriptError, match=r"digits\.champion has no version to go back to, or has gone back already"
    ):
        lua.act(Customization(names.MODEL_ALIAS).actions["rollback"], body)


# What is made of them


def test_the_config_map_and_the_testdata_are_what_they_are_made_of() -> None:
    assert generated.stale() == [], "python -m tests.argocd"


def test_the_config_map_contains_every_script_unchanged() -> None:
    data = read(customizations.CONFIG_MAP)["data"]
    for kind in KINDS:
        customization = Customization(kind)
        assert data.pop(f"resource.customizations.health.assay.dev_{kind}") == customization.health
        if customization.discovery:
            actions = yaml.safe_load(data.pop(f"resource.customizations.actions.assay.dev_{kind}"))
            assert actions["discovery.lua"] == customization.discovery
            assert {each["name"]: each["action.lua"] for each in actions["definitions"]} == customization.actions
    assert data == {}


# The interpreter


def test_scripts_get_lua_5_1_without_what_argo_cd_leaves_out() -> None:
    assert lua.run("return _VERSION", {}) == "Lua 5.1"
    gone = ("string", "io", "math", "debug", "python", "loadfile")
    assert [lua.run(f"return {name} == nil", {}) for name in gone] == [True] * len(gone)
    for script in ('return ("x"):upper()', "return os.execute('true')", "return require('io')", "return 7 // 2"):
        with pytest.raises(lua.ScriptError):
            lua.run(script, {})


def test_objects_come_through_lua_as_through_json() -> None:
    body = {"a": {"empty": {}, "list": [], "null": None, "deep": [{"x": {}}]}, "n": 3, "f": 0.5, "t": True}
    assert lua.act("return obj", body) == {
        "a": {"empty": {}, "list": [], "deep": [{"x": {}}]},
        "n": 3,
        "f": 0.5,
        "t": True,
    }


@pytest.mark.parametrize("script", ["return nil", "return {status = 'Fine'}", "return {message = 'x'}", "return 7"])
def test_invalid_health_results_are_refused(script: str) -> None:
    with pytest.raises(lua.ScriptError, match="not a health"):
        lua.health(script, {})
