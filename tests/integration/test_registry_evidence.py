"""What the operator believes, with it running: rights that are gone, numbers, histories, and rewritten fields."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from assay.api import names
from tests import operators, registry
from tests.cluster.errors import ClusterError
from tests.cluster.local import LocalCluster
from tests.cluster.waiting import wait_for
from tests.integration.test_registry import Models, moved_from_1_to_2, open_policy
from tests.objects import condition

pytestmark = pytest.mark.integration

Raw = dict[str, Any]

APPROVER = "rita"
ROLE = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "approver"},
            "rules": [
                {"apiGroups": ["assay.dev"], "resources": ["modelversions"], "verbs": ["get", "patch"]},
                {"apiGroups": ["assay.dev"], "resources": ["aliases"], "verbs": ["approve"]},
            ],
        }
    ],
}


@pytest.fixture(scope="module")
def operator(
    control_plane: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    with registry.operator(control_plane, tmp_path_factory) as process:
        yield process


@pytest.fixture
def models(control_plane: LocalCluster, operator: operators.OperatorProcess, namespace: str) -> Models:
    assert operator.running, operator.tail()
    models = Models(control_plane, namespace)
    models.store.ensure_bucket()
    return models


def labels(models: Models, version: str) -> Raw:
    found: Raw = models.get("modelversion", version)["metadata"].get("labels", {})
    return found


def approve(models: Models, version: str, *more: str, comment: str = "") -> None:
    """Approve with the approver's own rights, once they are in force."""
    digest = models.get("modelversion", version)["spec"]["artifact"]["digest"]
    value = f"champion.approval.assay.dev/1={digest} {APPROVER}{comment}"

    def done() -> bool:
        try:
            models.kubectl("annotate", "--overwrite", "modelversion", version, value, f"--as={APPROVER}", *more)
        except ClusterError as error:
            if "cannot patch" in str(error) or "may not approve" in str(error) or "cannot get" in str(error):
                return False
            raise
        return True

    wait_for("the approver's role to be in force", done, seconds=30)


@pytest.mark.parametrize("subject", ["user", "group"])
def test_an_approval_counts_while_its_approver_has_the_verb(models: Models, subject: str) -> None:
    if subject == "group" and not registry.stamps(models.cluster):
        pytest.skip("this API server fills in no groups")
    who, more = (APPROVER, ()) if subject == "user" else ("risk", ("--as-group=risk", "--as-group=eu"))
    models.apply(open_policy(approvals={"required": 2}))
    models.registered("digits", 1, b"one")
    models.apply(ROLE)
    models.kubectl("create", "rolebinding", "approver", "--role=approver", f"--{subject}={who}")
    approve(models, "digits.v1", *more)
    models.apply(registry.model_alias("digits", "champion", 1))
    one = models.alias("digits.champion", "held", lambda o: o.get("status", {}).get("phase") == "Held")
    assert "has 1 of 2" in one["status"]["message"]
    models.kubectl("delete", "rolebinding", "approver")
    gone = ("auth", "can-i", "patch", "modelversions", f"--as={APPROVER}", *more)

    def lost() -> bool:
        try:
            models.kubectl(*gone)
        except ClusterError:
            return True
        return False

    wait_for("the right to be gone", lost, seconds=30)
    models.apply(open_policy(approvals={"required": 1}))
    words = f"{APPROVER} no longer holds the verb approve"
    held = models.alias("digits.champion", "held for the right", lambda o: words in o["status"]["message"])
    assert held["status"].get("boundVersion") is None
    models.kubectl("create", "rolebinding", "approver", "--role=approver", f"--{subject}={who}")
    approve(models, "digits.v1", *more, comment="\nstill")
    models.bound("digits.champion", 1)


def test_a_binding_records_the_policies_that_it_was_judged_by(models: Models) -> None:
    moved_from_1_to_2(models)
    policy = models.get("promotionpolicy", "open")
    record = next(each for each in models.trail() if each.action == "AliasBound")
    assert record.after is not None
    (stated,) = record.after["policies"]
    assert (stated["name"], stated["mode"], stated["generation"]) == ("open", "Enforce", 1)
    assert stated["digest"].startswith("sha256:")
    by = policy["metadata"].get("annotations", {}).get(names.ANNOTATION_CHANGED_BY, "unknown")
    assert stated["changedBy"] == by
    assert record.after["openByDefault"] is False


def test_a_rollback_target_cannot_be_deleted(models: Models) -> None:
    moved_from_1_to_2(models)
    models.wait("modelversion", "digits.v1", "not bound", lambda o: names.LABEL_BOUND not in o["metadata"]["labels"])
    assert labels(models, "digits.v1")[names.LABEL_TARGET] == "true"
    with pytest.raises(ClusterError, match="an alias can go back to this version"):
        models.kubectl("delete", "modelversion", "digits.v1")
    models.kubectl("delete", "modelalias", "digits.champion")
    for version in ("digits.v1", "digits.v2"):
        models.wait(
            "modelversion", version, "free", lambda o: names.LABEL_TARGET not in o["metadata"].get("labels", {})
        )
    models.kubectl("delete", "modelversion", "digits.v1")


def test_a_rollback_of_an_alias_that_is_being_deleted_is_refused_by_the_operator_too(models: Models) -> None:
    moved_from_1_to_2(models)
    finalizers = {"metadata": {"finalizers": ["example.com/wait"]}}
    models.kubectl(
        *("patch", "modelalias", "digits.champion", "--type=merge", "-p", json.dumps(finalizers)),
        *registry.AS_OPERATOR,
    )
    models.kubectl("delete", "modelalias", "digits.champion", "--wait=false")
    with registry.without_policy(models.cluster, "assay-aliases"):
        models.roll_back("digits.champion", 1, "walter")
        models.alias(
            "digits.champion",
            "the request to be cleared",
            lambda o: names.ANNOTATION_ROLLBACK not in o["metadata"].get("annotations", {}),
        )
    refused = [each for each in models.trail() if each.action == "BindingRefused"]
    assert "the alias is being deleted" in refused[-1].reason
    assert models.get("modelalias", "digits.champion")["status"]["boundVersion"] == 2
    models.kubectl("patch", "modelalias", "digits.champion", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


@pytest.mark.parametrize("filled_in", [True, False], ids=["the-server-fills-in", "the-client-fills-in"])
@pytest.mark.parametrize("last", ["rollback", "move"])
def test_of_a_rollback_and_a_move_while_no_operator_runs_the_later_one_stands(
    models: Models, operator: operators.OperatorProcess, filled_in: bool, last: str
) -> None:
    """The request names the generation of the spec that its author knew."""
    moved_from_1_to_2(models)
    models.registered("digits", 3, b"v3")
    if filled_in and not registry.stamps(models.cluster):
        pytest.skip("this API server fills in nothing")
    operator.kill()
    try:
        for write in ("move", "rollback") if last == "rollback" else ("rollback", "move"):
            if write == "move":
                models.want("digits.champion", 3)
                continue
            known = models.get("modelalias", "digits.champion")["metadata"]["generation"]
            line = "" if filled_in else f"generation: {known}\n"
            models.roll_back("digits.champion", 1, "walter", f"{line}latency")
    finally:
        operator.start().wait_ready()
    moves = ["AliasBound", "AliasBound", "RolledBack"] + ["AliasBound"] * (last == "move")
    wait_for("the moves", lambda: models.actions("digits.champion") == moves, seconds=20)
    found = models.bound("digits.champion", 1 if last == "rollback" else 3)
    cleared = models.alias(
        "digits.champion",
        "the request to be cleared",
        lambda o: names.ANNOTATION_ROLLBACK not in o["metadata"].get("annotations", {}),
    )
    reasons = [each.get("reason") for each in found["status"]["history"]]
    assert reasons[2:] == (["latency"] if last == "rollback" else ["latency", None])
    assert (cleared["status"].get("setAside") or {}).get("version") == (3 if last == "rollback" else None)


def test_a_move_after_a_rollback_is_held_at_the_version_of_the_rollback(
    models: Models, operator: operators.OperatorProcess
) -> None:
    moved_from_1_to_2(models)
    models.apply(open_policy(approvals={"required": 1}))
    models.registered("digits", 3, b"v3")
    operator.kill()
    try:
        known = models.get("modelalias", "digits.champion")["metadata"]["generation"]
        models.roll_back("digits.champion", 1, "walter", f"generation: {known}")
        models.want("digits.champion", 3)
    finally:
        operator.start().wait_ready()
    held = models.alias("digits.champion", "held", lambda o: "approv" in o["status"]["message"])
    assert (held["status"]["boundVersion"], held["status"]["phase"]) == (1, "Held")
    models.approve("digits.v3", "champion", "rita")
    models.bound("digits.champion", 3)


def test_version_numbers_increase_by_one(models: Models) -> None:
    models.register("digits", 3, b"three")
    words = "digits.v3 waits: the next number is 1; register that one first"
    models.wait("modelversion", "digits.v3", "waiting", lambda o: o["status"]["message"] == words)
    models.register("digits", 2, b"two")
    models.registered("digits", 1, b"one")
    for version in ("digits.v2", "digits.v3"):
        models.wait("modelversion", version, "Ready", lambda o: o["status"]["phase"] == "Ready", 30)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_rewritten_managed_fields_do_not_block_the_operator(models: Models, kind: str) -> None:
    moved_from_1_to_2(models)
    annotations = {"assay.dev/serve": "digits.champion"}
    models.apply(registry.deployment("web", kind=kind, annotations=annotations))

    def carries(version: str) -> None:
        mark = "assay.dev/served-version"
        models.wait(
            kind.lower(),
            "web",
            f"v{version} in its template",
            lambda o: o["spec"]["template"]["metadata"]["annotations"][mark] == version,
        )

    carries("2")
    patch = json.dumps({"metadata": {"managedFields": [{}]}})
    models.kubectl("patch", kind.lower(), "web", "--type=merge", "-p", patch)
    models.registered("digits", 3, b"v3")
    models.want("digits.champion", 3)
    models.bound("digits.champion", 3)
    carries("3")
    served = lambda o: o["status"]["phase"] == "Bound" and condition(o, "Ready")["status"] == "True"  # noqa: E731
    models.alias("digits.champion", "served", served)
    models.kubectl("patch", kind.lower(), "web", "--type=merge", "-p", patch)
    models.kubectl("annotate", kind.lower(), "web", "assay.dev/serve-")

    def given_back(found: Raw) -> bool:
        pod = found["spec"]["template"]
        return "assay" not in json.dumps(pod) and "MODEL_" not in json.dumps(pod)

    models.wait(kind.lower(), "web", "given back", given_back)


def test_an_alias_is_not_bound_for_a_workload_that_cannot_serve_it(models: Models) -> None:
    moved_from_1_to_2(models)
    mounts = [{"name": "data", "mountPath": "/models"}]
    containers = [{"name": "server", "image": "server", "volumeMounts": mounts}]
    volumes = [{"name": "data", "emptyDir": {}}]
    annotations = {"assay.dev/serve": "digits.champion"}
    models.apply(registry.deployment("web", annotations=annotations, containers=containers, volumes=volumes))
    found = models.alias("digits.champion", "degraded", lambda o: o["status"]["phase"] == "Degraded")
    assert "mount it elsewhere" in found["status"]["message"]
    for kind in ("Bound", "Ready"):
        assert (condition(found, kind)["status"], condition(found, kind)["reason"]) == ("False", "CannotServe")
    assert found["status"]["boundVersion"] == 2
