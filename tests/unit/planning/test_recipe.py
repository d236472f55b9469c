import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.api.modelversion import ArtifactStatus, ModelVersionStatus
from assay.api.run import RunSpec
from assay.planning.models import registration, versions
from assay.planning.promotion import views
from assay.planning.runs import recipe
from tests.unit.planning.objects import NOW, job_spec, run

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
DIGEST = "sha256:" + "d" * 64
OTHER = "sha256:" + "e" * 64
COMMIT = "3f2c0e" + "0" * 34
PULLED = f"registry.example.com/train@{DIGEST}"


def known(**changed: Any) -> Raw:
    """Return a Run of which everything is known; ``changed`` are fields of its spec, None takes one away."""
    spec = {
        "owner": "dora",
        "source": {"repository": "https://git.example.com/ml/digits", "revision": COMMIT},
        "datasets": [{"name": "digits", "uri": "s3://datasets/digits/", "digest": DIGEST}],
        "parameters": {"lr": 0.1},
        "seed": 0,
        "job": job_spec(),
        **changed,
    }
    body = run(**{key: value for key, value in spec.items() if value is not None})
    images = [{"container": "train", "image": "train:1", "digest": PULLED}]
    body["status"] = {"phase": "Succeeded", "images": images}
    return body


def said(body: Raw) -> str:
    status, reason, message = recipe.condition(body)
    assert (status, reason) == (("False", "RecipeIncomplete") if message.startswith("not") else ("True", "RecipeKnown"))
    return message


# What is missing


def test_a_complete_recipe_is_reproducible() -> None:
    assert said(known()) == "images, source, datasets, parameters and seed are known"
    sha256 = {"repository": "r", "revision": "a" * 64, "dirty": False}
    assert recipe.condition(known(source=sha256, seed=None, parameters={"seed": 0}))[0] == "True"


SOURCE = {"repository": "r"}


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({"source": None}, "spec.source is missing"),
        ({"source": SOURCE}, "spec.source.revision is missing"),
        ({"source": SOURCE | {"revision": "main"}}, "spec.source.revision main is not a full commit hash"),
        ({"source": SOURCE | {"revision": COMMIT[:7]}}, "spec.source.revision 3f2c0e0 is not a full commit hash"),
        (
            {"source": SOURCE | {"revision": COMMIT, "dirty": True}},
            "spec.source.dirty is true: the working tree had uncommitted changes",
        ),
        ({"datasets": [{"name": "digits", "uri": "s3://datasets/d/"}]}, "dataset digits has no digest"),
        ({"seed": None}, "the seed is missing: set spec.seed or a parameter named seed"),
    ],
)
def test_missing_parts_of_a_recipe_are_explained(changed: Raw, missing: str) -> None:
    assert said(known(**changed)) == f"not reproducible: {missing}"


def test_all_that_is_missing_is_listed() -> None:
    body = known(source=SOURCE, datasets=[{"name": "digits", "uri": "s3://datasets/d/"}])
    body["status"]["images"] = [{"container": "train", "image": "train:1"}]
    assert said(body) == (
        "not reproducible: the digest of the image of container train is unknown; "
        "spec.source.revision is missing; dataset digits has no digest"
    )


def test_an_image_that_the_template_names_by_its_digest_needs_no_pod_to_be_known() -> None:
    body = known()
    body["status"]["images"] = []
    assert "the digest of the image of container train is unknown" in said(body)
    body["spec"]["job"]["template"]["spec"]["containers"][0]["image"] = PULLED
    assert recipe.condition(body)[0] == "True"


def test_an_image_without_a_registry_digest_is_known_and_reported() -> None:
    body = known()
    body["status"]["images"][0]["digest"] = DIGEST
    assert recipe.condition(body)[0] == "True"
    assert said(body).endswith("the image of container train was never pulled: it has an ID but no registry digest")


def test_init_containers_are_part_of_the_recipe() -> None:
    job = job_spec(initContainers=[{"name": "prepare", "image": "prepare:1"}])
    assert said(known(job=job)) == "not reproducible: the digest of the image of container prepare is unknown"


def test_the_digest_that_was_found_of_a_dataset_counts() -> None:
    body = known(datasets=[{"name": "digits", "uri": "s3://datasets/d/"}])
    body["status"]["datasets"] = [{"name": "digits", "digest": OTHER}]
    assert recipe.condition(body)[0] == "True"


def test_inputs_outside_the_recipe_are_reported_but_allowed() -> None:
    env = [
        {"name": "PLAIN", "value": "1"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    volumes = [
        {"name": "scratch", "emptyDir": {}},
        {"name": "cache", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "tool", "image": {"reference": PULLED}},
        {"name": "moving", "image": {"reference": "tool:latest"}},
    ]
    job = job_spec(volumes=volumes)
    job["template"]["spec"]["containers"][0] |= {"env": env, "envFrom": [{"configMapRef": {"name": "c"}}]}
    assert said(known(job=job)) == (
        "images, source, datasets, parameters and seed are known; not part of the recipe: "
        "volume cache (persistentVolumeClaim), volume moving (image), envFrom of container train, "
        "variable TOKEN of container train (secretKeyRef)"
    )


CONFIG_MAP = {"configMap": {"name": "code"}}


@pytest.mark.parametrize(
    ("volume", "container", "pinned"),
    [
        (CONFIG_MAP, {}, False),
        ({"projected": {"sources": [CONFIG_MAP]}}, {}, False),
        ({"persistentVolumeClaim": {"claimName": "c"}}, {}, True),
        ({"persistentVolumeClaim": {"claimName": "c"}}, {"command": ["python", "/code/train.py"]}, False),
        ({"persistentVolumeClaim": {"claimName": "c"}}, {"args": ["sh", "-c", "cd /code && python train.py"]}, False),
        ({"nfs": {"server": "s", "path": "/"}}, {"workingDir": "/code/src"}, False),
        ({"secret": {"secretName": "s"}}, {"args": ["--key=/code/key"]}, True),
        ({"persistentVolumeClaim": {"claimName": "c"}}, {"args": ["/codes/train.py"]}, True),
        ({"emptyDir": {}}, {"command": ["/code/run"]}, True),
        ({"image": {"reference": PULLED}}, {"command": ["/code/run"]}, True),
    ],
)
def test_unpinned_code_is_not_reproducible(volume: Raw, container: Raw, pinned: bool) -> None:
    job = job_spec(volumes=[{"name": "code", **volume}])
    job["template"]["spec"]["containers"][0] |= {"volumeMounts": [{"name": "code", "mountPath": "/code"}], **container}
    status, _, message = recipe.condition(known(job=job))
    assert status == ("True" if pinned else "False")
    assert pinned or "volume code (" in message.partition(";")[0]


def test_the_list_of_inputs_outside_the_recipe_is_bounded() -> None:
    volumes = [{"name": f"v{number}", "nfs": {}} for number in range(7)]
    assert said(known(job=job_spec(volumes=volumes))).endswith("volume v4 (nfs) and 2 more")


def test_an_existing_reproducible_condition_is_kept() -> None:
    body = known(seed=None)
    assert recipe.condition_of(body)[0] == "False"
    body["status"]["conditions"] = [{"type": "Reproducible", "status": "True", "reason": "RecipeKnown", "message": "m"}]
    assert recipe.condition_of(body) == ("True", "RecipeKnown", "m")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "image", "env", "valueFrom", "secretKeyRef", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(json_values, json_values, st.lists(st.dictionaries(st.sampled_from(["name", "image", "env"]), json_values)))
@settings(max_examples=200, deadline=None)
def test_an_invalid_template_is_assessed(value: Any, other: Any, containers: list[Raw]) -> None:
    """The operator asks this of a run whose Job was refused: it must end all the same."""
    body = known(job={"template": {"spec": {"containers": containers, "initContainers": value, "volumes": other}}})
    status, _, message = recipe.condition(body)
    assert (status == "False") == message.startswith("not reproducible: ")


# A new Run


def rerun(body: Raw, name: str | None = None, **more: Any) -> Raw:
    before = copy.deepcopy(body)
    found = recipe.rerun_body(body, name, **more)
    assert body == before, "the run is only read"
    RunSpec.model_validate(found["spec"])
    return found


def test_a_rerun_has_the_recipe_and_names_the_run() -> None:
    body = known(objective={"metric": "score", "direction": "maximize"}, model={"path": "model"})
    found = rerun(body, "again")
    assert found["metadata"] == {"name": "again", "namespace": "team"}
    assert found["spec"].pop("rerunOf") == {"name": "sweep-0", "uid": "uid-sweep-0", "experiment": "sweep"}
    assert found["spec"]["job"]["template"]["spec"]["containers"][0].pop("image") == PULLED
    expected = copy.deepcopy(body["spec"])
    expected["job"]["template"]["spec"]["containers"][0].pop("image")
    assert expected.pop("owner") == "dora"
    assert found["spec"] == expected


def test_a_rerun_is_pinned_to_what_was_found() -> None:
    pod = {"initContainers": [{"name": "prepare", "image": "prepare:1"}]}
    body = known(
        datasets=[{"name": "a", "uri": "s3://datasets/a/", "digest": DIGEST}, {"name": "b", "uri": "s3://datasets/b/"}]
    )
    body["spec"]["job"] = job_spec(**pod)
    body["spec"]["job"]["template"]["spec"]["containers"].append({"name": "pinned", "image": f"x@{OTHER}"})
    body["status"]["images"] = [
        {"container": "train", "image": "train:1", "digest": PULLED},
        {"container": "pinned", "image": f"x@{OTHER}", "digest": f"mirror/x@{OTHER}"},
        {"container": "prepare", "image": "prepare:1", "digest": DIGEST},
    ]
    body["status"]["datasets"] = [{"name": "a", "digest": DIGEST}, {"name": "b", "digest": OTHER}]
    found = rerun(body)["spec"]
    template = found["job"]["template"]["spec"]
    assert [each["image"] for each in template["containers"]] == [PULLED, f"x@{OTHER}"]
    assert template["initContainers"][0]["image"] == "prepare:1", "an image's own id cannot be pulled"
    assert [each["digest"] for each in found["datasets"]] == [DIGEST, OTHER]


def test_a_rerun_belongs_to_its_creator() -> None:
    body = known()
    body["metadata"]["labels"] |= {"kueue.x-k8s.io/queue-name": "gpu", "app.kubernetes.io/instance": "argo"}
    body["metadata"]["annotations"] = {"assay.dev/x": "1", "note": "2"}
    found = rerun(body, "again", owner="rita")
    assert found["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "gpu"}
    assert found["metadata"]["annotations"] == {"note": "2"}
    assert "ownerReferences" not in found["metadata"]
    assert found["spec"]["owner"] == "rita"
    assert "owner" not in rerun(body)["spec"]


@pytest.mark.parametrize("name", ["digits-3", "d" * 57, "d" * 44 + "-" + "e" * 12])
def test_the_api_server_can_make_a_name_of_what_it_is_given(name: str) -> None:
    body = known()
    body["metadata"]["name"] = name
    prefix = rerun(body)["metadata"]["generateName"]
    assert prefix.startswith(name[:20].rstrip("-"))
    assert prefix.endswith("-rerun-")
    assert len(prefix) + 5 <= 57
    assert "--" not in prefix


def test_a_rerun_of_a_rerun_references_the_given_run() -> None:
    body = known(rerunOf={"name": "first", "uid": "u", "tolerance": 0.5})
    wanted = rerun(body, tolerance=0, tolerances={"train_seconds": 10.0})["spec"]["rerunOf"]
    assert wanted["name"] == "sweep-0"
    assert (wanted["tolerance"], wanted["tolerances"]) == (0, {"train_seconds": 10.0})


def test_a_running_run_cannot_be_rerun() -> None:
    body = known()
    body["status"]["phase"] = "Running"
    with pytest.raises(ValueError, match="run sweep-0 has not finished"):
        recipe.rerun_body(body)


# Carried into the version


@pytest.mark.parametrize(("seed", "counts"), [(7, True), (None, False)])
def test_a_version_has_the_condition_of_its_run_and_policies_go_by_it(seed: int | None, counts: bool) -> None:
    body = known(seed=seed)
    artifact = ArtifactStatus(uri="s3://assay/models/team/digits/v1/", digest=DIGEST)
    origin = ("True", "FromRun", "")
    found = recipe.condition_of(body)
    status = versions.registered(ModelVersionStatus(), artifact, None, origin, found, generation=1, now=NOW)  # type: ignore[arg-type]
    assert [each.message for each in status.conditions if each.type == "Reproducible"] == [found[2]]
    spec = {"model": "digits", "version": 1, "artifact": {"digest": DIGEST, "uri": "s3://assay/x"}}
    version = {"metadata": {"name": "digits.v1"}, "spec": spec, "status": status.to_dict()}
    assert ("reproducible" in views.version_view(version, []).evidence) == counts


def test_the_seed_is_part_of_what_a_version_says_of_its_run() -> None:
    found = registration.provenance_of(known(seed=0))
    assert found["seed"] == 0
    assert registration.disagreement({"seed": 0}, found) == ""
    assert registration.disagreement({"seed": 1}, found) == "provenance.seed is 1, the run's is 0"
    assert "seed" not in registration.provenance_of(known(seed=None))
