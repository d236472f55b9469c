"""What the operator sets in a workload, what it leaves alone, and what it refuses."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from assay.api import names
from assay.fetch.settings import Settings
from assay.planning.runs.job import CREDENTIALS_KEY
from assay.planning.serving import injection, ownership
from assay.planning.serving.injection import (
    CannotServe,
    Served,
    ServingSettings,
    applied,
    follows,
    in_template,
    removal,
    up_to_date,
)
from tests.registry import POLICIES
from tests.unit.planning.objects import Raw
from tests.unit.planning.workloads import SETTINGS, after, served, serving_version, workload

pytestmark = pytest.mark.unit

TWO: Raw = {
    "initContainers": [{"name": "prepare", "image": "p:1"}],
    "containers": [
        {"name": "server", "image": "s:1", "env": [{"name": "A", "value": "1"}]},
        {"name": "side", "image": "x"},
    ],
    "volumes": [{"name": "data", "emptyDir": {}}],
}


def template(body: Raw) -> Raw:
    found: Raw = body["spec"]["template"]
    return found


def containers(body: Raw, part: str = "containers") -> dict[str, Raw]:
    return {each["name"]: each for each in template(body)["spec"][part]}


def env(container: Raw) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


# Which alias


def test_a_workload_follows_the_alias_of_its_annotation() -> None:
    assert follows(workload()) == ("digits", "champion")


@pytest.mark.parametrize("annotations", [None, {}, {"assay.dev/other": "x"}])
def test_a_workload_without_the_annotation_follows_no_alias(annotations: Raw | None) -> None:
    found = workload()
    found["metadata"]["annotations"] = annotations
    assert follows(found) is None


MALFORMED = [
    "",
    "digits",
    "digits.",
    ".champion",
    "a.b.c",
    "team/digits.champion",
    "Digits.champion",
    "digits.champion\n",
]


@pytest.mark.parametrize("value", [*MALFORMED, "d" * 51 + ".champion", "digits." + "c" * 41])
def test_an_invalid_serve_annotation_is_explained(value: str) -> None:
    found = workload()
    found["metadata"]["annotations"] = {"assay.dev/serve": value}
    with pytest.raises(CannotServe) as caught:
        follows(found)
    assert str(caught.value) == (
        f"Deployment web: the annotation assay.dev/serve is {value!r}; "
        "it must be <model>.<alias>, an alias of this namespace"
    )


def test_the_admission_policy_knows_the_same_names_and_parts() -> None:
    policy = next(yaml.safe_load_all((POLICIES / "serving.yaml").read_text()))
    text = json.dumps(policy["spec"])
    assert f"'{injection.FOLLOWS}'" in text
    for name in (names.FETCH_CONTAINER, names.MODEL_VOLUME, names.MODEL_CREDENTIALS_VOLUME, *names.MODEL_VARIABLES):
        assert f"'{name}'" in text


# What is set


def test_the_apply_body_contains_only_the_identity_and_the_pod_template() -> None:
    body = applied(workload(pod=TWO), served(), SETTINGS)
    assert {key: value for key, value in body.items() if key != "spec"} == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "team", "uid": "uid-web"},
    }
    assert set(body["spec"]) == {"template"}
    assert set(template(body)) == {"metadata", "spec"}
    assert template(body)["metadata"] == {
        "annotations": {
            "assay.dev/served-model": "digits",
            "assay.dev/served-alias": "champion",
            "assay.dev/served-version": "1",
            "assay.dev/served-digest": served().digest,
        }
    }
    assert set(template(body)["spec"]) == {"containers", "initContainers", "volumes"}


def test_every_user_container_mounts_the_model_read_only() -> None:
    body = applied(workload(pod=TWO), served(), SETTINGS)
    theirs = [*containers(body).values(), containers(body, "initContainers")["prepare"]]
    assert [each["name"] for each in theirs] == ["server", "side", "prepare"]
    for each in theirs:
        assert set(each) == {"name", "env", "volumeMounts"}
        assert env(each) == {"MODEL_PATH": "/models/digits", "MODEL_NAME": "digits", "MODEL_VERSION": "1"}
        assert each["volumeMounts"] == [{"name": "assay-model", "mountPath": "/models", "readOnly": True}]


def test_the_model_is_fetched_before_user_init_containers() -> None:
    assert list(containers(applied(workload(pod=TWO), served(), SETTINGS), "initContainers")) == [
        "assay-fetch-model",
        "prepare",
    ]


def test_a_model_that_is_one_file_is_named_by_its_path() -> None:
    body = applied(workload(), served(file="weights $(HOME).bin"), SETTINGS)
    # As Kubernetes writes a dollar that stands for itself.
    assert env(containers(body)["server"])["MODEL_PATH"] == "/models/digits/weights $$(HOME).bin"


def test_the_init_container_understands_its_settings() -> None:
    body = applied(workload(), served(), SETTINGS)
    fetch = containers(body, "initContainers")["assay-fetch-model"]
    settings = Settings.from_environment(env(fetch))
    assert (settings.prefix, settings.digest) == ("models/team/digits/v1", served().digest)
    assert settings.manifest_digest == served().manifest_digest
    assert str(settings.directory) == "/models/digits"
    mounts = {each["name"]: each["mountPath"] for each in fetch["volumeMounts"]}
    assert mounts["assay-model"] == str(settings.directory.parent)
    assert str(settings.credentials) == f"{mounts['assay-model-credentials']}/{CREDENTIALS_KEY}"
    volumes = {each["name"]: each for each in template(body)["spec"]["volumes"]}
    assert volumes == {
        "assay-model": {"name": "assay-model", "emptyDir": {}},
        "assay-model-credentials": {
            "name": "assay-model-credentials",
            "secret": {"secretName": "assay-model-digits-v1", "defaultMode": 0o444},
        },
    }


def test_an_unknown_manifest_digest_is_omitted() -> None:
    fetch = containers(applied(workload(), served(manifest_digest=""), SETTINGS), "initContainers")["assay-fetch-model"]
    assert "ASSAY_FETCH_MANIFEST_DIGEST" not in env(fetch)


def test_the_init_container_is_what_the_operator_is_configured_to_use() -> None:
    settings = ServingSettings("assay:2", "Always", {"limits": {"memory": "1Gi"}})
    fetch = containers(applied(workload(), served(), settings), "initContainers")["assay-fetch-model"]
    assert (fetch["image"], fetch["imagePullPolicy"]) == ("assay:2", "Always")
    assert fetch["resources"] == {"limits": {"memory": "1Gi"}}


def test_the_same_version_always_produces_the_same_body() -> None:
    first = serving_version(1, pod=TWO)
    second = after(first, applied(first, served(2), SETTINGS))
    again = after(second, applied(second, served(1), SETTINGS))
    assert template(second) != template(first)
    assert template(again) == template(first)


def test_the_input_workload_is_not_modified() -> None:
    before = workload(pod=TWO)
    kept = copy.deepcopy(before)
    applied(before, served(), SETTINGS)
    assert before == kept


def test_serving_no_version_releases_all_fields() -> None:
    assert applied(serving_version(), None, SETTINGS) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "team", "uid": "uid-web"},
    }


# What is there


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_the_version_in_the_template_is_known(kind: str) -> None:
    assert in_template(workload(kind)) is None
    assert in_template(serving_version(7, kind=kind)) == 7


@pytest.mark.parametrize("text", ["", "0", "x", "-1", "1.5", "9999999999"])
def test_a_non_numeric_served_version_is_ignored(text: str) -> None:
    found = serving_version()
    template(found)["metadata"]["annotations"]["assay.dev/served-version"] = text
    assert in_template(found) is None


def _put(*path: str, value: Any) -> Callable[[Raw], None]:
    """Return a change of the pod's spec; an item of a list is named by its name."""

    def change(found: Raw) -> None:
        node: Any = template(found)["spec"]
        for name in path[:-1]:
            node = node[name] if isinstance(node, dict) else next(each for each in node if each["name"] == name)
        if value is None:
            del node[path[-1]]
        else:
            node[path[-1]] = value

    return change


def _drop(part: str, name: str) -> Callable[[Raw], None]:
    def change(found: Raw) -> None:
        pod = template(found)["spec"]
        pod[part] = [each for each in pod[part] if each["name"] != name]

    return change


def _unannotated(found: Raw) -> None:
    del template(found)["metadata"]["annotations"]["assay.dev/served-digest"]


def _reversed(found: Raw) -> None:
    template(found)["spec"]["initContainers"].reverse()


CHANGES: dict[str, Callable[[Raw], None]] = {
    "variable": _put("containers", "server", "env", "MODEL_PATH", "value", value="/tmp"),
    "variables": _put("containers", "server", "env", value=[]),
    "mount": _put("containers", "side", "volumeMounts", value=None),
    "image": _put("initContainers", "assay-fetch-model", "image", value="mine"),
    "user": _put("initContainers", "assay-fetch-model", "securityContext", "runAsUser", value=0),
    "secret": _put("volumes", "assay-model-credentials", "secret", "secretName", value="mine"),
    "memory": _put("initContainers", "assay-fetch-model", "resources", "limits", "memory", value="1Gi"),
    "init container": _drop("initContainers", "assay-fetch-model"),
    "volume": _drop("volumes", "assay-model"),
    "annotation": _unannotated,
    "order of the init containers": _reversed,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("managed", [True, False], ids=["with managers", "without managers"])
def test_any_changed_operator_field_is_reverted(change: Callable[[Raw], None], managed: bool) -> None:
    found = serving_version(pod=TWO)
    if not managed:
        del found["metadata"]["managedFields"]
    body = applied(found, served(), SETTINGS)
    assert up_to_date(found, body)
    change(found)
    assert not up_to_date(found, body)


def test_a_new_container_and_a_new_version_are_not_up_to_date() -> None:
    found = serving_version(pod=TWO)
    assert not up_to_date(found, applied(found, served(2), SETTINGS))
    template(found)["spec"]["containers"].append({"name": "new", "image": "n"})
    assert not up_to_date(found, applied(found, served(), SETTINGS))


def test_changes_of_user_fields_cause_no_write() -> None:
    found = serving_version(pod=TWO)
    _put("containers", "server", "image", value="s:2")(found)
    template(found)["spec"]["containers"][0]["env"].insert(0, {"name": "NEW", "value": "1"})
    template(found)["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "now"
    assert up_to_date(found, applied(found, served(), SETTINGS))


def test_a_field_no_longer_set_by_the_operator_is_released() -> None:
    found = serving_version()
    assert not up_to_date(found, applied(found, served(manifest_digest=""), SETTINGS))
    assert not up_to_date(found, applied(found, None, SETTINGS))
    assert up_to_date(workload(), applied(workload(), None, SETTINGS))
    del found["metadata"]["managedFields"]
    assert not up_to_date(found, applied(found, None, SETTINGS))


def test_a_correct_value_owned_by_another_manager_is_taken_over() -> None:
    found = serving_version()
    found["metadata"]["managedFields"] = workload()["metadata"]["managedFields"]
    body = applied(serving_version(), served(), SETTINGS)
    assert not up_to_date(found, body)


QUANTITIES = [
    ("0.5", "500m"),
    (0.5, "500m"),
    ("1000m", "1"),
    ("1024Mi", "1Gi"),
    ("1e3", "1k"),
    (2, "2"),
    ("0.5Gi", "512Mi"),
]


@pytest.mark.parametrize(("wanted", "stored"), QUANTITIES)
def test_equal_quantities_in_another_notation_are_the_same(wanted: Any, stored: str) -> None:
    assert ownership.holds({"limits": {"memory": stored}}, {"limits": {"memory": wanted}})
    assert not ownership.holds({"limits": {"memory": stored + "0"}}, {"limits": {"memory": wanted}})
    assert not ownership.holds({"name": stored}, {"name": wanted}) or stored == wanted


@given(
    st.integers(1, 999_999_999), st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), st.text(min_size=1, max_size=8)
)
def test_an_applied_body_is_up_to_date_and_has_its_version(version: int, model: str, file: str) -> None:
    what = Served(model, "champion", version, "sha256:" + "1" * 64, "", f"models/team/{model}/v{version}", "s", file)
    body = applied(workload(pod=TWO), what, SETTINGS)
    found = after(workload(pod=TWO), body)
    assert up_to_date(found, body)
    assert up_to_date(found, applied(found, what, SETTINGS))
    assert in_template(found) == version


# What is in the way


def _server(**fields: Any) -> Raw:
    return {"containers": [{"name": "server", "image": "s:1", **fields}]}


def _mount(path: str, volume: str = "data") -> Raw:
    return _server(volumeMounts=[{"name": volume, "mountPath": path}])


HERE = [
    "/models",
    "/models/",
    "/models/digits",
    "/",
    "models",
    "//models",
    "/./models/x",
    "/data/../models",
    "/models/../models/x",
]
ELSEWHERE = ["/data", "/models-too", "/data/models", "/mod", "/models/../data"]


@pytest.mark.parametrize("path", HERE)
def test_a_mount_that_would_cover_the_model_is_refused(path: str) -> None:
    with pytest.raises(CannotServe) as caught:
        applied(workload(pod=_mount(path)), served(), SETTINGS)
    assert str(caught.value) == (
        f"Deployment web: container server mounts data at {path}, "
        "but the model is mounted at /models: mount it elsewhere"
    )


@pytest.mark.parametrize("path", ELSEWHERE)
def test_other_mounts_belong_to_the_user(path: str) -> None:
    assert applied(workload(pod=_mount(path)), served(), SETTINGS)


TAKEN: list[tuple[Raw, str]] = [
    (
        _server(env=[{"name": "MODEL_PATH", "value": "/tmp"}]),
        "container server sets MODEL_PATH, which the operator sets: remove or rename it",
    ),
    (
        {"initContainers": [{"name": "assay-fetch-model", "image": "mine"}]},
        "a container is called assay-fetch-model, a name reserved by Assay: rename it",
    ),
    (
        {"containers": [{"name": "assay-fetch-model", "image": "mine"}]},
        "a container is called assay-fetch-model, a name reserved by Assay: rename it",
    ),
    (
        {"volumes": [{"name": "assay-model", "configMap": {"name": "mine"}}]},
        "the volume assay-model has a name reserved by Assay: rename it",
    ),
    (
        {"volumes": [{"name": "assay-model-credentials", "emptyDir": {}}]},
        "the volume assay-model-credentials has a name reserved by Assay: rename it",
    ),
    (
        _mount("/there", "assay-model"),
        "container server mounts the volume assay-model at /there, which belongs to the operator: remove this mount",
    ),
    (
        _mount("/models", "assay-model"),
        "container server mounts the volume assay-model at /models, which belongs to the operator: remove this mount",
    ),
    (
        _mount("/secret", "assay-model-credentials"),
        "container server mounts the volume assay-model-credentials at /secret, "
        "which belongs to the operator: remove this mount",
    ),
    (
        {"initContainers": [{"name": "prepare", "volumeMounts": [{"name": "data", "mountPath": "/models/x"}]}]},
        "container prepare mounts data at /models/x, but the model is mounted at /models: mount it elsewhere",
    ),
    (
        _server(volumeDevices=[{"name": "disk", "devicePath": "/models"}]),
        "container server has a device at /models, but the model is mounted at /models: put it elsewhere",
    ),
]


@pytest.mark.parametrize(("pod", "message"), TAKEN, ids=[message[:40] for _, message in TAKEN])
@pytest.mark.parametrize("managed", [True, False], ids=["with managers", "without managers"])
def test_user_fields_are_never_overwritten(pod: Raw, message: str, managed: bool) -> None:
    found = workload("StatefulSet", pod=pod)
    if not managed:
        del found["metadata"]["managedFields"]
    with pytest.raises(CannotServe) as caught:
        applied(found, served(), SETTINGS)
    assert str(caught.value) == f"StatefulSet web: {message}"


@pytest.mark.parametrize("volume", ["assay-model", "assay-model-credentials"])
def test_a_claim_template_with_a_reserved_name_is_refused(volume: str) -> None:
    found = workload("StatefulSet")
    found["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}, {"metadata": {"name": volume}}]
    with pytest.raises(CannotServe, match=f"a volumeClaimTemplate is named {volume}, a name reserved by Assay"):
        applied(found, served(), SETTINGS)


def test_variables_with_similar_names_belong_to_the_user() -> None:
    assert applied(workload(pod=_server(env=[{"name": "MODEL_WORKERS", "value": "2"}])), served(), SETTINGS)


@pytest.mark.parametrize("managed", [True, False], ids=["with managers", "without managers"])
def test_operator_fields_do_not_conflict_with_themselves(managed: bool) -> None:
    found = serving_version(pod=TWO)
    if not managed:
        del found["metadata"]["managedFields"]
    assert applied(found, served(2), SETTINGS)


def test_conflicting_user_additions_to_a_served_workload_are_reverted() -> None:
    """The policy refuses it; without the policy the operator's value wins."""
    found = serving_version(pod=TWO)
    template(found)["spec"]["containers"].append(
        {"name": "new", "image": "n", "env": [{"name": "MODEL_VERSION", "value": "9"}]}
    )
    body = applied(found, served(), SETTINGS)
    assert {"name": "MODEL_VERSION", "value": "1"} in body["spec"]["template"]["spec"]["containers"][-1]["env"]
    assert not up_to_date(found, body)


FORGED: list[Callable[[Raw], object]] = [
    lambda metadata: metadata.pop("managedFields"),
    lambda metadata: metadata.update(managedFields=[{}]),
    lambda metadata: metadata["managedFields"][-1].update(manager="argocd"),
    lambda metadata: metadata["managedFields"][-1].update(operation="Update"),
    lambda metadata: metadata["managedFields"][-1].update(fieldsV1={"f:spec": {"f:template": {}}}),
    lambda metadata: metadata["managedFields"].append({"manager": "before-first-apply", "operation": "Update"}),
]


@pytest.mark.parametrize("forge", FORGED, ids=["none", "emptied", "another's", "updated", "other fields", "restored"])
def test_rewritten_managed_fields_do_not_change_the_result(forge: Callable[[Raw], object]) -> None:
    """Anybody can rewrite managedFields, and backups leave them out."""
    found = serving_version(pod=TWO)
    forge(found["metadata"])
    assert in_template(found) == 1
    assert applied(found, served(2), SETTINGS) == applied(serving_version(pod=TWO), served(2), SETTINGS)
    assert not up_to_date(found, applied(found, served(2), SETTINGS))
    assert not up_to_date(found, applied(found, None, SETTINGS))


def test_leftover_operator_fields_are_removed_regardless_of_their_owner() -> None:
    pod = {"initContainers": [{"name": "prepare", "image": "p"}], **_server(env=[{"name": "A", "value": "1"}])}
    patch = removal(serving_version(pod=pod))
    assert patch is not None
    found = patch["spec"]["template"]
    assert set(found["metadata"]["annotations"].values()) == {None}
    assert [each["name"] for each in found["spec"]["initContainers"] if "$patch" in each] == ["assay-fetch-model"]
    assert {each["name"] for each in found["spec"]["volumes"]} == {"assay-model", "assay-model-credentials"}
    for each in [*found["spec"]["initContainers"][1:], *found["spec"]["containers"]]:
        assert [item["name"] for item in each["env"]] == ["MODEL_PATH", "MODEL_NAME", "MODEL_VERSION"]
        assert [item["mountPath"] for item in each["volumeMounts"]] == ["/models"]
    assert removal(workload(pod=pod)) is None
