"""Containers that Assay adds fit into the namespaces of others: each setting reaches recorder, standby and fetches."""

import json
from typing import Any

import pytest

from assay.controllers.settings import Settings
from assay.planning.runs.job import build_job
from assay.planning.serving import injection, ownership
from assay.planning.serving.injection import Served
from assay.store.errors import ConfigError
from tests.registry import digest
from tests.unit.controllers.fakes import SETTINGS
from tests.unit.controllers.registry_objects import workload
from tests.unit.planning.objects import job_spec, run

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
ENOUGH = {
    "ASSAY_IMAGE": "assay:1",
    "ASSAY_STORE_ENDPOINT": "http://store:9000",
    "ASSAY_STORE_ACCESS_KEY": "key",
    "ASSAY_STORE_SECRET_KEY": "secret",
    "ASSAY_STORE_BUCKET": "assay",
}
DATA = {"name": "d", "uri": "s3://assay/x/", "digest": digest()}
LIMITED = {"requests": {"cpu": "10m", "memory": "50Mi"}, "limits": {"cpu": "200m", "memory": "200Mi"}}
SERVED = Served("digits", "champion", 1, digest(), "", "models/ml/digits/v1", "assay-model-u")


def settings(part: str, **values: Any) -> Settings:
    return Settings.from_environment(ENOUGH | {f"ASSAY_{part.upper()}": json.dumps(values)})


def pod_template(given: Settings, **pod: Any) -> Raw:
    built = build_job(run(datasets=[DATA], job=job_spec(**pod)), "runs/team/sweep/sweep-0/u", given.job)
    found: Raw = built["spec"]["template"]
    return found


def containers(template: Raw) -> dict[str, Raw]:
    return {each["name"]: each for each in template["spec"]["initContainers"]}


def served(given: Settings, body: Raw | None = None) -> Raw:
    applied = injection.applied(body or workload(), SERVED, given.serving)
    template: Raw = applied["spec"]["template"]
    return template


def of(part: str, given: Settings) -> list[Raw]:
    """Return the containers that a part of the settings is for."""
    found = containers(pod_template(given))
    if part == "recorder":
        return [found["assay-recorder"], found["assay-recorder-standby"]]
    return [found["assay-fetch-data"], containers(served(given))["assay-fetch-model"]]


@pytest.mark.parametrize("part", ["recorder", "fetch"])
def test_resources(part: str) -> None:
    given = settings(part, resources=LIMITED)
    for container in of(part, given):
        assert container["resources"]["limits"] == LIMITED["limits"]
        standby = container["name"] == "assay-recorder-standby"
        assert container["resources"]["requests"] == (
            {"cpu": "1m", "memory": "16Mi"} if standby else LIMITED["requests"]
        )
    assert [each["resources"] for each in of({"recorder": "fetch", "fetch": "recorder"}[part], given)] == [
        each["resources"] for each in of({"recorder": "fetch", "fetch": "recorder"}[part], SETTINGS)
    ]


@pytest.mark.parametrize("part", ["recorder", "fetch"])
def test_the_cluster_sets_the_user(part: str) -> None:
    for container in of(part, settings(part, runAsUser="unset")):
        security = container["securityContext"]
        assert security.keys().isdisjoint({"runAsUser", "runAsGroup"})
        assert security["runAsNonRoot"]
        assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("part", ["recorder", "fetch"])
def test_a_user_and_further_fields_of_the_security_context(part: str) -> None:
    for container in of(part, settings(part, runAsUser=1234, securityContext={"seLinuxOptions": {"level": "s0"}})):
        security = container["securityContext"]
        assert security["runAsUser"] == 1234
        assert security["seLinuxOptions"] == {"level": "s0"}
        assert security["readOnlyRootFilesystem"]


@pytest.mark.parametrize("part", ["recorder", "fetch"])
def test_pull_secrets_labels_and_annotations_of_the_pods_of_runs(part: str) -> None:
    given = settings(part, imagePullSecrets=["a", "b"], podLabels={"mesh": "off"}, podAnnotations={"inject": "no"})
    template = pod_template(given, imagePullSecrets=[{"name": "a"}])
    assert template["spec"]["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    assert template["metadata"]["labels"]["mesh"] == "off"
    assert template["metadata"]["labels"]["assay.dev/run"] == "sweep-0"
    assert template["metadata"]["annotations"]["inject"] == "no"


def test_pull_secrets_labels_and_annotations_of_servers() -> None:
    given = settings("fetch", imagePullSecrets=["a"], podLabels={"mesh": "off"}, podAnnotations={"inject": "no"})
    template = served(given)
    assert template["spec"]["imagePullSecrets"] == [{"name": "a"}]
    assert template["metadata"]["labels"] == {"mesh": "off"}
    assert template["metadata"]["annotations"]["inject"] == "no"
    own = workload()
    own["spec"]["template"]["metadata"] |= {"labels": {"mesh": "on"}}
    assert "labels" not in served(given, own)["metadata"], "the template's own labels win"
    assert ("f:spec", "f:template", "f:spec", "f:imagePullSecrets", 'k:{"name":"a"}', "f:name") in ownership.paths(
        injection.applied(workload(), SERVED, given.serving)
    )


def test_configured_pod_labels_cannot_override_the_run_labels() -> None:
    template = pod_template(settings("recorder", podLabels={"assay.dev/run": "other", "assay.dev/run-uid": "u"}))
    assert template["metadata"]["labels"]["assay.dev/run"] == "sweep-0"


@pytest.mark.parametrize("values", [{"resource": {}}, {"runAsUser": "root"}, {"imagePullSecrets": [{"name": "a"}]}])
def test_a_typo_is_refused(values: Raw) -> None:
    with pytest.raises(ConfigError, match="ASSAY_FETCH"):
        settings("fetch", **values)
