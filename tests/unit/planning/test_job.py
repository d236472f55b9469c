import copy
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api.names import LINK_LABELS
from assay.planning.runs import job
from assay.planning.runs.checks import InvalidTemplate
from assay.planning.runs.job import JobSettings, build_job
from tests.unit.planning.objects import Raw, job_spec, run

pytestmark = pytest.mark.unit

SETTINGS = JobSettings(image="localhost/assay:dev", pull_policy="Never")
PREFIX = "runs/team/sweep/sweep-0/uid-sweep-0"

names = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=5,
)
scalars = st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | st.text(max_size=4)
variables = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["HOME", "PARAM_lr", "ASSAY_RUN"]), "value": st.text(max_size=3)}),
    max_size=3,
    unique_by=lambda variable: variable["name"],
)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Raw]:
    """Objects that have some of the fields, and some that nobody has heard of."""
    known = st.fixed_dictionaries({}, optional=fields)
    return st.tuples(st.dictionaries(names.map("x{}".format), json_values, max_size=2), known).map(
        lambda pair: {**pair[0], **pair[1]}
    )


mounts = st.lists(st.fixed_dictionaries({"name": names, "mountPath": names.map("/data/{}".format)}), max_size=2)
containers = st.lists(
    st.tuples(
        names,
        optional(
            image=names,
            args=st.lists(st.text(max_size=4), max_size=2),
            env=variables,
            volumeMounts=mounts,
            securityContext=optional(runAsUser=st.integers(0, 2000)),
        ),
    ).map(lambda pair: {"name": pair[0], **pair[1]}),
    min_size=1,
    max_size=3,
    unique_by=lambda container: container["name"],
)
pods = st.builds(
    lambda pod, main: {**pod, "containers": main},
    optional(
        restartPolicy=st.sampled_from(["Never", "OnFailure"]),
        terminationGracePeriodSeconds=st.integers(10, 600),
        nodeSelector=st.dictionaries(names, names, max_size=2),
        initContainers=containers,
        volumes=st.lists(names.map(lambda name: {"name": name, "emptyDir": {}}), max_size=2),
    ),
    containers,
)
job_specs = st.builds(
    lambda spec, metadata, pod: {**spec, "template": {**metadata, "spec": pod}},
    optional(
        backoffLimit=st.integers(0, 6),
        suspend=st.booleans(),
        completionMode=st.just("Indexed"),
        ttlSecondsAfterFinished=st.integers(0, 60),
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "metadata": optional(labels=st.dictionaries(names, names), annotations=st.dictionaries(names, names))
        },
    ),
    pods,
)


def contained(part: Any, whole: Any, path: str = "spec") -> None:
    """Assert that all of ``part`` is in ``whole``: every field, and every item of every list, in its order."""
    if isinstance(part, dict):
        assert isinstance(whole, dict), path
        for key, value in part.items():
            assert key in whole, f"{path}.{key} is gone"
            contained(value, whole[key], f"{path}.{key}")
    elif isinstance(part, list):
        assert isinstance(whole, list), path
        rest = iter(whole)
        for index, item in enumerate(part):
            assert any(_contains(item, candidate) for candidate in rest), f"{path}[{index}] is gone or moved"
    else:
        assert part == whole, f"{path} has changed"


def _contains(part: Any, whole: Any) -> bool:
    try:
        contained(part, whole)
    except AssertionError:
        return False
    return True


def build(spec: Raw | None = None, *, suspended_by: str = "", metadata: Raw | None = None, **fields: Any) -> Raw:
    body = run(**fields)
    body["metadata"] |= metadata or {}
    if spec is not None:
        body["spec"]["job"] = spec
    return build_job(body, PREFIX, SETTINGS, suspended_by=suspended_by)


def pod_of(built: Raw) -> Raw:
    found: Raw = built["spec"]["template"]["spec"]
    return found


def recorder_of(built: Raw) -> Raw:
    found: Raw = next(each for each in pod_of(built)["initContainers"] if each["name"] == "assay-recorder")
    return found


@given(job_specs, st.dictionaries(st.sampled_from(["lr", "depth"]), scalars))
@settings(max_examples=150, deadline=None)
def test_user_fields_are_unchanged_in_the_job(spec: Raw, parameters: Raw) -> None:
    body = run(parameters=parameters, job=spec)
    before = copy.deepcopy(body)
    built = build_job(body, PREFIX, SETTINGS)
    assert body == before, "the Run that was given has been changed"
    written = copy.deepcopy(spec)
    written.pop("ttlSecondsAfterFinished", None)
    contained(written, built["spec"])
    added = built["spec"].keys() - spec.keys()
    assert not added, f"fields of the JobSpec that nobody wrote: {added}"
    ours = pod_of(built).keys() - written["template"]["spec"].keys()
    assert ours <= {"initContainers", "volumes", "terminationGracePeriodSeconds"}


@given(job_specs, st.dictionaries(st.sampled_from(["lr", "depth"]), scalars))
@settings(max_examples=50, deadline=None)
def test_every_container_of_the_user_has_parameters_and_the_volume(spec: Raw, parameters: Raw) -> None:
    pod = pod_of(build(spec, parameters=parameters))
    for container in [*pod["initContainers"][2:], *pod["containers"]]:
        found = [variable["name"] for variable in container["env"]]
        assert len(found) == len(set(found)), "a variable is there twice"
        assert {f"PARAM_{name}" for name in parameters} <= set(found)
        paths = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert paths["/assay"] == "assay-run"
        assert paths["/assay/params.json"] == "assay-params"
        assert "assay-store" not in paths.values(), "a training container can read the store's credentials"


@given(json_values, json_values)
@settings(max_examples=300, deadline=None)
def test_a_template_that_the_schema_lets_through_is_built_or_refused(value: Any, other: Any) -> None:
    """The API server lets anything pass in what it preserves: a sentence for people, and never a traceback."""
    keys = ["metadata", "initContainers", "volumes", "securityContext", "terminationGracePeriodSeconds"]
    parts = ["env", "volumeMounts", "securityContext", "name"]
    for key in keys:
        spec = job_spec()
        (spec["template"] if key == "metadata" else spec["template"]["spec"])[key] = value
        _build_or_refuse(spec)
    for part in parts:
        spec = job_spec()
        spec["template"]["spec"]["containers"] = [{"name": "train", part: value}]
        spec["template"]["spec"]["initContainers"] = [{"name": "fetch", part: other}]
        _build_or_refuse(spec)
    for part in ("labels", "annotations"):
        spec = job_spec()
        spec["template"]["metadata"] = {part: value}
        _build_or_refuse(spec)


def _build_or_refuse(spec: Raw) -> None:
    with suppress(InvalidTemplate):
        build(spec)


# What Assay adds


def test_the_job_belongs_to_its_run() -> None:
    built = build()
    assert built["metadata"] == {
        "name": "sweep-0",
        "namespace": "team",
        "labels": {
            "assay.dev/experiment": "sweep",
            "assay.dev/index": "0",
            "assay.dev/run": "sweep-0",
            "assay.dev/run-uid": "uid-sweep-0",
        },
        "ownerReferences": [
            {
                "apiVersion": "assay.dev/v1alpha1",
                "kind": "Run",
                "name": "sweep-0",
                "uid": "uid-sweep-0",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    labels = built["spec"]["template"]["metadata"]["labels"]
    assert labels["assay.dev/run-uid"] == "uid-sweep-0"


def test_labels_by_which_tools_track_objects_are_not_passed_on() -> None:
    labels = {
        "argocd.argoproj.io/instance": "ml",
        "app.kubernetes.io/instance": "ml",
        "kubectl.kubernetes.io/x": "y",
        "kueue.x-k8s.io/queue-name": "gpu",
        "team": "vision",
    }
    built = build(metadata={"labels": labels, "annotations": {"argocd.argoproj.io/tracking-id": "x", "note": "y"}})
    found = built["metadata"]["labels"]
    assert {"kueue.x-k8s.io/queue-name": "gpu", "team": "vision"}.items() <= found.items()
    text = json.dumps(built)
    assert "argocd" not in text
    assert "app.kubernetes.io/instance" not in text
    assert "kubectl.kubernetes.io" not in text


def test_user_labels_cannot_link_the_pod_to_another_run() -> None:
    spec = job_spec()
    spec["template"]["metadata"] = {"labels": {"assay.dev/run-uid": "another", "team": "vision"}}
    built = build(spec, metadata={"labels": {"assay.dev/run-uid": "another"}})
    assert built["metadata"]["labels"]["assay.dev/run-uid"] == "uid-sweep-0"
    labels = built["spec"]["template"]["metadata"]["labels"]
    assert (labels["assay.dev/run-uid"], labels["team"]) == ("uid-sweep-0", "vision")


@pytest.mark.parametrize("label", LINK_LABELS)
def test_no_label_of_the_template_links_the_pod_to_another_run(label: str) -> None:
    spec = job_spec()
    spec["template"]["metadata"] = {"labels": {label: "another"}}
    assert "another" not in build(spec)["spec"]["template"]["metadata"]["labels"].values()


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (
            {"manualSelector": True},
            "spec.job.manualSelector: the Job controller sets it for a run's pods: remove it",
        ),
        ({"selector": {"matchLabels": {"app": "x"}}}, "spec.job.selector: the Job controller sets it for a run's pods"),
        ({"managedBy": "example.com/mine"}, "spec.job.managedBy is 'example.com/mine': only Kubernetes' own Job"),
    ],
)
def test_a_job_with_its_own_selector_or_manager_is_refused(job: Raw, message: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        build({**job_spec(), **job})
    assert str(caught.value).startswith(message)


def test_kubernetes_own_job_controller_may_be_named() -> None:
    assert build({**job_spec(), "managedBy": "kubernetes.io/job-controller"})


def test_a_run_of_its_own_names_no_experiment() -> None:
    built = build(metadata={"labels": None})
    assert set(built["metadata"]["labels"]) == {"assay.dev/run", "assay.dev/run-uid"}
    assert "ASSAY_EXPERIMENT" not in json.dumps(built)


def test_the_recorder_comes_first_and_is_a_sidecar() -> None:
    fetch = {"name": "fetch", "image": "fetch:1"}
    pod = pod_of(build(job_spec(initContainers=[fetch])))
    assert [c["name"] for c in pod["initContainers"]] == ["assay-recorder-standby", "assay-recorder", "fetch"]
    recorder = pod["initContainers"][1]
    assert (recorder["restartPolicy"], recorder["image"], recorder["imagePullPolicy"]) == (
        "Always", "localhost/assay:dev", "Never",
    )  # fmt: skip
    assert recorder["command"] == ["python", "-m", "assay.recorder"]


def test_the_standby_equals_the_recorder_with_small_requests() -> None:
    collect = {"tensorboard": {"path": "/logs"}}
    standby, recorder = pod_of(build(collect=collect))["initContainers"][:2]
    assert standby["command"] == ["python", "-m", "assay.recorder.standby"]
    assert "lifecycle" not in standby
    assert standby["resources"] == {"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"memory": "512Mi"}}
    for part in ("restartPolicy", "image", "imagePullPolicy", "securityContext", "volumeMounts"):
        assert standby[part] == recorder[part]
    env, own = ({v["name"]: v for v in each["env"]} for each in (standby, recorder))
    assert {name for name in env if env[name] != own[name]} <= {"ASSAY_TRAINING"}
    assert env.keys() == own.keys()


def test_the_recorder_keeps_to_the_restricted_standard_and_has_no_token() -> None:
    recorder = recorder_of(build(job_spec(securityContext={"runAsNonRoot": True})))
    assert recorder["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    mounted = {mount["mountPath"]: mount for mount in recorder["volumeMounts"]}
    assert mounted["/var/run/secrets/kubernetes.io/serviceaccount"]["name"] == "assay-no-token"


def test_the_recorder_knows_where_to_write() -> None:
    env = {v["name"]: v.get("value", v.get("valueFrom")) for v in recorder_of(build())["env"]}
    assert env["ASSAY_PREFIX"] == f"{PREFIX}/intake/$(ASSAY_POD)"
    assert env["ASSAY_POD"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert env["ASSAY_GRACE_SECONDS"] == "120"
    names_in_order = [v["name"] for v in recorder_of(build())["env"]]
    assert names_in_order.index("ASSAY_POD") < names_in_order.index("ASSAY_PREFIX"), "$(ASSAY_POD) would stay as it is"


@pytest.mark.parametrize(
    ("pod", "containers", "expected"),
    [
        (None, [None], 0),
        (1000, [None], 1000),
        (None, [1000], 1000),
        (1000, [1000, None], 1000),
        (1000, [2000], 2000),
        (1000, [2000, 1000], 0),
        (0, [None], 0),
        (0, [1000], 1000),
        (None, [0, 1000], 0),
        (None, [1000, None], 0),
        ("1000", [None], 0),
    ],
)
def test_the_recorder_can_read_what_the_user_of_the_training_writes(
    pod: Any, containers: list[Any], expected: int
) -> None:
    spec = job_spec(securityContext={"runAsUser": pod} if pod is not None else {})
    spec["template"]["spec"]["containers"] = [
        {"name": f"c{index}", **({"securityContext": {"runAsUser": user}} if user is not None else {})}
        for index, user in enumerate(containers)
    ]
    security = recorder_of(build(spec))["securityContext"]
    assert security["runAsUser"] == expected
    assert security["capabilities"].get("add") == (None if expected else ["DAC_OVERRIDE"])
    assert security.get("runAsNonRoot", False) == bool(expected)
    spec["template"]["spec"].setdefault("securityContext", {})["runAsNonRoot"] = True
    security = recorder_of(build(spec))["securityContext"]
    assert security["runAsUser"] == (expected or 65532)
    assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(("written", "expected"), [(None, 120), (40, 40), (10, 10), (1, 10), (0, 10)])
def test_the_grace_period_is_the_users_or_ours(written: int | None, expected: int) -> None:
    built = build(job_spec(terminationGracePeriodSeconds=written))
    assert pod_of(built)["terminationGracePeriodSeconds"] == expected
    assert {"name": "ASSAY_GRACE_SECONDS", "value": str(expected)} in recorder_of(built)["env"]


def test_parameters_come_before_the_users_variables_which_may_use_or_replace_them() -> None:
    spec = job_spec()
    spec["template"]["spec"]["containers"][0]["env"] = [
        {"name": "OPTIONS", "value": "--lr=$(PARAM_lr)"},
        {"name": "PARAM_depth", "value": "mine"},
    ]
    built = build(spec, parameters={"lr": 0.1, "depth": 3}, collect={"mlflow": False})
    assert pod_of(built)["containers"][0]["env"] == [
        {"name": "PARAM_lr", "value": "0.1"},
        {"name": "ASSAY_RUN", "value": "sweep-0"},
        {"name": "ASSAY_RUN_UID", "value": "uid-sweep-0"},
        {"name": "ASSAY_EXPERIMENT", "value": "sweep"},
        {"name": "OPTIONS", "value": "--lr=$(PARAM_lr)"},
        {"name": "PARAM_depth", "value": "mine"},
    ]


def variables_of(container: Raw) -> Raw:
    return {variable["name"]: variable.get("value") for variable in container.get("env") or []}


def training(**pod: Any) -> Raw:
    return variables_of(pod_of(build(job_spec(**pod)))["containers"][0])


def test_mlflow_clients_find_the_recorder_and_the_run() -> None:
    pod = pod_of(build(job_spec(initContainers=[{"name": "prepare", "image": "x"}]), metadata={"uid": "0a-0b-1"}))
    for container in (pod["containers"][0], pod["initContainers"][-1]):
        found = {k: v for k, v in variables_of(container).items() if k.startswith("MLFLOW_")}
        assert found == {
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:16577",
            "MLFLOW_RUN_ID": "0a0b1",
            "MLFLOW_EXPERIMENT_ID": "1",
        }
    assert variables_of(pod["initContainers"][0])["ASSAY_MLFLOW_PORT"] == "16577"


def test_the_recorder_knows_how_much_mlflow_clients_can_read_back() -> None:
    built = build_job(run(), PREFIX, replace(SETTINGS, mlflow_points=0))
    assert variables_of(pod_of(built)["initContainers"][1])["ASSAY_MLFLOW_POINTS"] == "0"


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"])
def test_a_template_that_logs_elsewhere_keeps_its_variables(name: str) -> None:
    own = [{"name": name, "value": "theirs"}]
    found = training(containers=[{"name": "train", "image": "x", "env": own}])
    assert {k: v for k, v in found.items() if k.startswith("MLFLOW_")} == {name: "theirs"}


@pytest.mark.parametrize("name", ["MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"])
def test_an_experiment_that_the_template_names_stays(name: str) -> None:
    own = [{"name": name, "value": "theirs"}]
    found = training(containers=[{"name": "train", "image": "x", "env": own}])
    assert found[name] == "theirs"
    assert "MLFLOW_TRACKING_URI" in found
    assert len([each for each in found if each.startswith("MLFLOW_EXPERIMENT")]) == 1


@pytest.mark.parametrize(("spec", "pod"), [({"collect": {"mlflow": False}}, {}), ({}, {"hostNetwork": True})])
def test_mlflow_variables_are_set_only_with_the_endpoint(spec: Raw, pod: Raw) -> None:
    assert "MLFLOW" not in json.dumps(build(job_spec(**pod), **spec))


def test_a_seed_reaches_every_container() -> None:
    for seed, expected in ((0, ["0"]), (2**32 - 1, ["4294967295"]), (None, [])):
        pod = pod_of(build(job_spec(initContainers=[{"name": "prepare", "image": "a"}]), seed=seed))
        for container in (pod["initContainers"][-1], pod["containers"][0]):
            assert [each["value"] for each in container["env"] if each["name"] == "ASSAY_SEED"] == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (3, "3"),
        (1e-05, "1.0e-05"),
        (1.5e-05, "1.5e-05"),
        (1e16, "1.0e+16"),
        (True, "true"),
        (False, "false"),
        ("a b", "a b"),
        ("", ""),
    ],
)
def test_a_value_as_text(value: Any, text: str) -> None:
    assert job.as_text(value) == text
    if not isinstance(value, str):
        assert yaml.safe_load(text) == json.loads(text) == value


#: Kubernetes' expansion of a variable's value, as far as it has no references: $$ is $, and $(…) a reference.
AWKWARD = {"a": "$$x", "h": "$(HOME)", "c": "$", "d": "$$(A)", "e": "100$", "f": "ü\n'\"\\", "g": 1e-05, "i": "1e-05"}


def test_parameter_values_are_passed_unchanged() -> None:
    template = build(job_spec(), parameters=AWKWARD)["spec"]["template"]
    assert json.loads(template["metadata"]["annotations"]["assay.dev/parameters"]) == AWKWARD
    seen = {each["name"]: each["value"] for each in template["spec"]["containers"][0]["env"]}
    for name, value in AWKWARD.items():
        found = seen[f"PARAM_{name}"]
        assert "$" not in found.replace("$$", "")  # nothing is a reference
        assert found.replace("$$", "$") == (value if isinstance(value, str) else "1.0e-05")


def test_a_name_that_shells_cannot_read_has_a_second_variable() -> None:
    parameters = {"learning-rate": 0.1, "model.lr": 2, "a-b": "exact", "a_b": "own"}
    env = pod_of(build(job_spec(), parameters=parameters))["containers"][0]["env"]
    seen = {each["name"]: each["value"] for each in env if each["name"].startswith("PARAM_")}
    assert seen == {
        "PARAM_learning-rate": "0.1",
        "PARAM_learning_rate": "0.1",
        "PARAM_model.lr": "2",
        "PARAM_model_lr": "2",
        "PARAM_a-b": "exact",
        "PARAM_a_b": "own",
    }


def test_the_parameters_are_a_file_too() -> None:
    built = build(parameters={"lr": 0.1, "kind": "ä", "fast": True})
    text = built["spec"]["template"]["metadata"]["annotations"]["assay.dev/parameters"]
    assert json.loads(text) == {"lr": 0.1, "kind": "ä", "fast": True}
    volume = next(v for v in pod_of(built)["volumes"] if v["name"] == "assay-params")
    field_ref = volume["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"]
    assert field_ref == "metadata.annotations['assay.dev/parameters']"


def test_the_time_to_live_is_held_back_until_the_run_is_recorded() -> None:
    assert "ttlSecondsAfterFinished" not in build({**job_spec(), "ttlSecondsAfterFinished": 0})["spec"]


def test_a_held_job_starts_suspended_with_its_holder() -> None:
    built = build(suspended_by="Experiment")
    assert built["spec"]["suspend"] is True
    assert built["metadata"]["annotations"] == {"assay.dev/suspended-by": "Experiment"}
    assert "annotations" not in build({**job_spec(), "suspend": True})["metadata"], "the user's own suspension"


# What is refused


def mounting(path: str, volume: str = "mine") -> Raw:
    spec = job_spec()
    spec["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": volume, "mountPath": path}]
    return spec


def with_container(**container: Any) -> Raw:
    spec = job_spec()
    spec["template"]["spec"]["containers"].append(container)
    return spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            job_spec(volumes=[{"name": "assay-store"}]),
            "volume 'assay-store': names that begin with 'assay-' are reserved by Assay",
        ),
        (with_container(name="assay-recorder"), "container 'assay-recorder': this name is reserved by Assay"),
        (
            job_spec(initContainers=[{"name": "assay-recorder"}]),
            "container 'assay-recorder': this name is reserved by Assay",
        ),
        (with_container(image="x"), "every container needs a name"),
        (mounting("/assay"), "container 'train' mounts /assay: this path is reserved by Assay"),
        (mounting("/assay/"), "container 'train' mounts /assay/: this path is reserved by Assay"),
        (mounting("/assay/params.json"), "container 'train' mounts /assay/params.json: this path is reserved by Assay"),
        (mounting("/assay/artifacts"), "container 'train' mounts /assay/artifacts: this path is reserved by Assay"),
        (mounting("/mine", "assay-store"), "container 'train' mounts 'assay-store': this volume is reserved by Assay"),
        (job_spec(volumes="x"), "spec.job.template.spec.volumes must be a list"),
        (job_spec(volumes=["x"]), "spec.job.template.spec.volumes must be a list of objects"),
        (job_spec(securityContext=[]), "spec.job.template.spec.securityContext must be an object"),
        (
            job_spec(terminationGracePeriodSeconds="40"),
            "spec.job.template.spec.terminationGracePeriodSeconds must be a whole number",
        ),
        (with_container(name="b", env={"A": "b"}), "spec.job.template.spec.containers[1].env must be a list"),
    ],
)
def test_a_template_that_leaves_no_room_is_refused(spec: Raw, message: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        build(spec)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "path",
    [
        *(
            "//assay",
            "/assay/.",
            "/./assay/",
            "assay",
            "/data/../assay",
            "/",
            "/assay/artifacts/",
            "/assay/artifacts/model",
        ),
        *("/assay/./artifacts", "//assay//artifacts/x/../y", "/assay/metrics.jsonl", "assay/metrics.jsonl"),
        *("/assay/x/../metrics.jsonl/", "/assay/params.json/."),
    ],
)
def test_reserved_paths_are_refused_in_any_spelling(path: str) -> None:
    with pytest.raises(InvalidTemplate, match="this path is reserved by Assay"):
        build(mounting(path))


@pytest.mark.parametrize("path", ["/assay-data", "/data/assay", "/assay/cache", "/assay/artifacts-old", "/assay/data"])
def test_mounts_at_other_paths_are_accepted(path: str) -> None:
    assert build(mounting(path))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"a b": 1}, "spec.parameters: invalid parameter name 'a b': a parameter's name has at most 63 letters"),
        ({"a": [1]}, "spec.parameters: parameter 'a': a value must be a number, a string or a boolean"),
    ],
)
def test_parameters_that_no_container_can_see_are_refused(parameters: Raw, message: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        build(parameters=parameters)
    assert str(caught.value).startswith(message)
