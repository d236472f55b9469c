"""Experiments in Git: a renamed Application repeats no training, a removed file stops nothing, the tree is whole."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from assay.api import names
from tests.argocd.real import Application
from tests.argocd.stages import EXAMPLE, SETTINGS, Stages
from tests.cluster import images
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.objects import Objects, experiment

pytestmark = [pytest.mark.integration, pytest.mark.argocd]

Raw = dict[str, Any]
FILE = "experiments/sweep.yaml"
#: Beside the Experiment, what its tree shows.
KINDS = [
    {"group": "assay.dev", "kind": "Experiment"},
    {"group": "assay.dev", "kind": "Run"},
    {"group": "batch", "kind": "Job"},
    {"group": "", "kind": "Pod"},
]
ALL = ["get", "list", "watch", "create", "update", "patch", "delete"]
RULES = [
    {"apiGroups": ["assay.dev"], "resources": ["experiments"], "verbs": ALL},
    # Nobody launches by way of the operator what they could not launch themselves.
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]},
    {"apiGroups": ["assay.dev"], "resources": ["modelversions"], "verbs": ["create"]},
]
SCRIPT = """
    x = float(os.environ['PARAM_x'])
    log(step=1, score=x)
    (artifacts / 'model').mkdir()
    (artifacts / 'model' / 'weights').write_text(str(x))
"""


@pytest.fixture(scope="module")
def with_images(argocd_cluster: LocalCluster) -> LocalCluster:
    """The cluster, whose node has the operator's image and one to train with."""
    for archive in (images.assay_image(), images.quickstart_image()):
        argocd_cluster.load_image(archive)
    return argocd_cluster


def manifest(**spec: Any) -> Raw:
    """The Experiment as the page has it: kept when its file goes, and adopting what was trained before."""
    body = experiment(
        "sweep",
        SCRIPT,
        parameters=[{"name": "x", "values": [0.25, 0.5]}],
        parallelism=2,
        adoptRecords=True,
        register={"model": "sweeps", "pick": "best"},
        **spec,
    )
    body["spec"]["template"]["model"] = {"path": "model"}
    body["metadata"]["annotations"] = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=confirm"}
    return body


@pytest.fixture
def stages(with_images: LocalCluster, new_stages: Callable[..., Stages]) -> Stages:
    stages = new_stages(EXAMPLE, kinds=KINDS, rules=RULES)
    assert with_images.running()
    return stages


def application(stages: Stages, name: str) -> Application:
    (stage,) = stages
    found = Application(stages.argo_cd, f"{stage.namespace}-{name}")
    options, sync = SETTINGS[EXAMPLE]
    policy: Raw = {"automated": {"prune": True}, "retry": {"limit": 2, "refresh": True}}
    more: Raw = {"project": stages.name, "options": options, "sync": sync, "policy": policy}
    body = found.body(stages.repository, "experiments", stage.namespace, **more)
    body["metadata"]["finalizers"] = ["resources-finalizer.argocd.argoproj.io"]
    stages.argo_cd.apply(body)
    return found


def ended(objects: Objects) -> Raw:
    return objects.wait("experiment", "sweep", "Succeeded", lambda o: o["status"].get("phase") == "Succeeded", 120)


def test_an_experiment_whose_application_is_renamed_adopts_its_records(stages: Stages) -> None:
    (stage,) = stages
    stages.repository.write("a sweep", {FILE: manifest()})
    before = application(stages, "before")
    first = stage.models.wait("experiment", "sweep", "its version", lambda o: o["status"].get("registered"), 120)
    assert first["status"]["registered"] == "sweeps.v1"
    before.refresh()
    shown = {node["kind"] for node in before.tree()["nodes"]}
    assert {"Experiment", "Run", "Job", "Pod"} <= shown
    rerun_is_in_the_api_and_not_on_the_command_line(stages, before)

    # A removed file stops and deletes nothing.
    other = {"apiVersion": "v1", "kind": "List", "items": []}
    stages.repository.write("the file is gone", {FILE: None, "experiments/empty.yaml": other})
    found = before.refresh()
    assert [each.get("requiresPruning") for each in found["status"]["resources"]] == [True]
    assert stage.models.get("experiment", "sweep")["metadata"]["uid"] == first["metadata"]["uid"]
    stages.repository.write("the file is back", {FILE: manifest()})

    stages.argo_cd.kubectl("delete", "application", before.name, "--wait=false")
    stages.argo_cd.cli("app", "confirm-deletion", before.name)
    stages.every("the Experiment to be gone", lambda each: not each.models.get("experiment", "sweep"), seconds=90)
    after = application(stages, "after")
    stages.also(after)
    stages.every("a new Experiment", lambda each: each.models.get("experiment", "sweep"))
    found = ended(stage.models)
    assert found["metadata"]["uid"] != first["metadata"]["uid"]
    status = found["status"]
    assert (status["adopted"], status["progress"], status["best"]["run"]) == (2, "2/2", first["status"]["best"]["run"])
    found = stage.models.wait("experiment", "sweep", "its version", lambda o: o["status"].get("registered"))
    assert found["status"]["registered"] == "sweeps.v1"
    runs = [each for each in stage.models.all("run") if not each["spec"].get("rerunOf")]
    assert runs == [], "nothing is trained again"
    finish(stages, after)


def rerun_is_in_the_api_and_not_on_the_command_line(stages: Stages, app: Application) -> None:
    """The command line finds only what is in Git; the page says so."""
    (stage,) = stages
    role = ("--verb=create", "--resource=runs.assay.dev")
    stage.models.kubectl("create", "role", "argocd-reruns", *role)
    binding = ("--role=argocd-reruns", "--serviceaccount=argocd:argocd-server")
    stage.models.kubectl("create", "rolebinding", "argocd-reruns", *binding)
    what = ("--kind", "Run", "--resource-name", "sweep-0")
    with pytest.raises(ClusterError, match="no matching resource found"):
        stages.argo_cd.cli("app", "actions", "run", app.name, "rerun", *what)
    query = {"namespace": stage.namespace, "resourceName": "sweep-0", "version": "v1alpha1", "group": "assay.dev"}
    path = f"/api/v1/applications/{app.name}/resource/actions?{urlencode({**query, 'kind': 'Run'})}"
    stages.argo_cd.request("POST", path, "rerun", token=stages.argo_cd.token())
    (rerun,) = [each for each in stage.models.all("run") if each["spec"].get("rerunOf")]
    assert rerun["spec"]["rerunOf"]["name"] == "sweep-0"


def finish(stages: Stages, app: Application) -> None:
    """Let the Application go with its Experiment."""
    stages.argo_cd.kubectl("delete", "application", app.name, "--wait=false")
    stages.argo_cd.cli("app", "confirm-deletion", app.name)


def test_removing_the_suspend_line_resumes_and_a_menu_pause_is_not_drift(
    new_stages: Callable[..., Stages],
) -> None:
    stages = new_stages(EXAMPLE, kinds=KINDS, rules=RULES)
    (stage,) = stages
    nowhere = manifest(suspend=True)
    # Otherwise Argo CD's API server would have to be allowed to create versions, too.
    del nowhere["spec"]["register"]
    pod = nowhere["spec"]["template"]["job"]["template"]["spec"]
    pod["nodeSelector"] = {"kubernetes.io/hostname": "nowhere"}
    stages.repository.write("a pause", {FILE: nowhere})
    app = application(stages, "sweep")
    stage.models.wait("experiment", "sweep", "Suspended", lambda o: o["status"]["phase"] == "Suspended")
    del nowhere["spec"]["suspend"]
    resumed = stages.repository.write("go on", {FILE: nowhere})
    app.ask_to_refresh()
    found = stage.models.wait("experiment", "sweep", "Running", lambda o: o["status"]["phase"] == "Running", 60)
    assert "suspend" not in found["spec"]
    assert "suspend: false" in found["status"]["omitted"]

    what = ("--kind", names.EXPERIMENT, "--resource-name", "sweep")
    stages.argo_cd.cli("app", "actions", "run", app.name, "suspend", *what)
    stage.models.wait("experiment", "sweep", "Suspended", lambda o: o["status"]["phase"] == "Suspended")
    app.refresh()
    app.synced(resumed)
    assert stage.models.get("experiment", "sweep")["spec"]["suspend"] is True
    stages.argo_cd.cli("app", "actions", "run", app.name, "resume", *what)
    stage.models.wait("experiment", "sweep", "Running", lambda o: o["status"]["phase"] == "Running")
    finish(stages, app)
